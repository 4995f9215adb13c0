// The synthetic data set: layout, determinism, bundles of kinds, and nothing half-written.
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "data/dataset.h"
#include "data/synth/actions.h"
#include "data/synth/shapes.h"
#include "data/synth/synth.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/data/videos.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

SynthConfig small_config(const std::string& out) {
  SynthConfig c;
  c.out = out;
  c.classes = 5;
  c.train = 12;
  c.test = 7;
  c.frames = 6;
  c.height = 32;
  c.width = 44;
  c.seed = 3;
  return c;
}

TEST_CASE("a synthetic data set is UCF101's layout of real files", "[synth]") {
  const TemporaryFolder folder;
  std::int64_t calls = 0;
  SynthConfig config = small_config(folder.file("set"));
  config.scene = GENERATE(SceneType::actions, SceneType::shapes);
  write_synthetic_dataset(config, [&](std::int64_t done, std::int64_t total) {
    CHECK(done == ++calls);
    CHECK(total == 19);
  });
  CHECK(calls == 19);
  CHECK(folder.count() == 1);
  const Dataset train = load_ucf101(folder.file("set"), 1, Subset::train);
  const Dataset test_set = load_ucf101(folder.file("set"), 1, Subset::test);
  CHECK(train.classes.size() == 5);
  CHECK(train.videos.size() == 12);
  CHECK(test_set.videos.size() == 7);
  std::set<std::string> containers, paths;
  for (const Dataset* d : {&train, &test_set})
    for (const VideoEntry& entry : d->videos) {
      const Video video(entry.source.path);
      CHECK(video.info().frames == 6);
      CHECK(video.info().height == 32);
      CHECK(video.info().width == 44);
      CHECK(entry.source.path.find(train.classes[static_cast<std::size_t>(entry.label)]) != std::string::npos);
      containers.insert(fs::path(entry.source.path).extension());
      paths.insert(entry.source.path);
      if (fs::path(entry.source.path).extension() == ".avi") CHECK(video.info().b_frames);
    }
  CHECK(containers == std::set<std::string>{".avi", ".mp4"});
  CHECK(paths.size() == 19);
}

TEST_CASE("the same seed writes the same bytes with any number of threads, another seed others", "[synth]") {
  const TemporaryFolder folder;
  SynthConfig c = small_config(folder.file("a"));
  c.scene = GENERATE(SceneType::actions, SceneType::shapes);
  c.threads = 1;
  write_synthetic_dataset(c);
  c.out = folder.file("b");
  c.threads = 3;
  write_synthetic_dataset(c);
  c.out = folder.file("c");
  c.seed = 4;
  write_synthetic_dataset(c);
  int files = 0, changed = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder.file("a"))) {
    if (!entry.is_regular_file()) continue;
    const fs::path name = fs::relative(entry.path(), folder.file("a"));
    INFO(name.string());
    const std::string bytes = test::read_file(entry.path());
    CHECK(!bytes.empty());
    CHECK(bytes == test::read_file(fs::path(folder.file("b")) / name));
    changed += bytes != test::read_file(fs::path(folder.file("c")) / name) ? 1 : 0;
    ++files;
  }
  CHECK(files == 19 + 3);
  CHECK(changed == 19);
}

/// "g02_c03" of ".../v_Walk_g02_c03.mp4".
std::string group_and_clip(const std::string& path) {
  return fs::path(path).stem().string().substr(fs::path(path).stem().string().find("_g") + 1);
}

