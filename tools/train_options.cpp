// Names, defaults, ranges and help texts of the settings of training.
#include "tools/train_options.h"

#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/number.h"

namespace mcn {
namespace {

void add_model(CLI::App& command, TrainConfig& c) {
  command.add_option("--arch", c.model.backbone.arch, "backbone: r2plus1d_18, r2plus1d_10 or r3d_18")
      ->check(CLI::IsMember(video_resnet_archs()));
  command.add_option("--width", c.model.backbone.width, "multiplies the channels of every stage");
  command.add_option("--feature-size", c.model.feature_size, "length of z");
}

void add_algorithm(CLI::App& command, TrainConfig& c) {
  add_choice<Method>(command, "--method", c.method,
                     {{"contrastive", Method::contrastive}, {"joint", Method::joint}, {"mcn", Method::mcn}},
                     "contrastive: InfoNCE alone; joint: both losses, no bilevel step; mcn: both stages");
  command.add_option("--temperature", c.objective.temperature, "tau of InfoNCE")->check(positive_number());
  command.add_option("--lambda", c.objective.lambda, "weight of the meta branch")->check(not_negative_number());
  command.add_option("--inner-steps", c.maml.inner_steps, "K, inner SGD steps on S")->check(CLI::Range(0, 1000));
  command.add_option("--inner-lr", c.maml.inner_lr, "alpha1, learning rate of the inner steps");
  add_choice<bool>(command, "--order", c.maml.second_order, {{"1", false}, {"2", true}},
                   "2: exact second-order meta-gradient; 1: first-order MAML");
  add_inner_tape_option(command, c.maml.inner_tape);
  add_choice<OuterObjective>(command, "--objective", c.maml.objective,
                             {{"query", OuterObjective::query}, {"support+query", OuterObjective::support_and_query}},
                             "outer objective: L_Q(theta_K), or L_S(theta) + beta L_Q(theta_K)");
  command.add_option("--beta", c.maml.beta, "weight of L_Q in support+query");
  add_choice<BankKind>(command, "--bank", c.bank.kind,
                       {{"none", BankKind::none}, {"memory", BankKind::memory}, {"queue", BankKind::queue}},
                       "negatives from past iterations: memory bank (a row a video) or queue");
  command.add_option("--bank-size", c.bank.size, "negatives drawn from the memory bank, or length of the queue");
  command.add_option("--bank-momentum", c.bank.momentum, "of the memory bank's rows")->check(CLI::Range(0.0, 1.0));
}

void add_optimizer(CLI::App& command, TrainConfig& c) {
  add_choice<OptimizerKind>(command, "--optimizer", c.optimizer.kind,
                            {{"sgd", OptimizerKind::sgd}, {"adamw", OptimizerKind::adamw}}, "outer optimiser");
  command.add_option("--lr", c.optimizer.lr, "alpha2, learning rate of the outer update");
  command.add_option("--momentum", c.optimizer.momentum, "of SGD; beta1 of AdamW");
  command.add_option("--beta2", c.optimizer.beta2, "of AdamW");
  command.add_option("--weight-decay", c.optimizer.weight_decay, "of weights; biases and norms do not decay");
  add_choice<ScheduleKind>(
      command, "--schedule", c.optimizer.schedule,
      {{"constant", ScheduleKind::constant}, {"cosine", ScheduleKind::cosine}, {"multistep", ScheduleKind::multistep}},
      "learning rate after the warm-up");
  command.add_option("--warmup", c.optimizer.warmup, "iterations of linear warm-up")->check(not_negative_number());
  command.add_option("--milestones", c.optimizer.milestones, "multistep: iterations at which the rate drops")
      ->delimiter(',')
      ->default_str("");
  command.add_option("--gamma", c.optimizer.gamma, "multistep: factor of a drop");
  command.add_option("--iterations", c.iterations, "outer updates in all")->check(positive_number());
}

void add_clips(CLI::App& command, LoaderConfig& loader) {
  command.add_option("--batch", loader.batch, "videos an iteration; method mcn: half in S, half in Q");
  command.add_option("--frames", loader.clip.frames, "frames a clip")->check(positive_number());
  command.add_option("--stride", loader.clip.stride, "video frames from one clip frame to the next")
      ->check(positive_number());
  add_choice<ClipSampling>(
      command, "--sampling", loader.sampling,
      {{"random", ClipSampling::random}, {"uniform", ClipSampling::uniform}, {"centre", ClipSampling::centre}},
      "where the two views' clips are in a video: anywhere; at its two ends; both in its middle");
  command.add_option("--ring", loader.ring, "batches that loader threads may be ahead")->check(CLI::Range(1, 64));
  add_max_bad(command, loader.max_bad_percent,
              "share of unusable videos, such as 5%, beyond which training stops; others take their places until then");
  command.add_flag("--residual-view", loader.residual_view, "second view: differences of consecutive frames");
  AugmentConfig& a = loader.augment;
  command.add_option("--size", a.size, "pixels a side of a clip")->check(positive_number());
  command.add_option("--resize-height", a.resize_height, "pixels, before the crop")->check(positive_number());
  command.add_option("--resize-width", a.resize_width, "pixels, before the crop")->check(positive_number());
  const auto probability = [&](const char* name, double& value, const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(0.0, 1.0));
  };
  probability("--flip", a.flip, "probability of a horizontal flip");
  probability("--jitter", a.jitter, "probability of colour jitter");
  command.add_option("--brightness", a.brightness, "jitter: factor in [1 - b, 1 + b]");
  command.add_option("--contrast", a.contrast, "jitter: factor in [1 - c, 1 + c]");
  command.add_option("--saturation", a.saturation, "jitter: factor in [1 - s, 1 + s]");
  command.add_option("--hue", a.hue, "jitter: turn in [-h, h] of the colour circle")->check(CLI::Range(0.0, 0.5));
  probability("--grayscale", a.grayscale, "probability of grayscale");
  probability("--blur", a.blur, "probability of a Gaussian blur");
  probability("--channel-shuffle", a.channel_shuffle, "probability of a random order of the colour channels");
}

/// CLI11 takes every # for the beginning of a comment, also one in quotes, which may be part of a path.
std::string without_comments(const std::string& text) {
  std::string result;
  char quote = '\0';
  bool comment = false;
  for (const char c : text) {
    if (c == '\n') {
      quote = '\0';
      comment = false;
    } else if (!comment && quote == '\0') {
      comment = c == '#';
      if (c == '"' || c == '\'') quote = c;
    } else if (c == quote) {
      quote = '\0';
    }
    if (!comment) result += c;
  }
  return result;
}

/// CLI11's TOML has no escapes: what it would write of such a value is read as another.
void check_that_it_can_be_saved(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options())
    if (option->get_configurable())
      for (const std::string& value : option->results())
        if (value.find('\n') != std::string::npos ||
            (value.find('"') != std::string::npos && value.find('\'') != std::string::npos))
          fail("config", "{}: expected a value without line breaks or two kinds of quotes, got {}", option->get_name(),
               value);
}

