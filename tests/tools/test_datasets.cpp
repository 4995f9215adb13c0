// Data sets on the command line: formats, what is printed and saved of them, and the audit's report and exit codes.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "tests/catch.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;
namespace fs = std::filesystem;

namespace {

// Two classes of 9-frame videos in UCF101's layout: 4 to train, 2 to test.
struct Set {
  Set() {
    const auto result = mcn_command({"synth", "--out", root, "--classes", "2", "--train", "4", "--test", "2",
                                     "--frames", "9", "--height", "32", "--width", "48", "--threads", "1"});
    REQUIRE(result.exit_code == 0);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string extension = entry.path().extension();
      if (extension == ".mp4" || extension == ".avi") videos.push_back(entry.path().string());
    }
    std::sort(videos.begin(), videos.end());
    REQUIRE(videos.size() == 6);
  }
  [[nodiscard]] std::string name(std::size_t i) const { return videos[i].substr(root.size() + 1); }
  // Its other forms, beside it. The labels are 0 for the first three videos, 1 for the others.
  [[nodiscard]] std::string as_list() const {
    std::string train, val;
    for (std::size_t i = 0; i < 6; ++i) (i % 3 == 2 ? val : train) += name(i) + (i < 3 ? " 0\n" : " 1\n");
    fs::create_directories(folder.file("lists"));
    test::write_file(folder.file("lists/train.txt"), train);
    test::write_file(folder.file("lists/val.txt"), val);
    return folder.file("lists");
  }
  [[nodiscard]] std::string as_shards() const {
    const fs::path shards = folder.file("shards");
    for (const char* subset : {"train", "val"}) {
      const fs::path in = shards / "in" / subset;
      fs::create_directories(in);
      fs::create_directories(shards / subset);
      for (std::size_t i = 0; i < 6; ++i) {
        if ((i % 3 == 2) != (subset == std::string("val"))) continue;
        const std::string stem = "s" + std::to_string(i);
        fs::copy_file(videos[i], in / (stem + fs::path(videos[i]).extension().string()));
        test::write_file((in / (stem + ".cls")).string(), i < 3 ? "0" : "1");
      }
      const std::string command =
          "tar -C '" + in.string() + "' --sort=name -cf '" + (shards / subset / "000000.tar").string() + "' .";
      REQUIRE(std::system(command.c_str()) == 0);
    }
    fs::remove_all(shards / "in");
    return shards.string();
  }

  test::TemporaryFolder folder;
  std::string root = folder.file("set");
  std::vector<std::string> videos;
};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> train_arguments(const std::string& out) {
  return {"train", "--out",        out, "--batch", "4",  "--method",        "contrastive", "--width",
          "0.05",  "--frames",     "2", "--size",  "16", "--resize-height", "20",          "--resize-width",
          "24",    "--iterations", "1"};
}

// What the run found, of metrics that say nothing of time.
std::string loss_of(const std::string& run) {
  return nlohmann::json::parse(test::read_file(run + "/metrics.jsonl")).at("loss_query").dump();
}

}  // namespace

TEST_CASE("train knows a data set by its files, and saves what it is") {
  const Set set;
  const auto detected =
      mcn_command(train_arguments(set.folder.file("a")) + std::vector<std::string>{"--data", set.root});
  CAPTURE(detected.err);
  CHECK(detected.exit_code == 0);
  CHECK(detected.out.find("format ucf101,") != std::string::npos);
  CHECK(detected.out.find("4 videos of 2 classes") != std::string::npos);
  CHECK(test::read_file(set.folder.file("a/config.toml")).find("format=\"ucf101\"") != std::string::npos);
  const auto again =
      mcn_command({"train", "--config", set.folder.file("a/config.toml"), "--out", set.folder.file("b")});
  CAPTURE(again.err);
  CHECK(again.exit_code == 0);
  CHECK(loss_of(set.folder.file("a")) == loss_of(set.folder.file("b")));
}

