// Runs build/mcn as a user does, and takes what it says and how it ends.
#pragma once

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

/// A running mcn. Its output goes to files of its own.
class Command {
 public:
  explicit Command(std::vector<std::string> arguments, const Environment& environment = {});
  ~Command();  // kills it if it still runs
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// True as soon as stderr holds the text; false if the command ends before, or after a minute.
  [[nodiscard]] bool wait_for_error_text(const std::string& text);
  void send(int signal) const;
  CommandResult wait();

 private:
  TemporaryFolder folder_;
  int process_ = -1;
};

CommandResult mcn_command(std::vector<std::string> arguments, const Environment& environment = {});

/// True if err is one line "mcn: [prefix] ..." that holds every text.
bool one_line_error(const CommandResult& result, const std::string& prefix, const std::vector<std::string>& texts = {});

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

}  // namespace mcn::test
