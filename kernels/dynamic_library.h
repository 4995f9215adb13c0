// A library that is loaded when it is first needed, so that a program starts where it is missing.
#pragma once

#include <string>
#include <vector>

namespace mcn {

/// An open shared library; closed with its owner, after which its functions must not be called.
class DynamicLibrary {
 public:
  /// Opens the first of the file names ("libcublas.so.13") that the loader or one of the folders has. In this order:
  /// the folders of the environment variable MCN_CUDA_LIBRARIES (a list with colons), the loader's own path, then those
  /// of CUDA's toolkit and of NVIDIA's Python packages. `prefix` is that of errors. DeviceError, which names the files
  /// and where they were looked for, if there is none.
  DynamicLibrary(std::string prefix, const std::vector<std::string>& names);
  DynamicLibrary(DynamicLibrary&& other) noexcept;
  DynamicLibrary& operator=(DynamicLibrary&&) = delete;
  ~DynamicLibrary();

  /// The function of that name, as the given type. DeviceError if the library has none.
  template <class Function>
  [[nodiscard]] Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }
  /// The file that was opened, as it was asked for.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] void* symbol(const char* name) const;

  std::string prefix_, path_;
  void* handle_ = nullptr;
};

}  // namespace mcn