TEST_CASE("train on a list and on its shards is the same, and so it is from a saved config") {
  const Set set;
  const std::string lists = set.as_list(), shards = set.as_shards();
  const auto list = mcn_command(train_arguments(set.folder.file("a")) +
                                std::vector<std::string>{"--data", set.root, "--format", "list", "--splits", lists});
  CAPTURE(list.err);
  CHECK(list.exit_code == 0);
  const auto shard =
      mcn_command(train_arguments(set.folder.file("b")) +
                  std::vector<std::string>{"--data", shards, "--train-files", "train/{000000..000000}.tar"});
  CAPTURE(shard.err);
  CHECK(shard.exit_code == 0);
  const std::string saved = test::read_file(set.folder.file("b/config.toml"));
  CHECK(saved.find("format=\"webdataset\"") != std::string::npos);
  CHECK(saved.find("train/{000000..000000}.tar") != std::string::npos);
  CHECK(loss_of(set.folder.file("a")) == loss_of(set.folder.file("b")));
  const auto again =
      mcn_command({"train", "--config", set.folder.file("b/config.toml"), "--out", set.folder.file("c")});
  CAPTURE(again.err);
  CHECK(again.exit_code == 0);
  CHECK(loss_of(set.folder.file("b")) == loss_of(set.folder.file("c")));

  const std::string checkpoint = set.folder.file("a/last.safetensors");
  for (const std::string& data : {shards, set.root}) {
    const std::string json = set.folder.file("evaluation.json");
    std::vector<std::string> arguments{"evaluate", "--checkpoint", checkpoint, "--data", data, "--json", json};
    if (data == set.root)
      arguments = std::move(arguments) + std::vector<std::string>{"--format", "list", "--splits", lists};
    const auto evaluated = mcn_command(arguments);
    CAPTURE(evaluated.err);
    CHECK(evaluated.exit_code == 0);
    const auto evaluation = nlohmann::json::parse(test::read_file(json));
    CHECK(evaluation.at("train_videos") == 4);
    CHECK(evaluation.at("test_videos") == 2);
  }
  const auto embedded = mcn_command({"embed", "--checkpoint", checkpoint, "--data", shards, "--subset", "test", "--out",
                                     set.folder.file("e.safetensors")});
  CAPTURE(embedded.err);
  CHECK(embedded.exit_code == 0);
  CHECK(embedded.out.starts_with("2 videos"));
}

TEST_CASE("a format that files do not show is asked for, and a wrong one is a usage error") {
  const Set set;
  const auto run = [&](const std::vector<std::string>& extra) {
    return mcn_command(train_arguments(set.folder.file("run")) + std::vector<std::string>{"--data", set.root} + extra);
  };
  const auto wrong = run({"--format", "imagenet"});
  CHECK(wrong.exit_code == 2);
  CHECK(one_line_error(wrong, "usage", {"--format", "imagenet"}));
  const auto other = run({"--format", "webdataset"});
  CHECK(other.exit_code == 3);
  CHECK(one_line_error(other, "dataset", {set.root, "train*.tar"}));
  test::write_file(set.root + "/train.txt", set.name(0) + " 0\n");
  const auto both = run({});
  CHECK(both.exit_code == 3);
  CHECK(one_line_error(both, "dataset", {"ucf101 and list"}));
  fs::remove(set.root + "/train.txt");
  fs::remove_all(set.root + "/ucfTrainTestlist");
  CHECK_FALSE(fs::exists(set.folder.file("run")));
  const auto folders = run({});
  CHECK(folders.exit_code == 0);
  CHECK(folders.err.find("class folders and no lists: every fifth video of a class is for testing") !=
        std::string::npos);
  for (const auto& entry : fs::directory_iterator(set.root)) fs::remove_all(entry.path());
  test::write_file(set.root + "/notes.txt", "no videos");
  const auto none = run({});
  CHECK(none.exit_code == 3);
  CHECK(one_line_error(none, "dataset", {set.root, "holds no videos", "classInd.txt", "train.csv"}));
}

