// Checkpoints that are damaged, made up, or of another run: what is refused, by what words, and what is used instead.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

#include "engine/device.h"
#include "engine/random.h"
#include "meta/train/settings.h"
#include "meta/trainer.h"
#include "tests/catch.h"
#include "tests/descriptor_limit.h"
#include "tests/meta/small_training.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;
using test::small_config;
using test::values;
using test::videos;

std::string bytes_of(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// A checkpoint after two iterations, and what is said of it when it was changed, with sound checksums.
struct SavedRun {
  explicit SavedRun(TrainConfig c) : config(std::move(c)) {
    Trainer trainer(config, videos(), open_device("cpu"));
    for (int i = 0; i < 2; ++i) trainer.step();
    trainer.save(path);
    file = read_safetensors(path);
  }
  [[nodiscard]] std::string error(const std::function<void(SafetensorsFile&)>& change) const {
    SafetensorsFile changed = file;
    change(changed);
    const std::string other = folder.file("changed.safetensors");
    write_safetensors(other, changed);
    try {
      const Trainer resumed(config, videos(), open_device("cpu"), other);
    } catch (const Error& e) {
      const std::string text = e.what();
      CHECK(text.starts_with("[checkpoint] " + other + ": "));
      CHECK(dynamic_cast<const UsageError*>(&e) == nullptr);
      return text;
    }
    return "nothing was refused";
  }
  [[nodiscard]] std::string error_of_json(const char* part, const std::function<void(nlohmann::json&)>& change) const {
    return error([&](SafetensorsFile& f) {
      auto json = nlohmann::json::parse(f.metadata.at(part));
      change(json);
      f.metadata[part] = json.dump();
    });
  }

  TrainConfig config;
  test::TemporaryFolder folder;
  std::string path = folder.file("last.safetensors");
  SafetensorsFile file;
};

template <class T>
void set_element(SafetensorsEntry& entry, std::size_t i, T value) {
  REQUIRE(dtype_of<T>() == entry.dtype);
  std::memcpy(entry.data.data() + i * sizeof value, &value, sizeof value);
}

TrainConfig with_everything() {
  TrainConfig c = small_config();
  c.optimizer.kind = OptimizerKind::adamw;
  c.curvature = {3, 2, true};
  c.inner_rates.learned = true;
  return c;
}

}  // namespace

TEST_CASE("a checkpoint with a flipped bit is refused, wherever the bit is") {
  TrainConfig c = small_config();
  c.model.backbone.width = 0.02;
  c.model.feature_size = 4;
  c.bank.kind = BankKind::queue;
  const SavedRun saved(c);
  const std::string bytes = bytes_of(saved.path);
  Philox random(5);
  std::int64_t refused = 0;
  constexpr std::int64_t trials = 300;
  for (std::int64_t i = 0; i < trials; ++i) {
    // A third in the header, where most of what can be misread is.
    const std::int64_t among = i % 3 == 0 ? 20000 : std::ssize(bytes);
    const auto place = static_cast<std::size_t>(random.below(std::min(among, std::ssize(bytes))));
    std::string flipped = bytes;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << random.below(8)));
    write_bytes(saved.path, flipped);
    try {
      const Trainer resumed(c, videos(), open_device("cpu"), saved.path);
      INFO("byte " << place);
      CHECK(false);
    } catch (const DataError&) {
      ++refused;
    }
  }
  CHECK(refused == trials);
}

TEST_CASE("in the place of a damaged checkpoint the one before it is resumed, to the bit") {
  const TrainConfig c = small_config();
  const test::TemporaryFolder folder;
  const std::string path = folder.file("last.safetensors"), before = folder.file("last-1.safetensors");
  Backend& backend = open_device("cpu");
  Trainer whole(c, videos(), backend);
  for (int i = 0; i < 3; ++i) {
    whole.step();
    whole.save(path, 2);
  }
  const std::string bytes = bytes_of(path);
  CHECK(Trainer(c, videos(), backend, path).damaged_checkpoint().empty());
  SECTION("a flipped bit") {
    std::string flipped = bytes;
    flipped[flipped.size() / 2] ^= 4;
    write_bytes(path, flipped);
  }
  SECTION("cut off") { write_bytes(path, bytes.substr(0, bytes.size() - 9)); }
  SECTION("empty") { write_bytes(path, ""); }
  SECTION("gone") { std::filesystem::remove(path); }
  Trainer resumed(c, videos(), backend, path);
  CHECK(resumed.iteration() == 2);
  CHECK_THAT(resumed.damaged_checkpoint(), ContainsSubstring(path) && ContainsSubstring(before));
  resumed.step();
  CHECK(values(resumed) == values(whole));
  // With the one before it damaged too there is none, and the error is that of the one that was asked for.
  write_bytes(before, "no");
  CHECK_THROWS_WITH(Trainer(c, videos(), backend, path), ContainsSubstring(path));
}

