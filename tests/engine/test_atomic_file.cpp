// Files that appear whole or not at all.
#include <sys/stat.h>

#include <filesystem>

#include "engine/atomic_file.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

TEST_CASE("what is no file is not replaced by one", "[atomic_file]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("out");
  SECTION("a pipe") { REQUIRE(mkfifo(path.c_str(), 0600) == 0); }
  // Through a link, since a test that failed would leave the machine without the device.
  SECTION("a device") { std::filesystem::create_symlink("/dev/null", path); }
  CHECK_THROWS_AS(AtomicFile("test", path), DataError);
  CHECK_FALSE(std::filesystem::is_regular_file(path));
  CHECK(folder.count() == 1);
}

TEST_CASE("a file is replaced where a link to it stands", "[atomic_file]") {
  namespace fs = std::filesystem;
  const test::TemporaryFolder folder;
  const std::string link = folder.file("link"), target = folder.file("elsewhere/target");
  fs::create_directory(folder.file("elsewhere"));
  AtomicFile("test", target).commit();
  fs::create_symlink("elsewhere/target", link);
  AtomicFile file("test", link);
  file.write(std::string("abc"));
  CHECK(fs::file_size(target) == 0);
  file.commit();
  CHECK(fs::is_symlink(link));
  CHECK(fs::file_size(target) == 3);
  CHECK(folder.count() == 2);
}

TEST_CASE("a file is replaced when the new one is whole", "[atomic_file]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("out");
  AtomicFile("test", path).commit();
  {
    AtomicFile abandoned("test", path);
    abandoned.write(std::string("abc"));
  }
  CHECK(std::filesystem::file_size(path) == 0);
  AtomicFile file("test", path);
  file.write(std::string("abc"));
  file.commit();
  CHECK(std::filesystem::file_size(path) == 3);
}

}  // namespace
}  // namespace mcn
