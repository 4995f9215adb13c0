// Where NVIDIA's libraries are found on a machine, and dlopen.
#include "kernels/dynamic_library.h"

#include <dlfcn.h>
#include <fmt/ranges.h>
#include <glob.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "kernels/error.h"

namespace mcn {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Existing folders that match.
void append_matches(const std::string& pattern, std::vector<std::string>& folders) {
  glob_t found{};
  if (::glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) folders.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
}

std::vector<std::string> named_folders() {
  std::vector<std::string> folders;
  const std::string list = variable("MCN_CUDA_LIBRARIES");
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    if (end > begin) folders.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return folders;
}

std::vector<std::string> usual_folders() {
  std::vector<std::string> folders;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string home = variable(name); !home.empty()) append_matches(home + "/lib64", folders);
  append_matches("/usr/local/cuda*/lib64", folders);
  std::vector<std::string> packages;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string prefix = variable(name); !prefix.empty())
      packages.push_back(prefix + "/lib/python3*/site-packages");
  if (const std::string home = variable("HOME"); !home.empty())
    packages.push_back(home + "/.local/lib/python3*/site-packages");
  for (const char* pattern : {"/usr/local/lib/python3*/dist-packages", "/usr/local/lib/python3*/site-packages",
                              "/usr/lib/python3*/dist-packages", "/opt/*/lib/python3*/site-packages"})
    packages.emplace_back(pattern);
  for (const std::string& package : packages) append_matches(package + "/nvidia/*/lib", folders);
  return folders;
}

}  // namespace

DynamicLibrary::DynamicLibrary(std::string prefix, const std::vector<std::string>& names) : prefix_(std::move(prefix)) {
  std::string refused;
  const auto opened = [&](const std::string& path) {
    handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) path_ = path;
    return handle_ != nullptr;
  };
  const auto opened_in = [&](const std::vector<std::string>& folders) {
    for (const std::string& folder : folders)
      for (const std::string& name : names) {
        const std::string path = fmt::format("{}/{}", folder, name);
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored)) continue;
        if (opened(path)) return true;
        refused += fmt::format("; {}", ::dlerror());
      }
    return false;
  };
  const std::vector<std::string> named = named_folders();
  if (opened_in(named)) return;
  for (const std::string& name : names)
    if (opened(name)) return;
  const std::vector<std::string> usual = usual_folders();
  if (opened_in(usual)) return;
  fail<DeviceError>(prefix_,
                    "{} not found: neither in MCN_CUDA_LIBRARIES ({}), nor by the loader, nor in CUDA's toolkit and "
                    "Python's packages ({}){}",
                    fmt::join(names, " or "), named.empty() ? "not set" : fmt::format("{}", fmt::join(named, ", ")),
                    usual.empty() ? "there are none" : fmt::format("{}", fmt::join(usual, ", ")), refused);
}

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept
    : prefix_(std::move(other.prefix_)),
      path_(std::move(other.path_)),
      handle_(std::exchange(other.handle_, nullptr)) {}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) (void)::dlclose(handle_);
}

void* DynamicLibrary::symbol(const char* name) const {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr) fail<DeviceError>(prefix_, "{} has no {}", path_, name);
  return found;
}

}  // namespace mcn