TEST_CASE("a checkpoint that the system cannot read is not taken for a damaged one") {
  if (!test::descriptors_may_run_out) {
    MCN_SKIPPED("a sanitizer needs descriptors");
    return;
  }
  const TrainConfig c = small_config();
  const test::TemporaryFolder folder;
  const std::string path = folder.file("last.safetensors");
  Trainer trainer(c, videos(), open_device("cpu"));
  for (int i = 0; i < 2; ++i) {
    trainer.step();
    trainer.save(path, 2);
  }
  const test::DescriptorLimit none(0);
  CHECK_THROWS_AS(read_sound_checkpoint(path), SystemError);
  CHECK_THROWS_AS(trainer.save(path, 2), SystemError);
}

TEST_CASE("a checkpoint's bank is refused where its rows are not what the bank has") {
  TrainConfig c = small_config();
  const auto set_id = [](std::size_t row, std::int64_t id) {
    return [row, id](SafetensorsFile& f) { set_element(f.tensors.at("bank.ids"), row, id); };
  };
  const auto keep_ids = [](std::int64_t count) {
    return [count](SafetensorsFile& f) {
      f.tensors.at("bank.ids").shape = {count};
      f.tensors.at("bank.ids").data.resize(static_cast<std::size_t>(count) * sizeof(std::int64_t));
    };
  };
  const auto next = [](std::int64_t row) { return [row](nlohmann::json& progress) { progress["bank_next"] = row; }; };
  SECTION("memory") {
    const SavedRun saved(c);  // 12 rows: 0 to 11
    CHECK(saved.error([](SafetensorsFile&) {}) == "nothing was refused");
    for (const std::int64_t id : {std::int64_t{1'000'000'000'000}, std::int64_t{-1}, std::int64_t{12}, std::int64_t{4}})
      CHECK_THAT(saved.error(set_id(3, id)), ContainsSubstring("row 3"));
    CHECK_THAT(saved.error(keep_ids(3)), ContainsSubstring("3 ids for 12 rows"));
    CHECK_THAT(saved.error(keep_ids(0)), ContainsSubstring("0 ids for 12 rows"));
    CHECK_THAT(saved.error_of_json("progress", next(1)), ContainsSubstring("next row 1"));
    CHECK_THAT(saved.error([](SafetensorsFile& f) { f.tensors.erase("bank.ids"); }), ContainsSubstring("bank.ids"));
    CHECK_THAT(saved.error([](SafetensorsFile& f) { f.tensors.erase("bank.features"); }),
               ContainsSubstring("bank.features"));
    CHECK_THAT(saved.error([](SafetensorsFile& f) { set_element(f.tensors.at("bank.features"), 5, std::nanf("")); }),
               ContainsSubstring("\"bank.features\" holds a value that is not finite"));
  }
  SECTION("queue that is not full") {
    c.bank = {BankKind::queue, 20, 0.5};
    const SavedRun saved(c);  // two iterations of 8 videos
    CHECK(saved.error([](SafetensorsFile&) {}) == "nothing was refused");
    CHECK(saved.error(set_id(3, 11)) == "nothing was refused");
    CHECK_THAT(saved.error(set_id(3, 12)), ContainsSubstring("video 12"));
    for (const std::int64_t row : {0, 15, 17, 20})
      CHECK_THAT(saved.error_of_json("progress", next(row)), ContainsSubstring("next row"));
    CHECK_THAT(saved.error(keep_ids(3)), ContainsSubstring("with 3 of 20 rows filled"));
    for (const std::int64_t row : {-1, 21})
      CHECK_THAT(saved.error_of_json("progress", next(row)), ContainsSubstring("\"bank_next\", got"));
  }
  SECTION("queue that is full") {
    c.bank = {BankKind::queue, 5, 0.5};
    const SavedRun saved(c);
    CHECK(saved.error_of_json("progress", next(4)) == "nothing was refused");
    CHECK_THAT(saved.error_of_json("progress", next(5)), ContainsSubstring("next row 5"));
  }
}

