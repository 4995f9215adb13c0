// `mcn export`: a backbone for other programs, under torchvision's names.
#include "engine/device.h"
#include "meta/weights.h"
#include "tools/command.h"
#include "tools/print.h"

namespace mcn {
namespace {

int export_weights(const std::string& checkpoint, const std::string& out) {
  expect_writable("export", out);
  const SafetensorsFile file = read_safetensors(checkpoint);
  const ModelDescription description = describe(file, checkpoint);
  const McnModel model(description.model);
  Backend& backend = open_device("cpu");
  const ModelState state = take_model(file, checkpoint, model, backend, DType::f32);
  const SafetensorsFile backbone = export_backbone(model, state, description, checkpoint);
  write_safetensors(out, backbone);
  print_summary("{}: {} tensors of {} at width {}, pooled features: {}\n", out, backbone.tensors.size(),
                description.model.backbone.arch, description.model.backbone.width, model.backbone().features());
  return ok;
}

}  // namespace

void add_export(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("export", "write a checkpoint's backbone as safetensors with torchvision's names");
  struct Options {
    std::string checkpoint, out;
  };
  auto options = std::make_shared<Options>();
  command->add_option("--checkpoint", options->checkpoint, "checkpoint of `mcn train`")
      ->type_name(file_type)
      ->required();
  command->add_option("--out", options->out, "safetensors file; its metadata holds mean, std and the clips' sampling")
      ->type_name(file_type)
      ->required();
  set_action(*command, [options] { return export_weights(options->checkpoint, options->out); });
}

}  // namespace mcn
