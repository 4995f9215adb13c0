// `mcn bench decode`: random clips a second, and whether their frames are the right ones; one JSON line.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "data/augment.h"
#include "data/video_pool.h"
#include "engine/host_memory.h"
#include "engine/random.h"
#include "engine/tensor.h"
#include "kernels/parallel.h"
#include "tools/command.h"
#include "tools/number.h"
#include "tools/print.h"

namespace mcn {
namespace {

// The work: random clips of 16 frames two apart, resized to 128 x 171 pixels, the middle 112 x 112 normalized.
struct DecodeOptions {
  std::vector<std::string> videos;
  int threads = 1, clips = 60, max_open = 64;
  bool skip_bad = false;
};

constexpr std::int64_t clip_frames = 16, clip_stride = 2, clip_span = (clip_frames - 1) * clip_stride + 1;

// A clip of one of the videos. Small, since a soak has a hundred thousand.
struct DecodeJob {
  std::uint32_t video = 0, start = 0;

  [[nodiscard]] std::vector<std::int64_t> frames() const {
    std::vector<std::int64_t> numbers;
    for (std::int64_t k = 0; k < clip_frames; ++k) numbers.push_back(start + k * clip_stride);
    return numbers;
  }
};

AugmentConfig decode_crop() {
  AugmentConfig crop;
  crop.mean = {0.45F, 0.45F, 0.45F};
  crop.std = {0.225F, 0.225F, 0.225F};
  return crop;
}

// A video that cannot be read starts at frame 0, and fails there.
std::vector<DecodeJob> decode_jobs(const DecodeOptions& o) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string& video : o.videos) try {
      counts[video] = Video(video).info().frames;
      if (counts[video] < clip_span)
        fail<DataError>("bench", "{} has {} frames, a clip spans {}", video, counts[video], clip_span);
    } catch (const DataError&) {
      if (!o.skip_bad) throw;
      counts[video] = clip_span;
    }
  std::vector<DecodeJob> jobs;
  Philox random(0, 9);
  for (int i = 0; i < o.clips; ++i) {
    const auto video = static_cast<std::uint32_t>(random.below(std::ssize(o.videos)));
    jobs.push_back({video, static_cast<std::uint32_t>(random.below(counts[o.videos[video]] - clip_span + 1))});
  }
  return jobs;
}

// Frames of the job that are not those of a sequential decode.
std::int64_t wrong_frames(const std::string& path, const std::vector<std::int64_t>& frames, const Frames& got) {
  const AugmentConfig crop = decode_crop();
  Video video(path, {.always_decode = true});
  std::int64_t wrong = 0;
  std::vector<std::int64_t> all(static_cast<std::size_t>(frames.back() + 1));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const Frames truth = video.frames(all, crop.resize_height, crop.resize_width);
  for (std::size_t i = 0; i < frames.size(); ++i)
    if (!std::ranges::equal(got.frame(static_cast<std::int64_t>(i)), truth.frame(frames[i]))) ++wrong;
  return wrong;
}

// What the process holds after so many clips: the curves of a soak.
class Holdings {
 public:
  explicit Holdings(std::size_t clips) : clips_(clips) { note(0); }

  // Safe from any thread.
  void done() {
    const std::lock_guard lock(mutex_);
    ++done_;
    if (done_ * points / clips_ != (done_ - 1) * points / clips_) note(done_);
  }
  [[nodiscard]] nlohmann::ordered_json to_json() const {
    return {{"clips", at_}, {"rss_bytes", rss_}, {"descriptors", descriptors_}};
  }
  // The largest deviation from the mean, relative to it, behind the first tenth: caches fill in that.
  [[nodiscard]] double rss_drift() const {
    const std::size_t first = std::min<std::size_t>(points / 10, rss_.size() - 1);
    const std::span<const std::int64_t> rest = std::span(rss_).subspan(first);
    const double mean = std::accumulate(rest.begin(), rest.end(), 0.0) / static_cast<double>(rest.size());
    const auto [low, high] = std::ranges::minmax(rest);
    return std::max(static_cast<double>(high) - mean, mean - static_cast<double>(low)) / mean;
  }

 private:
  static constexpr std::size_t points = 20;

  void note(std::size_t clips) {
    at_.push_back(clips);
    // What malloc keeps of freed memory hangs on which thread freed what when; it is no leak, and would hide one.
    malloc_trim(0);
    rss_.push_back(static_cast<std::int64_t>(resident_memory()));
    // The listing is one of them itself.
    const std::filesystem::directory_iterator open("/proc/self/fd");
    descriptors_.push_back(std::distance(open, std::filesystem::directory_iterator()) - 1);
  }

