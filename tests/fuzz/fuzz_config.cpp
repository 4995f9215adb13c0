// The TOML file of `mcn train --config`, by the command's own way. What a run saves of its settings can be read again,
// and says the same.
#include "engine/device.h"
#include "models/backbone.h"
#include "tests/fuzz/fuzz.h"
#include "tools/train_options.h"

// What the options' code refers to besides: a settings file is read without a device and without a model.
namespace mcn {
Backend& open_device(std::string_view) { fuzz::violated("reading settings opens no device"); }
std::vector<std::string> device_names() { return {"cpu", "ref", "cuda", "simt"}; }
extern const std::vector<std::pair<std::string_view, std::string_view>> preset_texts;
const std::vector<std::pair<std::string_view, std::string_view>> preset_texts;
std::vector<std::string> backbone_archs() { return {"r2plus1d_18", "r2plus1d_10", "r3d_18", "s3d"}; }
}  // namespace mcn

namespace {

/// The settings that are in effect with a file, as a run saves them.
std::string resolved(const std::string& file) {
  CLI::App app;
  app.option_defaults()->always_capture_default();
  CLI::App* command = app.add_subcommand("train");
  mcn::TrainOptions options;
  mcn::add_train_options(*command, options);
  app.parse("train --config " + file);
  mcn::complete_train_options(*command, options);
  if (options.dataset.root.empty() || options.out.empty()) mcn::fuzz::violated("nothing required is missing");
  return command->config_to_str(true, false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file, saved;
  file.write(mcn::fuzz::as_text(data, size));
  mcn::fuzz::read([&] {
    const std::string once = resolved(file.path());
    saved.write(once);
    std::string twice;
    try {
      twice = resolved(saved.path());
    } catch (const mcn::Error& e) {
      mcn::fuzz::violated(e.what());
    }
    if (once != twice) mcn::fuzz::violated("saved settings say the same when they are read again");
  });
  return 0;
}
