// What `mcn embed` and `mcn retrieve` share: a checkpoint's model and the features of a subset of a data set.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "meta/embed.h"
#include "tools/dataset_options.h"
#include "tools/device_options.h"

namespace mcn {

struct EmbedOptions {
  DeviceOptions device;
  DatasetConfig dataset;
  std::string checkpoint;
  bool random_init = false;
  EmbedConfig embed;
};

void add_embed_options(CLI::App& command, EmbedOptions& options);

/// A checkpoint's model, or the same network with the initial weights of its run.
struct LoadedModel {
  ModelDescription description;
  McnModel model;
  ModelState state;
};
LoadedModel load_model(const EmbedOptions& options, Backend& backend);

/// Features of a subset, with progress.
Embedding embed_subset(const EmbedOptions& options, const LoadedModel& loaded, Subset subset, Backend& backend);

}  // namespace mcn