TEST_CASE("what Kinetics has lost is left out of training, and said") {
  const Set set;
  std::string csv = "label,youtube_id,time_start,time_end,split\nb,gone,0,10,train\n";
  for (std::size_t i = 0; i < 4; ++i) {
    fs::copy_file(set.videos[i],
                  set.folder.file("k" + std::to_string(i) + fs::path(set.videos[i]).extension().string()));
    csv += "a,k" + std::to_string(i) + ",0,10,train\n";
  }
  test::write_file(set.folder.file("train.csv"), csv);
  fs::remove_all(set.root);
  const auto result =
      mcn_command(train_arguments(set.folder.file("run")) + std::vector<std::string>{"--data", set.folder.file("")});
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("4 videos of 2 classes") != std::string::npos);
  CHECK(result.err.find("1 of 5 listed videos are not in ") != std::string::npos);
  const auto audited = mcn_command({"audit", "--data", set.folder.file(""), "--subset", "train", "--frames", "9"});
  CHECK(audited.exit_code == 3);
  CHECK(audited.out.starts_with("missing     train  gone_000000_000010: "));
}

TEST_CASE("listed videos that are missing are left out up to --max-bad, in every format and command") {
  const Set set;  // four training videos and two test videos
  fs::remove(set.videos[0]);
  const auto train = [&](const char* most) {
    return mcn_command(train_arguments(set.folder.file("run")) +
                       std::vector<std::string>{"--data", set.root, "--batch", "2", "--max-bad", most});
  };
  const auto refused = train("24%");
  CAPTURE(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "dataset", {"trainlist01.txt:", "1 of 4 listed videos are missing", "24%"}));
  const auto trained = train("25%");
  CAPTURE(trained.err);
  CHECK(trained.exit_code == 0);
  CHECK(trained.err.find("1 of 4 listed videos are not in " + set.root + " and are left out") != std::string::npos);
  CHECK(trained.out.find("3 videos of 2 classes") != std::string::npos);
  const auto embed = [&](const char* most) {
    return mcn_command({"embed", "--data", set.root, "--subset", "train", "--checkpoint",
                        set.folder.file("run/last.safetensors"), "--out", set.folder.file("e.npz"), "--max-bad", most});
  };
  CHECK(embed("24").exit_code == 3);
  const auto embedded = embed("25");
  CAPTURE(embedded.err);
  CHECK(embedded.exit_code == 0);
  CHECK(embedded.out.starts_with("3 videos"));
}

TEST_CASE("audit: exit 0 and a summary of a clean data set") {
  const Set set;
  for (const bool decode : {false, true}) {
    std::vector<std::string> arguments{"audit", "--data", set.root, "--frames", "9"};
    if (decode) arguments.emplace_back("--decode");
    const auto result = mcn_command(arguments);
    CAPTURE(decode, result.err);
    CHECK(result.exit_code == 0);
    CHECK(result.out ==
          set.root + ", ucf101: 6 videos listed, 6 " + (decode ? "decoded" : "opened") +
              ", 0 missing, 0 corrupt, 0 stuck, 0 short, 0 duplicate, 0 mislabelled; 0 files that no list names\n");
    CHECK(result.err.find("audit: 100%  6/6") != std::string::npos);
  }
}

