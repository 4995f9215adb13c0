// What an unknown option is answered with.
#include "tests/catch.h"
#include "tests/tools/run_command.h"
#include "tools/suggestion.h"

namespace mcn {

TEST_CASE("a mistyped option is answered with its name, one from elsewhere with ours, and nonsense with nothing") {
  const std::vector<std::string> names{"--batch", "--lr", "--iterations", "--out", "--order", "--inner-steps"};
  CHECK(suggestion("--iteratons", names) == "--iterations");
  CHECK(suggestion("--itreations", names) == "--iterations");
  CHECK(suggestion("--bacth", names) == "--batch");
  CHECK(suggestion("--inner_steps", names) == "--inner-steps");
  CHECK(suggestion("--iter", names) == "--iterations");
  CHECK(suggestion("--batch-size", names) == "--batch");
  CHECK(suggestion("--learning-rate", names) == "--lr");
  CHECK(suggestion("--learning_rate", names) == "--lr");
  CHECK(suggestion("--output", names) == "--out");
  CHECK(suggestion("--output", {"--json", "--data"}) == "--json");
  CHECK(suggestion("--batch_size", {"--batch", "--train-batch"}) == "--train-batch");
  CHECK(suggestion("--frobnicate", names).empty());
  CHECK(suggestion("-x", names).empty());
  CHECK(suggestion("--o", names).empty());
  CHECK(suggestion(std::string(10'000, 'a'), names).empty());
}

TEST_CASE("an unknown option is named, in one line, and of an option that is given twice the last one counts") {
  const auto unknown = test::mcn_command({"train", "--iteratons", "5"});
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.err == "mcn: [usage] unknown option --iteratons; did you mean --iterations?\n");
  // What everybody types first.
  for (const auto& [theirs, ours] : std::vector<std::pair<std::string, std::string>>{
           {"--batch-size", "--batch"}, {"--learning-rate", "--lr"}, {"--output", "--out"}, {"--epoch", "--epochs"}})
    CHECK(test::mcn_command({"train", theirs, "5"}).err ==
          "mcn: [usage] unknown option " + theirs + "; did you mean " + ours + "?\n");
  // Also where a required option is missing, for which it may have been meant.
  CHECK(test::mcn_command({"finetune", "--batch-size", "5"}).err ==
        "mcn: [usage] unknown option --batch-size; did you mean --train-batch?\n");
  CHECK(test::mcn_command({"evaluate", "--dataset", "d"}).err ==
        "mcn: [usage] unknown option --dataset; did you mean --data?\n");
  const auto other = test::mcn_command({"train", "--frobnicate", "5"});
  CHECK(other.err == "mcn: [usage] unknown option --frobnicate; mcn train --help shows what there is\n");
  const auto twice = test::mcn_command({"bench", "meta", "--order", "1", "--order", "7"});
  CHECK(twice.err.find("7") != std::string::npos);
  CHECK(twice.err.find("At Most") == std::string::npos);
}

}  // namespace mcn
