// Settings in TOML files: one key for each option of a command, without the dashes.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace mcn {

/// The text of a file of settings, which may be a pipe. DataError if it cannot be read, or has more than 1 MiB.
std::string read_settings(const std::string& path);

/// Sets the options that are not set yet from the text of a file. UsageError "[config] FILE:LINE: ..." for a key that
/// is no option, one that is there twice, a table, and a value that the option refuses. origin: the file's name, for
/// these.
void apply_settings(CLI::App& command, const std::string& text, const std::string& origin);

/// Puts a value into an option, also in what the command prints and saves; an empty one: as if it were not given.
void set_option(CLI::App& command, const std::string& name, const std::string& value);

/// UsageError for a value that a saved file would not give back: CLI11's TOML has no escapes.
void check_that_it_can_be_saved(const CLI::App& command);

}  // namespace mcn
