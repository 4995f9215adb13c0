// Edit distance, and names from elsewhere.
#include "tools/suggestion.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mcn {
namespace {

// As other training programs call them, with "-" between words; the first of ours that the command has is meant.
constexpr std::array<std::pair<const char*, const char*>, 30> elsewhere{{{"--batch-size", "--train-batch"},
                                                                         {"--batch-size", "--batch"},
                                                                         {"--learning-rate", "--lr"},
                                                                         {"--num-epochs", "--epochs"},
                                                                         {"--max-epochs", "--epochs"},
                                                                         {"--steps", "--iterations"},
                                                                         {"--max-steps", "--iterations"},
                                                                         {"--max-iter", "--iterations"},
                                                                         {"--output", "--out"},
                                                                         {"--output", "--json"},
                                                                         {"--output-dir", "--out"},
                                                                         {"--save-dir", "--out"},
                                                                         {"--log-dir", "--out"},
                                                                         {"--data-dir", "--data"},
                                                                         {"--data-path", "--data"},
                                                                         {"--dataset", "--data"},
                                                                         {"--workers", "--loader-threads"},
                                                                         {"--num-workers", "--loader-threads"},
                                                                         {"--max-grad-norm", "--clip-grad"},
                                                                         {"--grad-clip", "--clip-grad"},
                                                                         {"--wd", "--weight-decay"},
                                                                         {"--model", "--arch"},
                                                                         {"--pretrained", "--init"},
                                                                         {"--ckpt", "--checkpoint"},
                                                                         {"--crop-size", "--size"},
                                                                         {"--image-size", "--size"},
                                                                         {"--num-frames", "--frames"},
                                                                         {"--gpu", "--device"},
                                                                         {"--cuda", "--device"},
                                                                         {"--knn-k", "--neighbors"}}};

// Damerau's distance, of neighbours that changed places once.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = std::max(i, j);
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::string suggestion(std::string word, const std::vector<std::string>& names) {
  constexpr std::size_t longest = 64;
  if (word.size() > longest) return "";
  std::ranges::replace(word, '_', '-');
  const auto known = [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); };
  for (const auto& [theirs, ours] : elsewhere)
    if (word == theirs && known(ours)) return ours;
  std::string best;
  std::size_t least = 3;
  for (const std::string& name : names)
    if (const std::size_t d = distance(word, name); d < least && d + 3 < name.size()) {
      least = d;
      best = name;
    }
  if (!best.empty()) return best;
  std::vector<std::string> longer;
  constexpr std::size_t enough = 5;  // "--" and three letters
  for (const std::string& name : names)
    if (word.size() >= enough && name.starts_with(word)) longer.push_back(name);
  return longer.size() == 1 ? longer.front() : "";
}

}  // namespace mcn