TEST_CASE("audit: exit 3, a line for each finding, and the same in JSON") {
  const Set set;
  test::write_file(set.videos[0], "no video");
  fs::remove(set.videos[1]);
  fs::copy_file(set.videos[4], set.videos[3], fs::copy_options::overwrite_existing);
  fs::copy_file(set.videos[2], set.root + "/more.mp4");
  const std::string json_file = set.folder.file("report.json");
  const auto result =
      mcn_command({"audit", "--data", set.root, "--frames", "9", "--threads", "3", "--json", json_file});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 3);
  CHECK(std::count(result.out.begin(), result.out.end(), '\n') == 4);
  CHECK(result.out.find("missing     ") == 0);
  CHECK(result.out.find("\ncorrupt     ") != std::string::npos);
  CHECK(result.out.find("\nduplicate   ") != std::string::npos);
  CHECK(result.last_line() ==
        set.root +
            ", ucf101: 6 videos listed, 5 opened, 1 missing, 1 corrupt, 0 stuck, 0 short, 1 duplicate, 0 "
            "mislabelled; 1 files that no list names");
  const auto json = nlohmann::json::parse(test::read_file(json_file));
  CHECK(json.at("format") == "ucf101");
  CHECK(json.at("clean") == false);
  CHECK(json.at("listed") == 6);
  CHECK(json.at("checked") == 5);
  CHECK(json.at("missing") == 1);
  CHECK(json.at("corrupt") == 1);
  CHECK(json.at("stuck") == 0);
  CHECK(json.at("short") == 0);
  CHECK(json.at("duplicate") == 1);
  CHECK(json.at("mislabelled") == 0);
  CHECK(json.at("unlisted_files") == 1);
  REQUIRE(json.at("findings").size() == 3);
  CHECK(json.at("findings")[0].at("fault") == "missing");
  CHECK(json.at("findings")[0].at("video") == set.name(1));
  CHECK(json.at("findings")[1].at("video") == set.videos[0]);
  const auto strict = mcn_command({"audit", "--data", set.root, "--frames", "10"});
  CHECK(strict.exit_code == 3);
  CHECK(strict.out.find(" 4 short") != std::string::npos);
}

TEST_CASE("audit: names that are no text, and reports that cannot be written") {
  const Set set;
  const std::string odd = "odd\x1b\xFF.avi";
  fs::copy_file(set.videos[0], set.root + "/" + odd);
  test::write_file(set.root + "/list.txt", odd + " 0\n" + set.name(0) + " 0\n");
  const std::string json_file = set.folder.file("report.json");
  const std::vector<std::string> arguments{"audit",    "--data",   set.root, "--format", "list", "--train-files",
                                           "list.txt", "--subset", "train",  "--frames", "9"};
  const auto result = mcn_command(arguments + std::vector<std::string>{"--json", json_file});
  CHECK(result.exit_code == 3);
  CHECK(result.out.find('\x1b') == std::string::npos);
  CHECK(nlohmann::json::parse(test::read_file(json_file)).at("duplicate") == 1);
  const auto unwritable =
      mcn_command(arguments + std::vector<std::string>{"--json", set.root + "/list.txt/report.json"});
  CHECK(unwritable.exit_code == 3);
  CHECK(one_line_error(unwritable, "audit", {"list.txt/report.json"}));
}

TEST_CASE("audit: a list that is named alone is looked at alone") {
  const Set set;
  test::write_file(set.root + "/one.txt", set.name(0) + " 0\n" + set.name(1) + " 1\n");
  const std::vector<std::string> data{"audit", "--data", set.root, "--format", "list", "--frames", "9"};
  const std::string json_file = set.folder.file("report.json");
  for (const std::string subset : {"train", "test"}) {
    const auto result =
        mcn_command(data + std::vector<std::string>{"--" + subset + "-files", "one.txt", "--json", json_file});
    CAPTURE(subset, result.out, result.err);
    CHECK(result.exit_code == 0);
    const auto json = nlohmann::json::parse(test::read_file(json_file));
    CHECK(json.at("subset") == subset);
    CHECK(json.at("listed") == 2);
  }
  const auto both = mcn_command(data + std::vector<std::string>{"--train-files", "one.txt", "--test-files", "one.txt"});
  CHECK(both.exit_code == 3);
  CHECK(both.out.find(" 2 duplicate") != std::string::npos);
  const auto asked = mcn_command(data + std::vector<std::string>{"--train-files", "one.txt", "--subset", "both"});
  CHECK(asked.exit_code == 3);
  CHECK(one_line_error(asked, "dataset", {"test"}));
}

