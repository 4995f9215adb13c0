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

Settings read(const std::string& toml, std::vector<std::string> arguments = {}) {
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