  std::size_t clips_, done_ = 0;
  std::mutex mutex_;
  std::vector<std::size_t> at_;
  std::vector<std::int64_t> rss_, descriptors_;
};

int bench_decode(const DecodeOptions& o) {
  constexpr std::size_t most_checked = 20;
  const AugmentConfig crop = decode_crop();
  const std::vector<DecodeJob> jobs = decode_jobs(o);
  // The indices are made within the time that is taken.
  VideoPool pool({.cache_bytes = 0}, o.max_open);
  std::vector<Frames> results(std::min(most_checked, jobs.size()));
  Holdings holdings(jobs.size());
  std::atomic<std::size_t> next{0}, bad{0};
  std::exception_ptr failed;
  std::mutex mutex;
  // They outlive the threads, so that the curves do not drop when the first of these has nothing left to do.
  std::vector<std::unique_ptr<Backend>> backends(static_cast<std::size_t>(o.threads));
  set_thread_count(1);  // a kernel at a time on each of the threads below
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < o.threads; ++t)
      threads.emplace_back([&, t] {
        try {
          const auto& backend = backends[static_cast<std::size_t>(t)] = make_cpu_backend();
          const auto work = [&](std::size_t i) {
            Frames got =
                pool.open(o.videos[jobs[i].video])->frames(jobs[i].frames(), crop.resize_height, crop.resize_width);
            Tensor frames(*backend, DType::u8, {1, clip_frames, crop.resize_height, crop.resize_width, 3});
            backend->copy_from_host(got.rgb.data(), frames);
            Tensor input(*backend, DType::f32, {1, clip_frames, crop.size, crop.size, 3});
            const AugmentClip middle = centre_crop(crop);
            backend->run(
                kernel::Augment{.params = augment_params(crop), .clips = {&middle, 1}, .frames = frames, .y = input});
            if (i < results.size()) results[i] = std::move(got);
          };
          for (std::size_t i = next++; i < jobs.size(); i = next++) {
            try {
              work(i);
            } catch (const DataError&) {
              if (!o.skip_bad) throw;
              ++bad;
            }
            holdings.done();
          }
        } catch (...) {
          const std::lock_guard lock(mutex);
          failed = std::current_exception();
          next = jobs.size();
        }
      });
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (failed) std::rethrow_exception(failed);
  std::int64_t wrong = 0, checked = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].count == 0) continue;
    wrong += wrong_frames(o.videos[jobs[i].video], jobs[i].frames(), results[i]);
    checked += clip_frames;
  }
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const nlohmann::ordered_json result{{"bench", "decode"},
                                      {"clips_per_second", static_cast<double>(jobs.size() - bad) / seconds},
                                      {"clips", jobs.size()},
                                      {"bad_clips", bad.load()},
                                      {"seconds", seconds},
                                      {"wrong_frames", wrong},
                                      {"checked_frames", checked},
                                      {"threads", o.threads},
                                      {"max_open", o.max_open},
                                      {"peak_rss_gib", static_cast<double>(use.ru_maxrss) / (1 << 20)},
                                      {"rss_drift", holdings.rss_drift()},
                                      {"after", holdings.to_json()}};
  print_result("{}\n", result.dump());
  return ok;
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  auto o = std::make_shared<DecodeOptions>();
  CLI::App* decode = bench.add_subcommand(
      "decode",
      "random clips of 16 frames, two apart, as 112 x 112 pixels; with the indices' making. With --clips 100000 a\n"
      "soak: `after` lists resident bytes, once malloc has given back what is free, and open descriptors after each\n"
      "twentieth of the clips; rss_drift is how far the former stray from their mean behind the first tenth");
  decode->add_option("videos", o->videos, "video files")->type_name(file_type)->required();
  decode->add_option("--threads", o->threads, "clips at a time")->check(positive_number());
  decode->add_option("--clips", o->clips, "clips")->check(positive_number());
  decode->add_option("--max-open", o->max_open, "most files open at a time")->check(positive_number());
  decode->add_flag("--skip-bad", o->skip_bad,
                   "count clips of videos that cannot be read, or are too short, as bad_clips, and go on");
  set_action(*decode, [o] { return bench_decode(*o); });
}

}  // namespace mcn
