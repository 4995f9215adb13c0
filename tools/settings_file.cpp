// TOML by CLI11, with places for errors.
#include "tools/settings_file.h"

#include <cstddef>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <vector>

#include "kernels/error.h"
#include "tools/suggestion.h"

namespace mcn {
namespace {

/// CLI11 takes every # for the beginning of a comment, also one in quotes, which may be part of a path.
std::string without_comments(const std::string& text) {
  std::string result;
  char quote = '\0';
  bool comment = false;
  for (const char c : text) {
    if (c == '\n') {
      quote = '\0';
      comment = false;
    } else if (!comment && quote == '\0') {
      comment = c == '#';
      if (c == '"' || c == '\'') quote = c;
    } else if (c == quote) {
      quote = '\0';
    }
    if (!comment) result += c;
  }
  return result;
}

/// What a setting of iterations leaves no room for.
std::string other_length(const std::string& name) {
  return name == "iterations" ? "epochs" : name == "epochs" ? "iterations" : "";
}

/// "FILE:LINE" of the last line that sets a key, or of a table's head ("[train]"); "FILE" if there is none.
std::string place_of(const std::string& text, const std::string& origin, const std::string& key) {
  std::istringstream lines(text);
  int number = 0, found = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string begin = CLI::detail::trim_copy(line);
    const std::string rest = begin.starts_with(key) ? begin.substr(key.size()) : "x";
    if (key.starts_with('[') ? begin.starts_with(key) : CLI::detail::trim_copy(rest).starts_with('=')) found = number;
  }
  return found == 0 ? origin : fmt::format("{}:{}", origin, found);
}

[[noreturn]] void refuse_key(const CLI::App& command, const std::string& place, const std::string& key) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    if (option->get_configurable()) names.push_back(option->get_name());
  const std::string meant = suggestion("--" + key, names);
  fail("config", "{}: unknown key \"{}\"{}", place, key,
       meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant.substr(2)));
}

}  // namespace

std::string read_settings(const std::string& path) {
  // Whatever the path names, a pipe of a shell too; what has no end is no file of settings.
  constexpr std::size_t most = std::size_t{1} << 20;
  std::ifstream stream(path, std::ios::binary);
  std::string text(most + 1, '\0');
  stream.read(text.data(), std::ssize(text));
  if (!stream.is_open() || stream.bad()) fail<DataError>("config", "cannot read {}", path);
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > most) fail<DataError>("config", "{}: expected at most {} bytes of settings, got more", path, most);
  return text;
}

void check_that_it_can_be_saved(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options())
    if (option->get_configurable())
      for (const std::string& value : option->results())
        if (value.find('\n') != std::string::npos ||
            (value.find('"') != std::string::npos && value.find('\'') != std::string::npos))
          fail("config", "{}: expected a value without line breaks or two kinds of quotes, got {}", option->get_name(),
               value);
}

void apply_settings(CLI::App& command, const std::string& with_comments, const std::string& origin) {
  const std::string text = without_comments(with_comments);
  std::istringstream lines(text);
  CLI::ConfigTOML toml;
  toml.comment('\n');  // none, in a line
  std::set<std::string> keys, set;
  for (const CLI::ConfigItem& item : toml.from_config(lines)) {
    if (!item.parents.empty())
      fail("config", "{}: expected keys without tables, got the table [{}]: put its keys at the top of the file",
           place_of(text, origin, "[" + item.parents.front()), item.parents.front());
    const std::string place = place_of(text, origin, item.name);
    CLI::Option* option = command.get_option_no_throw("--" + item.name);
    if (option == nullptr || !option->get_configurable()) refuse_key(command, place, item.name);
    // The second would be taken for one that the command line overrides.
    if (!keys.insert(item.name).second)
      fail("config", "{}: expected every key once, got \"{}\" twice", place, item.name);
    // A saved config writes what is not set as an empty value.
    if (option->count() > 0 || item.inputs == std::vector<std::string>{""}) continue;
    if (const std::string other = other_length(item.name); !other.empty()) {
      if (set.contains(other)) fail("config", "{}: expected either \"iterations\" or \"epochs\", got both", place);
      if (command.get_option("--" + other)->count() > 0) continue;
    }
    set.insert(item.name);
    try {
      // A flag takes the word itself.
      if (option->get_expected_min() == 0)
        option->add_result(command.get_config_formatter()->to_flag(item));
      else
        option->add_result(item.inputs);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      fail("config", "{}: {}", place, error.what());
    }
  }
}

void set_option(CLI::App& command, const std::string& name, const std::string& value) {
  CLI::Option* option = command.get_option(name);
  option->clear();
  if (value.empty()) return;
  option->add_result(value);
  option->run_callback();
}

}  // namespace mcn
