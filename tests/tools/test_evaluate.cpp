// `mcn evaluate` and `mcn embed` on a small set: the table, the JSON object, subsets, bad videos, and what is refused
// before any work is done.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/dataset.h"
#include "engine/device.h"
#include "engine/safetensors.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"
#include "tools/network.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Three classes of 9-frame videos, 12 to train and 6 to test, and a checkpoint that has seen one iteration of them.
// Made once; a test that changes files takes a copy.
struct Set {
  Set() {
    const auto made = mcn_command({"synth", "--out", root, "--classes", "3", "--train", "12", "--test", "6", "--frames",
                                   "9", "--height", "32", "--width", "48", "--threads", "1"});
    CAPTURE(made.err);
    REQUIRE(made.exit_code == 0);
    const auto trained = mcn_command({"train",
                                      "--data",
                                      root,
                                      "--out",
                                      folder.file("run"),
                                      "--method",
                                      "contrastive",
                                      "--batch",
                                      "4",
                                      "--width",
                                      "0.05",
                                      "--frames",
                                      "2",
                                      "--size",
                                      "16",
                                      "--index-cache",
                                      "",
                                      "--resize-height",
                                      "20",
                                      "--resize-width",
                                      "24",
                                      "--iterations",
                                      "1"});
    CAPTURE(trained.err);
    REQUIRE(trained.exit_code == 0);
    train = load_ucf101(root, 1, Subset::train);
    test = load_ucf101(root, 1, Subset::test);
  }
  [[nodiscard]] Arguments evaluate(const std::string& data) const {
    return {"evaluate", "--checkpoint", checkpoint, "--data", data, "--clips", "2", "--index-cache", ""};
  }
  [[nodiscard]] Arguments embed() const {
    return {"embed", "--checkpoint", checkpoint, "--clips", "2", "--index-cache", ""};
  }

  test::TemporaryFolder folder;
  std::string root = folder.file("set"), checkpoint = folder.file("run/last.safetensors");
  Dataset train, test;
};

const Set& shared_set() {
  static const Set set;
  return set;
}

nlohmann::ordered_json json_of(const std::string& path) { return nlohmann::ordered_json::parse(test::read_file(path)); }

std::vector<std::string> keys_of(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

/// A copy of the set, with one of its lists as `lines` says.
std::string copy_with_list(const test::TemporaryFolder& folder, const std::string& list, const std::string& lines) {
  const std::string root = folder.file("copy");
  fs::copy(shared_set().root, root, fs::copy_options::recursive);
  test::write_file(root + "/ucfTrainTestlist/" + list, lines);
  return root;
}

}  // namespace

TEST_CASE("evaluate takes the test videos of another data set, and says so") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  std::ifstream list(set.root + "/ucfTrainTestlist/testlist01.txt");
  std::string first, second;
  REQUIRE(std::getline(list, first));
  REQUIRE(std::getline(list, second));
  const std::string other = copy_with_list(folder, "testlist01.txt", first + "\n" + second + "\n");
  const auto evaluate = [&](const std::string& root, const Arguments& more, const std::string& json) {
    const auto result = mcn_command(set.evaluate(root) + more + Arguments{"--json", folder.file(json)});
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
    return json_of(folder.file(json));
  };
  auto with = evaluate(set.root, {"--test-data", other}, "with.json"), alone = evaluate(other, {}, "alone.json");
  CHECK(with.at("test_videos") == 2);
  CHECK(with.at("data") == set.root);
  CHECK(with.at("test_data") == other);
  CHECK(alone.at("test_data") == other);
  for (auto* json : {&with, &alone}) json->erase("data");
  CHECK(with == alone);
  CHECK(test::one_line_error(mcn_command(set.evaluate(set.root) + Arguments{"--test-data", folder.file("none")}),
                             "dataset"));
}

