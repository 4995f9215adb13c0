// `mcn retrieve`: how often a test video's nearest training videos show its class.
#include <nlohmann/json.hpp>

#include "tools/command.h"
#include "tools/embed.h"

namespace mcn {
namespace {

constexpr int ks[] = {1, 5, 10, 20, 50};

int retrieve(const EmbedOptions& options, bool json) {
  Backend& backend = open(options.device, DType::f32);
  const LoadedModel loaded = load_model(options, backend);
  const Embedding gallery = embed_subset(options, loaded, Subset::train, backend);
  const Embedding queries = embed_subset(options, loaded, Subset::test, backend);
  const std::vector<double> recall = retrieval(gallery, queries, ks);
  if (json) {
    nlohmann::json out{{"gallery", gallery.labels.size()}, {"queries", queries.labels.size()}};
    for (std::size_t i = 0; i < recall.size(); ++i) out[fmt::format("R@{}", ks[i])] = recall[i];
    fmt::print("{}\n", out.dump());
    return 0;
  }
  fmt::print("{:<14}", options.random_init ? "random init" : "trained");
  for (std::size_t i = 0; i < recall.size(); ++i) fmt::print("  R@{} {:5.1f}%", ks[i], 100 * recall[i]);
  fmt::print("  ({} test videos among {} training videos)\n", queries.labels.size(), gallery.labels.size());
  return 0;
}

}  // namespace

void add_retrieve(CLI::App& app) {
  CLI::App* command = app.add_subcommand("retrieve", "retrieval of test videos among training videos: R@1/5/10/20/50");
  struct Options : EmbedOptions {
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  add_embed_options(*command, *options);
  command->add_flag("--json", options->json, "one JSON object instead of a line");
  set_action(*command, [options] { return retrieve(*options, options->json); });
}

}  // namespace mcn
