// What commands that run a trained network share: where the network comes from, and features of videos by it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "meta/evaluate/embed.h"
#include "meta/weights.h"
#include "tools/device_options.h"

namespace mcn {

struct NetworkOptions {
  [[nodiscard]] const std::string& path() const { return weights.empty() ? checkpoint : weights; }

  std::string checkpoint, weights;  ///< one of the two
  bool strict = true;               ///< whether `weights` must have just what the network needs
  ModelDescription clips;           ///< how clips are sampled, for weights that do not tell
  DeviceOptions device;
  EmbedConfig embed;
};

/// --checkpoint or --weights, --clips, --batch, --max-bad, and how videos are read and where the network runs.
void add_network_options(CLI::App& command, NetworkOptions& options);

struct Network {
  ModelDescription description;
  McnModel model;
  ModelState state;
};

/// The network of a command: the only place where one is read. DataError as read_safetensors and describe.
Network load_network(const NetworkOptions& options, Backend& backend);
/// What a file of weights lacks and what it has beyond the network, a line each on stderr.
void print_report(const std::string& path, const WeightsReport& report);
/// The weights that its training began with.
ModelState random_state(const Network& network, Backend& backend);

/// embed_videos, with progress, a line on stderr for videos that are left out, and Ctrl-C.
VideoEmbeddings embed_with_progress(const std::string& title, const NetworkOptions& options, const Network& network,
                                    std::span<const ModelState> states, const Dataset& dataset, Backend& backend);

}  // namespace mcn