TEST_CASE("evaluate prints a table, and writes one JSON object in percent") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  const auto result = mcn_command(set.evaluate(set.root) + Arguments{"--by-class", "--json", folder.file("e.json")});
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  for (const char* text : {"6 test videos of 3 classes among 12 training videos, 2 clips a video", "retrieval R@1 ",
                           "R@50", "mAP", "k-NN, k = 20", "linear probe", "random weights", "chance", " 95% intervals",
                           "there are only 12 training videos"}) {
    CAPTURE(text);
    CHECK(result.out.find(text) != std::string::npos);
  }
  for (const std::string& name : set.train.classes) CHECK(result.out.find("\n" + name + " ") != std::string::npos);

  const auto json = json_of(folder.file("e.json"));
  CHECK(keys_of(json.at("retrieval")) == Arguments{"value", "low", "high", "chance", "r5", "r10", "r20", "r50", "map",
                                                   "random", "random_map", "by_class"});
  for (const char* protocol : {"retrieval", "knn", "linear"}) {
    CAPTURE(protocol);
    const auto& p = json.at(protocol);
    CHECK(p.at("low") <= p.at("value"));
    CHECK(p.at("value") <= p.at("high"));
    CHECK(p.at("high") <= 100);
    CHECK(std::abs(p.at("chance").get<double>() - 100.0 / 3) <= 1e-6);
    CHECK(keys_of(p.at("random")) == Arguments{"value", "low", "high"});
    CHECK(keys_of(p.at("by_class")) == set.train.classes);
    double sum = 0;
    for (const auto& entry : p.at("by_class")) {
      CHECK(entry.at("videos") == 2);
      sum += entry.at("value").get<double>();
    }
    CHECK(std::abs(sum / 3 - p.at("value").get<double>()) <= 1e-5);
    // Six videos: a share is a multiple of a sixth.
    const double sixths = p.at("value").get<double>() * 6 / 100;
    CHECK(std::abs(sixths - std::round(sixths)) <= 1e-5);
  }
  CHECK(keys_of(json).front() == "retrieval");
  CHECK(json.at("retrieval").at("r50") == 100);
  CHECK(json.at("train_videos") == 12);
  CHECK(json.at("classes") == set.train.classes);

  const auto again = mcn_command(set.evaluate(set.root) + Arguments{"--threads", "1", "--loader-threads", "1", "--json",
                                                                    folder.file("again.json")});
  CHECK(again.exit_code == 0);
  CHECK(test::read_file(folder.file("again.json")) == test::read_file(folder.file("e.json")));
}

TEST_CASE("evaluate on some classes, and with few labels") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  const auto run = [&](const Arguments& more) {
    const auto result = mcn_command(set.evaluate(set.root) + Arguments{"--json", folder.file("e.json")} + more);
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == 0);
    return json_of(folder.file("e.json"));
  };
  const auto two = run({"--classes", set.train.classes[2] + ",0"});
  CHECK(two.at("classes") == Arguments{set.train.classes[0], set.train.classes[2]});
  CHECK(two.at("train_videos") == 8);
  CHECK(two.at("test_videos") == 4);
  CHECK(two.at("linear").at("chance") == 50);
  const auto few = run({"--labels-per-class", "1", "--seed", "5"});
  CHECK(few.at("train_videos") == 3);
  CHECK(few.at("test_videos") == 6);
  CHECK(few.at("labels_per_class") == 1);
  const auto many = run({"--labels-per-class", "5"});
  CHECK(many.at("train_videos") == 12);
  CHECK(many.at("notes")[0].get<std::string>().starts_with("3 classes have fewer than 5 training videos: "));
}

TEST_CASE("evaluate refuses classes that are not there and files that it cannot write, before any work") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  const auto run = [&](const Arguments& more) { return mcn_command(set.evaluate(set.root) + more); };
  const auto unknown = run({"--classes", "0,Swim"});
  CHECK(unknown.exit_code == 2);
  CHECK(one_line_error(unknown, "evaluate", {"no class Swim", "0 to 2"}));
  const auto one = run({"--classes", "1"});
  CHECK(one.exit_code == 2);
  CHECK(one_line_error(one, "evaluate", {"two classes"}));
  const auto nowhere = run({"--json", folder.file("none/e.json")});
  CHECK(nowhere.exit_code == 3);
  CHECK(one_line_error(nowhere, "evaluate", {"none/e.json"}));
  CHECK(run({"--labels-per-class", "-1"}).exit_code == 2);
  CHECK(run({"--neighbors", "0"}).exit_code == 2);
  CHECK(run({"--neighbors", "1001"}).exit_code == 2);
  CHECK(run({"--temperature", "0"}).exit_code == 2);
  CHECK(run({"--max-bad", "101%"}).exit_code == 2);
}

