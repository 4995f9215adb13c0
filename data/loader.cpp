// The training loader: threads make one video's two views at a time; next() puts them together in order.
#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <numeric>

#include "data/datasets/identity.h"
#include "data/ordered.h"
#include "data/video_pool.h"
#include "kernels/error.h"
#include "kernels/range.h"

namespace mcn {
namespace {

using enum DrawPurpose;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The two views of one video, or why there are none.
struct Sample {
  std::int64_t video = 0;
  HostRing::Slot frames_a, frames_b;
  AugmentClip augmentation_a, augmentation_b;
  bool shortened = false;
  std::string error;
  double ms = 0;
};

}  // namespace

struct Loader::Impl {
  Impl(Backend& backend, const LoaderConfig& c)
      : config(c), pool(c.files.options(), c.files.max_open), ring(backend, view_bytes(c), most_views(c)) {}

  Dataset dataset;
  LoaderConfig config;
  std::map<std::int64_t, std::vector<std::int64_t>> lists;  // of the iterations in the ring; under mutex
  std::mutex mutex;
  std::map<std::int64_t, std::string> bad;
  LoaderStats totals;
  std::int64_t iteration = 0;
  std::exception_ptr failure;
  VideoPool pool;
  HostRing ring;
  std::unique_ptr<Ordered<Sample>> samples;  // last, so that its threads end before what they use

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(dataset.videos.size()); }

  std::int64_t video_at(std::int64_t at_iteration, std::int64_t slot) {
    const std::lock_guard lock(mutex);
    auto& list = lists[at_iteration];
    if (list.empty()) list = batch_videos(size(), config.batch, config.seed, at_iteration);
    return list[static_cast<std::size_t>(slot)];
  }

  [[nodiscard]] Philox random(DrawPurpose purpose, std::int64_t at_iteration, std::int64_t video, int view) const {
    return batch_draws(config, size(), purpose, at_iteration, video, view);
  }

  HostRing::Slot frames(Video& video, std::span<const std::int64_t> wanted) {
    HostRing::Slot slot = ring.take();
    const Range range("decode");
    const Frames decoded = video.frames(wanted, config.augment.resize_height, config.augment.resize_width);
    std::ranges::copy(decoded.rgb, slot.bytes().begin());
    return slot;
  }

  /// Each frame and its successor; the last frame of a video is paired with its predecessor instead.
  static std::vector<std::int64_t> pairs(const VideoInfo& video, std::span<const std::int64_t> wanted) {
    if (video.frames < 2) fail<DataError>("video", "{} has 1 frame, a residual needs 2", video.path);
    std::vector<std::int64_t> both;
    for (const std::int64_t i : wanted) {
      const std::int64_t first = std::min(i, video.frames - 2);
      both.push_back(first);
      both.push_back(first + 1);
    }
    return both;
  }

  /// Errors of the video's data are part of the result; any other is thrown.
  Sample sample(std::int64_t at_iteration, std::int64_t number) {
    const std::int64_t start = now_ns();
    Sample result;
    result.video = number;
    try {
      const VideoPool::Lease video = pool.open(dataset.videos[static_cast<std::size_t>(number)].source);
      require_clip(video->info().path, video->info().frames, config.clip);
      result.shortened = video->info().frames < std::int64_t{config.clip.frames - 1} * config.clip.stride + 1;
      for (const int side : {0, 1}) {
        Philox starts = random(clip_start, at_iteration, number, side);
        std::vector<std::int64_t> wanted =
            sampled_clip(config.sampling, video->info().frames, config.clip, side, 2, starts);
        if (side == 1 && config.residual_view) wanted = pairs(video->info(), wanted);
        (side == 0 ? result.frames_a : result.frames_b) = frames(*video, wanted);
        (side == 0 ? result.augmentation_a : result.augmentation_b) =
            random_augmentation(config.augment, random(augmentation, at_iteration, number, side));
      }
    } catch (const DataError& e) {
      result.error = e.what();
    }
    result.ms = static_cast<double>(now_ns() - start) / 1e6;
    return result;
  }

  void count_bad(const Sample& sample) {
    bad.emplace(sample.video, sample.error);
    const auto count = static_cast<std::int64_t>(bad.size());
    if (static_cast<double>(count) * 100 <= config.max_bad_percent * static_cast<double>(size())) return;
    // stats() has all of them.
    constexpr std::int64_t most_shown = 5;
    std::string list;
    std::int64_t shown = 0;
    for (const auto& [video, error] : bad)
      if (shown++ < most_shown) list += "; " + error;
    if (count > most_shown) list += fmt::format("; and {} more", count - most_shown);
    fail<DataError>("loader", "{} of {} videos cannot be used, more than {}%{}", count, size(), config.max_bad_percent,
                    list);
  }