ProfileSteps parse_profile_steps(const std::string& text) {
  ProfileSteps steps;
  const char* const end = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), end, steps.first);
  if (error == std::errc() && colon != end && *colon == ':')
    if (const auto [rest, failed] = std::from_chars(colon + 1, end, steps.last);
        failed == std::errc() && rest == end && steps.first >= 0 && steps.last > steps.first)
      return steps;
  throw CLI::ValidationError("--profile-steps", fmt::format("expected FIRST:LAST, such as 20:30, got \"{}\"", text));
}

}  // namespace

void add_train_options(CLI::App& command, TrainOptions& o) {
  command
      .add_option("--config", o.config_file, "TOML file of these settings, without the dashes; the command line wins")
      ->type_name(file_type)
      ->configurable(false);
  add_dataset_options(command, o.dataset, false);
  command
      .add_option(
          "--out", o.out,
          "folder of the run: config.toml, metrics.jsonl, last.safetensors; those of an earlier run in it are moved "
          "to earlier-1 in it unless --resume names a checkpoint in it (required)")
      ->type_name(folder_type);
  CLI::Option* resume = command.add_option("--resume", o.resume, "checkpoint to go on from")->type_name(file_type);
  command
      .add_option(
          "--init", o.init,
          "weights to start from: a checkpoint of another run, safetensors with torchvision's names, or a state "
          "dict of PyTorch (.pth, .pt)")
      ->type_name(file_type)
      ->excludes(resume);
  add_choice<bool>(command, "--strict", o.strict, {{"no", false}, {"yes", true}},
                   "whether the file of --init must have all of the backbone's tensors and no unknown ones");
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
  command.add_option("--loader-threads", o.config.loader.threads, "threads that decode")->check(CLI::Range(1, 256));
  add_file_options(command, o.config.loader.files);
  command.add_option("--seed", o.config.loader.seed, "of weights, batches and augmentation");
  add_choice<DType>(command, "--dtype", o.config.dtype, {{"f32", DType::f32}, {"f64", DType::f64}}, "of all tensors");
  command.add_option("--checkpoint-every", o.checkpoint_every, "iterations")->check(positive_number());
  command.add_flag("--cuda-graph", o.config.cuda_graph,
                   "put an iteration on the GPU as one CUDA graph: less launching, the same bits (cuda and simt)");
  command
      .add_flag("--dry-run", o.dry_run,
                "forecast the memory that the run will need, without running or writing anything; exit 4 if it is more "
                "than there is")
      ->configurable(false);
  command
      .add_option_function<std::string>(
          "--profile-steps", [&o](const std::string& text) { o.profile = parse_profile_steps(text); },
          "FIRST:LAST, the iterations that nsys or ncu records (--capture-range=cudaProfilerApi); LAST is not among "
          "them")
      ->type_name("FIRST:LAST")
      ->configurable(false);
  add_model(command, o.config);
  add_algorithm(command, o.config);
  add_optimizer(command, o.config);
  add_clips(command, o.config.loader);
}

