// Files that appear whole or not at all.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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

TEST_CASE("the files that are replaced are kept, as many as are wanted", "[atomic_file]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("last.safetensors");
  const auto write = [&](const std::string& text, int keep) {
    AtomicFile file("test", path);
    file.write(text);
    file.commit(keep);
  };
  const auto text = [&](const char* name) {
    std::string line;
    std::getline(std::ifstream(folder.file(name)) >> std::ws, line);
    return line;
  };
  CHECK(kept_path("run.d/last.safetensors", 2) == "run.d/last-2.safetensors");
  write("first", 3);
  CHECK(folder.count() == 1);
  write("second", 3);
  CHECK(text("last.safetensors") == "second");
  CHECK(text("last-1.safetensors") == "first");
  write("third", 3);
  write("fourth", 3);
  CHECK(text("last.safetensors") == "fourth");
  CHECK(text("last-1.safetensors") == "third");
  CHECK(text("last-2.safetensors") == "second");
  write("fifth", 2);
  CHECK(text("last-1.safetensors") == "fourth");
  write("sixth", 1);
  CHECK(text("last.safetensors") == "sixth");
  CHECK(text("last-1.safetensors") == "fourth");
  CHECK(folder.count() == 3);
}

TEST_CASE("what a killed process has left is removed, and nothing else", "[atomic_file]") {
  const test::TemporaryFolder folder;
  // A process that is gone, and one that runs as long as the test.
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  REQUIRE(::waitpid(gone, nullptr, 0) == gone);
  const auto temporary = [](const std::string& name, pid_t process) {
    return name + ".tmp-" + std::to_string(process) + "-3";
  };
  const std::vector<std::string> left{temporary("last.safetensors", gone), temporary("config.toml", ::getpid())};
  const std::vector<std::string> stays{temporary("last.safetensors", ::getppid()), "last.safetensors",
                                       "x.tmp-" + std::to_string(gone), "x.tmp-a-1",
                                       temporary("y", gone) + ".safetensors"};
  for (const auto& names : {left, stays})
    for (const std::string& name : names) std::ofstream(folder.file(name)) << "x";
  AtomicFile under_way("test", folder.file("open"));
  remove_left_temporaries(folder.file(""));
  for (const std::string& name : left) CHECK_FALSE(std::filesystem::exists(folder.file(name)));
  for (const std::string& name : stays) CHECK(std::filesystem::exists(folder.file(name)));
  under_way.commit();
  CHECK(std::filesystem::exists(folder.file("open")));
}

}  // namespace
}  // namespace mcn
