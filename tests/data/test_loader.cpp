// The loader: batches are a function of the seed and the iteration, whatever the threads, the ring, the start or the
// files that cannot be used.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <set>

#include "data/clips.h"
#include "data/loader.h"
#include "data/ordered.h"
#include "data/video.h"
#include "engine/device.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::TemporaryFolder;

/// Small videos of 12 frames, each of its own size of blocks' colours, mp4 and avi by turns.
Dataset make_videos(const TemporaryFolder& folder, int count) {
  Dataset d{{"even", "odd"}, {}, 0, {}};
  for (int i = 0; i < count; ++i)
    d.videos.push_back({test::encode(folder.file(std::to_string(i) + (i % 2 == 0 ? ".mp4" : ".avi")),
                                     {.codec = "mpeg4", .width = 32 + 2 * i, .height = 32, .b_frames = 2}, 12),
                        i % 2});
  return d;
}

LoaderConfig small_config() {
  LoaderConfig c;
  c.batch = 3;
  c.clip = {4, 2};
  c.augment.size = 8;
  c.augment.resize_height = 10;
  c.augment.resize_width = 12;
  c.seed = 5;
  return c;
}

void check_same(const BatchView& a, const BatchView& b) {
  CHECK(a.residual == b.residual);
  CHECK((a.augmentation == b.augmentation));
  REQUIRE(a.frames.size() == b.frames.size());
  const std::size_t used = std::size_t{4 * 10 * 12 * 3} * (a.residual ? 2 : 1);
  for (std::size_t i = 0; i < a.frames.size(); ++i)
    CHECK(std::ranges::equal(a.frames[i].bytes().first(used), b.frames[i].bytes().first(used)));
}

void check_same(const Batch& a, const Batch& b) {
  CHECK(a.iteration == b.iteration);
  CHECK(a.videos == b.videos);
  CHECK(a.labels == b.labels);
  check_same(a.view_a, b.view_a);
  check_same(a.view_b, b.view_b);
}

Backend& cpu() { return open_device("cpu"); }

// The augmented clips of a whole batch, view a's and then view b's.
std::vector<float> clips_of(const Batch& batch, const LoaderConfig& c, Backend& backend = cpu()) {
  const Tensor clips = augmented_clips(batch, 0, std::ssize(batch.videos), c, backend, DType::f32);
  std::vector<float> values(static_cast<std::size_t>(clips.shape().numel()), NAN);
  backend.copy_to_host(clips, values.data());
  return values;
}

std::vector<Batch> take(const Dataset& d, const LoaderConfig& c, int count) {
  Loader loader(d, c, cpu());
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) batches.push_back(loader.next());
  return batches;
}

TEST_CASE("a batch has different videos, their labels and two different views", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 8);
  std::set<std::int64_t> epoch;
  for (const Batch& b : take(d, small_config(), 4)) {
    REQUIRE(b.videos.size() == 3);
    CHECK(std::set<std::int64_t>(b.videos.begin(), b.videos.end()).size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(b.labels[i] == b.videos[i] % 2);
    const std::vector<float> clips = clips_of(b, small_config());
    REQUIRE(clips.size() == std::size_t{2 * 3 * 4 * 8 * 8 * 3});
    CHECK(std::ranges::all_of(clips, [](float v) { return std::isfinite(v); }));
    const std::span views(clips);
    CHECK_FALSE(std::ranges::equal(views.first(clips.size() / 2), views.last(clips.size() / 2)));
    if (b.iteration < 2) epoch.insert(b.videos.begin(), b.videos.end());
  }
  CHECK(epoch.size() == 6);  // two batches of one permutation share no video
}

TEST_CASE("clips whose stride shrinks because their video is short are counted", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 4);
  LoaderConfig c = small_config();
  c.clip = {4, 3};  // 10 of the videos' 12 frames
  CHECK(take(d, c, 1).front().shortened_clips == 0);
  c.clip = {4, 4};                                    // 13 frames
  CHECK(take(d, c, 1).front().shortened_clips == 6);  // two views of three videos
}