TEST_CASE("a checkpoint's progress is refused where it could not have come about") {
  const SavedRun saved(with_everything());
  CHECK(saved.error([](SafetensorsFile&) {}) == "nothing was refused");
  const auto progress = [&](const char* key, const nlohmann::json& value) {
    return saved.error_of_json("progress", [&](nlohmann::json& json) { json[key] = value; });
  };
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const nlohmann::json& value : {nlohmann::json(3.7), nlohmann::json(-1), nlohmann::json(huge),
                                      nlohmann::json(~std::uint64_t{0}), nlohmann::json("2"), nlohmann::json()})
    for (const char* key : {"iteration", "optimizer_steps", "curvature_measured_at"}) {
      INFO(key << " " << value.dump());
      CHECK_THAT(progress(key, value), ContainsSubstring(fmt::format("as \"{}\", got ", key)));
    }
  CHECK_THAT(progress("optimizer_steps", 3), ContainsSubstring("an integer from 0 to 2"));
  CHECK_THAT(progress("optimizer_steps", 0), ContainsSubstring("do not fit 0 updates"));
  CHECK_THAT(progress("curvature_measured", 1), ContainsSubstring("true or false"));
  CHECK_THAT(progress("outer_gradient_turned", "no"), ContainsSubstring("true or false"));
  CHECK_THAT(progress("inner_lr", "high"), ContainsSubstring("\"inner_lr\""));
  CHECK_THAT(progress("absent", 0), ContainsSubstring("absent tensors"));
  CHECK_THAT(progress("inner_rates", {{"logarithms", {{"stem", {1e9}}}}}), ContainsSubstring("stem"));
  CHECK_THAT(progress("inner_rates", 7), ContainsSubstring("logarithms"));
  CHECK_THAT(progress("inner_rates", {{"logarithms", nlohmann::json::object()}, {"most", -1}}),
             ContainsSubstring("-1"));
  for (const char* part : {"progress", "settings", "model", "bad_videos"}) {
    INFO(part);
    CHECK(saved.error([&](SafetensorsFile& f) { f.metadata.erase(part); }) != "nothing was refused");
    CHECK(saved.error([&](SafetensorsFile& f) { f.metadata[part] = "7"; }) != "nothing was refused");
    CHECK(saved.error([&](SafetensorsFile& f) { f.metadata[part] = "{"; }) != "nothing was refused");
  }
  for (const char* list : {R"([[12, "x"]])", R"([[-1, "x"]])", R"([[1.5, "x"]])", R"([[3, "x"], [3, "x"]])",
                           R"([[4, "x"], [3, "x"]])", R"([3])", R"([[3]])", R"([[3, 4]])"}) {
    INFO(list);
    CHECK_THAT(saved.error([&](SafetensorsFile& f) { f.metadata["bad_videos"] = list; }),
               ContainsSubstring("expected bad videos as ascending numbers below 12"));
  }
}

TEST_CASE("tensors that a checkpoint has lost, and values that no training leaves, are refused") {
  const SavedRun saved(with_everything());
  for (const char* name : {"optimizer.m.stem.0.weight", "optimizer.v.fcm.bias", "curvature.layer1.0.conv1.0.0.weight",
                           "model.fc_feat.weight", "model.stem.1.running_var"}) {
    INFO(name);
    REQUIRE(saved.file.tensors.contains(name));
    CHECK_THAT(saved.error([&](SafetensorsFile& f) { f.tensors.erase(name); }),
               ContainsSubstring(fmt::format("no tensor \"{}\"", name)));
    for (const float value : {std::nanf(""), INFINITY, -INFINITY})
      CHECK_THAT(saved.error([&](SafetensorsFile& f) { set_element(f.tensors.at(name), 0, value); }),
                 ContainsSubstring(fmt::format("\"{}\" holds a value that is not finite", name)));
  }
  for (const char* name : {"optimizer.v.fcm.bias", "model.stem.1.running_var"})
    CHECK_THAT(saved.error([&](SafetensorsFile& f) { set_element(f.tensors.at(name), 0, -1e-20F); }),
               ContainsSubstring(fmt::format("\"{}\" holds a negative value", name)));
  // Beyond the range of the run's numbers.
  CHECK_THAT(saved.error([](SafetensorsFile& f) {
    SafetensorsEntry& bias = f.tensors.at("model.fc_feat.bias");
    bias.dtype = DType::f64;
    bias.data.assign(static_cast<std::size_t>(bias.shape.numel()) * sizeof(double), std::byte{});
    set_element(bias, 0, 1e300);
  }),
             ContainsSubstring("not finite"));
}

