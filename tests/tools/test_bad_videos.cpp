// Training on data sets of which some, many or all videos cannot be used, or are stuck; Ctrl-C while they are; what the
// metrics say of the loader.
#include <sys/stat.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "tests/catch.h"
#include "tests/tools/held_file.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;
namespace fs = std::filesystem;

namespace {

constexpr int videos = 20, batch = 4;

using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::istringstream text(test::read_file(path));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// Two classes of 9-frame videos, 20 to train.
struct Set {
  Set() {
    const auto result = mcn_command({"synth", "--out", root, "--classes", "2", "--train", std::to_string(videos),
                                     "--test", "2", "--frames", "9", "--height", "32", "--width", "48"});
    REQUIRE(result.exit_code == 0);
    data = load_ucf101(root, 1, Subset::train);
    REQUIRE(std::ssize(data.videos) == videos);
  }
  [[nodiscard]] std::string path(std::int64_t video) const {
    return data.videos[static_cast<std::size_t>(video)].source.path;
  }
  // In a way of its own for each.
  void damage(std::int64_t video) const {
    const std::string bytes = test::read_file(path(video));
    fs::remove(path(video));
    switch (video % 5) {
      case 0:
        return test::write_file(path(video), "");
      case 1:
        return test::write_file(path(video), "not a video");
      case 2:
        return test::write_file(path(video), bytes.substr(0, bytes.size() / 10));
      case 3:
        REQUIRE(mkfifo(path(video).c_str(), 0600) == 0);
        return;
      default:
        test::write_file(path(video), std::string(5000, '\0'));
    }
  }
  // In a fresh folder, which is the same for all runs so that what they say is. What is given counts, else this.
  [[nodiscard]] Arguments train(const Arguments& given = {}) const {
    fs::remove_all(run);
    Arguments all = Arguments{"train", "--data", root, "--out", run} + given;
    const std::vector<std::pair<const char*, const char*>> defaults{{"--method", "contrastive"},
                                                                    {"--batch", "4"},
                                                                    {"--width", "0.05"},
                                                                    {"--frames", "2"},
                                                                    {"--size", "16"},
                                                                    {"--index-cache", ""},
                                                                    {"--resize-height", "20"},
                                                                    {"--resize-width", "24"},
                                                                    {"--iterations", "7"},
                                                                    {"--loader-threads", "2"},
                                                                    {"--checkpoint-every", "1"},
                                                                    {"--report", "curves"}};
    for (const auto& [name, value] : defaults)
      if (std::ranges::find(given, name) == given.end()) all = std::move(all) + Arguments{name, value};
    return all;
  }

  test::TemporaryFolder folder;
  std::string root = folder.file("set"), run = folder.file("run"), cache = folder.file("cache");
  Dataset data;
};

// What a run left, but for times.
struct Outcome {
  int exit_code = 0;
  std::string metrics, bad_videos, last_words;

  bool operator==(const Outcome&) const = default;
};

Outcome outcome(const Arguments& arguments, const Set& set) {
  const auto result = mcn_command(arguments);
  Outcome o{result.exit_code, "", test::read_file(set.run + "/bad_videos.jsonl"), ""};
  for (const nlohmann::json& line : lines_of(set.run + "/metrics.jsonl"))
    o.metrics +=
        nlohmann::json{line.at("iteration"), line.at("loss_query"), line.at("gradient_norm"), line.at("bad_videos")}
            .dump() +
        "\n";
  const auto end = result.err.find_last_not_of('\n');
  const auto start = result.err.rfind('\n', end);
  o.last_words = result.err.substr(start == std::string::npos ? 0 : start + 1);
  if (o.last_words.starts_with("train: ")) o.last_words.clear();
  return o;
}

// The same with more threads, and with indices that are kept.
Outcome outcome_for_any_threads(const Set& set, const Arguments& more) {
  const Outcome truth = outcome(set.train(Arguments{"--loader-threads", "1"} + more), set);
  const Arguments cached{"--loader-threads", "4", "--index-cache", set.cache};
  CHECK(outcome(set.train(Arguments{"--loader-threads", "4"} + more), set) == truth);
  for (int i = 0; i < 2; ++i) CHECK(outcome(set.train(cached + more), set) == truth);
  return truth;
}

}  // namespace

