// The settings of `mcn train --preset`: the TOML files of tools/presets/, which the build puts into the program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mcn {

/// In the order of the work that they ask for: tiny, small, ucf101, kinetics.
const std::vector<std::string>& preset_names();

/// UsageError for an unknown name.
std::string_view preset_text(std::string_view name);

/// What a preset is chosen by: the data set's number of training videos, and the device's memory in bytes (without a
/// GPU the machine's, or what a control group leaves of it).
std::string choose_preset(std::int64_t videos, std::size_t memory, bool gpu);

}  // namespace mcn
