// Names, defaults, ranges and help texts of the settings of training.
#include "tools/train_options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "meta/train/settings.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/file_options.h"
#include "tools/number.h"
#include "tools/presets.h"
#include "tools/settings_file.h"

namespace mcn {
namespace {

// Options that are added from here on stand in the help under this title.
void begin_group(CLI::App& command, const std::string& title) { command.option_defaults()->group(title); }

void add_model(CLI::App& command, TrainConfig& c) {
  begin_group(command, "Model");
  add_arch_option(command, "--arch", c.model.backbone.arch);
  command.add_option("--width", c.model.backbone.width, "factor of the channels of every layer")
      ->check(CLI::Range(0.0, ModelDescription::most_width));
  command.add_option("--feature-size", c.model.feature_size, "length of a clip's feature z, on which InfoNCE works")
      ->check(CLI::Range(std::int64_t{2}, McnModelConfig::most_features));
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

// "heads=10,stem=0.1"; nothing for another text.
std::optional<std::vector<std::pair<std::string, double>>> parse_factors(const std::string& text) {
  std::vector<std::pair<std::string, double>> factors;
  for (const std::string& item : CLI::detail::split(text, ',')) {
    const std::size_t equals = item.find('=');
    double factor = 0;
    if (equals == std::string::npos || !positive_number()(item.substr(equals + 1)).empty() ||
        !CLI::detail::lexical_cast(item.substr(equals + 1), factor))
      return {};
    factors.emplace_back(item.substr(0, equals), factor);
  }
  return factors;
}

void add_inner_rates(CLI::App& command, InnerRateConfig& c) {
  command
      .add_option_function<std::string>(
          "--inner-lr-factors", [&c](const std::string& text) { c.factors = *parse_factors(text); },
          "factors of alpha1 for groups of layers (stem, layer1 to layer4, heads), such as heads=10,stem=0.1; 1 for "
          "the "
          "others")
      ->check([](const std::string& text) {
        return parse_factors(text) ? std::string()
                                   : fmt::format("expected GROUP=FACTOR,... with factors above 0, got {}", text);
      })
      ->type_name("GROUP=F,...")
      ->default_str("");
  command.add_flag(
      "--learn-inner-lr", c.learned,
      "learn a factor of alpha1 for every inner step and group of layers; it starts at that of "
      "--inner-lr-factors; no rate exceeds 1 / |top eigenvalue of the Hessian of L_S| where the curvature is "
      "measured");
  command
      .add_option("--inner-lr-lr", c.lr,
                  "learning rate of the logarithms of these factors; follows --warmup and --schedule")
      ->check(not_negative_number());
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
  begin_group(command, "Method");
  add_choice<Method>(command, "--method", c.method,
                     {{"contrastive", Method::contrastive}, {"joint", Method::joint}, {"mcn", Method::mcn}},
                     "contrastive: InfoNCE alone; joint: both losses, no bilevel step; mcn: both stages");
  command.add_option("--temperature", c.objective.temperature, "tau, the temperature of InfoNCE")
      ->check(positive_number());
  command.add_option("--lambda", c.objective.lambda, "weight of the meta branch's loss")->check(not_negative_number());
  command.add_option("--inner-steps", c.maml.inner_steps, "K, the number of inner SGD steps on S")
      ->check(CLI::Range(0, 1000));
  add_inner_lr(command, c);
  add_inner_rates(command, c.inner_rates);
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
  command
      .add_option("--bank-momentum", c.bank.momentum,
                  "share of its old value that a row of the memory bank keeps at an update")
      ->check(CLI::Range(0.0, 1.0));
}

void add_optimizer(CLI::App& command, TrainOptions& o) {
  TrainConfig& c = o.config;
  begin_group(command, "Optimizer and length of training");
  add_choice<OptimizerKind>(command, "--optimizer", c.optimizer.kind,
                            {{"sgd", OptimizerKind::sgd}, {"adamw", OptimizerKind::adamw}},
                            "optimizer of the outer update");
  command.add_option("--lr", c.optimizer.lr, "alpha2, learning rate of the outer update");
  command.add_option("--momentum", c.optimizer.momentum, "momentum of SGD; beta1 of AdamW");
  command.add_option("--beta2", c.optimizer.beta2, "beta2 of AdamW");
  command.add_option("--weight-decay", c.optimizer.weight_decay,
                     "decay of weights; biases and normalization layers do not decay");
  add_choice<ScheduleKind>(
      command, "--schedule", c.optimizer.schedule,
      {{"constant", ScheduleKind::constant}, {"cosine", ScheduleKind::cosine}, {"multistep", ScheduleKind::multistep}},
      "how the learning rate goes on after the warm-up");
  add_iterations_or_share(command, "--warmup", o.warmup,
                          "linear warm-up of the learning rate, as iterations or as a share of all, such as 5%");
  command
      .add_option("--clip-grad", c.clip_grad,
                  "longest outer gradient, as a norm over all parameters; a longer one is scaled down to it; 0: any")
      ->check(not_negative_number());
  command
      .add_option("--milestones", c.optimizer.milestones,
                  "iterations at which the learning rate drops, for --schedule multistep")
      ->delimiter(',')
      ->default_str("");
  command.add_option("--gamma", c.optimizer.gamma, "factor of the learning rate at a drop, for --schedule multistep");
  command.add_option("--iterations", c.iterations, "length of training in outer updates; by default the preset's")
      ->check(positive_number())
      ->default_str("");
  command
      .add_option("--epochs", o.epochs,
                  "length of training in epochs, in the place of --iterations; an epoch is videos / batch iterations, "
                  "rounded up")
      ->check(positive_number())
      ->default_str("");
}

void add_clips(CLI::App& command, LoaderConfig& loader) {
  begin_group(command, "Batches and clips");
  command.add_option("--batch", loader.batch, "videos an iteration; method mcn: half in S, half in Q");
  const CLI::Range frames(std::int64_t{1}, ModelDescription::most_frames);
  command.add_option("--frames", loader.clip.frames, "frames of a clip")->check(frames);
  command
      .add_option("--stride", loader.clip.stride,
                  "video frames from one clip frame to the next; smaller in a video that is too short for it")
      ->check(frames);
  add_choice<ClipSampling>(
      command, "--sampling", loader.sampling,
      {{"random", ClipSampling::random}, {"uniform", ClipSampling::uniform}, {"centre", ClipSampling::centre}},
      "where the two views' clips are in a video: anywhere; at its two ends; both in its middle");
  command.add_option("--ring", loader.ring, "number of batches that the loader's threads may be ahead")
      ->check(CLI::Range(1, 64));
  add_max_bad(
      command, loader.max_bad_percent,
      "share of missing or unusable videos, such as 5%, beyond which training stops; until then missing ones are left "
      "out, and others take the places of unusable ones");
  command.add_flag("--residual-view", loader.residual_view,
                   "make the second view of differences of consecutive frames");
  AugmentConfig& a = loader.augment;
  begin_group(command, "Augmentation");
  const CLI::Range pixels(std::int64_t{1}, ModelDescription::most_pixels);
  command.add_option("--size", a.size, "height and width of a clip, in pixels")->check(pixels);
  command
      .add_option("--resize-height", a.resize_height,
                  "height of a frame before the crop, in pixels; by default 128/112 of --size")
      ->check(pixels)
      ->default_str("");
  command
      .add_option("--resize-width", a.resize_width,
                  "width of a frame before the crop, in pixels; by default 171/112 of --size")
      ->check(pixels)
      ->default_str("");
  const auto probability = [&](const char* name, double& value, const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(0.0, 1.0));
  };
  probability("--flip", a.flip, "probability of a horizontal flip");
  probability("--jitter", a.jitter, "probability of color jitter");
  command.add_option("--brightness", a.brightness, "b: jitter changes brightness by a factor in [1 - b, 1 + b]");
  command.add_option("--contrast", a.contrast, "c: jitter changes contrast by a factor in [1 - c, 1 + c]");
  command.add_option("--saturation", a.saturation, "s: jitter changes saturation by a factor in [1 - s, 1 + s]");
  command.add_option("--hue", a.hue, "h: jitter turns the color circle by a share in [-h, h]")
      ->check(CLI::Range(0.0, 0.5));
  probability("--grayscale", a.grayscale, "probability of grayscale");
  probability("--blur", a.blur, "probability of a Gaussian blur");
  probability("--channel-shuffle", a.channel_shuffle, "probability of a random order of the color channels");
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
  begin_group(command, "Data");
  add_dataset_options(command, o.dataset, false);
  begin_group(command, "Run");
  command
      .add_option(
          "--out", o.out,
          "folder of the run: config.toml, metrics.jsonl, last.safetensors; those of an earlier run in it are moved "
          "to earlier-1 in it unless --resume names a checkpoint in it (required)")
      ->type_name(folder_type);
  CLI::Option* resume =
      command
          .add_option("--resume", o.resume,
                      "checkpoint to go on from, with the settings and the data set of its run; if it is damaged, the "
                      "sound one before it that --keep has left")
          ->type_name(file_type);
  command
      .add_option_function<std::vector<std::string>>(
          "--allow-change",
          [&o](const std::vector<std::string>& names) {
            o.allowed_changes = {names.begin(), names.end()};
          },
          "settings that may differ from those of the checkpoint of --resume, by name, data and labels of the data set "
          "among them; all: any of them")
      ->delimiter(',')
      ->check([](const std::string& name) {
        return name == "all" || changeable_settings().contains(name)
                   ? std::string()
                   : fmt::format("expected all, or settings that --resume compares ({}), got {}",
                                 fmt::join(changeable_settings(), ", "), name);
      })
      ->type_name("NAME,...")
      ->configurable(false);
  command
      .add_option(
          "--init", o.init,
          "weights to start from: a checkpoint of another run, safetensors with torchvision's names, or a state "
          "dict of PyTorch (.pth, .pt)")
      ->type_name(file_type)
      ->excludes(resume);
  add_choice<bool>(command, "--strict", o.strict, {{"no", false}, {"yes", true}},
                   "whether the file of --init must have all of the backbone's tensors and no unknown ones");
  begin_group(command, "Device, threads and files");
  add_device_options(command, o.device);
  add_arithmetic_options(command, o.device);
  command.add_option("--loader-threads", o.config.loader.threads, "number of threads that decode videos")
      ->check(CLI::Range(1, 256));
  add_file_options(command, o.config.loader.files);
  begin_group(command, "Run");
  command.add_option("--seed", o.config.loader.seed, "seed of everything random: weights, batches, augmentation");
  add_choice<DType>(command, "--dtype", o.config.dtype, {{"f32", DType::f32}, {"f64", DType::f64}},
                    "number format of all tensors");
  command.add_option("--checkpoint-every", o.checkpoint_every, "iterations from one checkpoint to the next")
      ->check(positive_number());
  command
      .add_option("--keep", o.keep,
                  "number of checkpoints that are kept: last.safetensors, last-1.safetensors before it, and so on")
      ->check(CLI::Range(1, 99));
  add_iterations_or_share(
      command, "--evaluate-every", o.evaluate_every,
      "iterations from one evaluation during training to the next, or a share of all such as 25%: k-NN and linear "
      "probe among labelled training videos, to evaluations.jsonl; the checkpoint of the best k-NN is "
      "best.safetensors; "
      "0, or more than --iterations: none");
  command
      .add_option("--evaluate-videos", o.evaluate_videos,
                  "training videos that an evaluation during training takes, of each class as many, a third as queries")
      ->check(positive_number());
  add_choice<ReportContent>(
      command, "--report", o.report,
      {{"no", ReportContent::none}, {"curves", ReportContent::curves}, {"yes", ReportContent::all}},
      "whether the run's end, however it comes, writes report.html into the folder (see mcn report); yes: after the "
      "last iteration also with pictures of videos");
  command.add_flag("--tensorboard", o.tensorboard, "also write the figures as an event file for TensorBoard");
  command.add_flag("--cuda-graph", o.config.cuda_graph,
                   "put an iteration on the GPU as one CUDA graph: less launching, the same bits (cuda and simt)");
  command
      .add_flag("--dry-run", o.dry_run,
                "forecast the memory that the run will need, without running or writing anything; exit code 4 if it is "
                "more than there is. The time is forecast by the run itself, from its first iterations")
      ->configurable(false);
  command.add_flag("--force", o.force, "train even if the forecast is more memory than there is")->configurable(false);
  command
      .add_option_function<std::string>(
          "--profile-steps", [&o](const std::string& text) { o.profile = parse_profile_steps(text); },
          "iterations that nsys or ncu records (with its --capture-range=cudaProfilerApi), from FIRST to the one "
          "before LAST")
      ->type_name("FIRST:LAST")
      ->configurable(false);
  add_model(command, o.config);
  add_algorithm(command, o);
  add_optimizer(command, o);
  add_clips(command, o.config.loader);
  begin_group(command, "Options");
  command.footer(
      "Examples:\n"
      "  mcn train --data videos --out run            # settings for these videos and this machine\n"
      "  mcn train --data videos --out run --dry-run  # the memory that it will need\n"
      "  mcn train --data videos --out other --method contrastive --epochs 50\n"
      "  mcn train --config run/config.toml --resume run/last.safetensors\n"
      "  mcn train --config run/config.toml --resume run/last.safetensors --lr 0.001 --allow-change lr");
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
    apply_settings(command, read_settings(options.config_file), options.config_file);
  }
  for (const char* name : {"--resume", "--init"})
    if (const CLI::Option* option = command.get_option(name);
        options.chosen.contains(name) && option->as<std::string>().empty())
      fail("train", "{}: expected a file, got an empty name (is a variable of the shell not set?)", name);
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
  const bool batch_given = command.get_option("--batch")->count() > 0;
  apply_settings(command, std::string(preset_text(options.preset)), "preset " + options.preset);
  // A preset's batch may be more than a small set has. Pairs of videos, for S and Q.
  if (const std::int64_t pairs = facts.videos / 2; !batch_given && c.loader.batch > facts.videos && pairs > 0)
    set_option(command, "--batch", std::to_string(2 * pairs));
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
  refuse_longer_integers(command);
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

std::string chosen_settings(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable() || option->count() == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", option->get_name().substr(2),
                        fmt::join(option->reduced_results(), " "));
  }
  return text;
}

}  // namespace mcn