TEST_CASE("epochs are permutations that differ", "[loader]") {
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < 4; ++i)
      for (const std::int64_t v : batch_videos(20, 5, 1, epoch * 4 + i)) order.push_back(v);
    orders.insert(order);
    std::ranges::sort(order);
    for (std::int64_t v = 0; v < 20; ++v) REQUIRE(order[static_cast<std::size_t>(v)] == v);
  }
  CHECK(orders.size() == 5);
  CHECK(batch_videos(20, 5, 1, 0) != batch_videos(20, 5, 2, 0));
}

TEST_CASE("threads, ring and resume change no bit", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 7);
  LoaderConfig c = small_config();
  c.residual_view = GENERATE(false, true);
  c.threads = 1;
  const std::vector<Batch> truth = take(d, c, 6);
  for (const int threads : {1, 2, 5})
    for (const int ring : {1, 4}) {
      INFO(threads << " threads, ring " << ring);
      c.threads = threads;
      c.ring = ring;
      const std::vector<Batch> got = take(d, c, 6);
      for (std::size_t i = 0; i < 6; ++i) check_same(got[i], truth[i]);
    }
  c.first_iteration = 3;
  const std::vector<Batch> resumed = take(d, c, 3);
  for (std::size_t i = 0; i < 3; ++i) check_same(resumed[i], truth[i + 3]);
  c.seed = 6;
  CHECK_FALSE((take(d, c, 1)[0].view_a.augmentation == resumed[0].view_a.augmentation));
}

TEST_CASE("a clip is drawn by seed, epoch, video and view, whatever the batch and the place in it", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 6);
  LoaderConfig c = small_config();
  struct Drawn {
    std::vector<AugmentClip> clips;  // of view a, then of view b
    std::vector<std::uint8_t> frames;
    bool operator==(const Drawn&) const = default;
  };
  using Key = std::pair<std::int64_t, std::int64_t>;  // epoch and video
  const auto draw = [&](std::int64_t batch, std::int64_t first) {
    c.batch = batch;
    c.first_iteration = first;
    const std::int64_t batches = 6 / batch;
    std::map<Key, Drawn> drawn;
    for (const Batch& b : take(d, c, static_cast<int>(2 * batches - first)))
      for (std::size_t i = 0; i < b.videos.size(); ++i) {
        Drawn& one = drawn[{b.iteration / batches, b.videos[i]}];
        for (const BatchView* view : {&b.view_a, &b.view_b}) {
          one.clips.push_back(view->augmentation[i]);
          const auto bytes = view->frames[i].bytes();
          one.frames.insert(one.frames.end(), bytes.begin(), bytes.end());
        }
      }
    return drawn;
  };
  const auto truth = draw(1, 0);
  REQUIRE(truth.size() == 12);
  CHECK((draw(2, 0) == truth));
  CHECK((draw(3, 0) == truth));
  CHECK((draw(6, 0) == truth));
  // From the middle of an epoch on.
  for (const auto& [key, drawn] : draw(2, 2)) CHECK((truth.at(key) == drawn));
  for (std::int64_t v = 0; v < 6; ++v) {
    const Drawn &first = truth.at({0, v}), &second = truth.at({1, v});
    CHECK_FALSE((first.clips == second.clips));
    CHECK_FALSE((first.clips[0] == first.clips[1]));
  }
}

TEST_CASE("the views' clips are anywhere, at the two ends or both in the middle, with their stride", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 3);
  LoaderConfig c = small_config();
  c.residual_view = GENERATE(false, true);
  c.clip = {4, GENERATE(1, 2, 3)};
  // Frames of the videos at the size of the clips.
  const auto frames_of = [&](std::int64_t video, std::vector<std::int64_t> numbers, bool residual) {
    std::vector<std::int64_t> wanted;
    for (const std::int64_t i : numbers) {
      wanted.push_back(residual ? std::min<std::int64_t>(i, 10) : i);
      if (residual) wanted.push_back(wanted.back() + 1);
    }
    return Video(d.videos[static_cast<std::size_t>(video)].source).frames(wanted, 10, 12).rgb;
  };
  const auto check_views = [&](const std::function<bool(int, std::int64_t)>& allowed) {
    for (const Batch& b : take(d, c, 8))
      for (std::size_t i = 0; i < 3; ++i)
        for (const int side : {0, 1}) {
          const BatchView& view = side == 0 ? b.view_a : b.view_b;
          const std::int64_t span = 3 * c.clip.stride + 1;
          std::int64_t start = -1;
          for (std::int64_t s = 0; s + span <= 12 && start < 0; ++s)
            if (std::ranges::equal(
                    frames_of(b.videos[i], {s, s + c.clip.stride, s + 2 * c.clip.stride, s + 3 * c.clip.stride},
                              view.residual),
                    view.frames[i].bytes().first(view.residual ? 2880 : 1440)))
              start = s;
          INFO("view " << side << " starts at " << start);
          CHECK(start >= 0);
          CHECK(allowed(side, start));
        }
  };
  const std::int64_t last = 11 - 3 * c.clip.stride;
  std::set<std::int64_t> starts;
  check_views([&](int, std::int64_t start) {
    starts.insert(start);
    return start <= last;
  });
  CHECK(starts.size() > 1);
  c.sampling = ClipSampling::uniform;
  check_views([&](int side, std::int64_t start) { return start == (side == 0 ? 0 : last); });
  c.sampling = ClipSampling::centre;
  check_views([&](int, std::int64_t start) { return start == last / 2; });
}

