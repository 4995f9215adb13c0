// `mcn embed`: features of the videos of a data set, as a safetensors file.
#include "tools/embed.h"

#include <cstring>

#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

namespace mcn {

void add_embed_options(CLI::App& command, EmbedOptions& o) {
  command.add_option("--checkpoint", o.checkpoint, "checkpoint of `mcn train`")->type_name(file_type)->required();
  command.add_flag("--random-init", o.random_init, "the checkpoint's network with its initial, untrained weights");
  add_dataset_options(command, o.dataset, true);
  command.add_option("--clips", o.embed.clips, "uniform clips a video, whose features are averaged; 1: the middle")
      ->check(CLI::Range(1, 1000));
  command.add_option("--batch", o.embed.batch, "clips in one pass")->check(CLI::Range(1, 4096));
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
  command.add_option("--loader-threads", o.embed.threads, "threads that decode")->check(CLI::Range(1, 256));
  add_file_options(command, o.embed.files);
}

LoadedModel load_model(const EmbedOptions& options, Backend& backend) {
  const SafetensorsFile file = read_safetensors(options.checkpoint);
  const ModelDescription description = describe(file, options.checkpoint);
  McnModel model(description.model);
  ModelState state = options.random_init ? initial_state(model, backend, DType::f32, description.seed)
                                         : take_model(file, options.checkpoint, model, backend, DType::f32);
  return {description, std::move(model), std::move(state)};
}

Embedding embed_subset(const EmbedOptions& options, const LoadedModel& loaded, Subset subset, Backend& backend) {
  const Dataset dataset = load(options.dataset, subset);
  Progress progress(subset == Subset::train ? "embed train" : "embed test",
                    static_cast<std::int64_t>(dataset.videos.size()));
  const InterruptGuard interrupt;
  Embedding embedding = embed_videos(loaded.description, loaded.model, loaded.state, dataset, options.embed, backend,
                                     [&](std::int64_t done, std::int64_t) {
                                       interrupt.leave_if_requested();
                                       progress.update(done, "");
                                     });
  progress.finish();
  return embedding;
}

namespace {

int embed(const EmbedOptions& options, const std::string& subset, const std::string& out) {
  Backend& backend = open(options.device, DType::f32);
  const LoadedModel loaded = load_model(options, backend);
  const Embedding e = embed_subset(options, loaded, subset == "train" ? Subset::train : Subset::test, backend);
  const auto rows = static_cast<std::int64_t>(e.labels.size());
  const auto bytes = [](const auto& values) {
    std::vector<std::byte> data(values.size() * sizeof(values[0]));
    if (!data.empty()) std::memcpy(data.data(), values.data(), data.size());
    return data;
  };
  SafetensorsFile file;
  file.tensors["features"] = {DType::f32, {rows, e.features}, bytes(e.values)};
  file.tensors["labels"] = {DType::i64, {rows}, bytes(e.labels)};
  write_safetensors(out, file);
  fmt::print("{} videos, {} features each: {}\n", rows, e.features, out);
  return 0;
}

}  // namespace

void add_embed(CLI::App& app) {
  CLI::App* command = app.add_subcommand("embed", "pooled backbone features of a data set's videos");
  struct Options : EmbedOptions {
    std::string subset = "test", out;
  };
  auto options = std::make_shared<Options>();
  add_embed_options(*command, *options);
  command->add_option("--subset", options->subset, "train or test")->check(CLI::IsMember({"train", "test"}));
  command->add_option("--out", options->out, "safetensors file: features (videos x features, f32), labels (i64)")
      ->type_name(file_type)
      ->required();
  set_action(*command, [options] { return embed(*options, options->subset, options->out); });
}

}  // namespace mcn
