// `mcn embed`: features of videos as a file.
#include "meta/evaluate/embedding_file.h"
#include "tools/command.h"
#include "tools/dataset_options.h"
#include "tools/network.h"
#include "tools/print.h"

namespace mcn {
namespace {

struct Options {
  NetworkOptions network;
  DatasetConfig dataset;
  std::vector<std::string> videos;
  std::string subset = "test", out;
  bool random_init = false;
};

int embed(const Options& o) {
  if (o.videos.empty() == o.dataset.root.empty())
    fail("embed", "expected video files or --data, got {}", o.videos.empty() ? "neither" : "both");
  check_embedding_path(o.out);
  expect_writable("embed", o.out);
  Backend& backend = open(o.network.device, DType::f32);
  const Network network = load_network(o.network, backend);
  Dataset dataset;
  if (o.videos.empty())
    dataset = load(o.dataset, o.subset == "train" ? Subset::train : Subset::test, o.network.embed.max_bad_percent);
  else
    for (const std::string& video : o.videos) dataset.videos.push_back({video, -1});

  const ModelState state = o.random_init ? random_state(network, backend) : network.state;
  VideoEmbeddings embedded = embed_with_progress("embed", o.network, network, {&state, 1}, dataset, backend);
  EmbeddingFile file{std::move(embedded.networks.front()), {}, dataset.classes, o.network.embed.clips, o.network.path(),
                     o.random_init ? "random" : "trained"};
  for (const std::int64_t video : embedded.videos)
    file.videos.push_back(dataset.videos[static_cast<std::size_t>(video)].source.name);
  write_embedding(o.out, file);
  print_summary("{} videos, {} features each: {}\n", file.videos.size(), file.embedding.features, o.out);
  return ok;
}

}  // namespace

void add_embed(CLI::App& app) {
  CLI::App* command = app.add_subcommand("embed", "pooled backbone features of a data set's videos, or of video files");
  auto o = std::make_shared<Options>();
  command->add_option("videos", o->videos, "video files, in the place of --data")
      ->type_name(file_type)
      ->default_str("");
  command
      ->add_option("--out", o->out,
                   "what to write, by the end of its name: .npz, .csv or .safetensors, each with features, names of "
                   "videos and classes, labels, clips and checkpoint")
      ->type_name(file_type)
      ->required();
  add_network_options(*command, o->network);
  command->add_flag("--random-init", o->random_init, "the network with the weights that its training began with");
  add_dataset_options(*command, o->dataset, false);
  command->get_option("--data")->description("folder of a data set, in the place of video files");
  command->add_option("--subset", o->subset, "of --data: train or test")->check(CLI::IsMember({"train", "test"}));
  set_action(*command, [o] { return embed(*o); });
}

}  // namespace mcn
