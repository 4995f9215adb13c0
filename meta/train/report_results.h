// The part of a report on one run's evaluation.json and finetune.json.
#pragma once

#include "meta/train/run_log.h"

namespace mcn {

/// HTML of what is there, empty without either; the numbers of its charts are added to `charts`. What does not have the
/// form of `mcn evaluate --json` or `mcn finetune` is said on the page.
std::string results_section(const RunLog& run, const std::string& name, nlohmann::json& charts);

}  // namespace mcn
