// Networks and features for commands.
#include "tools/network.h"

#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

namespace mcn {

void add_network_options(CLI::App& command, NetworkOptions& o) {
  command.add_option("--checkpoint", o.checkpoint, "checkpoint of `mcn train`")->type_name(file_type)->required();
  command.add_option("--clips", o.embed.clips, "uniform clips a video, whose features are averaged; 1: the middle")
      ->check(CLI::Range(1, 1000));
  command.add_option("--batch", o.embed.batch, "clips in one pass")->check(CLI::Range(1, 4096));
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
  command.add_option("--loader-threads", o.embed.threads, "threads that decode")->check(CLI::Range(1, 256));
  add_max_bad(command, o.embed.max_bad_percent,
              "share of unusable videos, such as 5%, beyond which the command fails; until then they are left out");
  add_file_options(command, o.embed.files);
}

Network load_network(const NetworkOptions& options, Backend& backend) {
  const SafetensorsFile file = read_safetensors(options.checkpoint);
  const ModelDescription description = describe(file, options.checkpoint);
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
    fmt::print(stderr, "{}: {} of {} videos cannot be used and are left out{}\n", title, result.bad.size(),
               dataset.videos.size(), causes(result));
  return result;
}

}  // namespace mcn
