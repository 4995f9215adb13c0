// The names and the choice; the texts are in a file that CMake writes.
#include "tools/presets.h"

#include <utility>

#include "kernels/error.h"

namespace mcn {

extern const std::vector<std::pair<std::string_view, std::string_view>> preset_texts;  // by name, in the build folder

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"tiny", "small", "ucf101", "kinetics"};
  return names;
}

std::string_view preset_text(std::string_view name) {
  for (const auto& [preset, text] : preset_texts)
    if (preset == name) return text;
  fail("preset", "unknown preset {}", name);
}

std::string choose_preset(std::int64_t videos, std::size_t memory, bool gpu) {
  constexpr std::size_t gib = std::size_t{1} << 30;
  if (gpu && videos >= 50'000 && memory >= 60 * gib) return "kinetics";
  if (gpu && videos >= 3'000 && memory >= 30 * gib) return "ucf101";
  if (gpu || (videos >= 3'000 && memory >= 12 * gib)) return "small";
  return "tiny";
}

}  // namespace mcn
