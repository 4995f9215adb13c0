// Names, defaults, ranges and help texts of the settings of training.
#include "tools/train_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "tools/choice.h"
#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/number.h"
#include "tools/presets.h"

namespace mcn {
namespace {

void add_model(CLI::App& command, TrainConfig& c) {
  command.add_option("--arch", c.model.backbone.arch, "backbone: r2plus1d_18, r2plus1d_10 or r3d_18")
      ->check(CLI::IsMember(video_resnet_archs()));
  command.add_option("--width", c.model.backbone.width, "multiplies the channels of every stage");
  command.add_option("--feature-size", c.model.feature_size, "length of z");
}

void add_inner_lr(CLI::App& command, TrainConfig& c) {
  command
      .add_option_function<std::string>(
          "--inner-lr",
          [&c](const std::string& text) {
            c.curvature.sets_inner_lr = text == "auto";
            if (!c.curvature.sets_inner_lr) CLI::detail::lexical_cast(text, c.maml.inner_lr);
          },
          "alpha1, learning rate of the inner steps: a number, or auto: 0.5 / |top eigenvalue of the Hessian of L_S|, "
          "measured every --curvature-every iterations")
      ->check([](const std::string& text) {
        double value = 0;
        return text == "auto" || CLI::detail::lexical_cast(text, value) ? std::string()
                                                                        : "expected a number or auto, got " + text;
      })
      ->type_name("FLOAT|auto")
      ->default_str("auto");
}

void add_iterations_or_share(CLI::App& command, const std::string& name, IterationsOrShare& value,
                             const std::string& help) {
  command
      .add_option_function<std::string>(
          name, [&value](const std::string& text) { value = *parse_iterations_or_share(text); }, help)
      ->check([](const std::string& text) {
        return parse_iterations_or_share(text)
                   ? std::string()
                   : fmt::format("expected iterations such as 200, or a share such as 5%, got {}", text);
      })
      ->type_name("N|P%")
      ->default_str(value.text());
}

void add_algorithm(CLI::App& command, TrainOptions& o) {
  TrainConfig& c = o.config;
  add_choice<Method>(command, "--method", c.method,
                     {{"contrastive", Method::contrastive}, {"joint", Method::joint}, {"mcn", Method::mcn}},
                     "contrastive: InfoNCE alone; joint: both losses, no bilevel step; mcn: both stages");
  command.add_option("--temperature", c.objective.temperature, "tau of InfoNCE")->check(positive_number());
  command.add_option("--lambda", c.objective.lambda, "weight of the meta branch")->check(not_negative_number());
  command.add_option("--inner-steps", c.maml.inner_steps, "K, inner SGD steps on S")->check(CLI::Range(0, 1000));
  add_inner_lr(command, c);
  command
      .add_option("--curvature-every", c.curvature.every,
                  "method mcn: iterations from one measurement of the curvature of L_S to the next; 0: none")
      ->check(not_negative_number());
  command
      .add_option("--curvature-products", c.curvature.products,
                  "Hessian products of a measurement; four times as many for the first one")
      ->check(CLI::Range(1, 1000));
  add_choice<InnerParameters>(command, "--inner-params", c.inner_parameters,
                              {{"all", InnerParameters::all},
                               {"heads", InnerParameters::heads},
                               {"heads+layer4", InnerParameters::layer4_and_heads}},
                              "what the inner steps move: everything; the heads alone; these and the last stage");
  add_choice<bool>(command, "--order", c.maml.second_order, {{"1", false}, {"2", true}},
                   "2: exact second-order meta-gradient; 1: first-order MAML");
  add_iterations_or_share(command, "--first-order-for", o.first_order_for,
                          "with --order 2: the first part of training that has order 1, as iterations or as a share "
                          "such as 40%");
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

void add_optimizer(CLI::App& command, TrainOptions& o) {
  TrainConfig& c = o.config;
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
  add_iterations_or_share(command, "--warmup", o.warmup,
                          "linear warm-up of the learning rate, as iterations or as a share of all, such as 5%");
  command
      .add_option("--clip-grad", c.clip_grad,
                  "longest outer gradient, as a norm over all parameters; a longer one is scaled down to it; 0: any")
      ->check(not_negative_number());
  command.add_option("--milestones", c.optimizer.milestones, "multistep: iterations at which the rate drops")
      ->delimiter(',')
      ->default_str("");
  command.add_option("--gamma", c.optimizer.gamma, "multistep: factor of a drop");
  command.add_option("--iterations", c.iterations, "outer updates in all; by default the preset's")
      ->check(positive_number())
      ->default_str("");
  command
      .add_option("--epochs", o.epochs,
                  "the same as epochs, each of videos / batch iterations rounded up; in the place of --iterations")
      ->check(positive_number())
      ->default_str("");
}

void add_clips(CLI::App& command, LoaderConfig& loader) {
  command.add_option("--batch", loader.batch, "videos an iteration; method mcn: half in S, half in Q");
  command.add_option("--frames", loader.clip.frames, "frames a clip")->check(positive_number());
  command
      .add_option("--stride", loader.clip.stride,
                  "video frames from one clip frame to the next; smaller in a video that is too short for it")
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
  command.add_option("--resize-height", a.resize_height, "pixels, before the crop; by default 128/112 of --size")
      ->check(positive_number())
      ->default_str("");
  command.add_option("--resize-width", a.resize_width, "the same; by default 171/112 of --size")
      ->check(positive_number())
      ->default_str("");
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

/// What a setting of iterations leaves no room for.
std::string other_length(const std::string& name) {
  return name == "iterations" ? "epochs" : name == "epochs" ? "iterations" : "";
}

/// Sets the options that are not set yet. origin: for errors.
void apply_settings(CLI::App& command, const std::string& text, const std::string& origin) {
  std::istringstream lines(without_comments(text));
  CLI::ConfigTOML toml;
  toml.comment('\n');  // none, in a line
  std::set<std::string> keys, set;
  for (const CLI::ConfigItem& item : toml.from_config(lines)) {
    CLI::Option* option = command.get_option_no_throw("--" + item.name);
    if (!item.parents.empty() || option == nullptr || !option->get_configurable())
      fail("config", "{}: unknown key \"{}\"", origin, item.fullname());
    // The second would be taken for one that the command line overrides.
    if (!keys.insert(item.name).second)
      fail("config", "{}: expected every key once, got \"{}\" twice", origin, item.name);
    // A saved config writes what is not set as an empty value.
    if (option->count() > 0 || item.inputs == std::vector<std::string>{""}) continue;
    if (const std::string other = other_length(item.name); !other.empty()) {
      if (set.contains(other)) fail("config", "{}: expected either \"iterations\" or \"epochs\", got both", origin);
      if (command.get_option("--" + other)->count() > 0) continue;
    }
    set.insert(item.name);
    try {
      // A flag takes the word itself.
      if (option->get_expected_min() == 0)
        option->add_result(command.get_config_formatter()->to_flag(item));
      else
        option->add_result(item.inputs);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      fail("config", "{}: {}", origin, error.what());
    }
  }
}

/// Puts a value into an option, also in what the command prints and saves.
void set_option(CLI::App& command, const std::string& name, const std::string& value) {
  CLI::Option* option = command.get_option(name);
  option->clear();
  if (value.empty()) return;
  option->add_result(value);
  option->run_callback();
}

}  // namespace

void add_train_options(CLI::App& command, TrainOptions& o) {
  // The library's defaults are those of its parts; these are a run's.
  o.config.optimizer.schedule = ScheduleKind::cosine;
  o.config.curvature.every = 20;
  o.config.curvature.sets_inner_lr = true;
  command
      .add_option("--config", o.config_file, "TOML file of these settings, without the dashes; the command line wins")
      ->type_name(file_type)
      ->configurable(false);
  std::vector<std::string> presets = preset_names();
  presets.insert(presets.begin(), "auto");
  command
      .add_option(
          "--preset", o.preset,
          "settings for a kind of data and machine, in the place of the defaults below; any setting that is given "
          "wins; auto: by the number of videos and the device's memory")
      ->check(CLI::IsMember(presets));
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
  add_choice<ReportContent>(
      command, "--report", o.report,
      {{"no", ReportContent::none}, {"curves", ReportContent::curves}, {"yes", ReportContent::all}},
      "whether the run's end, however it comes, writes report.html into the folder (see mcn report); yes: after the "
      "last iteration also with pictures of videos");
  command.add_flag("--tensorboard", o.tensorboard, "write an event file of TensorBoard into the folder, too");
  command.add_flag("--cuda-graph", o.config.cuda_graph,
                   "put an iteration on the GPU as one CUDA graph: less launching, the same bits (cuda and simt)");
  command
      .add_flag("--dry-run", o.dry_run,
                "forecast the memory that the run will need, without running or writing anything; exit 4 if it is more "
                "than there is")
      ->configurable(false);
  command.add_flag("--force", o.force, "train also where the forecast is more memory than there is")
      ->configurable(false);
  command
      .add_option_function<std::string>(
          "--profile-steps", [&o](const std::string& text) { o.profile = parse_profile_steps(text); },
          "FIRST:LAST, the iterations that nsys or ncu records (--capture-range=cudaProfilerApi); LAST is not among "
          "them")
      ->type_name("FIRST:LAST")
      ->configurable(false);
  add_model(command, o.config);
  add_algorithm(command, o);
  add_optimizer(command, o);
  add_clips(command, o.config.loader);
}

std::int64_t IterationsOrShare::of(std::int64_t iterations) const {
  return std::llround(percent ? amount / 100 * static_cast<double>(iterations) : amount);
}

std::string IterationsOrShare::text() const { return fmt::format("{}{}", amount, percent ? "%" : ""); }

std::optional<IterationsOrShare> parse_iterations_or_share(const std::string& text) {
  const bool percent = text.ends_with('%');
  const std::string number = percent ? text.substr(0, text.size() - 1) : text;
  double amount = 0;
  constexpr double most_iterations = 1e15;
  if (!CLI::detail::lexical_cast(number, amount)) return {};
  if (!(amount >= 0 && amount <= (percent ? 100 : most_iterations))) return {};
  if (!percent && amount != std::floor(amount)) return {};
  return IterationsOrShare{amount, percent};
}

void complete_train_options(CLI::App& command, TrainOptions& options) {
  for (const CLI::Option* option : command.get_options())
    if (option->count() > 0) options.chosen.insert(option->get_name());
  if (!options.config_file.empty()) {
    std::ifstream stream(options.config_file);
    std::ostringstream text;
    if (!stream || !(text << stream.rdbuf())) fail<DataError>("config", "cannot read {}", options.config_file);
    apply_settings(command, text.str(), options.config_file);
  }
  for (const auto& [name, value] : {std::pair{"--data", &options.dataset.root}, std::pair{"--out", &options.out}})
    if (value->empty() && !(options.dry_run && value == &options.out))
      fail("train", "{} is required, on the command line or in a --config file", name);
  if (command.get_option("--iterations")->count() > 0 && options.epochs > 0)
    fail("train", "expected either --iterations or --epochs, got both");
  check_that_it_can_be_saved(command);
  resolve_format(command, options.dataset);
}

void resolve_train_options(CLI::App& command, TrainOptions& options, const RunFacts& facts) {
  TrainConfig& c = options.config;
  if (options.preset == "auto") set_option(command, "--preset", choose_preset(facts.videos, facts.memory, facts.gpu));
  apply_settings(command, std::string(preset_text(options.preset)), "preset " + options.preset);
  if (options.epochs > 0) {
    const std::int64_t batch = std::max<std::int64_t>(1, c.loader.batch);
    const std::int64_t in_an_epoch = std::max<std::int64_t>(1, (facts.videos + batch - 1) / batch);
    if (options.epochs > std::numeric_limits<std::int64_t>::max() / in_an_epoch)
      fail("train", "{} epochs are too many", options.epochs);
    set_option(command, "--iterations", std::to_string(options.epochs * in_an_epoch));
    set_option(command, "--epochs", "");
    options.epochs = 0;
  }
  c.optimizer.warmup = options.warmup.of(c.iterations);
  c.first_order_iterations = options.first_order_for.of(c.iterations);
  // The paper's frames of 128 x 171 for its crop of 112, in proportion.
  for (const auto& [name, pixels] : {std::pair{"--resize-height", 128}, std::pair{"--resize-width", 171}})
    if (command.get_option(name)->count() == 0)
      set_option(command, name, std::to_string((2 * std::int64_t{pixels} * c.loader.augment.size + 112) / (2 * 112)));
  if (c.bank.kind == BankKind::memory && c.bank.size > facts.videos)
    set_option(command, "--bank-size", std::to_string(facts.videos));
}

TrainOptions saved_options(const std::string& folder, const std::string& data) {
  CLI::App command;
  TrainOptions options;
  add_train_options(command, options);
  // In the order that CLI11 takes: the last one first.
  std::vector<std::string> arguments{folder, "--out", folder + "/config.toml", "--config"};
  if (!data.empty()) arguments.insert(arguments.begin(), {data, "--data"});
  command.parse(arguments);
  complete_train_options(command, options);
  return options;
}

std::string saved_settings(CLI::App& command) {
  const auto configurable = [&command](bool yes) {
    for (const char* name : {"--resume", "--index-cache"}) command.get_option(name)->configurable(yes);
  };
  configurable(false);
  std::string text = command.config_to_str(true, false);
  configurable(true);
  return text;
}

}  // namespace mcn
