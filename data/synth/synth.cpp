// The synthetic data set's classes, and its writing.
#include "data/synth/synth.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <new>

#include "data/encoder.h"
#include "data/ordered.h"
#include "data/synth/actions.h"
#include "data/synth/render.h"
#include "data/synth/shapes.h"
#include "engine/random.h"
#include "kernels/error.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

// What a random stream is for; part of its number.
enum Purpose : std::uint8_t { kinds_of_video = 11, look_of_video };

// Where a video of a subset stands: its class, and its number among those of the class.
struct Place {
  int label = 0, number = 0;
};
Place place_of(const SynthConfig& config, int number) { return {number % config.classes, number / config.classes}; }

// Containers take turns within a class, so that none tells the class.
std::string encoder_of(const Place& place) {
  return place.number % 2 == 0 && has_encoder("libx264") ? "libx264" : "mpeg4";
}

/// A group's number in names, from 1. Groups as in UCF101, where those of the test list are apart from those of the
/// training list.
int group_number(const SynthConfig& config, int subset, int group) {
  const int longest = (config.train + config.classes - 1) / config.classes;
  const int training_groups = (longest + videos_per_group - 1) / videos_per_group;
  return group + 1 + (subset == 0 ? 0 : training_groups);
}

std::string class_of(const SynthConfig& config, int label) {
  return config.scene == SceneType::actions ? std::string(action_name(label))
                                            : class_name(class_kinds(label, config.classes));
}

std::string video_name(const SynthConfig& config, int subset, const Place& place) {
  return fmt::format("v_{}_g{:02}_c{:02}{}", class_of(config, place.label),
                     group_number(config, subset, place.number / videos_per_group), place.number % videos_per_group + 1,
                     place.number % 2 == 0 ? ".mp4" : ".avi");
}

void check_config(const SynthConfig& c) {
  if (c.out.empty()) fail("synth", "the output folder has no name");
  const int most = c.scene == SceneType::actions ? action_count : 64;
  if (c.classes < 2 || c.classes > most) fail("synth", "expected 2 to {} classes, got {}", most, c.classes);
  if (c.train < 1 || c.test < 1) fail("synth", "expected at least 1 video a list, got {} and {}", c.train, c.test);
  if (c.frames < 1) fail("synth", "expected at least 1 frame a video, got {}", c.frames);
  if (c.height < 16 || c.width < 16 || c.height > 4096 || c.width > 4096 || c.height % 2 != 0 || c.width % 2 != 0)
    fail("synth", "expected an even size from 16 to 4096, got {} x {}", c.height, c.width);
  if (c.fps < 1 || c.fps > 1000) fail("synth", "expected 1 to 1000 frames a second, got {}", c.fps);
  if (!(c.correlation >= 0 && c.correlation <= 1))
    fail("synth", "expected a correlation in [0, 1], got {}", c.correlation);
  if (c.scene == SceneType::actions && c.correlation != 1)
    fail("synth", "expected a correlation of 1 with actions, got {}: it is of the scene shapes", c.correlation);
  if (c.threads < 1) fail("synth", "threads must be positive, got {}", c.threads);
}

/// A folder that disappears again unless it is kept.
class PendingFolder {
 public:
  explicit PendingFolder(const fs::path& final) : final_(final) {
    std::error_code error;
    if (fs::exists(final_, error)) {
      if (!fs::is_directory(final_, error)) fail("synth", "{}: exists and is not a folder", final_.string());
      if (!fs::is_empty(final_, error) || error) fail("synth", "{}: the folder is not empty", final_.string());
      if (access(final_.c_str(), W_OK) != 0) fail<DataError>("synth", "{}: cannot be written to", final_.string());
    }
    if (final_.has_parent_path()) fs::create_directories(final_.parent_path(), error);
    // A killed process that had this one's id may have left its folder behind: the next number is tried then.
    for (int number = 0; !error; ++number) {
      path_ = fmt::format("{}.partial-{}-{}", final_.string(), getpid(), number);
      if (fs::create_directory(path_, error)) break;
    }
    if (error) fail<DataError>("synth", "{}: cannot be made ({})", final_.string(), error.message());
  }
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;
  ~PendingFolder() {
    if (kept_) return;
    try {
      std::error_code error;
      fs::remove_all(path_, error);
    } catch (const std::bad_alloc&) {  // its name tells what it is
    }
  }
  [[nodiscard]] const fs::path& path() const { return path_; }
  void keep() {
    std::error_code error;
    fs::rename(path_, final_, error);  // takes the place of an empty folder
    if (error) fail<DataError>("synth", "{}: cannot be made ({})", final_.string(), error.message());
    kept_ = true;
  }

