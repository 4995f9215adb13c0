// The mcn command: its subcommands, and how errors become one line on stderr and an exit code.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "engine/host_memory.h"
#include "tools/command.h"
#include "tools/help.h"
#include "tools/interrupt.h"
#include "tools/number.h"
#include "tools/print.h"
#include "tools/suggestion.h"
#include "tools/version.h"

namespace mcn {
namespace {

int report(std::string message, int code) {
  // One line, whatever a library has put into its text.
  for (char& c : message)
    if (c == '\n' || c == '\r') c = ' ';
  print_note("mcn: {}\n", message);
  return code;
}

// Results that did not arrive, because a disk is full for instance, are no success.
int finish(int code) {
  const int error = flush_results();
  if (error == 0) return code;
  report(fmt::format("[stdout] cannot write: {}", std::generic_category().message(error)), data);
  return code == ok ? data : code;
}

// An error that is none of ours.
int report_other(const std::exception& error) {
  if (lacks_resources(error)) {
    if (dynamic_cast<const std::system_error*>(&error) != nullptr)
      return report(fmt::format("[system] {}", error.what()), device);
    return report(fmt::format("[memory] out of memory{}", less_memory), device);
  }
  if (dynamic_cast<const std::filesystem::filesystem_error*>(&error) != nullptr)
    return report(fmt::format("[files] {}", error.what()), data);
  return report(fmt::format("[internal] {}", error.what()), check_failed);
}

// The command that was chosen, as deep as it goes.
const CLI::App& chosen(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app : chosen(*commands.front());
}

// Of an option that is given twice, the last one counts: a script's defaults come first. Lists take everything.
void let_the_last_count(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (option->get_expected_max() == 1 && option->get_items_expected_max() == 1)
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) let_the_last_count(*command);
}

std::string text_of_unknown(const CLI::App& app) {
  const CLI::App& command = chosen(app);
  const std::vector<std::string> rest = command.remaining();
  const auto option = std::ranges::find_if(rest, [](const std::string& word) { return word.starts_with('-'); });
  const std::string help = full_name(command) + " --help shows what there is";
  if (option == rest.end() && !rest.empty() && !commands_of(command).empty())
    return "[usage] " + text_of_unknown_command(command, rest.front());
  if (option == rest.end())
    return fmt::format("[usage] unexpected \"{}\"; {}", rest.empty() ? std::string() : rest.front(), help);
  std::vector<std::string> names;
  for (const CLI::Option* known : command.get_options()) names.push_back(known->get_name());
  const std::string word = option->substr(0, option->find('='));
  const std::string meant = suggestion(word, names);
  return fmt::format("[usage] unknown option {}; {}", word, meant.empty() ? help : "did you mean " + meant + "?");
}

int run(int argc, char** argv) {
  CLI::App app(
      "Meta-Contrastive Network: self-supervised learning of video features, trained without Python. Results go to "
      "stdout, progress and errors to stderr. Times are in seconds, sizes in pixels, lengths of clips in frames; "
      "learning rates and probabilities are plain numbers. `mcn help COMMAND` tells the rest. Exit codes: 0 done, 1 a "
      "check failed, 2 usage, 3 data, 4 device or memory, 5 not finite, 128 + N stopped by signal N (130: Ctrl-C). A "
      "result that cannot be written to stdout is 3.",
      "mcn");
  app.set_version_flag("--version", version_text, "Print version, commit, compiler, libraries and devices, and exit");
  app.require_subcommand(1);
  app.formatter(help_formatter());
  app.option_defaults()->always_capture_default();
#ifdef MCN_HAS_DATA
  for (const auto add : {add_train, add_evaluate, add_finetune, add_embed, add_export, add_synth, add_audit}) add(app);
#endif
  for (const auto add : {add_report, add_gradcheck, add_grad, add_bench}) add(app);
#ifdef MCN_HAS_DATA
  for (const auto add : {add_frames, add_inspect}) add(app);
#endif
  for (const auto add : {add_devices, add_completion, add_help}) add(app);
  let_the_last_count(app);
  refuse_longer_integers(app);
  try {
    app.parse(argc, argv);
    return finish(result_of_action());
  } catch (const CLI::Success& help_or_version) {
    std::ostringstream text, nothing;
    const int code = app.exit(help_or_version, text, nothing);
    print_result("{}", text.str());
    return finish(code);
  } catch (const CLI::FileError& error) {
    return report(fmt::format("[config] {}", error.what()), data);
  } catch (const CLI::ExtrasError&) {
    return report(text_of_unknown(app), usage);
  } catch (const CLI::ParseError& error) {
    const CLI::App& command = chosen(app);
    // CLI11 complains of a missing command or option even where an unknown one is given.
    if (!command.remaining().empty()) return report(text_of_unknown(app), usage);
    // A command that has others and got none shows them.
    if (!commands_of(command).empty()) {
      print_note("{}", help_of(command));
      return usage;
    }
    return report(fmt::format("[usage] {}; {} --help shows what there is", error.what(), full_name(command)), usage);
  } catch (const UsageError& error) {
    return report(error.what(), usage);
  } catch (const DataError& error) {
    return report(error.what(), data);
  } catch (const DeviceError& error) {
    return report(device_message(error), device);
  } catch (const NonFiniteError& error) {
    return report(error.what(), non_finite);
  } catch (const Interrupted& error) {
    return report(error.what(), exit_code_of_signal());
  } catch (const std::exception& error) {
    return report_other(error);
  }
}

}  // namespace
}  // namespace mcn

int main(int argc, char** argv) {
  mcn::prepare_streams();
  mcn::grow_stack();
  mcn::keep_memory_for_destructors();
  try {
    return mcn::run(argc, argv);
  } catch (...) {
    // There was no memory even for the message of another error.
    mcn::print_note("mcn: [memory] out of memory\n");
    return mcn::device;
  }
}
