// `mcn completion`: scripts by which bash and zsh complete the command line, made from CLI11's own table of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/help.h"
#include "tools/print.h"

namespace mcn {
namespace {

/// What may stand where a value is expected, as the option's type tells in the help.
struct Values {
  enum Kind { none, any, file, folder, words } kind = none;
  std::vector<std::string> list;  ///< of kind words
  bool many = false;              ///< one value after another
};

Values values_of(const CLI::Option& option) {
  Values values;
  if (option.get_items_expected_max() == 0) return values;
  values.kind = Values::any;
  values.many = option.get_items_expected_max() > 1;
  const std::string type = option.get_type_name();
  if (type.starts_with(file_type)) values.kind = Values::file;
  if (type.starts_with(folder_type)) values.kind = Values::folder;
  // CLI::IsMember's {one,two}.
  if (const std::size_t open = type.find('{'); open != std::string::npos && type.ends_with('}')) {
    values.kind = Values::words;
    values.list = CLI::detail::split(type.substr(open + 1, type.size() - open - 2), ',');
  }
  return values;
}

/// "--name", and "-n" if it has one.
std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  return names;
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::vector<const CLI::Option*> positionals_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return !option->nonpositional(); });
}

/// Calls visit(app, "mcn bench step") for every command, the outer before the inner.
template <class Visit>
void for_each_command(const CLI::App& app, const std::string& path, const Visit& visit) {
  visit(app, path);
  for (const CLI::App* command : commands_of(app)) for_each_command(*command, path + " " + command->get_name(), visit);
}

std::string bash_action(const Values& values) {
  switch (values.kind) {
    case Values::words:
      return fmt::format("words='{}'", fmt::join(values.list, " "));
    case Values::file:
      return "compopt -o default; return";
    case Values::folder:
      return "compopt -o dirnames; return";
    default:
      return "return";
  }
}

// Files and folders are left to bash itself (compopt), which knows about quotes and ~.
std::string bash_script(const CLI::App& app) {
  std::string paths, values, words;
  for_each_command(app, app.get_name(), [&](const CLI::App& command, const std::string& path) {
    if (&command != &app) fmt::format_to(std::back_inserter(paths), "{}'{}'", paths.empty() ? "" : " | ", path);
    std::vector<std::string> options, commands;
    for (const CLI::Option* option : options_of(command)) {
      const std::vector<std::string> names = names_of(*option);
      options.push_back(names.front());
      const Values v = values_of(*option);
      if (v.kind == Values::none) continue;
      for (const std::string& name : names)
        fmt::format_to(std::back_inserter(values), "      '{} {} '{}) {} ;;\n", path, name, v.many ? "*" : "0",
                       bash_action(v));
    }
    for (const CLI::App* inner : commands_of(command)) commands.push_back(inner->get_name());
    // Where no option waits for a value. Options come first, as the first pattern that matches is taken.
    for (const CLI::Option* positional : positionals_of(command))
      fmt::format_to(std::back_inserter(values), "      '{} '*) {} ;;\n", path, bash_action(values_of(*positional)));
    fmt::format_to(std::back_inserter(words), "    '{}') options='{}' commands='{}' ;;\n", path,
                   fmt::join(options, " "), fmt::join(commands, " "));
  });
  return fmt::format(R"(# bash completion of mcn, written by `mcn completion bash`.
_mcn() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} path=mcn option= given=0 word words= options= commands=
  COMPREPLY=()
  # bash makes three words of --option=value.
  [[ $current == = ]] && current=
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in
      -*) option=$word given=0 ;;
      =) ;;
      *)
        case "$path $word" in
          {0}) path+=" $word" option= given=0 ;;
          *) given=$((given + 1)) ;;
        esac
        ;;
    esac
  done
  case $path in
{2}  esac
  if [[ $current == -* ]]; then
    words=$options
  else
    words=$commands
    case "$path $option $given" in
{1}    esac
  fi
  COMPREPLY=($(compgen -W "${{words:-$options}}" -- "$current"))
}}
complete -F _mcn mcn
)",
                     paths, values, words);
}

// In '...' of a shell, and with what _arguments reads in an explanation taken literally.
std::string zsh_text(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '\n') c = ' ';
    if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return result;
}

std::string zsh_action(const Values& values) {
  switch (values.kind) {
    case Values::words:
      return fmt::format("({})", fmt::join(values.list, " "));
    case Values::file:
      return "_files";
    case Values::folder:
      return "_files -/";
    default:
      return " ";
  }
}

std::string zsh_script(const CLI::App& app) {
  const auto function_of = [](std::string path) {
    for (char& c : path)
      if (c == ' ') c = '_';
    return "_" + path;
  };
  std::string functions;
  for_each_command(app, app.get_name(), [&](const CLI::App& command, const std::string& path) {
    std::string specs, inner, calls;
    for (const CLI::Option* option : options_of(command)) {
      const Values v = values_of(*option);
      const std::vector<std::string> names = names_of(*option);
      const std::string rest =
          fmt::format("[{}]{}", zsh_text(option->get_description()),
                      v.kind == Values::none ? "" : fmt::format(":{}:{}", option->get_single_name(), zsh_action(v)));
      for (const std::string& name : names)
        fmt::format_to(std::back_inserter(specs), " \\\n    '{}{}{}{}'",
                       v.many ? "*" : fmt::format("({})", fmt::join(names, " ")), name,
                       v.kind != Values::none && name.starts_with("--") ? "=" : "", rest);
    }
    for (const CLI::Option* positional : positionals_of(command)) {
      const Values v = values_of(*positional);
      fmt::format_to(std::back_inserter(specs), " \\\n    '{}:{}:{}'", v.many ? "*" : "", positional->get_single_name(),
                     zsh_action(v));
    }
    for (const CLI::App* c : commands_of(command)) {
      fmt::format_to(std::back_inserter(inner), " '{}:{}'", c->get_name(), zsh_text(c->get_description()));
      fmt::format_to(std::back_inserter(calls), "    {}) {} ;;\n", c->get_name(),
                     function_of(path + " " + c->get_name()));
    }
    fmt::format_to(std::back_inserter(functions), "{}() {{\n", function_of(path));
    if (inner.empty()) {
      fmt::format_to(std::back_inserter(functions), "  _arguments{}\n", specs);
    } else {
      fmt::format_to(std::back_inserter(functions), R"(  local curcontext=$curcontext state line
  typeset -A opt_args
  local -a commands=({})
  _arguments -C{} \
    '1: :->command' '*:: :->rest'
  [[ $state == command ]] && _describe -t commands command commands
  [[ $state == rest ]] && case $line[1] in
{}  esac
)",
                     inner, specs, calls);
    }
    functions += "}\n\n";
  });
  return "#compdef mcn\n# zsh completion of mcn, written by `mcn completion zsh`.\n" + functions +
         "if [[ $funcstack[1] == _mcn ]]; then\n  _mcn \"$@\"\nelse\n  compdef _mcn mcn\nfi\n";
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "print the script by which a shell completes this command");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash: source <(mcn completion bash); zsh: source <(mcn completion zsh)")
      ->check(CLI::IsMember({"bash", "zsh"}))
      ->required();
  set_action(*command, [&app, shell] {
    print_result("{}", *shell == "bash" ? bash_script(app) : zsh_script(app));
    return ok;
  });
}

}  // namespace mcn
