// The settings of a --config file, read as `mcn train` reads them.
#include <algorithm>

#include "tests/catch.h"
#include "tests/temporary_folder.h"
#include "tests/tools/run_command.h"
#include "tools/train_options.h"

namespace mcn {
namespace {

struct Settings {
  TrainOptions options;
  std::string saved;  ///< as a run saves them
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
  if (videos > 0) resolve_train_options(*command, settings.options, videos);
  settings.saved = command->config_to_str(true, false);
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
    const Settings settings = read(required, {"--resume", value});
    CHECK(settings.options.resume == value);
    const Settings again = read(settings.saved);
    CHECK(again.options.resume == value);
    CHECK(again.saved == settings.saved);
  }
}

TEST_CASE("config: a key that stands twice is refused") {
  CHECK_THROWS_AS(read(required + "batch = 4\nlr = 0.5\nbatch = 8\n"), UsageError);
  CHECK_THROWS_AS(read(required + "milestones = [1]\nlr = 0.5\nmilestones = [2]\n", {"--milestones", "3"}), UsageError);
}

TEST_CASE("epochs become iterations, and the two exclude each other") {
  const Settings ten = read(required + "batch = 12\n", {"--epochs", "10"}, 100);
  CHECK(ten.options.config.iterations == 90);  // 9 an epoch, the last one partly of the next
  CHECK(ten.saved.find("iterations=90\n") != std::string::npos);
  CHECK(read(ten.saved, {}, 100).saved == ten.saved);
  // The command line wins.
  CHECK(read(required + "epochs = 10\n", {"--iterations", "7"}, 100).options.config.iterations == 7);
  CHECK(read(required + "iterations = 7\nbatch = 10\n", {"--epochs", "2"}, 100).options.config.iterations == 20);
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

TEST_CASE("the inner rate is a number or follows the curvature") {
  CHECK(read(required).options.config.curvature.sets_inner_lr);
  const Settings number = read(required, {"--inner-lr", "0.02"});
  CHECK_FALSE(number.options.config.curvature.sets_inner_lr);
  CHECK(number.options.config.maml.inner_lr == 0.02);
  CHECK(read(number.saved).options.config.maml.inner_lr == 0.02);
  CHECK(read("inner-lr = \"auto\"\n" + required).options.config.curvature.sets_inner_lr);
  CHECK_THROWS_AS(read(required, {"--inner-lr", "fast"}), CLI::ParseError);
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