TEST_CASE("where a clip starts and how it is cropped are independent draws, in both views", "[loader]") {
  const TemporaryFolder folder;
  Dataset d{{"one"}, {}, 0, {}};
  // A frame's color tells its number.
  for (int v = 0; v < 6; ++v) {
    const std::string path = folder.file(std::to_string(v) + ".avi");
    VideoWriter writer(path, {.codec = "ffv1", .width = 16, .height = 16, .pixel_format = "bgr0"});
    for (int f = 0; f < 20; ++f)
      writer.write(std::vector<std::uint8_t>(16 * 16 * 3, static_cast<std::uint8_t>(10 * f)));
    writer.finish();
    d.videos.push_back({path, 0});
  }
  LoaderConfig c = small_config();
  c.batch = 6;
  c.clip = {1, 1};
  c.augment.size = 4;
  c.augment.resize_height = c.augment.resize_width = 16;
  std::array<std::vector<double>, 6> drawn;  // start, top and left of view a, and of view b
  for (const Batch& b : take(d, c, 60))
    for (std::size_t i = 0; i < b.videos.size(); ++i)
      for (const std::size_t side : {0U, 1U}) {
        const BatchView& view = side == 0 ? b.view_a : b.view_b;
        drawn[3 * side].push_back(std::round(view.frames[i].bytes()[0] / 10.0));
        drawn[3 * side + 1].push_back(view.augmentation[i].top);
        drawn[3 * side + 2].push_back(view.augmentation[i].left);
      }
  const auto n = static_cast<double>(drawn[0].size());
  std::array<double, 6> mean{}, deviation{};
  for (std::size_t k = 0; k < 6; ++k) {
    for (const double x : drawn[k]) mean[k] += x / n;
    for (const double x : drawn[k]) deviation[k] += (x - mean[k]) * (x - mean[k]) / n;
    deviation[k] = std::sqrt(deviation[k]);
    // Uniform on 20 starts and 13 places: four standard errors.
    const double wide = k % 3 == 0 ? 20 : 13;
    CHECK(std::abs(mean[k] - (wide - 1) / 2) <= 4 * std::sqrt((wide * wide - 1) / 12 / n));
    CHECK(std::abs(deviation[k] - std::sqrt((wide * wide - 1) / 12)) <= 0.1 * wide);
  }
  for (std::size_t k = 0; k < 6; ++k)
    for (std::size_t l = 0; l < k; ++l) {
      double product = 0;
      for (std::size_t i = 0; i < drawn[k].size(); ++i)
        product += (drawn[k][i] - mean[k]) * (drawn[l][i] - mean[l]) / n;
      INFO("draws " << k << " and " << l);
      CHECK(std::abs(product / (deviation[k] * deviation[l])) <= 4 / std::sqrt(n));
    }
}

