// A file that appears whole or not at all: written beside its place, synced, then renamed over it; and the files that
// it replaces, where they are kept.
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
  /// Syncs, closes and renames. Nothing may be written afterwards. With keep > 1 the file that is replaced stays as
  /// kept_path(path, 1), the one before it as kept_path(path, 2), and so on: `keep` files in all. Whenever the process
  /// is killed, the latest whole file is at PATH, or, on a file system without hard links, at kept_path(path, 1).
  void commit(int keep = 1);

 private:
  [[noreturn]] void fail_now(const char* what) const;
  void keep_earlier(int keep) const;

  std::string prefix_;
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// "run/last.safetensors", 2 -> "run/last-2.safetensors".
std::string kept_path(const std::string& path, int i);

/// Removes what AtomicFile left in a folder when its process was killed: PATH.tmp-<process>-<number> of a process that
/// does not run any more, or of an earlier one with this process's id. Nothing of this process's may be under way
/// there.
void remove_left_temporaries(const std::string& folder);

}  // namespace mcn
