// The mcn command: its subcommands, and how errors become exit codes.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <new>

#include "tools/command.h"
#include "tools/interrupt.h"

namespace mcn {
namespace {

int exit_code = ok;

int report(const std::exception& error, int code) {
  fmt::print(stderr, "mcn: {}\n", error.what());
  return code;
}

int run(int argc, char** argv) {
  CLI::App app(
      "Meta-Contrastive Network: self-supervised video representation learning, trained without Python.\n"
      "Exit codes: 0 done, 1 a check failed, 2 usage, 3 data, 4 device or memory, 5 not finite, 130 interrupted.",
      "mcn");
  app.set_version_flag("--version", "mcn 0.1.0");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  for (const auto add : {add_train, add_retrieve, add_embed, add_synth, add_gradcheck, add_grad, add_bench, add_frames,
                         add_inspect, add_devices})
    add(app);
  try {
    app.parse(argc, argv);
    return exit_code;
  } catch (const CLI::ParseError& error) {
    // Help and version arrive as errors too, with the code 0.
    return app.exit(error) == 0 ? ok : usage;
  } catch (const DataError& error) {
    return report(error, data);
  } catch (const DeviceError& error) {
    return report(error, device);
  } catch (const NonFiniteError& error) {
    return report(error, non_finite);
  } catch (const Interrupted& error) {
    return report(error, interrupted);
  } catch (const UsageError& error) {
    return report(error, usage);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "mcn: [memory] out of memory; a smaller --batch, --frames or --size needs less\n");
    return device;
  } catch (const std::exception& error) {
    return report(error, check_failed);
  }
}

}  // namespace

void set_action(CLI::App& command, std::function<int()> action) {
  command.callback([action = std::move(action)] { exit_code = action(); });
}

void set_threads(int threads) {
  if (threads > 0) omp_set_num_threads(threads);
}

}  // namespace mcn

int main(int argc, char** argv) { return mcn::run(argc, argv); }