TEST_CASE("a description that no network or clip can have is refused with the file's name") {
  const SavedRun saved(small_config());
  const auto description = [&](const char* key, const nlohmann::json& value) {
    return saved.error_of_json("model", [&](nlohmann::json& json) { json[key] = value; });
  };
  for (const char* key : {"frames", "stride", "size", "resize_height", "resize_width", "feature_size"})
    for (const nlohmann::json& value :
         {nlohmann::json((std::int64_t{1} << 32) + 36), nlohmann::json(1.9), nlohmann::json(-1), nlohmann::json(0),
          nlohmann::json(1 << 30), nlohmann::json("4"), nlohmann::json(std::int64_t{2305843009213693951})}) {
      INFO(key << " " << value.dump());
      CHECK_THAT(description(key, value), ContainsSubstring(fmt::format("as \"{}\", got {}", key, value.dump())));
    }
  CHECK_THAT(description("size", 30), ContainsSubstring("resize_height"));
  CHECK_THAT(description("width", 17), ContainsSubstring("as \"width\", got 17"));
  CHECK_THAT(description("width", 0), ContainsSubstring("width"));
  CHECK_THAT(description("arch", "vgg"), ContainsSubstring("as \"arch\", got \"vgg\""));
  CHECK_THAT(description("seed", -3), ContainsSubstring("as \"seed\", got -3"));
  // Sizes that the file's tensors do not have, before any of that size is made.
  CHECK_THAT(description("width", 16), ContainsSubstring("has shape"));
  CHECK_THAT(description("feature_size", 65536), ContainsSubstring("has shape"));
}

TEST_CASE("a checkpoint from before there were checksums gives its weights, and no more") {
  const SavedRun saved(small_config());
  SafetensorsFile old = saved.file;
  old.metadata["format"] = "mcn-checkpoint-1";
  old.checksums = false;
  const std::string path = saved.folder.file("old.safetensors");
  write_safetensors(path, old);
  CHECK(describe(read_safetensors(path), path).frames == 4);
  CHECK_THROWS_WITH(Trainer(saved.config, videos(), open_device("cpu"), path), ContainsSubstring("only its weights"));
  old.metadata["format"] = "mcn-checkpoint-2";
  write_safetensors(path, old);
  CHECK_THROWS_WITH(describe(read_safetensors(path), path), ContainsSubstring("checksums are gone"));
}