TEST_CASE("audit: lists that are missing or malformed are errors of one line") {
  const Set set;
  const auto missing = mcn_command({"audit", "--data", set.root, "--split", "2"});
  CHECK(missing.exit_code == 3);
  CHECK(one_line_error(missing, "dataset", {"trainlist02.txt"}));
  test::write_file(set.root + "/ucfTrainTestlist/testlist01.txt", "\n" + std::string("a/b\0.avi", 8));
  const auto malformed = mcn_command({"audit", "--data", set.root});
  CHECK(malformed.exit_code == 3);
  CHECK(one_line_error(malformed, "dataset", {"testlist01.txt:2", "NUL"}));
  CHECK(mcn_command({"audit", "--data", set.root, "--subset", "train", "--frames", "9"}).exit_code == 0);
  CHECK(mcn_command({"audit"}).exit_code == 2);
  CHECK(mcn_command({"audit", "--data", set.root, "--subset", "all"}).exit_code == 2);
  CHECK(mcn_command({"audit", "--data", set.root, "--threads", "0"}).exit_code == 2);
}

TEST_CASE("Ctrl-C stops audit with 130 and leaves no report") {
  const Set set;
  std::string list;
  for (int i = 0; i < 20000; ++i) {
    const std::string name = "x" + std::to_string(i) + ".mp4";
    fs::create_hard_link(set.videos[5], set.root + "/" + name);
    list += name + " 0\n";
  }
  test::write_file(set.root + "/list.txt", list);
  test::Command command({"audit", "--data", set.root, "--format", "list", "--train-files", "list.txt", "--subset",
                         "train", "--json", set.folder.file("report.json")});
  REQUIRE(command.wait_for_error_text("audit: "));
  command.send(SIGINT);
  const auto result = command.wait();
  CHECK(result.exit_code == 130);
  CHECK(result.out.empty());
  CHECK_FALSE(fs::exists(set.folder.file("report.json")));
}

TEST_CASE("videos without labels are trained on and embedded, and not evaluated") {
  const test::TemporaryFolder folder;
  const std::string made = folder.file("made"), data = folder.file("data"), run = folder.file("run");
  REQUIRE(mcn_command({"synth", "--out", made, "--classes", "2", "--train", "6", "--test", "2", "--frames", "8",
                       "--height", "32", "--width", "32"})
              .exit_code == 0);
  // All in one folder, and no list.
  std::filesystem::create_directories(data);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(made)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".mp4" || ending == ".avi")
      std::filesystem::copy(entry.path(), std::filesystem::path(data) / entry.path().filename());
  }
  const auto trained =
      mcn_command({"train",   "--data",         data,           "--out",    run,       "--arch",   "r2plus1d_10",
                   "--width", "0.07",           "--size",       "16",       "--batch", "4",        "--resize-height",
                   "18",      "--resize-width", "24",           "--frames", "4",       "--stride", "1",
                   "--bank",  "none",           "--iterations", "1"});
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK(trained.out.find("8 videos, preset") != std::string::npos);
  const std::string checkpoint = run + "/last.safetensors", csv = folder.file("e.csv");
  const auto embedded =
      mcn_command({"embed", "--data", data, "--subset", "train", "--checkpoint", checkpoint, "--out", csv});
  INFO(embedded.err);
  CHECK(embedded.exit_code == 0);
  const std::string text = test::read_file(csv);
  CHECK(std::count(text.begin(), text.end(), '\n') == 9);
  CHECK(text.find("label") == std::string::npos);
  const auto evaluated = mcn_command({"evaluate", "--data", data, "--checkpoint", checkpoint});
  CHECK(evaluated.exit_code == 3);
  CHECK(evaluated.err.find("videos without classes are for training alone") != std::string::npos);
}

}  // namespace mcn
