// Help: wrapping, and the command that shows it.
#include "tools/help.h"

#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "tools/command.h"
#include "tools/print.h"
#include "tools/suggestion.h"

namespace mcn {
namespace {

constexpr std::size_t narrowest = 60, widest = 120, where_texts_begin = 30;

/// "  NAME   TEXT", the text wrapped beside the name, or below one that is too long.
std::string row(const std::string& name, const std::string& text) {
  std::string left = "  " + CLI::detail::trim_copy(name);
  if (text.empty()) return left + "\n";
  if (left.size() + 2 > where_texts_begin)
    left += "\n" + std::string(where_texts_begin, ' ');
  else
    left.resize(where_texts_begin, ' ');
  return left + wrapped(text, help_width(), where_texts_begin, where_texts_begin) + "\n";
}

std::string first_sentence(const std::string& text) { return text.substr(0, text.find(". ")); }

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const override {
    std::string text = wrapped(app->get_description(), help_width()) + "\n\nUsage: " + name;
    const auto options = [&](const auto& wanted) { return app->get_options(wanted); };
    const auto positionals = options([](const CLI::Option* o) { return !o->nonpositional(); });
    const std::vector<const CLI::App*> commands = commands_of(*app);
    text += " [OPTIONS]";
    for (const CLI::Option* o : positionals) text += " " + make_option_usage(o);
    if (!commands.empty()) text += " COMMAND";
    text += "\n";
    if (!positionals.empty()) text += "\nPositionals:\n";
    for (const CLI::Option* o : positionals) text += row_of(o, true);
    for (const std::string& group : app->get_groups()) {
      const auto members = options([&](const CLI::Option* o) { return o->nonpositional() && o->get_group() == group; });
      if (group.empty() || members.empty()) continue;
      text += "\n" + group + ":\n";
      for (const CLI::Option* o : members) text += row_of(o, false);
    }
    if (!commands.empty()) text += "\nSubcommands:\n";
    for (const CLI::App* command : commands)
      text += row(command->get_name(), first_sentence(command->get_description()));
    if (!app->get_footer().empty()) text += "\n" + app->get_footer() + "\n";
    return text;
  }

 private:
  [[nodiscard]] std::string row_of(const CLI::Option* option, bool positional) const {
    return row(make_option_name(option, positional) + make_option_opts(option), option->get_description());
  }
};

int show_help(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    const std::vector<const CLI::App*> inner = commands_of(*command);
    const auto found = std::ranges::find(inner, word, &CLI::App::get_name);
    if (found == inner.end()) fail("usage", "{}", text_of_unknown_command(*command, word));
    command = *found;
  }
  print_result("{}", help_of(*command));
  return ok;
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t width, std::size_t indent, std::size_t used) {
  std::istringstream words(text);
  std::string result;
  bool fresh = true;
  for (std::string word; words >> word;) {
    if (!fresh && used + 1 + word.size() > width) {
      result += "\n" + std::string(indent, ' ');
      used = indent;
      fresh = true;
    }
    result += (fresh ? "" : " ") + word;
    used += (fresh ? 0 : 1) + word.size();
    fresh = false;
  }
  return result;
}

std::size_t help_width() {
  winsize size{};
  std::size_t width = 100;
  if (isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    width = size.ws_col;
  } else if (const char* columns = std::getenv("COLUMNS"); columns != nullptr) {
    if (std::size_t said = 0; CLI::detail::lexical_cast(columns, said)) width = said;
  }
  return std::clamp(width, narrowest, widest);
}

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<HelpFormatter>(); }

std::string help_of(const CLI::App& command) {
  return command.get_formatter()->make_help(&command, full_name(command), CLI::AppFormatMode::Normal);
}

std::string full_name(const CLI::App& command) {
  return command.get_parent() == nullptr ? command.get_name()
                                         : full_name(*command.get_parent()) + " " + command.get_name();
}

std::vector<const CLI::App*> commands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* inner) { return !inner->get_name().empty(); });
}

std::string text_of_unknown_command(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names, options;
  for (const CLI::App* inner : commands_of(command)) {
    names.push_back(inner->get_name());
    options.push_back("--" + names.back());
  }
  const std::string meant = suggestion("--" + word, options);
  const std::string all = names.empty() ? "" : fmt::format("; it has {}", fmt::join(names, ", "));
  return fmt::format("{} has no command \"{}\"{}", full_name(command), word,
                     meant.empty() ? all : "; did you mean " + meant.substr(2) + "?");
}

void add_help(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
  CLI::App* command = app.add_subcommand("help", "show the help of a command, or without one the list of commands");
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("COMMAND", *words, "the command, and one that is a part of it: bench step")
      ->type_name(fmt::format("TEXT:{{{}}}", fmt::join(names, ",")))
      ->default_str("");
  set_action(*command, [&app, words] { return show_help(app, *words); });
}

}  // namespace mcn
