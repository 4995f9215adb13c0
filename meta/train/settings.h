// The settings that a checkpoint was trained with, and what a run that goes on from it has changed.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "meta/trainer.h"

namespace mcn {

/// All that shapes a run, by the names of the settings, and the data set as "data" and "labels". What is not here may
/// change from one part of a run to the next: devices, precision, threads, files, the recomputation of tapes, how often
/// something is saved, evaluated or reported, what share of videos may be unusable; the number of iterations where the
/// learning rate does not depend on it; and what only measures.
nlohmann::json training_settings(const TrainConfig& config, const ClipSource& clips);

/// Every name that training_settings() may have and that a resumed run may change.
const std::set<std::string>& changeable_settings();

struct SettingChange {
  std::string name;
  std::string text;  ///< "method mcn -> contrastive", with what becomes of the state
};

/// What differs among the settings that both have, of those that still have a say at this iteration. A setting that
/// one of them does not have depends on another one that differs.
std::vector<SettingChange> changed_settings(nlohmann::json then, nlohmann::json now, std::int64_t iteration);

/// A resumed run with other settings than its checkpoint, which nobody allowed.
class ChangedSettingsError : public DataError {
 public:
  /// names: those that may be allowed; empty if there is one that may not, as the network's shapes depend on it.
  ChangedSettingsError(const std::string& text, std::set<std::string> names)
      : DataError(text), names_(std::move(names)) {}
  [[nodiscard]] const std::set<std::string>& names() const { return names_; }

 private:
  std::set<std::string> names_;
};

/// Settings of a checkpoint; DataError unless they are words, numbers and flat lists of them.
void check_settings(const nlohmann::json& settings, const std::string& path);

}  // namespace mcn
