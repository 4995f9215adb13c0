// Loading a library at run time: from where it is said to be, and what is said when it is nowhere.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/dynamic_library.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;

/// An environment variable's value as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("a library that is nowhere is a device error that names it and the places") {
  const test::TemporaryFolder folder;
  const Variable places("MCN_CUDA_LIBRARIES", folder.file("one") + ":" + folder.file("two"));
  CHECK_THROWS_AS(DynamicLibrary("fake", {"libmcn_nowhere.so.1"}), DeviceError);
  CHECK_THROWS_WITH(DynamicLibrary("fake", {"libmcn_nowhere.so.1", "libmcn_nowhere.so"}),
                    ContainsSubstring("[fake]") && ContainsSubstring("libmcn_nowhere.so.1 or libmcn_nowhere.so") &&
                        ContainsSubstring(folder.file("one") + ", " + folder.file("two")));
}

TEST_CASE("a library is found in MCN_CUDA_LIBRARIES and in Python's packages, and its functions by name") {
  const test::TemporaryFolder folder;
  const bool by_name = GENERATE(true, false);
  const std::string place =
      by_name ? folder.file("named") : folder.file("lib/python3.99/site-packages/nvidia/fake/lib");
  std::filesystem::create_directories(place);
  std::filesystem::copy_file(test::built_file("libmcn_fake.so"), place + "/libmcn_fake.so.13");
  const Variable where(by_name ? "MCN_CUDA_LIBRARIES" : "VIRTUAL_ENV", by_name ? "/nowhere:" + place : folder.file(""));
  const DynamicLibrary library("fake", {"libmcn_fake.so.14", "libmcn_fake.so.13"});
  CHECK(library.function<int()>("mcn_fake_version")() == 13042);
  CHECK_THROWS_WITH(library.function<int()>("mcn_fake_nothing"),
                    ContainsSubstring("mcn_fake_nothing") && ContainsSubstring("libmcn_fake.so.13"));
}

TEST_CASE("a file that is no library is said to be none") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("lib"));
  std::ofstream(folder.file("lib/libmcn_text.so"))
      << "text, and long enough to hold a header of ELF, which has 64 bytes: nothing";
  const Variable where("MCN_CUDA_LIBRARIES", folder.file("lib"));
  CHECK_THROWS_WITH(DynamicLibrary("fake", {"libmcn_text.so"}), ContainsSubstring("invalid ELF header"));
}

}  // namespace mcn