TEST_CASE("every setting that shapes a run is compared on resume, by its name") {
  TrainConfig base = small_config();
  base.maml.objective = OuterObjective::support_and_query;
  base.maml.beta = 1;
  base.inner_rates.learned = true;
  base.optimizer.kind = OptimizerKind::adamw;
  base.optimizer.schedule = ScheduleKind::multistep;
  base.optimizer.milestones = {4};
  base.curvature = {4, 2, true};
  const SavedRun saved(base);
  const auto change = [&](const char* name, const std::function<void(TrainConfig&)>& set, const ClipSource& clips) {
    TrainConfig c = base;
    set(c);
    try {
      const Trainer resumed(c, clips, open_device("cpu"), saved.path);
    } catch (const ChangedSettingsError& e) {
      INFO(name << ": " << e.what());
      CHECK(e.names().contains(name));
      CHECK_THAT(e.what(), ContainsSubstring(fmt::format("{} ", name)) && ContainsSubstring(" -> "));
      const Trainer allowed(c, clips, open_device("cpu"), saved.path, e.names());
      CHECK(allowed.changed_since_checkpoint().size() == e.names().size());
      CHECK(Trainer(c, clips, open_device("cpu"), saved.path, {"all"}).iteration() == 2);
      return;
    }
    FAIL_CHECK(name << " was changed without a word");
  };
  using C = TrainConfig;
  const std::vector<std::pair<const char*, std::function<void(C&)>>> settings{
      {"dtype", [](C& c) { c.dtype = DType::f64; }},
      {"method", [](C& c) { c.method = Method::joint; }},
      {"temperature", [](C& c) { c.objective.temperature = 0.1; }},
      {"lambda", [](C& c) { c.objective.lambda = 0.5; }},
      {"order", [](C& c) { c.maml.second_order = false; }},
      {"first-order-for", [](C& c) { c.first_order_iterations = 5; }},
      {"inner-steps", [](C& c) { c.maml.inner_steps = 2; }},
      {"inner-lr", [](C& c) { c.curvature.sets_inner_lr = false; }},
      {"inner-lr-factors",
       [](C& c) {
         c.inner_rates.factors = {{"heads", 2}};
       }},
      {"learn-inner-lr", [](C& c) { c.inner_rates.learned = false; }},
      {"inner-lr-lr", [](C& c) { c.inner_rates.lr = 1; }},
      {"curvature-every", [](C& c) { c.curvature.every = 5; }},
      {"curvature-products", [](C& c) { c.curvature.products = 3; }},
      {"inner-params", [](C& c) { c.inner_parameters = InnerParameters::heads; }},
      {"objective", [](C& c) { c.maml.objective = OuterObjective::query; }},
      {"beta", [](C& c) { c.maml.beta = 2; }},
      {"bank", [](C& c) { c.bank.kind = BankKind::queue; }},
      {"bank-size", [](C& c) { c.bank.size = 7; }},
      {"bank-momentum", [](C& c) { c.bank.momentum = 0.25; }},
      {"optimizer", [](C& c) { c.optimizer.kind = OptimizerKind::sgd; }},
      {"lr", [](C& c) { c.optimizer.lr = 0.02; }},
      {"momentum", [](C& c) { c.optimizer.momentum = 0.8; }},
      {"beta2", [](C& c) { c.optimizer.beta2 = 0.9; }},
      {"weight-decay", [](C& c) { c.optimizer.weight_decay = 0; }},
      {"clip-grad", [](C& c) { c.clip_grad = 1; }},
      {"schedule", [](C& c) { c.optimizer.schedule = ScheduleKind::cosine; }},
      {"warmup", [](C& c) { c.optimizer.warmup = 5; }},
      {"milestones", [](C& c) { c.optimizer.milestones = {5}; }},
      {"gamma", [](C& c) { c.optimizer.gamma = 0.5; }},
      {"batch", [](C& c) { c.loader.batch = 6; }},
      {"seed", [](C& c) { c.loader.seed = 4; }},
      {"frames", [](C& c) { c.loader.clip.frames = 5; }},
      {"stride", [](C& c) { c.loader.clip.stride = 1; }},
      {"sampling", [](C& c) { c.loader.sampling = ClipSampling::uniform; }},
      {"residual-view", [](C& c) { c.loader.residual_view = true; }},
      {"size", [](C& c) { c.loader.augment.size = 20; }},
      {"resize-height", [](C& c) { c.loader.augment.resize_height = 30; }},
      {"resize-width", [](C& c) { c.loader.augment.resize_width = 36; }},
      {"flip", [](C& c) { c.loader.augment.flip = 0; }},
      {"jitter", [](C& c) { c.loader.augment.jitter = 0; }},
      {"brightness", [](C& c) { c.loader.augment.brightness = 0; }},
      {"contrast", [](C& c) { c.loader.augment.contrast = 0; }},
      {"saturation", [](C& c) { c.loader.augment.saturation = 0; }},
      {"hue", [](C& c) { c.loader.augment.hue = 0; }},
      {"grayscale", [](C& c) { c.loader.augment.grayscale = 0; }},
      {"blur", [](C& c) { c.loader.augment.blur = 0; }},
      {"channel-shuffle", [](C& c) { c.loader.augment.channel_shuffle = 1; }}};
  for (const auto& [name, set] : settings) {
    change(name, set, videos());
    CHECK(changeable_settings().contains(name));
  }
  ClipSource other = videos();
  other.identity = "12 other videos";
  change(
      "data", [](C&) {}, other);
  change(
      "data", [](C&) {}, random_clips(13));
  other = videos();
  other.labels = "others";
  change(
      "labels", [](C&) {}, other);
  // All that may be named: these, and the length of a cosine.
  CHECK(changeable_settings().contains("iterations"));
  CHECK(changeable_settings().size() == settings.size() + 3);

  // What changes no bit, and what is over.
  C free = base;
  free.iterations = 100;
  free.cuda_graph = false;
  free.maml.inner_tape = InnerTape::recompute;
  free.loader.threads = 3;
  free.loader.ring = 2;
  free.loader.max_bad_percent = 50;
  free.optimizer.warmup = 2;
  free.first_order_iterations = 2;
  CHECK(Trainer(free, videos(), open_device("cpu"), saved.path).changed_since_checkpoint().empty());

  C network = base;
  network.model.feature_size = 8;
  network.optimizer.lr = 0.5;
  try {
    const Trainer resumed(network, videos(), open_device("cpu"), saved.path, {"all"});
    FAIL_CHECK("another network was taken");
  } catch (const ChangedSettingsError& e) {
    CHECK(e.names().empty());
    CHECK_THAT(e.what(), ContainsSubstring("another network: feature-size 16 -> 8"));
  }
}