TEST_CASE("the metrics say how the loader is doing, in every line") {
  const Set set;
  REQUIRE(mcn_command(set.train({"--ring", "3"})).exit_code == 0);
  const auto lines = lines_of(set.run + "/metrics.jsonl");
  REQUIRE(lines.size() == 7);
  for (const nlohmann::json& line : lines) {
    CAPTURE(line.dump());
    for (const char* key : {"seconds", "wait_seconds", "waited_share", "decode_seconds", "clip_decode_seconds",
                            "ring_ready", "epoch", "clips_per_second"}) {
      REQUIRE(line.at(key).is_number());
      CHECK(line.at(key).get<double>() >= 0);
    }
    CHECK(line.at("wait_seconds").get<double>() <= line.at("seconds").get<double>());
    CHECK(line.at("waited_share").get<double>() <= 1);
    CHECK(line.at("clip_decode_seconds").get<double>() > 0);
    CHECK(line.at("decode_seconds").get<double>() ==
          Catch::Approx(2 * batch * line.at("clip_decode_seconds").get<double>()));
    CHECK(line.at("clips_per_second").get<double>() == Catch::Approx(2 * batch / line.at("seconds").get<double>()));
    CHECK(line.at("epoch").get<double>() == Catch::Approx((line.at("iteration").get<double>() + 1) * batch / videos));
    CHECK(line.at("time").get<std::string>().size() == std::string("2026-11-28T12:34:56Z").size());
    CHECK(line.at("ring_ready").get<double>() <= 3);
    CHECK(line.at("bad_videos") == 0);
    CHECK(line.at("tensors_mib").get<double>() > 0);
    CHECK(line.at("resident_mib").get<double>() > line.at("tensors_mib").get<double>());
    CHECK(line.at("embedding_std_isotropic").get<double>() == Catch::Approx(1 / std::sqrt(128.0)));
    CHECK(line.at("embedding_std").get<double>() > 0);
    CHECK(line.at("embedding_std").get<double>() <= line.at("embedding_std_isotropic").get<double>());
  }
  CHECK(test::read_file(set.run + "/bad_videos.jsonl").empty());
}

TEST_CASE("training skips and lists bad videos, the same ones for any threads and with kept indices", "[slow]") {
  const Set set;
  const Outcome none = outcome_for_any_threads(set, {});
  CHECK(none.exit_code == 0);
  CHECK(none.bad_videos.empty());
  CHECK(none.last_words.empty());

  set.damage(7);
  const Outcome one = outcome_for_any_threads(set, {});
  CHECK(one.exit_code == 0);
  CHECK(one.metrics != none.metrics);
  CHECK(one.last_words.starts_with("1 of 20 videos cannot be used, and others took their places; "));
  const auto listed = lines_of(set.run + "/bad_videos.jsonl");
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].at("video") == set.path(7));
  CHECK(listed[0].at("error").get<std::string>().find(set.path(7)) != std::string::npos);
  CHECK(listed[0].at("iteration").get<int>() < 7);

  for (const int more : {0, 3, 11, 14, 18}) set.damage(more);
  const Outcome six = outcome_for_any_threads(set, {"--max-bad", "30%"});
  CHECK(six.exit_code == 0);
  CHECK(six.last_words.starts_with("6 of 20 videos "));
  CHECK(lines_of(set.run + "/bad_videos.jsonl").size() == 6);
}

TEST_CASE("too many bad videos stop training with exit 3, the list and the work done until then") {
  const Set set;
  std::vector<std::int64_t> bad;
  for (const std::int64_t iteration : {1, 2})
    for (const std::int64_t video : batch_videos(videos, batch, 0, iteration)) bad.push_back(video);
  for (const std::int64_t video : bad) set.damage(video);
  const Outcome default_share = outcome_for_any_threads(set, {});
  CHECK(default_share.exit_code == 3);
  CHECK(default_share.last_words.starts_with("mcn: [loader] 2 of 20 videos cannot be used, more than 5%; [video] "));
  CHECK(default_share.last_words.find("all of them: " + set.run + "/bad_videos.jsonl") != std::string::npos);
  CHECK(lines_of(set.run + "/bad_videos.jsonl").size() == 2);
  CHECK(lines_of(set.run + "/metrics.jsonl").size() == 1);

  const Outcome larger_share = outcome_for_any_threads(set, {"--max-bad", "30"});
  CHECK(larger_share.exit_code == 3);
  CHECK(larger_share.last_words.starts_with("mcn: [loader] 7 of 20 videos cannot be used, more than 30%; "));
  CHECK(larger_share.last_words.find("; and 2 more; all of them: ") != std::string::npos);
  const auto listed = lines_of(set.run + "/bad_videos.jsonl");
  CHECK(listed.size() == 7);
  for (const nlohmann::json& line : listed)
    CHECK(std::ranges::any_of(bad, [&](std::int64_t video) { return line.at("video") == set.path(video); }));

  // What was learned before is kept, also between checkpoints, and goes on as if nothing had happened.
  const Outcome whole = outcome(set.train({"--max-bad", "40%"}), set);
  CHECK(whole.exit_code == 0);
  const std::string truth = test::read_file(set.run + "/last.safetensors");
  CHECK(outcome(set.train({"--checkpoint-every", "100"}), set).exit_code == 3);
  const std::string stopped = set.folder.file("stopped.safetensors");
  fs::rename(set.run + "/last.safetensors", stopped);
  Arguments resumed = set.train({"--max-bad", "40%", "--resume", stopped});
  CHECK(outcome(resumed, set).exit_code == 0);
  CHECK((test::read_file(set.run + "/last.safetensors") == truth));
}