TEST_CASE("the residual view is the difference of frames that follow each other", "[loader]") {
  const TemporaryFolder folder;
  Dataset d{{"one"}, {}, 0, {}};
  // Constant frames that grow brighter by one step each: every residual is that step.
  {
    VideoWriter writer(folder.file("a.avi"), {.codec = "ffv1", .width = 32, .height = 32, .pixel_format = "bgr0"});
    for (int f = 0; f < 12; ++f)
      writer.write(std::vector<std::uint8_t>(32 * 32 * 3, static_cast<std::uint8_t>(10 * f)));
    writer.finish();
  }
  d.videos.push_back({folder.file("a.avi"), 0});
  LoaderConfig c = small_config();
  c.batch = 1;
  c.residual_view = true;
  c.augment.jitter = c.augment.grayscale = c.augment.blur = 0;
  for (const Batch& b : take(d, c, 10)) {
    const std::vector<float> clips = clips_of(b, c);
    for (std::size_t i = clips.size() / 2; i < clips.size(); ++i)
      REQUIRE(std::abs(clips[i] - 10.0F / 255.0F / c.augment.std[i % 3]) < 1e-5F);
  }
}

TEST_CASE("videos that cannot be used are replaced, alike for any number of threads and after a resume", "[loader]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 10);
  test::write_file(d.videos[2].source.path, "not a video");
  std::filesystem::remove(d.videos[4].source.path);
  test::encode(d.videos[7].source.path, {.codec = "mpeg4", .width = 32, .height = 32}, 3);
  LoaderConfig c = small_config();
  c.batch = 4;
  c.max_bad_percent = 30;
  c.threads = 1;
  const std::vector<Batch> truth = take(d, c, 6);
  for (const Batch& b : truth) {
    CHECK(std::set<std::int64_t>(b.videos.begin(), b.videos.end()).size() == 4);
    for (const std::int64_t bad : {2, 4, 7}) CHECK(std::ranges::find(b.videos, bad) == b.videos.end());
    CHECK(b.view_a.frames.size() == 4);
  }
  c.threads = 3;
  const std::vector<Batch> again = take(d, c, 6);
  for (std::size_t i = 0; i < 6; ++i) check_same(again[i], truth[i]);
  // A run that is resumed does not know which videos are bad, and needs replacements for some of them again.
  int replaced_again = 0;
  for (int first = 1; first < 6; ++first) {
    INFO("resumed at " << first);
    c.first_iteration = first;
    const std::vector<Batch> rest = take(d, c, 6 - first);
    for (std::size_t i = 0; i < rest.size(); ++i) check_same(rest[i], truth[i + static_cast<std::size_t>(first)]);
    for (const std::int64_t video : batch_videos(10, 4, c.seed, first))
      replaced_again += video == 2 || video == 4 || video == 7 ? 1 : 0;
  }
  CHECK(replaced_again >= 3);

  c.first_iteration = 0;
  Loader loader(d, c, cpu());
  for (int i = 0; i < 6; ++i) loader.next();
  const LoaderStats stats = loader.stats();
  CHECK(stats.batches == 6);
  CHECK(stats.replaced >= 3);
  REQUIRE(stats.bad.size() == 3);
  CHECK(stats.bad[0].first == 2);
  CHECK(stats.bad[2].second == "[video] " + d.videos[7].source.path + " has 3 frames, a clip needs 4");
}

TEST_CASE("too many unusable videos stop the loader with their list", "[loader]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 10);
  for (const std::size_t i : {1U, 6U}) test::write_file(d.videos[i].source.path, "");
  LoaderConfig c = small_config();
  c.max_bad_percent = 10;
  Loader loader(d, c, cpu());
  std::string message = "no error";
  for (int i = 0; i < 8 && message == "no error"; ++i) {
    try {
      loader.next();
    } catch (const DataError& e) {
      message = e.what();
    }
  }
  INFO(message);
  CHECK(message.find("2 of 10 videos") != std::string::npos);
  CHECK(message.find(d.videos[1].source.path) != std::string::npos);
  CHECK(message.find(d.videos[6].source.path) != std::string::npos);
  CHECK_THROWS_AS(loader.next(), DataError);
}

TEST_CASE("the list of unusable videos is cut in the message, and whole in the loader", "[loader]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 12);
  for (VideoEntry& entry : d.videos) test::write_file(entry.source.path, "");
  LoaderConfig c = small_config();
  c.max_bad_percent = 62.5;
  Loader loader(d, c, cpu());
  CHECK_THROWS_WITH(loader.next(),
                    Catch::Matchers::ContainsSubstring("8 of 12 videos cannot be used, more than 62.5%") &&
                        Catch::Matchers::ContainsSubstring("; and 3 more"));
  CHECK(loader.stats().bad.size() == 8);
  c.max_bad_percent = NAN;
  CHECK_THROWS_AS(Loader(d, c, cpu()), UsageError);
}

