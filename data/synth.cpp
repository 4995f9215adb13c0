// The synthetic data set's classes, and its writing.
#include "data/synth.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "data/encoder.h"
#include "data/ordered.h"
#include "engine/random.h"
#include "kernels/error.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

// What a random stream is for; part of its number.
enum Purpose : std::uint8_t { kinds_of_video = 11, look_of_video };

/// How many kinds of motion, shape and pattern there are among so many classes: 2, 4 or 8.
int kinds_count(int classes) { return classes <= 4 ? 2 : classes <= 16 ? 4 : 8; }

/// The product in the field of 2, 4 or 8 elements (x^2 + x + 1, x^3 + x + 1), as its elements' bits.
int field_product(int a, int b, int field) {
  const int modulus = field == 8 ? 0b1011 : field == 4 ? 0b111 : 0b11;
  int result = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) result ^= a;
    a <<= 1;
    if ((a & field) != 0) a ^= modulus;
  }
  return result;
}

std::string encoder_of(int number) { return number % 2 == 0 && has_encoder("libx264") ? "libx264" : "mpeg4"; }
std::string extension_of(int number) { return number % 2 == 0 ? ".mp4" : ".avi"; }

std::string video_name(const std::string& class_of_it, int subset, int number, int classes) {
  // Groups as in UCF101, where those of the test list are apart from those of the training list.
  const int place = number / classes;
  return fmt::format("v_{}_g{:02}_c{:02}{}", class_of_it, place / 25 + (subset == 0 ? 1 : 51), place % 25 + 1,
                     extension_of(number));
}

void check_config(const SynthConfig& c) {
  if (c.out.empty()) fail("synth", "the output folder has no name");
  if (c.classes < 2 || c.classes > 64) fail("synth", "expected 2 to 64 classes, got {}", c.classes);
  if (c.train < 1 || c.test < 1) fail("synth", "expected at least 1 video a list, got {} and {}", c.train, c.test);
  if (c.frames < 1) fail("synth", "expected at least 1 frame a video, got {}", c.frames);
  if (c.height < 16 || c.width < 16 || c.height > 4096 || c.width > 4096 || c.height % 2 != 0 || c.width % 2 != 0)
    fail("synth", "expected an even size from 16 to 4096, got {} x {}", c.height, c.width);
  if (c.fps < 1 || c.fps > 1000) fail("synth", "expected 1 to 1000 frames a second, got {}", c.fps);
  if (!(c.correlation >= 0 && c.correlation <= 1))
    fail("synth", "expected a correlation in [0, 1], got {}", c.correlation);
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
    std::error_code error;
    if (!kept_) fs::remove_all(path_, error);
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

void write_video(const SynthConfig& config, const fs::path& path, int subset, int number) {
  const Frames frames = render_scene(video_kinds(config, subset, number), config.frames, config.height, config.width,
                                     config.seed, hash_stream(look_of_video, subset, number));
  const std::string codec = encoder_of(number);
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

SceneKinds class_kinds(int label, int classes) {
  // An orthogonal array of strength 2: rows (a, a + b, a + w b) over a finite field agree in at most one place.
  const int field = kinds_count(classes);
  const int a = label % field, b = label / field;
  return {a, a ^ b, field == 2 ? b : a ^ field_product(2, b, field)};
}

SceneKinds video_kinds(const SynthConfig& config, int subset, int number) {
  SceneKinds kinds = class_kinds(number % config.classes, config.classes);
  Philox random(config.seed, hash_stream(kinds_of_video, subset, number));
  const int field = kinds_count(config.classes);
  for (int* kind : {&kinds.shape, &kinds.pattern}) {
    const bool follows = random.chance(config.correlation);
    const auto any = static_cast<int>(random.below(field));
    if (!follows) *kind = any;
  }
  return kinds;
}

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
    names.push_back(class_name(class_kinds(label, config.classes)));
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
    const std::string& name = names[static_cast<std::size_t>(number % config.classes)];
    return name + "/" + video_name(name, subset, number, config.classes);
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
