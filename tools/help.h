// How help texts are laid out.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace mcn {

/// The text in lines of at most `width` columns, of which all but the first begin with `indent` blanks; the first one
/// has `used` columns already. Blanks and line breaks of the text part its words; a word that is longer than a line has
/// one to itself. No line break at the end.
std::string wrapped(const std::string& text, std::size_t width, std::size_t indent = 0, std::size_t used = 0);

/// Columns of help: the terminal's that stdout is, at most 120; else what COLUMNS in the environment says; else 100.
std::size_t help_width();

/// Help of a command, to be set before its subcommands are added: wrapped, options in their groups.
std::shared_ptr<CLI::FormatterBase> help_formatter();

/// Help of a command by its own formatter. name: with those that it is a part of, "mcn bench".
std::string help_of(const CLI::App& command);

/// "mcn bench step"
std::string full_name(const CLI::App& command);

/// The commands that are a part of this one.
std::vector<const CLI::App*> commands_of(const CLI::App& command);

/// Adds `mcn help [COMMAND...]`. After all others: it knows those that there are then.
void add_help(CLI::App& app);

/// "mcn bench has no command "stp"; did you mean step?", or where none is like it, with all that there are.
std::string text_of_unknown_command(const CLI::App& command, const std::string& word);

}  // namespace mcn