TEST_CASE("a batch says how full the ring was, and what it cost", "[loader]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 6);
  LoaderConfig c = small_config();
  c.ring = 2;
  c.max_bad_percent = 50;
  test::write_file(d.videos[2].source.path, "");
  Loader loader(d, c, cpu());
  for (int i = 0; i < 5; ++i) {
    // A consumer that is slower than the loader finds the ring full, and it stays bounded.
    while (i > 0 && loader.stats().ready < 2) std::this_thread::yield();
    const Batch batch = loader.next();
    CHECK(batch.ready >= (i > 0 ? 2 : 0));
    CHECK(batch.ready <= 2);
    CHECK(batch.decode_ms > 0);
    CHECK(batch.bad_videos == (i > 0 ? 1 : std::ssize(loader.stats().bad)));
  }
  CHECK(loader.buffers() <= static_cast<std::size_t>(2 * (2 * 3 + c.threads + 3)));
}

TEST_CASE("without a video left to replace one the loader says so", "[loader]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 3);
  test::write_file(d.videos[1].source.path, "");
  LoaderConfig c = small_config();
  c.max_bad_percent = 100;
  Loader loader(d, c, cpu());
  CHECK_THROWS_WITH(loader.next(), Catch::Matchers::ContainsSubstring("no video is left"));
}

TEST_CASE("a loader refuses what makes no sense, and may be destroyed at any time", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 3);
  LoaderConfig c = small_config();
  { const Loader unused(d, c, cpu()); }
  c.batch = 4;
  CHECK_THROWS_WITH(Loader(d, c, cpu()), "[loader] the data set has 3 videos, a batch needs 4");
  c = small_config();
  c.threads = 0;
  CHECK_THROWS_AS(Loader(d, c, cpu()), UsageError);
  c = small_config();
  c.batch = 0;
  CHECK_THROWS_AS(Loader(d, c, cpu()), UsageError);
  c = small_config();
  c.augment.size = 50;
  CHECK_THROWS_AS(Loader(d, c, cpu()), UsageError);
}

TEST_CASE("ordered work comes in order, bounded, with its exceptions in their place", "[loader]") {
  std::atomic<std::int64_t> delivered{0}, furthest{0};
  Ordered<std::int64_t> work(3, 5, 100, [&](std::int64_t i) {
    std::int64_t seen = furthest;
    const std::int64_t lead = i - delivered;
    while (lead > seen && !furthest.compare_exchange_weak(seen, lead)) continue;
    if (i == 40) throw std::runtime_error("forty");
    return i * i;
  });
  for (std::int64_t i = 0; i < 100; ++i) {
    if (i == 40)
      CHECK_THROWS_WITH(work.next(), "forty");
    else
      REQUIRE(work.next().value() == i * i);
    delivered = i + 1;
  }
  CHECK_FALSE(work.next().has_value());
  CHECK(furthest <= 5);
}

TEST_CASE("more threads than the system has are refused, and those that it had end", "[loader][slow]") {
  // Their stacks find no room. Root is not held by the limit on threads itself. Slow, since a sanitizer's own memory
  // would find none, either.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit lowered{static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + (rlim_t{128} << 20), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_AS, &lowered) == 0);
  std::string message;
  try {
    const Ordered<int> work(1000, 1, -1, [](std::int64_t) { return 0; });
  } catch (const DeviceError& error) {
    message = error.what();
  }
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(message.starts_with("[threads] expected 1000 of them, the system allows "));
}

TEST_CASE("who waits for ordered work may look elsewhere, and stop", "[loader]") {
  std::atomic<bool> go{false};
  int looks = 0;
  Ordered<int> work(1, 1, 2, [&](std::int64_t i) {
    while (!go) std::this_thread::yield();
    return static_cast<int>(i);
  });
  CHECK_THROWS_WITH(work.next([] { throw std::runtime_error("stop"); }), "stop");
  CHECK(work.next([&] { go = ++looks == 2; }).value() == 0);
  CHECK(looks >= 2);
  CHECK(work.next().value() == 1);
}