TEST_CASE("the length of a cosine shapes a run from its start, that of a constant rate does not") {
  TrainConfig c = small_config();
  c.optimizer.schedule = GENERATE(ScheduleKind::constant, ScheduleKind::cosine);
  const bool cosine = c.optimizer.schedule == ScheduleKind::cosine;
  const SavedRun saved(c);
  c.iterations = 9;
  c.optimizer.warmup = 1;
  std::set<std::string> names;
  try {
    const Trainer resumed(c, videos(), open_device("cpu"), saved.path);
  } catch (const ChangedSettingsError& e) {
    names = e.names();
  }
  CHECK(names == (cosine ? std::set<std::string>{"iterations", "warmup"} : std::set<std::string>()));
}

TEST_CASE("a bank of other videos, and a queue of another length, start anew where the change is allowed") {
  TrainConfig c = small_config();
  c.bank = {BankKind::queue, 20, 0.5};
  const SavedRun saved(c);
  Trainer fewer(c, random_clips(9), open_device("cpu"), saved.path, {"data"});
  CHECK_THAT(fewer.changed_since_checkpoint().front(),
             ContainsSubstring("data 12 random videos -> 9 random videos (the bank's features start anew)"));
  fewer.step();
  c.bank.size = 4;
  Trainer shorter(c, videos(), open_device("cpu"), saved.path, {"bank-size"});
  shorter.step();
  CHECK(shorter.iteration() == 3);
}

TEST_CASE("the bad videos of a checkpoint are known to the run that goes on") {
  const SavedRun saved(small_config());
  const std::string path = saved.folder.file("bad.safetensors");
  SafetensorsFile file = saved.file;
  file.metadata["bad_videos"] = R"([[2, "cut off"], [11, "no video"]])";
  write_safetensors(path, file);
  ClipSource clips = videos();
  LoaderConfig seen;
  clips.open = [&seen](const LoaderConfig& config, Backend& backend) {
    seen = config;
    return videos().open(config, backend);
  };
  Trainer resumed(saved.config, clips, open_device("cpu"), path);
  const std::vector<std::pair<std::int64_t, std::string>> bad{{2, "cut off"}, {11, "no video"}};
  CHECK(resumed.bad_videos() == bad);
  resumed.save(path);
  CHECK(read_safetensors(path).metadata.at("bad_videos") == R"([[2,"cut off"],[11,"no video"]])");
  resumed.step();
  CHECK(seen.known_bad == bad);
}

TEST_CASE("nothing that is not finite is saved, whichever tensor it is in") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("last.safetensors");
  Trainer trainer(small_config(), videos(), open_device("cpu"));
  trainer.step();
  Tensor mean = trainer.state().running.front().mean;
  mean.backend().run(kernel::Fill{.value = std::nan(""), .y = mean});
  CHECK_THROWS_AS(trainer.save(path), NonFiniteError);
  CHECK_THROWS_WITH(trainer.save(path), ContainsSubstring("model.stem.1.running_mean"));
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace mcn
