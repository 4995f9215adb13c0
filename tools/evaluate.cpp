// `mcn evaluate`: retrieval, k-NN and linear probe of a network, beside the same network with random weights.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/atomic_file.h"
#include "meta/evaluate/protocols.h"
#include "meta/evaluate/selection.h"
#include "tools/command.h"
#include "tools/dataset_options.h"
#include "tools/interrupt.h"
#include "tools/network.h"
#include "tools/number.h"
#include "tools/print.h"

namespace mcn {
namespace {

struct Options {
  NetworkOptions network;
  DatasetConfig dataset;
  std::string test_data;  // empty: the data set's own test videos
  ProtocolConfig protocols;
  std::vector<std::string> classes;
  std::int64_t labels_per_class = 0;  // 0: all
  std::uint64_t seed = 0;
  bool by_class = false;
  std::string json;
};

/// What was evaluated.
struct Subject {
  std::vector<std::string> class_names;  // by label
  std::vector<std::int64_t> classes;     // of the test videos, rising
  std::vector<std::int64_t> test_labels;
  std::int64_t train = 0, test = 0, train_left_out = 0, test_left_out = 0;
  std::vector<std::string> notes;
};

std::string short_list(const std::vector<std::string>& names) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i > 0 ? ", " : "") + names[i];
  return names.size() > most ? text + fmt::format(" and {} more", names.size() - most) : text;
}

std::map<std::int64_t, std::int64_t> counts_of(const std::vector<std::int64_t>& labels) {
  std::map<std::int64_t, std::int64_t> counts;
  for (const std::int64_t label : labels) ++counts[label];
  return counts;
}

void expect_two_classes(const std::vector<std::int64_t>& train_labels) {
  if (const std::size_t classes = counts_of(train_labels).size(); classes < 2)
    fail<DataError>("evaluate", "expected training videos of two classes or more, got {}", classes);
}

// What a reader of the numbers has to know.
void note(const Options& o, const Embedding& train, const Embedding& test, Subject& subject) {
  const auto in_train = counts_of(train.labels), in_test = counts_of(test.labels);
  std::vector<std::string> absent, few;
  std::int64_t missed = 0;
  for (const auto& [label, count] : in_test) {
    const std::string& name = subject.class_names[static_cast<std::size_t>(label)];
    subject.classes.push_back(label);
    if (in_train.contains(label)) continue;
    absent.push_back(name);
    missed += count;
  }
  if (missed > 0)
    subject.notes.push_back(
        fmt::format("{} of {} test videos are of classes that no training video has, and count as misses: {}", missed,
                    test.rows(), short_list(absent)));
  for (const auto& [label, count] : in_train)
    if (count < o.labels_per_class) few.push_back(subject.class_names[static_cast<std::size_t>(label)]);
  if (!few.empty())
    subject.notes.push_back(fmt::format("{} classes have fewer than {} training videos: {}", few.size(),
                                        o.labels_per_class, short_list(few)));
  if (train.rows() < std::max(recall_ks.back(), o.protocols.neighbors))
    subject.notes.push_back(
        fmt::format("there are only {} training videos: R@k and k-NN with a larger k take all of them", train.rows()));
  const auto most = std::ranges::max_element(in_train, {}, [](const auto& entry) { return entry.second; });
  const auto of_most = in_test.find(most->first);
  const double share = of_most == in_test.end() ? 0 : 100.0 * static_cast<double>(of_most->second) / test.rows();
  double chance = 0;
  for (const auto& [label, count] : in_test)
    if (const auto found = in_train.find(label); found != in_train.end())
      chance += 100.0 * static_cast<double>(count) * found->second / (static_cast<double>(test.rows()) * train.rows());
  // Where classes are not equally frequent, chance is not all that can be had without looking.
  if (share > chance + 1)
    subject.notes.push_back(fmt::format("always answering {}, the most frequent class, is right in {:.1f} percent",
                                        subject.class_names[static_cast<std::size_t>(most->first)], share));
}

struct Row {
  std::string name;
  const char* key;  // in JSON
  Measure Protocols::*measure = nullptr;
  std::size_t k = 0;  // of recall, where there is no measure

  [[nodiscard]] const Measure& of(const Protocols& p) const { return measure != nullptr ? p.*measure : p.recall[k]; }
};

std::vector<Row> rows_of(const Options& o) {
  return {{"retrieval R@1", "r1", nullptr, 0},
          {"          R@5", "r5", nullptr, 1},
          {"          R@10", "r10", nullptr, 2},
          {"          R@20", "r20", nullptr, 3},
          {"          R@50", "r50", nullptr, 4},
          {"          mAP", "map", &Protocols::precision},
          {fmt::format("k-NN, k = {}", o.protocols.neighbors), "knn", &Protocols::knn},
          {"linear probe", "linear", &Protocols::linear}};
}

