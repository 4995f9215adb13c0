// Runs build/mcn as a user does, and takes what it says and how it ends.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/temporary_folder.h"

namespace mcn::test {

struct CommandResult {
  int exit_code = -1;  ///< 128 + number of the signal that ended it, as in a shell
  std::string out, err;

  /// The last line of out.
  [[nodiscard]] std::string last_line() const;
};

/// Variables that are set for the command on top of ours.
using Environment = std::vector<std::pair<std::string, std::string>>;

/// Where a stream of the command goes: to a file of its own; it is closed; to a device that is full; to a pipe that
/// nobody reads.
enum class Stream { file, closed, full, broken_pipe };

/// What is unusual about the process.
struct Circumstances {
  Stream out = Stream::file, err = Stream::file;
  bool in_closed = false;
  std::vector<int> ignored_signals = {};
  std::size_t address_space = 0;  ///< most bytes of it; 0: any
};

/// A running mcn. Its output goes to files of its own.
class Command {
 public:
  explicit Command(std::vector<std::string> arguments, const Environment& environment = {},
                   const Circumstances& circumstances = {});
  ~Command();  // kills it if it still runs
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// True as soon as stderr holds the text; false if the command ends before, or after a minute.
  [[nodiscard]] bool wait_for_error_text(const std::string& text);
  void send(int signal) const;
  /// From now on the process gets no more address space than it has.
  void take_memory_away() const;
  CommandResult wait();

 private:
  TemporaryFolder folder_;
  int process_ = -1;
};

CommandResult mcn_command(std::vector<std::string> arguments, const Environment& environment = {},
                          const Circumstances& circumstances = {});

/// True if err is one line "mcn: [prefix] ..." that holds every text.
bool one_line_error(const CommandResult& result, const std::string& prefix, const std::vector<std::string>& texts = {});

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

}  // namespace mcn::test
