// Every option of `mcn train` sets its own field and no other. The fields are listed here by structured bindings, so
// that a new one does not compile until it is listed; a new option without a row in the table fails the test.
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tests/catch.h"
#include "tools/train_options.h"

namespace mcn {
namespace {

using Fields = std::map<std::string, std::string>;

template <class T>
std::string text(const T& value) {
  if constexpr (std::is_enum_v<T>)
    return fmt::format("{}", static_cast<int>(value));
  else
    return fmt::format("{}", value);
}
std::string text(const IterationsOrShare& value) { return value.text(); }
std::string text(const std::optional<ProfileSteps>& value) {
  return value ? fmt::format("{}:{}", value->first, value->last) : "none";
}

// Names and values of all fields, one after the other.
class Lister {
 public:
  explicit Lister(Fields& fields) : fields_(fields) {}
  template <class T>
  Lister& operator()(const std::string& name, const T& value) {
    REQUIRE(fields_.emplace(name, text(value)).second);
    return *this;
  }

 private:
  Fields& fields_;
};

void list(Lister& add, const LoaderConfig& loader) {
  const auto& [batch, clip, sampling, augment, seed, threads, ring, residual_view, first_iteration, max_bad_percent,
               known_bad, files] = loader;
  add("batch", batch)("sampling", sampling)("seed", seed)("loader threads", threads)("ring", ring);
  add("residual_view", residual_view)("first_iteration", first_iteration)("max_bad_percent", max_bad_percent);
  add("known_bad", known_bad);
  const auto& [frames, stride] = clip;
  add("frames", frames)("stride", stride);
  const auto& [size, resize_height, resize_width, flip, jitter, brightness, contrast, saturation, hue, grayscale, blur,
               channel_shuffle, mean, std] = augment;
  add("size", size)("resize_height", resize_height)("resize_width", resize_width)("flip", flip)("jitter", jitter);
  add("brightness", brightness)("contrast", contrast)("saturation", saturation)("hue", hue)("grayscale", grayscale);
  add("blur", blur)("channel_shuffle", channel_shuffle)("mean", mean)("std", std);
  const auto& [index_folder, max_open, timeout_seconds, codec_threads, cuda] = files;
  add("index_folder", index_folder)("max_open", max_open)("timeout_seconds", timeout_seconds);
  add("codec_threads", codec_threads)("cuda", cuda);
}

void list(Lister& add, const TrainConfig& config) {
  const auto& [model, objective, method, maml, inner_parameters, first_order_iterations, curvature, inner_rates, bank,
               optimizer, clip_grad, loader, iterations, running_momentum, dtype, cuda_graph] = config;
  const auto& [backbone, feature_size] = model;
  const auto& [arch, width, classes, precision] = backbone;
  add("arch", arch)("width", width)("classes", classes)("backbone.precision", precision)("feature_size", feature_size);
  const auto& [temperature, lambda] = objective;
  add("temperature", temperature)("lambda", lambda)("method", method);
  const auto& [inner_steps, inner_lr, inner_factors, second_order, inner_tape, inner, outer, beta, names] = maml;
  add("inner_steps", inner_steps)("inner_lr", inner_lr)("second_order", second_order)("inner_tape", inner_tape);
  add("outer objective", outer)("beta", beta)("inner", inner)("parameter names", names);
  const auto& [group, group_factors, derivatives] = inner_factors;
  add("inner_factors.group", group)("inner_factors.factors", group_factors)("inner_factors.derivatives", derivatives);
  add("inner_parameters", inner_parameters)("first_order_iterations", first_order_iterations);
  const auto& [every, products, sets_inner_lr] = curvature;
  add("curvature.every", every)("curvature.products", products)("curvature.sets_inner_lr", sets_inner_lr);
  const auto& [factors, learned, rates_lr] = inner_rates;
  add("inner_rates.factors", factors)("inner_rates.learned", learned)("inner_rates.lr", rates_lr);
  const auto& [bank_kind, bank_size, bank_momentum] = bank;
  add("bank.kind", bank_kind)("bank.size", bank_size)("bank.momentum", bank_momentum);
  const auto& [kind, lr, momentum, beta2, weight_decay, schedule, warmup, milestones, gamma] = optimizer;
  add("optimizer", kind)("lr", lr)("momentum", momentum)("beta2", beta2)("weight_decay", weight_decay);
  add("schedule", schedule)("optimizer.warmup", warmup)("milestones", milestones)("gamma", gamma);
  add("clip_grad", clip_grad)("iterations", iterations)("running_momentum", running_momentum)("dtype", dtype);
  add("cuda_graph", cuda_graph);
  list(add, loader);
}

Fields fields_of(const TrainOptions& options) {
  Fields fields;
  Lister add(fields);
  const auto& [config, warmup, first_order_for, evaluate_every, epochs, device, dataset, config_file, out, resume, init,
               preset, allowed_changes, keep, strict, checkpoint_every, evaluate_videos, chosen, profile, dry_run,
               force, report, tensorboard] = options;
  list(add, config);
  add("warmup", warmup)("first_order_for", first_order_for)("evaluate_every", evaluate_every);
  add("epochs", epochs)("config_file", config_file)("out", out)("resume", resume)("init", init)("preset", preset);
  add("allowed_changes", allowed_changes)("keep", keep);
  add("strict", strict)("checkpoint_every", checkpoint_every)("evaluate_videos", evaluate_videos);
  add("chosen", chosen)("profile", profile)("dry_run", dry_run)("force", force);
  add("report", report)("tensorboard", tensorboard);
  const auto& [name, threads, precision, gemm] = device;
  add("device", name)("threads", threads)("precision", precision)("gemm", gemm);
  const auto& [root, format, split, splits_dir, train_files, test_files, max_absent_percent] = dataset;
  add("root", root)("format", format)("split", split)("splits_dir", splits_dir)("train_files", train_files);
  add("test_files", test_files)("max_absent_percent", max_absent_percent);
  return fields;
}

Fields parsed(std::vector<std::string> arguments) {
  CLI::App app;
  app.option_defaults()->always_capture_default();
  CLI::App* command = app.add_subcommand("train");
  TrainOptions options;
  add_train_options(*command, options);
  arguments.insert(arguments.begin(), "train");
  std::ranges::reverse(arguments);  // as CLI11 wants them
  app.parse(arguments);
  return fields_of(options);
}

struct Row {
  std::string option, value;  // no value: a flag
  Fields expected;            // what it sets; nothing else may change
};

using Strings = std::vector<std::string>;

const std::vector<Row>& table() {
  const auto factors = std::vector<std::pair<std::string, double>>{{"heads", 10}, {"stem", 0.5}};
  static const std::vector<Row> rows{
      {"--preset", "small", {{"preset", "small"}}},
      {"--data", "d", {{"root", "d"}}},
      {"--format", "ucf101", {{"format", text(DatasetFormat::ucf101)}}},
      {"--format", "hmdb51", {{"format", text(DatasetFormat::hmdb51)}}},
      {"--format", "kinetics", {{"format", text(DatasetFormat::kinetics)}}},
      {"--format", "webdataset", {{"format", text(DatasetFormat::webdataset)}}},
      {"--format", "list", {{"format", text(DatasetFormat::list)}}},
      {"--format", "folder", {{"format", text(DatasetFormat::folder)}}},
      {"--format", "auto", {{"format", text(DatasetFormat::automatic)}}},
      {"--split", "3", {{"split", "3"}}},
      {"--splits", "lists", {{"splits_dir", "lists"}}},
      {"--train-files", "a.csv", {{"train_files", text(Strings{"a.csv"})}}},
      {"--test-files", "b.csv", {{"test_files", text(Strings{"b.csv"})}}},
      {"--out", "run", {{"out", "run"}}},
      {"--resume", "last", {{"resume", "last"}}},
      {"--allow-change", "lr,batch", {{"allowed_changes", text(std::set<std::string>{"batch", "lr"})}}},
      {"--keep", "3", {{"keep", "3"}}},
      {"--init", "weights", {{"init", "weights"}}},
      {"--strict", "no", {{"strict", "false"}}},
      {"--strict", "yes", {{"strict", "true"}}},
      {"--device", "simt", {{"device", "simt"}}},
      {"--threads", "7", {{"threads", "7"}}},
      {"--precision", "fp32", {{"precision", text(Precision::fp32)}}},
      {"--precision", "tf32", {{"precision", text(Precision::tf32)}}},
      {"--precision", "bf16", {{"precision", text(Precision::bf16)}}},
      {"--gemm", "own", {{"gemm", text(GemmLibrary::own)}}},
      {"--gemm", "cublas", {{"gemm", text(GemmLibrary::cublas)}}},
      {"--loader-threads", "9", {{"loader threads", "9"}}},
      {"--index-cache", "cache", {{"index_folder", "cache"}}},
      {"--max-open", "33", {{"max_open", "33"}}},
      {"--decode-timeout", "17", {{"timeout_seconds", "17"}}},
      {"--hwaccel", "cuda", {{"cuda", "true"}}},
      {"--hwaccel", "none", {{"cuda", "false"}}},
      {"--seed", "1234", {{"seed", "1234"}}},
      {"--dtype", "f32", {{"dtype", text(DType::f32)}}},
      {"--dtype", "f64", {{"dtype", text(DType::f64)}}},
      {"--checkpoint-every", "21", {{"checkpoint_every", "21"}}},
      {"--evaluate-every", "25%", {{"evaluate_every", "25%"}}},
      {"--evaluate-videos", "55", {{"evaluate_videos", "55"}}},
      {"--report", "no", {{"report", text(ReportContent::none)}}},
      {"--report", "curves", {{"report", text(ReportContent::curves)}}},
      {"--report", "yes", {{"report", text(ReportContent::all)}}},
      {"--tensorboard", "", {{"tensorboard", "true"}}},
      {"--cuda-graph", "", {{"cuda_graph", "true"}}},
      {"--dry-run", "", {{"dry_run", "true"}}},
      {"--force", "", {{"force", "true"}}},
      {"--profile-steps", "20:30", {{"profile", "20:30"}}},
      {"--arch", "r3d_18", {{"arch", "r3d_18"}}},
      {"--width", "0.375", {{"width", "0.375"}}},
      {"--feature-size", "77", {{"feature_size", "77"}}},
      {"--method", "contrastive", {{"method", text(Method::contrastive)}}},
      {"--method", "joint", {{"method", text(Method::joint)}}},
      {"--method", "mcn", {{"method", text(Method::mcn)}}},
      {"--temperature", "0.21", {{"temperature", "0.21"}}},
      {"--lambda", "0.31", {{"lambda", "0.31"}}},
      {"--inner-steps", "3", {{"inner_steps", "3"}}},
      {"--inner-lr", "0.41", {{"inner_lr", "0.41"}, {"curvature.sets_inner_lr", "false"}}},
      {"--inner-lr", "auto", {{"curvature.sets_inner_lr", "true"}}},
      {"--inner-lr-factors", "heads=10,stem=0.5", {{"inner_rates.factors", text(factors)}}},
      {"--learn-inner-lr", "", {{"inner_rates.learned", "true"}}},
      {"--inner-lr-lr", "0.51", {{"inner_rates.lr", "0.51"}}},
      {"--curvature-every", "11", {{"curvature.every", "11"}}},
      {"--curvature-products", "5", {{"curvature.products", "5"}}},
      {"--inner-params", "all", {{"inner_parameters", text(InnerParameters::all)}}},
      {"--inner-params", "heads", {{"inner_parameters", text(InnerParameters::heads)}}},
      {"--inner-params", "heads+layer4", {{"inner_parameters", text(InnerParameters::layer4_and_heads)}}},
      {"--order", "1", {{"second_order", "false"}}},
      {"--order", "2", {{"second_order", "true"}}},
      {"--first-order-for", "40%", {{"first_order_for", "40%"}}},
      {"--inner-tape", "keep", {{"inner_tape", text(InnerTape::keep)}}},
      {"--inner-tape", "recompute", {{"inner_tape", text(InnerTape::recompute)}}},
      {"--objective", "query", {{"outer objective", text(OuterObjective::query)}}},
      {"--objective", "support+query", {{"outer objective", text(OuterObjective::support_and_query)}}},
      {"--beta", "0.61", {{"beta", "0.61"}}},
      {"--bank", "none", {{"bank.kind", text(BankKind::none)}}},
      {"--bank", "memory", {{"bank.kind", text(BankKind::memory)}}},
      {"--bank", "queue", {{"bank.kind", text(BankKind::queue)}}},
      {"--bank-size", "333", {{"bank.size", "333"}}},
      {"--bank-momentum", "0.71", {{"bank.momentum", "0.71"}}},
      {"--optimizer", "sgd", {{"optimizer", text(OptimizerKind::sgd)}}},
      {"--optimizer", "adamw", {{"optimizer", text(OptimizerKind::adamw)}}},
      {"--lr", "0.81", {{"lr", "0.81"}}},
      {"--momentum", "0.83", {{"momentum", "0.83"}}},
      {"--beta2", "0.93", {{"beta2", "0.93"}}},
      {"--weight-decay", "0.07", {{"weight_decay", "0.07"}}},
      {"--schedule", "constant", {{"schedule", text(ScheduleKind::constant)}}},
      {"--schedule", "cosine", {{"schedule", text(ScheduleKind::cosine)}}},
      {"--schedule", "multistep", {{"schedule", text(ScheduleKind::multistep)}}},
      {"--warmup", "13", {{"warmup", "13"}}},
      {"--clip-grad", "1.5", {{"clip_grad", "1.5"}}},
      {"--milestones", "10,20", {{"milestones", text(std::vector<int>{10, 20})}}},
      {"--gamma", "0.15", {{"gamma", "0.15"}}},
      {"--iterations", "777", {{"iterations", "777"}}},
      {"--epochs", "19", {{"epochs", "19"}}},
      {"--batch", "14", {{"batch", "14"}}},
      {"--frames", "6", {{"frames", "6"}}},
      {"--stride", "8", {{"stride", "8"}}},
      {"--sampling", "random", {{"sampling", text(ClipSampling::random)}}},
      {"--sampling", "uniform", {{"sampling", text(ClipSampling::uniform)}}},
      {"--sampling", "centre", {{"sampling", text(ClipSampling::centre)}}},
      {"--ring", "12", {{"ring", "12"}}},
      {"--max-bad", "3.5%", {{"max_bad_percent", "3.5"}}},
      {"--residual-view", "", {{"residual_view", "true"}}},
      {"--size", "88", {{"size", "88"}}},
      {"--resize-height", "99", {{"resize_height", "99"}}},
      {"--resize-width", "111", {{"resize_width", "111"}}},
      {"--flip", "0.11", {{"flip", "0.11"}}},
      {"--jitter", "0.12", {{"jitter", "0.12"}}},
      {"--brightness", "0.13", {{"brightness", "0.13"}}},
      {"--contrast", "0.14", {{"contrast", "0.14"}}},
      {"--saturation", "0.16", {{"saturation", "0.16"}}},
      {"--hue", "0.17", {{"hue", "0.17"}}},
      {"--grayscale", "0.18", {{"grayscale", "0.18"}}},
      {"--blur", "0.19", {{"blur", "0.19"}}},
      {"--channel-shuffle", "0.22", {{"channel_shuffle", "0.22"}}},
  };
  return rows;
}

// What no option sets: what depends on other settings or the data, and what the file of --config is read for.
const std::set<std::string> set_by_none{"backbone.precision",  // the command takes it from the device's options
                                        "classes",
                                        "config_file",
                                        "inner",
                                        "parameter names",
                                        "inner_factors.group",
                                        "inner_factors.factors",
                                        "inner_factors.derivatives",
                                        "first_order_iterations",
                                        "optimizer.warmup",
                                        "running_momentum",
                                        "first_iteration",
                                        "known_bad",
                                        "mean",
                                        "std",
                                        "codec_threads",
                                        "chosen",
                                        "max_absent_percent"};

std::vector<std::string> arguments_of(const Row& row) {
  return row.value.empty() ? Strings{row.option} : Strings{row.option, row.value};
}

TEST_CASE("every option of train sets its own field, and no other") {
  const Fields before = parsed({});
  for (const Row& row : table()) {
    INFO(row.option << " " << row.value);
    const Fields after = parsed(arguments_of(row));
    for (const auto& [field, value] : row.expected) CHECK(after.at(field) == value);
    for (const auto& [field, value] : after)
      if (!row.expected.contains(field)) {
        INFO(field);
        CHECK(value == before.at(field));
      }
  }
}

TEST_CASE("all options of train together have the values that each has alone") {
  Fields expected;
  Strings arguments;
  std::set<std::string> given;
  for (const Row& row : table()) {
    if (row.option == "--init" || !given.insert(row.option).second) continue;  // --resume excludes it
    for (const std::string& argument : arguments_of(row)) arguments.push_back(argument);
    expected.insert(row.expected.begin(), row.expected.end());
  }
  const Fields all = parsed(arguments);
  for (const auto& [field, value] : expected) {
    INFO(field);
    CHECK(all.at(field) == value);
  }
}

TEST_CASE("no option of train and no field is left out of the table") {
  CLI::App command;
  TrainOptions options;
  add_train_options(command, options);
  std::set<std::string> rows, fields;
  for (const Row& row : table()) {
    rows.insert(row.option);
    for (const auto& [field, value] : row.expected) fields.insert(field);
  }
  std::set<std::string> there;
  for (const CLI::Option* option : command.get_options()) there.insert(option->get_name());
  there.erase("--help");
  there.erase("--config");
  CHECK(there == rows);
  // Every row but those of words that are the default says something else than the default.
  const Fields defaults = fields_of(options);
  for (const auto& [field, value] : defaults) {
    INFO(field);
    CHECK(fields.contains(field) != set_by_none.contains(field));
    const auto others = [&](const Row& row) {
      const auto found = row.expected.find(field);
      return found != row.expected.end() && found->second != value;
    };
    if (fields.contains(field)) CHECK(std::ranges::any_of(table(), others));
  }
}

}  // namespace
}  // namespace mcn
