// Drawing negatives from the bank or queue, and keeping it up to date.
#include "meta/feature_bank.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/random.h"

namespace mcn {
namespace {
constexpr std::uint64_t start_stream = 0xBA4C;
constexpr std::uint64_t draw_stream = 0xBA4D;
}  // namespace

FeatureBank::FeatureBank(const FeatureBankConfig& config, std::int64_t videos, std::int64_t feature_size,
                         Backend& backend, DType dtype, std::uint64_t seed)
    : config_(config), videos_(videos), seed_(seed) {
  if (config.kind == BankKind::none) return;
  if (config.size < 1) fail("bank", "size must be positive, got {}", config.size);
  if (!(config.momentum >= 0 && config.momentum <= 1))
    fail("bank", "momentum must be in [0, 1], got {}", config.momentum);
  const std::int64_t rows = config.kind == BankKind::memory ? videos : config.size;
  constexpr std::int64_t most_features = std::int64_t{1} << 48;
  if (rows > most_features / feature_size) fail("bank", "{} rows of {} features are too many", rows, feature_size);
  try {
    features_ = Tensor(backend, dtype, {rows, feature_size});
  } catch (const DeviceError& error) {
    fail<DeviceError>("bank",
                      "{} x {} features do not fit; --bank queue with a smaller --bank-size, or none, needs "
                      "less: {}",
                      rows, feature_size, error.what());
  }
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(rows * feature_size));
  Philox random(seed, start_stream);
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (std::int64_t c = 0; c < feature_size; ++c) {
      values.push_back(random.normal());
      squares += values.back() * values.back();
    }
    for (auto v = values.end() - feature_size; v != values.end(); ++v) *v /= std::sqrt(squares);
  }
  features_.copy_from(values);
  if (config.kind == BankKind::memory) {
    ids_.resize(static_cast<std::size_t>(rows));
    std::iota(ids_.begin(), ids_.end(), 0);
  }
}

ops::InfoNceBank FeatureBank::negatives(std::int64_t iteration, std::span<const std::int64_t> videos) const {
  if (ids_.empty()) return {};
  Backend& backend = features_.backend();
  const auto rows = static_cast<std::int64_t>(ids_.size());
  if (config_.kind == BankKind::queue)
    return {features_.rows(0, rows).clone(), Tensor::from(backend, ids_), Tensor::from(backend, videos)};
  std::vector<std::int64_t> drawn(ids_);
  if (config_.size < rows) {
    // The first `size` of a Fisher-Yates shuffle: distinct rows, each set equally likely.
    Philox random(seed_, hash_stream(draw_stream, iteration));
    for (std::int64_t i = 0; i < config_.size; ++i)
      std::swap(drawn[static_cast<std::size_t>(i)], drawn[static_cast<std::size_t>(i + random.below(rows - i))]);
    drawn.resize(static_cast<std::size_t>(config_.size));
  }
  const Tensor ids = Tensor::from(backend, drawn);
  Tensor chosen(backend, features_.dtype(), {ids.numel(), features_.shape()[1]});
  backend.run(kernel::GatherRows{.bank = features_, .rows = ids, .out = chosen});
  return {chosen, ids, Tensor::from(backend, videos)};
}

void FeatureBank::update(const Tensor& z, std::span<const std::int64_t> videos) {
  if (config_.kind == BankKind::none) return;
  if (z.shape()[0] != static_cast<std::int64_t>(videos.size()))
    fail("bank", "{} features of {} videos", z.shape()[0], videos.size());
  Backend& backend = features_.backend();
  if (config_.kind == BankKind::memory) {
    backend.run(kernel::UpdateRows{
        .momentum = config_.momentum, .z = z, .rows = Tensor::from(backend, videos), .bank = features_});
    return;
  }
  for (std::size_t i = 0; i < videos.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    backend.copy(z.rows(row, row + 1), features_.rows(next_, next_ + 1));
    if (static_cast<std::int64_t>(ids_.size()) == next_)
      ids_.push_back(videos[i]);
    else
      ids_[static_cast<std::size_t>(next_)] = videos[i];
    next_ = (next_ + 1) % config_.size;
  }
}

void FeatureBank::restore(const State& state) {
  if (bool(state.features) != bool(features_) || (features_ && state.features.shape() != features_.shape()))
    fail<DataError>("bank", "checkpoint has features {}, this run {}", state.features.shape().str(),
                    features_.shape().str());
  const std::int64_t rows = features_ ? features_.shape()[0] : 0;
  const std::int64_t filled = std::ssize(state.ids);
  for (std::int64_t row = 0; row < filled; ++row) {
    const std::int64_t id = state.ids[static_cast<std::size_t>(row)];
    if (id < 0 || id >= videos_ || (config_.kind == BankKind::memory && id != row))
      fail<DataError>(
          "bank", "checkpoint has video {} in row {}, expected {}", id, row,
          config_.kind == BankKind::memory ? fmt::format("video {}", row) : fmt::format("one of {} videos", videos_));
  }
  if (filled > rows || (config_.kind == BankKind::memory && filled < rows))
    fail<DataError>("bank", "checkpoint has {} ids for {} rows", filled, rows);
  const bool full_queue = config_.kind == BankKind::queue && filled == rows;
  const std::int64_t least = config_.kind == BankKind::queue && !full_queue ? filled : 0;
  const std::int64_t most = full_queue ? rows - 1 : least;
  if (state.next < least || state.next > most)
    fail<DataError>("bank", "checkpoint has next row {} with {} of {} rows filled", state.next, filled, rows);
  features_ = state.features;
  ids_ = state.ids;
  next_ = state.next;
}

}  // namespace mcn