TEST_CASE("evaluate: a class without training videos is counted as missed, and said, and one class is not enough") {
  const Set& set = shared_set();
  std::string two, one;
  for (const VideoEntry& entry : set.train.videos) {
    const std::string line = entry.source.path.substr(set.root.size() + 1) + "\n";
    if (entry.label != 1) two += line;
    if (entry.label == 0) one += line;
  }
  {
    const test::TemporaryFolder folder;
    const std::string root = copy_with_list(folder, "trainlist01.txt", two);
    const auto result = mcn_command(set.evaluate(root) + Arguments{"--json", folder.file("e.json")});
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(result.out.find("Note: 2 of 6 test videos are of classes that no training video has, and count as misses: " +
                          set.train.classes[1] + ".\n") != std::string::npos);
    const auto json = json_of(folder.file("e.json"));
    CHECK(std::abs(json.at("retrieval").at("r50").get<double>() - 200.0 / 3) <= 1e-5);
    CHECK(json.at("linear").at("by_class").at(set.train.classes[1]).at("value") == 0);
  }
  const test::TemporaryFolder folder;
  const auto result = mcn_command(set.evaluate(copy_with_list(folder, "trainlist01.txt", one)));
  CHECK(result.exit_code == 3);
  CHECK(one_line_error(result, "evaluate", {"expected training videos of two classes or more, got 1"}));
}

TEST_CASE("evaluate: what always answering the most frequent class gives is said where it is more than chance") {
  const Set& set = shared_set();
  const auto line = [&](const VideoEntry& entry) { return entry.source.path.substr(set.root.size() + 1) + "\n"; };
  // 4 training videos of class 0 and 1 of class 1; 2 and 1 test videos: chance is .8 2/3 + .2 1/3.
  std::string train, test;
  int ones = 0;
  for (const VideoEntry& entry : set.train.videos)
    if (entry.label == 0 || (entry.label == 1 && ones++ == 0)) train += line(entry);
  ones = 0;
  for (const VideoEntry& entry : set.test.videos)
    if (entry.label == 0 || (entry.label == 1 && ones++ == 0)) test += line(entry);
  const test::TemporaryFolder folder;
  const std::string root = copy_with_list(folder, "trainlist01.txt", train);
  test::write_file(root + "/ucfTrainTestlist/testlist01.txt", test);
  const auto result = mcn_command(set.evaluate(root) + Arguments{"--json", folder.file("e.json")});
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.find("Note: always answering " + set.train.classes[0] +
                        ", the most frequent class, is right in 66.7 percent.\n") != std::string::npos);
  CHECK(std::abs(json_of(folder.file("e.json")).at("knn").at("chance").get<double>() - 60) <= 1e-5);
}