std::string with_interval(const Summary& s) {
  return fmt::format("{:5.1f} ({:.1f} to {:.1f})", 100 * s.value, 100 * s.low, 100 * s.high);
}

void print_table(const Options& o, const Subject& subject, const Protocols& trained, const Protocols& random) {
  print_result("{}: {} test videos of {} classes among {} training videos, {} clips a video\n\n", o.network.path(),
               subject.test, subject.classes.size(), subject.train, o.network.embed.clips);
  print_result("{:<16}{:<24}{:<24}{:>6}\n", "percent", "trained", "random weights", "chance");
  for (const Row& row : rows_of(o)) {
    const Summary s = summarize(row.of(trained), o.seed);
    print_result("{:<16}{:<24}{:<24}{:6.1f}\n", row.name, with_interval(s),
                 with_interval(summarize(row.of(random), o.seed)), 100 * s.chance);
  }
  if (o.by_class) {
    print_result("\n{:<24}{:>6}  {:<24}{:<24}{:<24}{:>6}\n", "class", "videos", "retrieval R@1", "k-NN", "linear probe",
                 "chance");
    for (const std::int64_t c : subject.classes) {
      const auto of_class = [&](const Measure& m) { return summarize(m, subject.test_labels, c, o.seed); };
      const Summary recall = of_class(trained.recall[0]);
      print_result("{:<24}{:>6}  {:<24}{:<24}{:<24}{:6.1f}\n", subject.class_names[static_cast<std::size_t>(c)],
                   recall.videos, with_interval(recall), with_interval(of_class(trained.knn)),
                   with_interval(of_class(trained.linear)), 100 * recall.chance);
    }
  }
  print_result("\nIn parentheses: 95% intervals, bootstrap over test videos.\n");
  for (const std::string& text : subject.notes) print_result("Note: {}.\n", text);
}

// Without the digits that are rounding alone.
double percent(double share) { return std::round(1e8 * share) / 1e6; }

nlohmann::ordered_json to_json(const Summary& s) {
  return {
      {"value", percent(s.value)}, {"low", percent(s.low)}, {"high", percent(s.high)}, {"chance", percent(s.chance)}};
}

nlohmann::ordered_json to_json(const Options& o, const Subject& subject, const Measure& trained,
                               const Measure& random) {
  nlohmann::ordered_json json = to_json(summarize(trained, o.seed));
  const Summary r = summarize(random, o.seed);
  json["random"] = {{"value", percent(r.value)}, {"low", percent(r.low)}, {"high", percent(r.high)}};
  for (const std::int64_t c : subject.classes) {
    const Summary s = summarize(trained, subject.test_labels, c, o.seed);
    auto& entry = json["by_class"][subject.class_names[static_cast<std::size_t>(c)]] = to_json(s);
    entry["videos"] = s.videos;
  }
  return json;
}

