// Networks and features for commands.
#include "tools/network.h"

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/interrupt.h"
#include "tools/print.h"
#include "tools/progress.h"

namespace mcn {

void add_network_options(CLI::App& command, NetworkOptions& o) {
  CLI::Option* checkpoint =
      command.add_option("--checkpoint", o.checkpoint, "checkpoint of `mcn train`")->type_name(file_type);
  CLI::Option* weights =
      command
          .add_option("--weights", o.weights,
                      "instead of --checkpoint: weights of `mcn export`, safetensors with torchvision's names, or a "
                      "state dict of PyTorch (.pth, .pt)")
          ->type_name(file_type)
          ->excludes(checkpoint);
  add_choice<bool>(command, "--strict", o.strict, {{"no", false}, {"yes", true}},
                   "whether the file of --weights must have all of the backbone's tensors and no unknown ones")
      ->needs(weights);
  const auto add_sampling = [&](const char* name, int& value, const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(1, 4096))->needs(weights);
  };
  add_sampling("--frames", o.clips.frames, "frames of a clip, for --weights that do not tell");
  add_sampling("--stride", o.clips.stride,
               "frames from one frame of a clip to the next, for --weights that do not tell");
  add_sampling("--size", o.clips.size, "height and width of the crop, for --weights that do not tell");
  add_sampling("--resize-height", o.clips.resize_height,
               "height of a frame before the crop, for --weights that do not tell");
  add_sampling("--resize-width", o.clips.resize_width,
               "width of a frame before the crop, for --weights that do not tell");
  command.add_option("--clips", o.embed.clips, "uniform clips a video, whose features are averaged; 1: the middle")
      ->check(CLI::Range(1, 1000));
  command.add_option("--batch", o.embed.batch, "number of clips in one pass")->check(CLI::Range(1, 4096));
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
  command.add_option("--loader-threads", o.embed.threads, "number of threads that decode videos")
      ->check(CLI::Range(1, 256));
  add_max_bad(
      command, o.embed.max_bad_percent,
      "share of missing or unusable videos, such as 5%, beyond which the command fails; until then they are left out");
  add_file_options(command, o.embed.files);
}

namespace {

Network load_weights_alone(const NetworkOptions& options, Backend& backend) {
  const Weights weights = read_weights(options.weights);
  ModelDescription description = options.clips;
  if (weights.description)
    description = *weights.description;
  else
    description.model.backbone = infer_backbone(weights);
  description.model.backbone.precision = options.device.precision;
  McnModel model(description.model);
  ModelState state = initial_state(model, backend, DType::f32, description.seed);
  const WeightsReport report = load_weights(weights, model, state, options.strict);
  print_report(options.weights, report);
  return {description, std::move(model), std::move(state)};
}

}  // namespace

void print_report(const std::string& path, const WeightsReport& report) {
  for (const std::string& name : report.missing) print_note("{}: missing, has its initial value: {}\n", path, name);
  for (const std::string& name : report.extra) print_note("{}: left out: {}\n", path, name);
}

Network load_network(const NetworkOptions& options, Backend& backend) {
  if (!options.weights.empty()) return load_weights_alone(options, backend);
  if (options.checkpoint.empty()) fail("network", "--checkpoint or --weights is required");
  const SafetensorsFile file = read_safetensors(options.checkpoint);
  ModelDescription description = describe(file, options.checkpoint);
  description.model.backbone.precision = options.device.precision;
  McnModel model(description.model);
  ModelState state = take_model(file, options.checkpoint, model, backend, DType::f32);
  return {description, std::move(model), std::move(state)};
}

ModelState random_state(const Network& network, Backend& backend) {
  return initial_state(network.model, backend, DType::f32, network.description.seed);
}

VideoEmbeddings embed_with_progress(const std::string& title, const NetworkOptions& options, const Network& network,
                                    std::span<const ModelState> states, const Dataset& dataset, Backend& backend) {
  Progress progress(title, std::ssize(dataset.videos));
  const InterruptGuard interrupt;
  VideoEmbeddings result = embed_videos(network.description, network.model, states, dataset, options.embed, backend,
                                        [&](std::int64_t done, std::int64_t) {
                                          interrupt.leave_if_requested();
                                          progress.update(done, "");
                                        });
  progress.finish();
  if (!result.bad.empty())
    print_note("{}: {} of {} videos cannot be used and are left out{}\n", title, result.bad.size(),
               dataset.videos.size(), causes(result));
  return result;
}

}  // namespace mcn