TEST_CASE("a thread that is stuck in a system call is got out of it by who waits for it", "[loader]") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  std::atomic<int> interrupted{0};
  // FFmpeg reads again, too, until its deadline is over.
  const auto stuck = [&](std::int64_t) {
    char byte = 0;
    for (int i = 0; i < 2; ++i)
      if (read(ends[0], &byte, 1) < 0 && errno == EINTR) ++interrupted;
    return true;
  };
  {
    Ordered<bool> work(2, 4, -1, stuck, 1e-3);
    CHECK(work.next().value());
    CHECK(interrupted >= 2);
  }  // and here for those under way
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("uniform clips are those of each video by itself, for any number of threads", "[clips]") {
  const TemporaryFolder folder;
  Dataset d = make_videos(folder, 5);
  const LoaderConfig c = small_config();
  for (const int threads : {1, 3}) {
    UniformClips reader(d, c.clip, c.augment, 2, threads);
    for (const VideoEntry& entry : d.videos) {
      const Frames clips = reader.next();
      CHECK(clips.count == 2 * 4);
      CHECK(clips.height == 10);
      CHECK(clips.width == 12);
      CHECK(clips.rgb == load_uniform_clips(entry, c.clip, c.augment, 2).rgb);
    }
    CHECK(reader.next().count == 0);
  }
  Video video(d.videos[3].source.path);
  const Frames second = video.frames(uniform_clip(12, c.clip, 1, 2), 10, 12);
  const Frames both = load_uniform_clips(d.videos[3], c.clip, c.augment, 2);
  CHECK(std::equal(second.rgb.begin(), second.rgb.end(), both.rgb.end() - std::ssize(second.rgb)));

  test::write_file(d.videos[1].source.path, "");
  UniformClips reader(d, c.clip, c.augment, 2, 2);
  CHECK(reader.next().count > 0);
  CHECK_THROWS_AS(reader.next(), DataError);
  CHECK(reader.next().count > 0);
}

TEST_CASE("a batch's clips are the same bits on every device, and a part of them is that part", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 7);
  LoaderConfig c = small_config();
  c.residual_view = GENERATE(false, true);
  std::vector<std::vector<float>> expected;
  for (const Batch& b : take(d, c, 5)) expected.push_back(clips_of(b, c, open_device("ref")));
  for (const char* name : {"cpu", "simt"}) {
    INFO(name);
    Backend& backend = open_device(name);
    Loader loader(d, c, backend);
    for (const std::vector<float>& clips : expected) {
      const Batch batch = loader.next();
      CHECK((clips_of(batch, c, backend) == clips));
    }
  }
  const Batch batch = std::move(take(d, c, 1)[0]);
  const std::vector<double> part = augmented_clips(batch, 1, 3, c, cpu(), DType::f32).to_doubles();
  const std::size_t clip = expected[0].size() / 6;
  REQUIRE(part.size() == 4 * clip);
  CHECK(std::equal(part.begin(), part.begin() + std::ssize(part) / 2, expected[0].begin() + std::ptrdiff_t(clip)));
  CHECK(std::equal(part.begin() + std::ssize(part) / 2, part.end(), expected[0].begin() + std::ptrdiff_t(4 * clip)));
}

TEST_CASE("the host buffers of a loader are as many as its ring and the batches that are held", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 7);
  LoaderConfig c = small_config();
  c.ring = 2;
  Loader loader(d, c, cpu());
  for (int i = 0; i < 12; ++i) loader.next();
  // Two views of: the ring's videos, one under way in each thread, the batch that was just held.
  CHECK(loader.buffers() <= static_cast<std::size_t>(2 * (c.ring * c.batch + c.threads + c.batch)));
  CHECK(loader.buffers() >= static_cast<std::size_t>(2 * c.batch));
}

TEST_CASE("a batch outlives its loader", "[loader]") {
  const TemporaryFolder folder;
  const Dataset d = make_videos(folder, 4);
  const LoaderConfig c = small_config();
  const Batch batch = Loader(d, c, cpu()).next();
  CHECK((clips_of(batch, c) == clips_of(take(d, c, 1)[0], c)));
}

}  // namespace
}  // namespace mcn