std::string to_json(const Options& o, const Subject& subject, const Protocols& trained, const Protocols& random) {
  nlohmann::ordered_json json;
  const nlohmann::ordered_json first = to_json(o, subject, trained.recall[0], random.recall[0]);
  auto& retrieval = json["retrieval"] = nlohmann::ordered_json::object();
  for (const char* key : {"value", "low", "high", "chance"}) retrieval[key] = first[key];
  for (const Row& row : rows_of(o))
    if (row.key != std::string("r1") && row.measure != &Protocols::knn && row.measure != &Protocols::linear)
      retrieval[row.key] = percent(summarize(row.of(trained), o.seed).value);
  retrieval["random"] = first["random"];
  retrieval["random_map"] = percent(summarize(random.precision, o.seed).value);
  retrieval["by_class"] = first["by_class"];
  json["knn"] = to_json(o, subject, trained.knn, random.knn);
  json["linear"] = to_json(o, subject, trained.linear, random.linear);
  json["checkpoint"] = o.network.path();
  json["data"] = o.dataset.root;
  json["test_data"] = o.test_data.empty() ? o.dataset.root : o.test_data;
  json["split"] = o.dataset.split;
  json["clips"] = o.network.embed.clips;
  json["labels_per_class"] = o.labels_per_class > 0 ? nlohmann::ordered_json(o.labels_per_class) : nullptr;
  json["neighbors"] = o.protocols.neighbors;
  json["temperature"] = o.protocols.temperature;
  json["seed"] = o.seed;
  json["classes"] = nlohmann::ordered_json::array();
  for (const std::int64_t c : subject.classes)
    json["classes"].push_back(subject.class_names[static_cast<std::size_t>(c)]);
  json["train_videos"] = subject.train;
  json["test_videos"] = subject.test;
  json["train_videos_left_out"] = subject.train_left_out;
  json["test_videos_left_out"] = subject.test_left_out;
  json["notes"] = subject.notes;
  // A name need not be UTF-8.
  return json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int evaluate(const Options& o) {
  if (!o.json.empty()) expect_writable("evaluate", o.json);
  Backend& backend = open(o.network.device, DType::f32);
  const Network network = load_network(o.network, backend);
  DatasetConfig of_test = o.dataset;
  if (!o.test_data.empty()) {
    of_test = {};
    of_test.root = o.test_data;
    of_test.format = detect_format(of_test);
  }
  const double max_bad = o.network.embed.max_bad_percent;
  Dataset train = load(o.dataset, Subset::train, max_bad), test = load(of_test, Subset::test, max_bad);
  expect_same_classes(train, test);
  Subject subject;
  const Dataset& knows_more = train.classes.size() < test.classes.size() ? test : train;
  subject.class_names = knows_more.classes;
  if (!o.classes.empty()) {
    const std::vector<std::int64_t> numbers = class_numbers(knows_more, o.classes);
    if (numbers.size() < 2) fail("evaluate", "expected two classes or more, got {}", o.classes.front());
    train = only_classes(train, numbers);
    test = only_classes(test, numbers);
  }
  if (o.labels_per_class > 0) train = some_of_each_class(train, o.labels_per_class, o.seed);
  if (train.videos.empty() || test.videos.empty())
    fail<DataError>("evaluate", "expected training and test videos of these classes, got {} and {}",
                    train.videos.size(), test.videos.size());

  std::vector<std::int64_t> train_labels;
  for (const VideoEntry& entry : train.videos) train_labels.push_back(entry.label);
  expect_two_classes(train_labels);

  const std::vector<ModelState> states{network.state, random_state(network, backend)};
  const VideoEmbeddings gallery = embed_with_progress("embed train", o.network, network, states, train, backend);
  const VideoEmbeddings queries = embed_with_progress("embed test", o.network, network, states, test, backend);
  subject.train = std::ssize(gallery.videos);
  subject.test = std::ssize(queries.videos);
  subject.train_left_out = std::ssize(gallery.bad);
  subject.test_left_out = std::ssize(queries.bad);
  subject.test_labels = queries.networks[0].labels;
  if (subject.train_left_out + subject.test_left_out > 0)
    subject.notes.push_back(fmt::format("{} training and {} test videos cannot be used, and are left out",
                                        subject.train_left_out, subject.test_left_out));
  // Some videos may have been left out.
  expect_two_classes(gallery.networks[0].labels);
  note(o, gallery.networks[0], queries.networks[0], subject);

  const InterruptGuard interrupt;
  const Search search{backend, 4096, 256, [&] { interrupt.throw_if_requested(); }};
  const Protocols trained = run_protocols(gallery.networks[0], queries.networks[0], o.protocols, search);
  const Protocols random = run_protocols(gallery.networks[1], queries.networks[1], o.protocols, search);
  if (!o.json.empty()) {
    AtomicFile file("evaluate", o.json);
    file.write(to_json(o, subject, trained, random));
    file.commit();
  }
  print_table(o, subject, trained, random);
  return ok;
}

}  // namespace

void add_evaluate(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "evaluate",
      "measure what a network's features tell of the classes of test videos, by retrieval, weighted k-NN and a linear\n"
      "probe, each with a 95% interval, chance and the same network with random weights. Exit codes: 2 for classes "
      "that\n"
      "are not there, 3 for data without two classes or with other classes in training than in test, 5 for features "
      "that\n"
      "are not finite");
  auto o = std::make_shared<Options>();
  add_network_options(*command, o->network);
  add_dataset_options(*command, o->dataset, true);
  command
      ->add_option("--test-data", o->test_data,
                   "data set whose test videos are evaluated in the place of --data's own, such as the same classes "
                   "filmed otherwise")
      ->type_name(folder_type);
  command
      ->add_option("--classes", o->classes,
                   "names or numbers of the classes to which training and test videos are limited, such as those that "
                   "pre-training has not seen")
      ->delimiter(',')
      ->default_str("");
  command
      ->add_option("--labels-per-class", o->labels_per_class, "training videos of each class, drawn by --seed; 0: all")
      ->check(not_negative_number());
  command->add_option("--neighbors", o->protocols.neighbors, "k, the number of neighbors of k-NN")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--temperature", o->protocols.temperature,
                   "temperature of k-NN: a vote weighs exp(cosine / temperature)")
      ->check(positive_number());
  command->add_flag("--by-class", o->by_class, "show each class in the table, too; --json always does");
  command
      ->add_option("--json", o->json, "file for the results as a JSON object, in percent; written whole or not at all")
      ->type_name(file_type);
  command->add_option("--seed", o->seed, "seed of the intervals and of --labels-per-class");
  set_action(*command, [o] { return evaluate(*o); });
}

}  // namespace mcn
