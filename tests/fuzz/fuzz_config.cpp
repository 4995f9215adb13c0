// The TOML file of `mcn train --config`, by the command's own way.
#include "engine/device.h"
#include "models/video_resnet.h"
#include "tests/fuzz/fuzz.h"
#include "tools/train_options.h"

// What the options' code refers to besides: a settings file is read without a device and without a model.
namespace mcn {
Backend& open_device(std::string_view) { fuzz::violated("reading settings opens no device"); }
std::vector<std::string> video_resnet_archs() { return {"r2plus1d_18", "r2plus1d_10", "r3d_18"}; }
}  // namespace mcn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  file.write(data, size);
  CLI::App app;
  app.option_defaults()->always_capture_default();
  CLI::App* command = app.add_subcommand("train");
  mcn::TrainOptions options;
  mcn::add_train_options(*command, options);
  app.parse("train --config " + file.path());
  mcn::fuzz::read([&] {
    mcn::complete_train_options(*command, options);
    if (options.data.empty() || options.out.empty()) mcn::fuzz::violated("nothing required is missing");
    static_cast<void>(command->config_to_str(true, false));
  });
  return 0;
}
