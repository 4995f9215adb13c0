// The settings that a checkpoint was trained with, and what a run that goes on from it has changed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "meta/trainer.h"

namespace mcn {

/// A checkpoint of a run on another data set. Exit code 3.
class OtherDataError : public DataError {
 public:
  using DataError::DataError;
};

/// What decides how training goes, by the settings' names, for a data set of so many videos.
nlohmann::json training_settings(const TrainConfig& config, std::int64_t videos);

/// "method mcn -> contrastive, optimizer sgd -> adamw (its moments start at zero)": what differs among the settings
/// that both have, by name; empty if nothing does.
std::string changed_settings(const nlohmann::json& then, const nlohmann::json& now);

}  // namespace mcn
