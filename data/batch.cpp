// What every batch goes through, and batches of random frames.
#include "data/batch.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "kernels/error.h"
#include "kernels/range.h"

namespace mcn {
namespace {

class RandomClips final : public BatchSource {
 public:
  RandomClips(std::int64_t videos, const LoaderConfig& config, Backend& backend)
      : videos_(videos),
        config_(config),
        ring_(backend, view_bytes(config), static_cast<std::size_t>(2 * config.batch)),
        iteration_(config.first_iteration) {
    check(config, videos);
  }

  Batch next(const std::function<void()>&) override {
    Batch batch;
    batch.iteration = iteration_++;
    batch.videos = batch_videos(videos_, config_.batch, config_.seed, batch.iteration);
    batch.labels.assign(batch.videos.size(), 0);
    batch.view_b.residual = config_.residual_view;
    for (const std::int64_t video : batch.videos)
      for (const int side : {0, 1}) {
        BatchView& view = side == 0 ? batch.view_a : batch.view_b;
        view.frames.push_back(ring_.take());
        fill(view.frames.back().bytes(), video);
        view.augmentation.push_back(random_augmentation(
            config_.augment, batch_draws(config_, videos_, DrawPurpose::augmentation, batch.iteration, video, side)));
      }
    ++stats_.batches;
    return batch;
  }
  [[nodiscard]] LoaderStats stats() const override { return stats_; }

 private:
  // Coarse patches tell a video from the others whatever is cropped; of noise alone nothing is left after pooling.
  void fill(std::span<std::uint8_t> frames, std::int64_t video) const {
    constexpr std::size_t patches = 8;
    Philox random(config_.seed, hash_stream(DrawPurpose::pixels, video));
    std::array<std::uint8_t, patches * patches * 3> colours{};
    for (std::uint8_t& c : colours) c = static_cast<std::uint8_t>(random() & 0xF0U);
    const auto height = static_cast<std::size_t>(config_.augment.resize_height);
    const auto width = static_cast<std::size_t>(config_.augment.resize_width);
    for (std::size_t pixel = 0; pixel < frames.size() / 3; ++pixel) {
      const std::size_t row = pixel / width % height * patches / height;
      const std::size_t column = pixel % width * patches / width;
      std::uint32_t noise = random();
      for (std::size_t c = 0; c < 3; ++c, noise >>= 4)
        frames[3 * pixel + c] = static_cast<std::uint8_t>(colours[(row * patches + column) * 3 + c] | (noise & 0xFU));
    }
  }

  std::int64_t videos_;
  LoaderConfig config_;
  HostRing ring_;
  std::int64_t iteration_;
  LoaderStats stats_;
};

}  // namespace

std::vector<std::int64_t> batch_videos(std::int64_t videos, std::int64_t batch, std::uint64_t seed,
                                       std::int64_t iteration) {
  const std::int64_t batches = videos / batch;
  std::vector<std::int64_t> order(static_cast<std::size_t>(videos));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Philox random(seed, hash_stream(DrawPurpose::epoch_order, iteration / batches));
  random.shuffle(std::span<std::int64_t>(order));
  const auto first = order.begin() + (iteration % batches) * batch;
  return {first, first + batch};
}

Philox batch_draws(const LoaderConfig& config, std::int64_t videos, DrawPurpose purpose, std::int64_t iteration,
                   std::int64_t video, int view) {
  return Philox(config.seed, hash_stream(purpose, iteration / (videos / config.batch), video, view));
}

ClipSource random_clips(std::int64_t videos) {
  return {videos,
          [videos](const LoaderConfig& config, Backend& backend) {
            return std::make_unique<RandomClips>(videos, config, backend);
          },
          fmt::format("{} random videos", videos)};
}

void check(const LoaderConfig& config, std::int64_t videos) {
  check(config.augment);
  if (config.batch < 1) fail("loader", "batch must be positive, got {}", config.batch);
  if (config.threads < 1 || config.ring < 1)
    fail("loader", "threads and ring must be positive, got {} and {}", config.threads, config.ring);
  if (config.clip.frames < 1 || config.clip.stride < 1)
    fail("loader", "frames and stride must be positive, got {} and {}", config.clip.frames, config.clip.stride);
  if (config.files.max_open < 1 || !(config.files.timeout_seconds >= 0))
    fail("loader", "expected room for open files and a timeout in seconds, got {} and {}", config.files.max_open,
         config.files.timeout_seconds);
  if (!(config.max_bad_percent >= 0 && config.max_bad_percent <= 100))
    fail("loader", "the share of unusable videos must be from 0 to 100%, got {}", config.max_bad_percent);
  if (config.first_iteration < 0) fail("loader", "iterations count from 0, got {}", config.first_iteration);
  if (videos < config.batch)
    fail<DataError>("loader", "the data set has {} videos, a batch needs {}", videos, config.batch);
}

std::size_t view_bytes(const LoaderConfig& config) {
  const auto frames = static_cast<std::size_t>(config.clip.frames) * (config.residual_view ? 2 : 1);
  return frames * static_cast<std::size_t>(config.augment.resize_height) *
         static_cast<std::size_t>(config.augment.resize_width) * 3;
}

std::size_t most_views(const LoaderConfig& config) {
  return 2 * (static_cast<std::size_t>((config.ring + 1) * config.batch) + 1);
}

Tensor augmented_clips(const Batch& batch, std::int64_t begin, std::int64_t end, const LoaderConfig& config,
                       Backend& backend, DType dtype) {
  const AugmentConfig& augment = config.augment;
  const std::int64_t videos = end - begin;
  Tensor clips(backend, dtype, {2 * videos, config.clip.frames, augment.size, augment.size, 3});
  std::int64_t row = 0;
  for (const BatchView* view : {&batch.view_a, &batch.view_b}) {
    Tensor frames(
        backend, DType::u8,
        {videos, config.clip.frames * (view->residual ? 2 : 1), augment.resize_height, augment.resize_width, 3});
    {
      const Range range("copy");
      for (std::int64_t i = 0; i < videos; ++i)
        view->frames[static_cast<std::size_t>(begin + i)].upload(frames.rows(i, i + 1));
    }
    const Range range("augment");
    backend.run(kernel::Augment{
        .params = augment_params(augment, view->residual),
        .clips =
            std::span(view->augmentation).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(videos)),
        .frames = frames,
        .y = clips.rows(row, row + videos)});
    row += videos;
  }
  return clips;
}

}  // namespace mcn