TEST_CASE("with nothing but bad videos training stops at once, whatever the share") {
  const Set set;
  for (int video = 0; video < videos; ++video) set.damage(video);
  const Outcome stopped = outcome_for_any_threads(set, {});
  CHECK(stopped.exit_code == 3);
  CHECK(stopped.last_words.find("2 of 20 videos cannot be used, more than 5%") != std::string::npos);
  const Outcome all = outcome_for_any_threads(set, {"--max-bad", "100%"});
  CHECK(all.exit_code == 3);
  CHECK(all.last_words.find("no video is left to replace one that cannot be used: ") != std::string::npos);
  CHECK(lines_of(set.run + "/bad_videos.jsonl").size() == videos);
  CHECK_FALSE(fs::exists(set.run + "/last.safetensors"));
  const auto refused = mcn_command(set.train({"--max-bad", "101%"}));
  CHECK(refused.exit_code == 2);
  CHECK(test::one_line_error(refused, "usage", {"--max-bad"}));
}

TEST_CASE("a video in which a thread is stuck costs its time limit, and is skipped and counted") {
  const Set set;
  const test::HeldFile held(set.path(4));
  if (!held.held()) {
    WARN("no leases on this file system");
    return;
  }
  const auto trained = mcn_command(set.train({"--decode-timeout", "3", "--iterations", "5"}));
  CAPTURE(trained.err);
  CHECK(trained.exit_code == 0);
  CHECK(held.still_held());
  const auto listed = lines_of(set.run + "/bad_videos.jsonl");
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].at("video") == set.path(4));
  CHECK(listed[0].at("error").get<std::string>().find(": not done after 3 s") != std::string::npos);

  const auto audited = mcn_command({"audit", "--data", set.root, "--frames", "9", "--decode-timeout", "3"});
  CAPTURE(audited.out, audited.err);
  CHECK(audited.exit_code == 3);
  CHECK(held.still_held());
  CHECK(audited.out.starts_with("stuck       train  " + set.path(4) + ": "));
  CHECK(audited.out.find(" 0 corrupt, 1 stuck, ") != std::string::npos);
}

TEST_CASE("Ctrl-C ends a command while a thread is stuck in a file, training with a checkpoint", "[slow]") {
  const Set set;
  REQUIRE(mcn_command(set.train({"--iterations", "1"})).exit_code == 0);
  const std::string checkpoint = set.folder.file("checkpoint.safetensors");
  fs::rename(set.run + "/last.safetensors", checkpoint);
  const test::HeldFile held(set.path(batch_videos(videos, batch, 0, 2).front()));
  if (!held.held()) {
    WARN("no leases on this file system");
    return;
  }
  const std::string out = set.folder.file("features.safetensors");
  const std::string command = GENERATE("train", "embed", "evaluate", "audit");
  CAPTURE(command);
  const Arguments reader{command, "--checkpoint", checkpoint, "--data", set.root, "--decode-timeout", "0"};
  Arguments arguments = reader;
  if (command == "train") arguments = set.train({"--decode-timeout", "0"});
  if (command == "embed") arguments = reader + Arguments{"--subset", "train", "--out", out};
  if (command == "audit") arguments = {"audit", "--data", set.root, "--decode-timeout", "0"};
  test::Command stuck(arguments);
  REQUIRE(held.wait_for_a_victim());
  if (command == "train") REQUIRE(stuck.wait_for_error_text("train: "));
  stuck.send(SIGINT);
  const auto result = stuck.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 130);
  CHECK(held.still_held());
  CHECK_FALSE(fs::exists(out));
  if (command != "train") {
    CHECK(result.out.empty());
    CHECK(result.err.ends_with("mcn: [interrupt] stopped by the user\n"));
    return;
  }
  CHECK(result.err.find("go on with --resume " + set.run + "/last.safetensors\n") != std::string::npos);
  const auto resumed = mcn_command({"train", "--config", set.run + "/config.toml", "--resume",
                                    set.run + "/last.safetensors", "--out", set.run, "--decode-timeout", "3"});
  CAPTURE(resumed.err);
  CHECK(resumed.exit_code == 0);
}

}  // namespace mcn
