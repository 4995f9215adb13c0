// A file that appears whole or not at all: written beside its place, synced, then renamed over it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace mcn {

/// Writes PATH.tmp-<process>-<number>, and renames it to PATH on commit(). Without a commit the destructor removes it,
/// so that an exception leaves PATH as it was. Where PATH is a link to a file, that file is meant. What is no file, a
/// device or a pipe, is not replaced. Errors are DataError "[prefix] path: ..." with the system's reason.
class AtomicFile {
 public:
  AtomicFile(std::string prefix, std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span<const char>(text))); }
  /// Syncs, closes and renames. Nothing may be written afterwards.
  void commit();

 private:
  [[noreturn]] void fail_now(const char* what) const;

  std::string prefix_;
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

}  // namespace mcn