TEST_CASE("the classes of a data set of actions share every look, training and test none", "[synth]") {
  const TemporaryFolder folder;
  SynthConfig c = small_config(folder.file("set"));
  c.classes = 3;
  c.train = 18;
  c.test = 15;
  write_synthetic_dataset(c);
  const Dataset train = load_ucf101(c.out, 1, Subset::train), test_set = load_ucf101(c.out, 1, Subset::test);
  CHECK(train.classes == std::vector<std::string>{"Walk", "Jump", "Wave"});
  // Groups of four: 6 videos a class are groups 1 and 2, the 5 test videos 3 and 4; containers take turns.
  const std::set<std::string> training{"g01_c01", "g01_c02", "g01_c03", "g01_c04", "g02_c01", "g02_c02"};
  const std::set<std::string> testing{"g03_c01", "g03_c02", "g03_c03", "g03_c04", "g04_c01"};
  std::map<std::string, std::map<std::int64_t, std::string>> videos;
  for (int label = 0; label < 3; ++label) {
    std::set<std::string> found_training, found_testing;
    for (const auto& [set, found] : {std::pair{&train, &found_training}, std::pair{&test_set, &found_testing}})
      for (const VideoEntry& entry : set->videos)
        if (entry.label == label) {
          found->insert(group_and_clip(entry.source.path));
          videos[group_and_clip(entry.source.path)][label] = entry.source.path;
        }
    CHECK(found_training == training);
    CHECK(found_testing == testing);
  }
  // The upper corners show the background: as good as the same for all classes, with another look quite different.
  const auto corners = [](const std::string& path) {
    const Frames frames = Video(path).frames(std::array<std::int64_t, 1>{0});
    std::vector<double> means;
    for (const int left : {0, 38})
      for (std::size_t channel = 0; channel < 3; ++channel) {
        double sum = 0;
        for (int y = 0; y < 6; ++y)
          for (int x = left; x < left + 6; ++x)
            sum += frames.frame(0)[static_cast<std::size_t>(y * 44 + x) * 3 + channel];
        means.push_back(sum / 36);
      }
    return means;
  };
  const auto apart = [](const std::vector<double>& a, const std::vector<double>& b) {
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
    return most;
  };
  for (auto& [name, by_class] : videos) {
    INFO(name);
    const std::string extension = fs::path(by_class[0]).extension();
    for (const int label : {1, 2}) {
      CHECK(fs::path(by_class[label]).extension() == extension);
      CHECK(apart(corners(by_class[0]), corners(by_class[label])) < 6);
    }
  }
  std::vector<std::vector<double>> looks;
  for (const char* name : {"g01_c01", "g02_c01", "g03_c01", "g04_c01"}) {
    looks.push_back(corners(videos[name][0]));
    for (std::size_t i = 0; i + 1 < looks.size(); ++i) CHECK(apart(looks[i], looks.back()) > 20);
  }
}

TEST_CASE("training and test videos keep apart however many there are", "[synth]") {
  const TemporaryFolder folder;
  SynthConfig c = small_config(folder.file("set"));
  c.classes = 2;
  c.train = 500;  // 250 a class, in 63 groups
  c.test = 6;
  c.frames = 1;
  c.height = c.width = 16;
  write_synthetic_dataset(c);
  std::set<std::string> paths;
  for (const Subset subset : {Subset::train, Subset::test})
    for (const VideoEntry& entry : load_ucf101(c.out, 1, subset).videos) paths.insert(entry.source.path);
  CHECK(paths.size() == 506);
  CHECK(paths.count(c.out + "/Walk/v_Walk_g63_c02.avi") == 1);
  CHECK(paths.count(c.out + "/Walk/v_Walk_g64_c01.mp4") == 1);
}

TEST_CASE("no kind tells the class, and two classes share at most one", "[synth]") {
  for (const int classes : {2, 3, 4, 5, 12, 16, 17, 64}) {
    INFO(classes << " classes");
    std::set<std::string> names;
    std::vector<SceneKinds> bundles;
    for (int label = 0; label < classes; ++label) {
      const SceneKinds k = class_kinds(label, classes);
      for (const SceneKinds& other : bundles)
        REQUIRE((k.motion == other.motion) + (k.shape == other.shape) + (k.pattern == other.pattern) <= 1);
      bundles.push_back(k);
      names.insert(class_name(k));
    }
    CHECK(names.size() == static_cast<std::size_t>(classes));
    if (classes != 12) continue;
    for (const auto kind : {&SceneKinds::motion, &SceneKinds::shape, &SceneKinds::pattern})
      for (int value = 0; value < 4; ++value)
        CHECK(std::count_if(bundles.begin(), bundles.end(), [&](const SceneKinds& k) { return k.*kind == value; }) ==
              3);
  }
}