  /// For every sample without views, another video's: the batch's own are out, and so is what an earlier one took.
  void replace(std::int64_t at_iteration, std::vector<Sample>& batch, const std::function<void()>& waiting) {
    std::vector<std::int64_t> others(dataset.videos.size());
    std::iota(others.begin(), others.end(), std::int64_t{0});
    std::erase_if(others, [&](std::int64_t v) {
      return std::ranges::any_of(batch, [v](const Sample& s) { return s.video == v; });
    });
    Philox draws(config.seed, hash_stream(replacements, at_iteration));
    draws.shuffle(std::span<std::int64_t>(others));
    auto candidate = others.begin();
    for (Sample& s : batch) {
      while (!s.error.empty()) {
        if (candidate == others.end())
          fail<DataError>("loader", "iteration {}: no video is left to replace one that cannot be used: {}",
                          at_iteration, s.error);
        const std::int64_t video = *candidate++;
        // Skipped only after the shuffle, so that what is drawn does not depend on what is known.
        if (bad.contains(video)) continue;
        const double ms = s.ms;
        // On a thread of its own: this one must not get stuck in a file.
        Ordered<Sample> one(
            1, 1, 1, [&](std::int64_t) { return sample(at_iteration, video); }, config.files.timeout_seconds);
        s = *one.next(waiting);
        s.ms += ms;
        ++totals.replaced;
        if (!s.error.empty()) count_bad(s);
      }
    }
  }

  [[nodiscard]] double ready() const {
    return static_cast<double>(samples->waiting()) / static_cast<double>(config.batch);
  }

  Batch next(const std::function<void()>& waiting) {
    const std::int64_t start = now_ns();
    const double ready_before = ready();
    std::vector<Sample> parts;
    for (std::int64_t i = 0; i < config.batch; ++i) parts.push_back(*samples->next(waiting));
    {
      const std::lock_guard lock(mutex);
      lists.erase(iteration);
    }
    for (const Sample& s : parts)
      if (!s.error.empty()) count_bad(s);
    replace_if_needed(parts, waiting);
    totals.wait_ms += static_cast<double>(now_ns() - start) / 1e6;

    Batch batch;
    batch.iteration = iteration++;
    batch.view_b.residual = config.residual_view;
    for (Sample& s : parts) {
      batch.videos.push_back(s.video);
      batch.labels.push_back(dataset.videos[static_cast<std::size_t>(s.video)].label);
      batch.view_a.frames.push_back(std::move(s.frames_a));
      batch.view_b.frames.push_back(std::move(s.frames_b));
      batch.view_a.augmentation.push_back(s.augmentation_a);
      batch.view_b.augmentation.push_back(s.augmentation_b);
      batch.decode_ms += s.ms;
      if (s.shortened) batch.shortened_clips += 2;
    }
    batch.ready = ready_before;
    batch.bad_videos = std::ssize(bad);
    ++totals.batches;
    totals.decode_ms += batch.decode_ms;
    return batch;
  }

  void replace_if_needed(std::vector<Sample>& parts, const std::function<void()>& waiting) {
    if (std::ranges::any_of(parts, [](const Sample& s) { return !s.error.empty(); }))
      replace(iteration, parts, waiting);
  }
};

Loader::Loader(const Dataset& dataset, const LoaderConfig& config, Backend& backend) {
  check(config, std::ssize(dataset.videos));
  impl_ = std::make_unique<Impl>(backend, config);
  impl_->dataset = dataset;
  impl_->iteration = config.first_iteration;
  impl_->bad.insert(config.known_bad.begin(), config.known_bad.end());
  Impl* impl = impl_.get();
  const std::int64_t first = config.first_iteration * config.batch;
  impl_->samples = std::make_unique<Ordered<Sample>>(
      config.threads, config.ring * config.batch, -1,
      [impl, first](std::int64_t i) {
        const std::int64_t batch = impl->config.batch;
        const std::int64_t iteration = (first + i) / batch;
        return impl->sample(iteration, impl->video_at(iteration, (first + i) % batch));
      },
      config.files.timeout_seconds);
}

Loader::~Loader() = default;

Batch Loader::next(const std::function<void()>& waiting) {
  if (impl_->failure) std::rethrow_exception(impl_->failure);
  try {
    return impl_->next(waiting);
  } catch (...) {
    impl_->failure = std::current_exception();
    throw;
  }
}

std::size_t Loader::buffers() const { return impl_->ring.slots(); }

ClipSource clips_of(const Dataset& dataset) {
  return {std::ssize(dataset.videos),
          [&dataset](const LoaderConfig& config, Backend& backend) {
            return std::make_unique<Loader>(dataset, config, backend);
          },
          identity_of_videos(dataset), identity_of_labels(dataset)};
}

LoaderStats Loader::stats() const {
  LoaderStats stats = impl_->totals;
  stats.ready = impl_->ready();
  stats.bad.assign(impl_->bad.begin(), impl_->bad.end());
  return stats;
}

}  // namespace mcn