TEST_CASE("evaluate and embed leave out bad videos up to --max-bad, and count them") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  const std::string root = folder.file("copy");
  fs::copy(set.root, root, fs::copy_options::recursive);
  const std::string train_video = load_ucf101(root, 1, Subset::train).videos[3].source.path;
  const std::string test_video = load_ucf101(root, 1, Subset::test).videos[5].source.path;
  test::write_file(train_video, "not a video");
  test::write_file(test_video, "");

  const auto strict = mcn_command(set.evaluate(root));
  CHECK(strict.exit_code == 3);
  CHECK(strict.out.empty());
  CHECK(strict.err.find("mcn: [embed] 1 of 12 videos cannot be used, more than 5%; [video] " + train_video) !=
        std::string::npos);
  const auto result = mcn_command(set.evaluate(root) + Arguments{"--max-bad", "20%", "--json", folder.file("e.json")});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("embed train: 1 of 12 videos cannot be used and are left out; [video] " + train_video) !=
        std::string::npos);
  CHECK(result.out.find("Note: 1 training and 1 test videos cannot be used, and are left out.\n") != std::string::npos);
  const auto json = json_of(folder.file("e.json"));
  CHECK(json.at("train_videos") == 11);
  CHECK(json.at("test_videos") == 5);
  CHECK(json.at("test_videos_left_out") == 1);

  const Arguments embed = set.embed() + Arguments{"--data", root, "--subset", "train"};
  const std::string out = folder.file("e.safetensors");
  CHECK(mcn_command(embed + Arguments{"--out", out}).exit_code == 3);
  CHECK_FALSE(fs::exists(out));
  REQUIRE(mcn_command(embed + Arguments{"--out", out, "--max-bad", "10"}).exit_code == 0);
  const SafetensorsFile written = read_safetensors(out);
  CHECK(written.tensors.at("features").shape[0] == 11);
  const auto names = nlohmann::json::parse(written.metadata.at("videos")).get<Arguments>();
  CHECK(names.size() == 11);
  CHECK(std::ranges::find(names, train_video) == names.end());

  for (const VideoEntry& entry : load_ucf101(root, 1, Subset::test).videos) test::write_file(entry.source.path, "");
  const auto none = mcn_command(set.evaluate(root) + Arguments{"--max-bad", "100%"});
  CHECK(none.exit_code == 3);
  CHECK(none.err.find("mcn: [embed] none of 6 videos can be used; ") != std::string::npos);
}

TEST_CASE("evaluate: weights that are not finite exit with 5") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  SafetensorsFile file = read_safetensors(set.checkpoint);
  std::ranges::fill(file.tensors.at("model.stem.0.weight").data, std::byte{0xFF});
  write_safetensors(folder.file("nan.safetensors"), file);
  Arguments arguments = set.evaluate(set.root);
  arguments[2] = folder.file("nan.safetensors");
  const auto result = mcn_command(arguments);
  CAPTURE(result.err);
  CHECK(result.exit_code == 5);
  CHECK(result.out.empty());
}

TEST_CASE("embed checks --out before the work, and takes video files") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  const Arguments data{"--data", set.root};
  const auto numpy = mcn_command(set.embed() + data + Arguments{"--out", folder.file("e.npy")});
  CHECK(numpy.exit_code == 2);
  CHECK(one_line_error(numpy, "embed", {"e.npy", ".npz, .csv or .safetensors"}));
  const auto nowhere = mcn_command(set.embed() + data + Arguments{"--out", folder.file("none/e.npz")});
  CHECK(nowhere.exit_code == 3);
  CHECK(one_line_error(nowhere, "embed", {"none/e.npz"}));
  const std::string one = set.test.videos[0].source.path, other = set.train.videos[4].source.path;
  for (const Arguments& wrong : {Arguments{}, data + Arguments{one}}) {
    const auto result = mcn_command(set.embed() + wrong + Arguments{"--out", folder.file("e.npz")});
    CHECK(result.exit_code == 2);
    CHECK(one_line_error(result, "embed", {"video files or --data"}));
  }
  CHECK(folder.count() == 0);

  const std::string files = folder.file("files.safetensors"), all = folder.file("all.safetensors");
  REQUIRE(mcn_command(set.embed() + Arguments{"--out", files, one, other}).exit_code == 0);
  REQUIRE(mcn_command(set.embed() + data + Arguments{"--out", all}).exit_code == 0);
  const SafetensorsFile two = read_safetensors(files), subset = read_safetensors(all);
  CHECK(nlohmann::json::parse(two.metadata.at("videos")) == Arguments{one, other});
  CHECK_FALSE(two.tensors.contains("labels"));
  CHECK_FALSE(two.metadata.contains("classes"));
  CHECK(nlohmann::json::parse(subset.metadata.at("classes")) == set.test.classes);
  CHECK(subset.tensors.at("features").shape[0] == 6);
  // The same video, the same features.
  const auto& row = two.tensors.at("features").data;
  const auto bytes = static_cast<std::ptrdiff_t>(row.size() / 2);
  CHECK(std::equal(row.begin(), row.begin() + bytes, subset.tensors.at("features").data.begin()));

  const auto missing = mcn_command(set.embed() + Arguments{"--out", folder.file("m.csv"), folder.file("none.mp4")});
  CHECK(missing.exit_code == 3);
  CHECK(missing.err.find("none.mp4") != std::string::npos);
  CHECK_FALSE(fs::exists(folder.file("m.csv")));
}

