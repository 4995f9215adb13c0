// The mcn command: its subcommands, and how errors become one line on stderr and an exit code.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>

#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/version.h"

namespace mcn {
namespace {

int report(std::string message, int code) {
  // One line, whatever a library has put into its text.
  for (char& c : message)
    if (c == '\n' || c == '\r') c = ' ';
  fmt::print(stderr, "mcn: {}\n", message);
  return code;
}

// Results that did not arrive, because a disk is full for instance, are no success.
int flush_results(int code) {
  if (std::fflush(stdout) == 0) return code;
  return report(fmt::format("[stdout] cannot write: {}", std::generic_category().message(errno)), data);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Meta-Contrastive Network: self-supervised learning of video features, trained without Python.\n"
      "Results go to stdout, progress and errors to stderr. Times are in seconds, sizes in pixels, lengths of clips\n"
      "in frames; learning rates and probabilities are plain numbers. `mcn COMMAND --help` tells the rest.\n"
      "Exit codes: 0 done, 1 a check failed, 2 usage, 3 data, 4 device or memory, 5 not finite, 130 interrupted.",
      "mcn");
  app.set_version_flag("--version", version_text, "Print version, commit, compiler, libraries and devices, and exit");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
#ifdef MCN_HAS_DATA
  for (const auto add : {add_train, add_evaluate, add_finetune, add_embed, add_export, add_synth, add_audit}) add(app);
#endif
  for (const auto add : {add_gradcheck, add_grad, add_bench}) add(app);
#ifdef MCN_HAS_DATA
  for (const auto add : {add_frames, add_inspect}) add(app);
#endif
  for (const auto add : {add_devices, add_completion}) add(app);
  try {
    app.parse(argc, argv);
    return flush_results(result_of_action());
  } catch (const CLI::Success& help_or_version) {
    return flush_results(app.exit(help_or_version));
  } catch (const CLI::FileError& error) {
    return report(fmt::format("[config] {}", error.what()), data);
  } catch (const CLI::ParseError& error) {
    // CLI11 complains of a missing command even where an unknown one is given.
    if (const auto rest = app.remaining(); app.get_subcommands().empty() && !rest.empty())
      return report(fmt::format("[usage] unknown command or option \"{}\"; --help shows what there is", rest[0]),
                    usage);
    return report(fmt::format("[usage] {}; --help shows what there is", error.what()), usage);
  } catch (const UsageError& error) {
    return report(error.what(), usage);
  } catch (const DataError& error) {
    return report(error.what(), data);
  } catch (const DeviceError& error) {
    return report(device_message(error), device);
  } catch (const NonFiniteError& error) {
    return report(error.what(), non_finite);
  } catch (const Interrupted& error) {
    return report(error.what(), interrupted);
  } catch (const std::bad_alloc&) {
    return report(fmt::format("[memory] out of memory{}", less_memory), device);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(fmt::format("[files] {}", error.what()), data);
  } catch (const std::exception& error) {
    return report(fmt::format("[internal] {}", error.what()), check_failed);
  }
}

}  // namespace
}  // namespace mcn

int main(int argc, char** argv) { return mcn::run(argc, argv); }