 private:
  fs::path final_, path_;
  bool kept_ = false;
};

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fail<DataError>("synth", "{}: cannot be written", path.string());
}

Frames render_video(const SynthConfig& c, int subset, int number) {
  const Place place = place_of(c, number);
  if (c.scene == SceneType::actions)
    return render_action(place.label, look_of(c.seed, subset, place.number / videos_per_group),
                         take_of(c.seed, subset, place.number), c.frames, c.height, c.width, c.fps);
  const SceneKinds kinds =
      video_kinds(place.label, c.classes, c.correlation, c.seed, hash_stream(kinds_of_video, subset, number));
  return render_scene(kinds, c.frames, c.height, c.width, c.seed, hash_stream(look_of_video, subset, number));
}

void write_video(const SynthConfig& config, const fs::path& path, int subset, int number) {
  const Frames frames = render_video(config, subset, number);
  const std::string codec = encoder_of(place_of(config, number));
  VideoWriter writer(path.string(), {.codec = codec,
                                     .width = config.width,
                                     .height = config.height,
                                     .fps = config.fps,
                                     .gop = 12,
                                     .b_frames = 2,
                                     .quality = codec == "mpeg4" ? 3 : 20});
  for (std::int64_t f = 0; f < frames.count; ++f) writer.write(frames.frame(f));
  writer.finish();
}

}  // namespace

void write_synthetic_dataset(const SynthConfig& config,
                             const std::function<void(std::int64_t, std::int64_t)>& progress) {
  check_config(config);
  fs::path out = fs::path(config.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  PendingFolder folder(out);

  std::string class_list;
  std::vector<std::string> names;
  std::error_code error;
  for (int label = 0; label < config.classes; ++label) {
    names.push_back(class_of(config, label));
    class_list += fmt::format("{} {}\n", label + 1, names.back());
    fs::create_directory(folder.path() / names.back(), error);
    if (error)
      fail<DataError>("synth", "{}: cannot be made ({})", (folder.path() / names.back()).string(), error.message());
  }
  const fs::path splits = folder.path() / "ucfTrainTestlist";
  fs::create_directory(splits, error);
  write_text(splits / "classInd.txt", class_list);

  const std::array counts{config.train, config.test};
  const auto relative = [&](int subset, int number) {
    const Place place = place_of(config, number);
    return names[static_cast<std::size_t>(place.label)] + "/" + video_name(config, subset, place);
  };
  for (const int subset : {0, 1}) {
    std::string list;
    for (int i = 0; i < counts[static_cast<std::size_t>(subset)]; ++i)
      list += relative(subset, i) + (subset == 0 ? fmt::format(" {}\n", i % config.classes + 1) : "\n");
    write_text(splits / (subset == 0 ? "trainlist01.txt" : "testlist01.txt"), list);
  }

  const std::int64_t total = std::int64_t{config.train} + config.test;
  {
    Ordered<bool> videos(config.threads, 16 * config.threads, total, [&](std::int64_t i) {
      const int subset = i < config.train ? 0 : 1;
      const auto number = static_cast<int>(subset == 0 ? i : i - config.train);
      write_video(config, folder.path() / relative(subset, number), subset, number);
      return true;
    });
    for (std::int64_t done = 1; videos.next(); ++done)
      if (progress) progress(done, total);
  }
  folder.keep();
}

}  // namespace mcn