void complete_train_options(CLI::App& command, TrainOptions& options) {
  if (!options.config_file.empty()) {
    std::ifstream stream(options.config_file);
    std::ostringstream text;
    if (!stream || !(text << stream.rdbuf())) fail<DataError>("config", "cannot read {}", options.config_file);
    std::istringstream lines(without_comments(text.str()));
    CLI::ConfigTOML toml;
    toml.comment('\n');  // none, in a line
    std::set<std::string> keys;
    for (const CLI::ConfigItem& item : toml.from_config(lines)) {
      CLI::Option* option = command.get_option_no_throw("--" + item.name);
      if (!item.parents.empty() || option == nullptr || !option->get_configurable())
        fail("config", "{}: unknown key \"{}\"", options.config_file, item.fullname());
      // The second would be taken for one that the command line overrides.
      if (!keys.insert(item.name).second)
        fail("config", "{}: expected every key once, got \"{}\" twice", options.config_file, item.name);
      // A saved config writes what is not set as an empty value.
      if (option->count() > 0 || item.inputs == std::vector<std::string>{""}) continue;
      try {
        // A flag takes the word itself.
        if (option->get_expected_min() == 0)
          option->add_result(command.get_config_formatter()->to_flag(item));
        else
          option->add_result(item.inputs);
        option->run_callback();
      } catch (const CLI::ParseError& error) {
        fail("config", "{}: {}", options.config_file, error.what());
      }
    }
  }
  for (const auto& [name, value] : {std::pair{"--data", &options.dataset.root}, std::pair{"--out", &options.out}})
    if (value->empty() && !(options.dry_run && value == &options.out))
      fail("train", "{} is required, on the command line or in a --config file", name);
  check_that_it_can_be_saved(command);
  resolve_format(command, options.dataset);
}

}  // namespace mcn