TEST_CASE("correlation is how often shape and pattern are the class's, and motion always is", "[synth]") {
  constexpr int classes = 12;
  // With four kinds a random draw hits the class's own in a quarter of the cases.
  for (const auto& [correlation, expected] : {std::pair{1.0, 1.0}, std::pair{0.6, 0.7}, std::pair{0.0, 0.25}}) {
    int shapes = 0, patterns = 0, both = 0;
    constexpr int count = 4000;
    for (int i = 0; i < count; ++i) {
      const SceneKinds k = video_kinds(i % classes, classes, correlation, 0, hash_stream(1, i));
      const SceneKinds bundle = class_kinds(i % classes, classes);
      REQUIRE(k.motion == bundle.motion);
      shapes += k.shape == bundle.shape ? 1 : 0;
      patterns += k.pattern == bundle.pattern ? 1 : 0;
      both += k.shape == bundle.shape && k.pattern == bundle.pattern ? 1 : 0;
    }
    CHECK(shapes / double{count} == Catch::Approx(expected).margin(0.03));
    CHECK(patterns / double{count} == Catch::Approx(expected).margin(0.03));
    CHECK(both / double{count} == Catch::Approx(expected * expected).margin(0.03));  // drawn apart
  }
}

TEST_CASE("every kind is drawn, moves, and is told from the others", "[synth]") {
  const auto scene = [](SceneKinds k) { return render_scene(k, 10, 48, 64, 1, 2); };
  for (const auto kind : {&SceneKinds::motion, &SceneKinds::shape, &SceneKinds::pattern}) {
    std::set<std::string> looks;
    for (int value = 0; value < 8; ++value) {
      SceneKinds k{4, 1, 0};
      k.*kind = value;
      const Frames frames = scene(k);
      looks.emplace(frames.rgb.begin(), frames.rgb.end());
      INFO(class_name(k));
      std::set<std::string> different;
      for (int f = 0; f < 10; ++f) {
        const auto one = frames.frame(f);
        different.emplace(one.begin(), one.end());
      }
      CHECK(different.size() >= 2);
    }
    CHECK(looks.size() == 8);
  }
  CHECK(scene({0, 0, 0}).rgb == scene({0, 0, 0}).rgb);
}

TEST_CASE("a folder that cannot be written or is not empty stays as it is", "[synth]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("full"));
  test::write_file(folder.file("full/mine.txt"), "mine");
  CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("full"))), UsageError);
  CHECK(test::read_file(folder.file("full/mine.txt")) == "mine");
  CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("full/mine.txt"))), UsageError);
  CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("full/mine.txt/below"))), DataError);
  // An empty folder is as good as none; a stop half-way leaves nothing.
  fs::create_directory(folder.file("empty"));
  struct Stop {};
  const auto stop = [](std::int64_t done, std::int64_t) {
    if (done == 5) throw Stop{};
  };
  CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("empty")), stop), Stop);
  CHECK(fs::is_empty(folder.file("empty")));
  CHECK(folder.count() == 2);
  write_synthetic_dataset(small_config(folder.file("empty") + "/"));
  CHECK(load_ucf101(folder.file("empty"), 1, Subset::train).videos.size() == 12);
  if (geteuid() != 0) {  // root may write anywhere
    fs::create_directory(folder.file("locked"));
    fs::permissions(folder.file("locked"), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("locked/set"))), DataError);
    CHECK_THROWS_AS(write_synthetic_dataset(small_config(folder.file("locked"))), DataError);
    fs::permissions(folder.file("locked"), fs::perms::owner_all);
  }
}

TEST_CASE("a synthetic data set refuses what makes no sense", "[synth]") {
  const TemporaryFolder folder;
  const auto refuses = [&](auto change) {
    SynthConfig c = small_config(folder.file("set"));
    change(c);
    CHECK_THROWS_AS(write_synthetic_dataset(c), UsageError);
  };
  refuses([](SynthConfig& c) { c.out = ""; });
  refuses([](SynthConfig& c) { c.classes = 1; });
  refuses([](SynthConfig& c) { c.classes = 13; });
  refuses([](SynthConfig& c) {
    c.scene = SceneType::shapes;
    c.classes = 65;
  });
  refuses([](SynthConfig& c) { c.correlation = 0.5; });  // of the shapes alone
  refuses([](SynthConfig& c) { c.train = 0; });
  refuses([](SynthConfig& c) { c.width = 45; });
  refuses([](SynthConfig& c) { c.frames = 0; });
  refuses([](SynthConfig& c) {
    c.scene = SceneType::shapes;
    c.correlation = 1.5;
  });
  refuses([](SynthConfig& c) { c.threads = 0; });
  CHECK(folder.count() == 0);
}

}  // namespace
}  // namespace mcn
