// The settings of a --config file, read as `mcn train` reads them.
#include <algorithm>

#include "tests/catch.h"
#include "tests/temporary_folder.h"
#include "tests/tools/run_command.h"
#include "tools/presets.h"
#include "tools/train_options.h"

namespace mcn {
namespace {

struct Settings {
  TrainOptions options;
  std::string saved;  ///< as a run saves them
  std::vector<std::string> doubts;
};

Settings read(const std::string& toml, std::vector<std::string> arguments = {}, std::int64_t videos = 0) {
  const test::TemporaryFolder folder;
  test::write_file(folder.file("c.toml"), toml);
  CLI::App app;
  app.option_defaults()->always_capture_default();
  CLI::App* command = app.add_subcommand("train");
  Settings settings;
  add_train_options(*command, settings.options);
  arguments.insert(arguments.begin(), {"train", "--config", folder.file("c.toml")});
  std::ranges::reverse(arguments);  // as CLI11 wants them
  app.parse(arguments);
  complete_train_options(*command, settings.options);
  if (videos > 0) {
    resolve_train_options(*command, settings.options, {videos, std::size_t{24} << 30, false});
    settings.doubts = doubtful_settings(*command, settings.options);
  }
  settings.saved = saved_settings(*command);
  return settings;
}

const std::string required = "data = \"d\"\nformat = \"list\"\nout = \"r\"\n";

TEST_CASE("config: comments end lines, but a # in quotes is part of a value") {
  const Settings settings = read(
      "# all of it\ndata = \"set#1\" # that's \"it\"\nformat = \"list\"\nout = 'run#2'\nlr = 0.5# half\n"
      "milestones = [1, # one\n 2]\n");
  CHECK(settings.options.dataset.root == "set#1");
  CHECK(settings.options.out == "run#2");
  CHECK(settings.options.config.optimizer.lr == 0.5);
  CHECK(settings.options.config.optimizer.milestones == std::vector<std::int64_t>{1, 2});
  CHECK(read(settings.saved).saved == settings.saved);
}

TEST_CASE("config: a value that could not be read again is refused") {
  const std::string both = "a\"b'c";
  CHECK_THROWS_AS(read(required + "train-files = [" + both + ", d]\n"), UsageError);
  CHECK_THROWS_AS(read(required, {"--resume", both}), UsageError);
  CHECK_THROWS_AS(read(required, {"--resume", "a\nb"}), UsageError);
  for (const std::string value : {"a\"b, c", "it's", "a b", "a,b", "a=b", "#", "\"", "'", "\\", "[", "true", "1e3"}) {
    INFO(value);
    const Settings settings = read(required, {"--splits", value});
    CHECK(settings.options.dataset.splits_dir == value);
    const Settings again = read(settings.saved);
    CHECK(again.options.dataset.splits_dir == value);
    CHECK(again.saved == settings.saved);
  }
}

TEST_CASE("config: a key that stands twice is refused") {
  CHECK_THROWS_AS(read(required + "batch = 4\nlr = 0.5\nbatch = 8\n"), UsageError);
  CHECK_THROWS_AS(read(required + "milestones = [1]\nlr = 0.5\nmilestones = [2]\n", {"--milestones", "3"}), UsageError);
}

TEST_CASE("what a run saves is a recipe: not where it went on from, nor this machine's folders") {
  const Settings settings = read(required + "resume = \"x\"\n", {"--index-cache", "/y"});
  CHECK(settings.options.resume == "x");
  CHECK(settings.saved.find("resume") == std::string::npos);
  CHECK(settings.saved.find("index-cache") == std::string::npos);
}

TEST_CASE("epochs become iterations, and the two exclude each other") {
  const Settings ten = read(required + "batch = 12\n", {"--epochs", "10"}, 100);
  CHECK(ten.options.config.iterations == 90);  // 9 an epoch, the last one partly of the next
  CHECK(ten.saved.find("iterations=90\n") != std::string::npos);
  CHECK(read(ten.saved, {}, 100).saved == ten.saved);
  // The command line wins.
  CHECK(read(required + "epochs = 10\n", {"--iterations", "7"}, 100).options.config.iterations == 7);
  CHECK(read(required + "iterations = 7\nbatch = 10\n", {"--epochs", "2"}, 100).options.config.iterations == 20);
  const Settings unresolved = read(required + "epochs = 10\n");
  CHECK(read(unresolved.saved).saved == unresolved.saved);
  CHECK_THROWS_AS(read(required, {"--iterations", "7", "--epochs", "2"}), UsageError);
  CHECK_THROWS_AS(read(required + "epochs = 10\niterations = 7\n"), UsageError);
  CHECK_THROWS_AS(read(required, {"--epochs", "9223372036854775807", "--batch", "4"}, 1000), UsageError);
}

TEST_CASE("the warm-up and the part of first order are iterations or shares of all") {
  const Settings shares = read(required + "iterations = 300\nfirst-order-for = \"40%\"\n", {}, 100);
  CHECK(shares.options.config.optimizer.warmup == 15);  // 5% by default
  CHECK(shares.options.config.first_order_iterations == 120);
  CHECK(read(shares.saved, {}, 100).saved == shares.saved);
  const Settings numbers = read(required, {"--warmup", "7", "--first-order-for", "12"}, 100);
  CHECK(numbers.options.config.optimizer.warmup == 7);
  CHECK(numbers.options.config.first_order_iterations == 12);
  for (const std::string bad : {"-1", "101%", "x", "", "%", "1.5", "nan", "nan%", "1e99"}) {
    INFO(bad);
    CHECK_FALSE(parse_iterations_or_share(bad));
  }
}

TEST_CASE("a preset sets what is not set, and is chosen by the videos and the device") {
  constexpr std::size_t gib = std::size_t{1} << 30;
  CHECK(choose_preset(960, 24 * gib, false) == "tiny");
  CHECK(choose_preset(9537, 24 * gib, false) == "small");
  CHECK(choose_preset(9537, 4 * gib, false) == "tiny");
  CHECK(choose_preset(960, 80 * gib, true) == "small");
  CHECK(choose_preset(9537, 80 * gib, true) == "ucf101");
  CHECK(choose_preset(9537, 24 * gib, true) == "small");
  CHECK(choose_preset(240'000, 80 * gib, true) == "kinetics");
  CHECK_THROWS_AS(preset_text("huge"), UsageError);

  const Settings tiny = read(required + "batch = 12\n", {"--lr", "0.5"}, 960);
  CHECK(tiny.options.preset == "tiny");
  CHECK(tiny.options.config.model.backbone.arch == "r2plus1d_10");
  CHECK(tiny.options.config.optimizer.kind == OptimizerKind::adamw);
  CHECK(tiny.options.config.loader.batch == 12);
  CHECK(tiny.options.config.optimizer.lr == 0.5);
  CHECK(tiny.saved.find("preset=\"tiny\"") != std::string::npos);
  // What a run saves has no need of the choice.
  CHECK(read(tiny.saved, {}, 9537).saved == tiny.saved);
  // Every preset is a file of settings that there are; other lengths of training are the user's.
  for (const std::string& name : preset_names()) {
    INFO(name);
    const Settings settings = read(required, {"--preset", name, "--iterations", "7"}, 5000);
    CHECK(settings.options.config.iterations == 7);
    CHECK(settings.options.config.curvature.sets_inner_lr);
    CHECK(settings.options.config.maml.objective == OuterObjective::support_and_query);
    CHECK(settings.doubts.empty());
  }
  const Settings ucf101 = read(required, {"--preset", "ucf101"}, 9537);
  CHECK(ucf101.options.config.iterations == 240 * 597);
  CHECK(ucf101.options.config.loader.augment.resize_height == 128);
  CHECK(ucf101.options.config.loader.augment.resize_width == 171);
}

TEST_CASE("a preset's batch is no more than a small set has, a batch that is given stays") {
  CHECK(read(required, {"--preset", "tiny"}, 31).options.config.loader.batch == 30);
  CHECK(read(required, {"--preset", "tiny"}, 48).options.config.loader.batch == 48);
  CHECK(read(required, {"--preset", "tiny", "--batch", "48"}, 31).options.config.loader.batch == 48);
  CHECK(read(required + "batch = 40\n", {}, 31).options.config.loader.batch == 40);
  // Epochs are counted with it: 31 videos are two batches.
  CHECK(read(required, {"--preset", "tiny", "--epochs", "5"}, 31).options.config.iterations == 10);
}

TEST_CASE("the resize follows the crop, and the bank has no more rows than there are videos") {
  const auto augment = [&](std::vector<std::string> arguments) {
    return read(required, std::move(arguments), 100).options.config.loader.augment;
  };
  CHECK(augment({"--size", "112"}).resize_height == 128);
  CHECK(augment({"--size", "112"}).resize_width == 171);
  CHECK(augment({"--size", "48"}).resize_height == 55);  // 54.9
  CHECK(augment({"--size", "48"}).resize_width == 73);   // 73.3
  CHECK(augment({"--size", "48", "--resize-width", "90"}).resize_width == 90);
  CHECK(read(required, {"--bank", "memory", "--bank-size", "1024"}, 100).options.config.bank.size == 100);
  CHECK(read(required, {"--bank", "memory", "--bank-size", "64"}, 100).options.config.bank.size == 64);
  CHECK(read(required, {"--bank", "queue", "--bank-size", "1024"}, 100).options.config.bank.size == 1024);
}

TEST_CASE("settings without the effect that was meant are named") {
  const auto doubts = [](const std::vector<std::string>& arguments) { return read(required, arguments, 100).doubts; };
  CHECK(doubts({}).empty());
  for (const auto& [arguments, text] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--schedule", "multistep"}, "--milestones"},
           {{"--milestones", "5"}, "--milestones"},
           {{"--method", "contrastive", "--order", "2", "--inner-steps", "5"}, "--order, --inner-steps have no effect"},
           {{"--warmup", "5", "--iterations", "2"}, "--warmup"},
           {{"--profile-steps", "5:9", "--iterations", "8"}, "--profile-steps"},
           {{"--frames", "1"}, "--frames 1"},
           {{"--width", "0.001"}, "--width 0.001"},
           {{"--batch", "7"}, "S has 3 videos and Q 4"},
           {{"--optimizer", "adamw", "--beta2", "1"}, "--beta2"},
           {{"--inner-lr-lr", "2"}, "--learn-inner-lr"},
           {{"--learn-inner-lr", "--inner-lr", "0.01", "--curvature-every", "0"}, "--curvature-every 0"},
           {{"--method", "joint", "--learn-inner-lr", "--inner-lr-factors", "heads=2", "--inner-lr-lr", "2"},
            "--inner-lr-factors, --learn-inner-lr, --inner-lr-lr have no effect"}}) {
    INFO(text);
    const std::vector<std::string> found = doubts(arguments);
    REQUIRE(found.size() == 1);
    CHECK(found[0].find(text) != std::string::npos);
  }
}

TEST_CASE("the inner rate is a number or follows the curvature") {
  CHECK(read(required).options.config.curvature.sets_inner_lr);
  const Settings number = read(required, {"--inner-lr", "0.02"});
  CHECK_FALSE(number.options.config.curvature.sets_inner_lr);
  CHECK(number.options.config.maml.inner_lr == 0.02);
  CHECK(read(number.saved).options.config.maml.inner_lr == 0.02);
  CHECK(read("inner-lr = \"auto\"\n" + required).options.config.curvature.sets_inner_lr);
  CHECK_THROWS_AS(read(required, {"--inner-lr", "fast"}), CLI::ParseError);
}

TEST_CASE("inner rates have factors by group, and can be learned") {
  const InnerRateConfig none = read(required).options.config.inner_rates;
  CHECK(none.factors.empty());
  CHECK_FALSE(none.learned);
  const Settings given =
      read(required, {"--inner-lr-factors", "heads=10,stem=0.5", "--learn-inner-lr", "--inner-lr-lr", "3"}, 100);
  CHECK(given.doubts.empty());
  for (const Settings& settings : {given, read(given.saved, {}, 100)}) {
    const InnerRateConfig& c = settings.options.config.inner_rates;
    CHECK(c.factors == std::vector<std::pair<std::string, double>>{{"heads", 10}, {"stem", 0.5}});
    CHECK(c.learned);
    CHECK(c.lr == 3);
    CHECK(settings.doubts.empty());
  }
  for (const std::string bad :
       {"", "heads", "heads=", "heads=0", "heads=-1", "heads=nan", "heads=inf", "heads=1x", "heads=1,,stem=1", "=,"}) {
    INFO(bad);
    CHECK_THROWS_AS(read(required, {"--inner-lr-factors", bad}), CLI::ParseError);
  }
  for (const std::string bad : {"-1", "nan", "inf", "x"})
    CHECK_THROWS_AS(read(required, {"--learn-inner-lr", "--inner-lr-lr", bad}), CLI::ParseError);
}

TEST_CASE("config: an error names the line, what was meant, and the table that a key may not be in") {
  const auto refusal = [](const std::string& toml) {
    try {
      static_cast<void>(read(toml));
    } catch (const UsageError& error) {
      const std::string text = error.what();
      return text.substr(text.rfind("/c.toml") + 1);
    }
    return std::string("accepted");
  };
  CHECK(refusal("# first\n\n[train]\nbatch = 4\n") ==
        "c.toml:3: expected keys without tables, got the table [train]: put its keys at the top of the file");
  CHECK(refusal("batch = 4\n[model]\n").starts_with("c.toml:2: expected keys without tables, got the table [model]"));
  CHECK(refusal("lr = 0.5\nbatch-size = 9\n") == "c.toml:2: unknown key \"batch-size\"; did you mean \"batch\"?");
  CHECK(refusal("iteratons = 9\n") == "c.toml:1: unknown key \"iteratons\"; did you mean \"iterations\"?");
  CHECK(refusal("\nfrobnicate = 9\n") == "c.toml:2: unknown key \"frobnicate\"");
  CHECK(refusal("batch = 4\nlr = 1\n batch=8\n") == "c.toml:3: expected every key once, got \"batch\" twice");
  CHECK(refusal("batch = 4\nlr = \"fast\"\n").starts_with("c.toml:2: "));
  CHECK(refusal("epochs = 2\niterations = 3\n") == "c.toml:2: expected either \"iterations\" or \"epochs\", got both");
}

TEST_CASE("config: an error is one line, whatever it quotes") {
  for (const std::string text : {"a\rb = 1\n", "a\x1b = 1\n", "lr = \"a\rb\"\n"}) {
    INFO(text);
    std::string message;
    try {
      static_cast<void>(read(required + text));
    } catch (const UsageError& error) {
      message = error.what();
    }
    CHECK(message.starts_with("[config] "));
    CHECK(message.find_first_of("\r\n\x1b") == std::string::npos);
  }
}

}  // namespace
}  // namespace mcn