TEST_CASE("evaluate's R@k are those of the features that embed writes, of test videos among training videos") {
  const Set& set = shared_set();
  const test::TemporaryFolder folder;
  REQUIRE(mcn_command(set.evaluate(set.root) + Arguments{"--json", folder.file("e.json")}).exit_code == 0);
  const auto retrieval = json_of(folder.file("e.json")).at("retrieval");
  struct Features {
    std::vector<float> values;
    std::vector<std::int64_t> labels;
  };
  const auto embedded = [&](const std::string& subset, const Arguments& more) {
    const std::string path = folder.file(subset + ".safetensors");
    REQUIRE(
        mcn_command(set.embed() + Arguments{"--data", set.root, "--subset", subset, "--out", path} + more).exit_code ==
        0);
    const SafetensorsFile file = read_safetensors(path);
    Features f;
    const auto read = [&](const char* name, auto& into) {
      const SafetensorsEntry& entry = file.tensors.at(name);
      into.resize(static_cast<std::size_t>(entry.shape.numel()));
      std::memcpy(into.data(), entry.data.data(), entry.data.size());
    };
    read("features", f.values);
    read("labels", f.labels);
    return f;
  };
  // Percent of queries with a video of their class among the k of the gallery with the highest cosines.
  const auto recall = [](const Features& gallery, const Features& queries, std::size_t k) {
    const std::size_t size = gallery.values.size() / gallery.labels.size();
    const auto dot = [&](const float* x, const float* y) {
      double sum = 0;
      for (std::size_t f = 0; f < size; ++f) sum += static_cast<double>(x[f]) * static_cast<double>(y[f]);
      return sum;
    };
    double hits = 0;
    for (std::size_t q = 0; q < queries.labels.size(); ++q) {
      std::vector<std::pair<double, std::int64_t>> order;
      const float* x = &queries.values[q * size];
      for (std::size_t g = 0; g < gallery.labels.size(); ++g) {
        const float* y = &gallery.values[g * size];
        order.emplace_back(-dot(x, y) / std::sqrt(dot(x, x) * dot(y, y)), gallery.labels[g]);
      }
      std::ranges::sort(order);
      hits += std::any_of(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k),
                          [&](const auto& entry) { return entry.second == queries.labels[q]; })
                  ? 1
                  : 0;
    }
    return 100 * hits / static_cast<double>(queries.labels.size());
  };
  const Features train = embedded("train", {}), test = embedded("test", {});
  REQUIRE(train.labels.size() == 12);
  REQUIRE(test.labels.size() == 6);
  CHECK(std::abs(retrieval.at("value").get<double>() - recall(train, test, 1)) <= 1e-5);
  CHECK(std::abs(retrieval.at("r5").get<double>() - recall(train, test, 5)) <= 1e-5);
  REQUIRE((recall(test, train, 1) != recall(train, test, 1) || recall(test, train, 5) != recall(train, test, 5)));
  const Features random_train = embedded("train", {"--random-init"}), random_test = embedded("test", {"--random-init"});
  CHECK(random_test.values != test.values);
  CHECK(std::abs(retrieval.at("random").at("value").get<double>() - recall(random_train, random_test, 1)) <= 1e-5);
}

TEST_CASE("random weights are those of the seed that the checkpoint was trained with") {
  Backend& backend = open_device("cpu");
  ModelDescription description;
  description.model = {{"r2plus1d_10", 0.05, 0}, 8};
  description.seed = 7;
  const McnModel model(description.model);
  const ModelState state = random_state({description, model, {}}, backend);
  const Tensors of_seed_7 = initialise(model.parameters(), backend, DType::f32, 7);
  const Tensors of_seed_0 = initialise(model.parameters(), backend, DType::f32, 0);
  CHECK(state.theta.front().to_doubles() == of_seed_7.front().to_doubles());
  CHECK(state.theta.front().to_doubles() != of_seed_0.front().to_doubles());
  CHECK(state.running.front().mean.to_doubles() == std::vector<double>(state.running.front().mean.to_doubles().size()));
}

}  // namespace mcn
