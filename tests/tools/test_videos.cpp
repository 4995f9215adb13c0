// synth, inspect and frames on real files; what they refuse; Ctrl-C.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "data/video.h"
#include "engine/device.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> synth_arguments(const std::string& out, const std::string& train) {
  return {"synth",    "--out", out,        "--classes", "2",       "--train", train,       "--test", "2",
          "--frames", "9",     "--height", "32",        "--width", "48",      "--threads", "1"};
}

// Two classes of 9-frame videos, and one of the videos.
struct Videos {
  explicit Videos(const test::TemporaryFolder& folder) : root(folder.file("videos")) {
    const auto result = mcn_command(synth_arguments(root, "4"));
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(result.out.find(root) != std::string::npos);
    CHECK(result.out.find("4 training and 2 test videos of 2 classes") != std::string::npos);
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.path().extension() == ".mp4") video = entry.path().string();
    REQUIRE_FALSE(video.empty());
  }
  std::string root, video;
};

}  // namespace

TEST_CASE("synth, inspect and frames agree about a video") {
  const test::TemporaryFolder folder;
  const Videos videos(folder);

  const auto lines = mcn_command({"inspect", videos.video});
  CHECK(lines.exit_code == 0);
  CHECK(lines.out.find("frames") != std::string::npos);
  const auto json = mcn_command({"inspect", videos.video, "--json"});
  CHECK(json.exit_code == 0);
  const auto info = nlohmann::json::parse(json.out);
  CHECK(info.at("frames") == 9);
  CHECK(info.at("width") == 48);
  CHECK(info.at("height") == 32);

  const std::string out = folder.file("f.npy");
  const auto frames = mcn_command({"frames", videos.video, "--at", "0,7,7,3", "--out", out});
  CAPTURE(frames.err);
  CHECK(frames.exit_code == 0);
  const std::string npy = test::read_file(out);
  CHECK(npy.find("'descr': '|u1', 'fortran_order': False, 'shape': (4, 32, 48, 3)") != std::string::npos);
  const Frames expected = Video(videos.video).frames(std::vector<std::int64_t>{0, 7, 7, 3});
  REQUIRE(npy.size() > expected.rgb.size());
  CHECK(npy.substr(npy.size() - expected.rgb.size()) == std::string(expected.rgb.begin(), expected.rgb.end()));
}

TEST_CASE("frames writes PNG images, one or one a number, and refuses a name of no format") {
  const test::TemporaryFolder folder;
  const Videos videos(folder);
  const auto write = [&](const char* at, const std::string& out) {
    return mcn_command({"frames", videos.video, "--at", at, "--out", out});
  };
  // The program ffmpeg reads them back.
  const auto pixels = [&](const std::string& png) {
    const std::string raw = folder.file("raw");
    REQUIRE(std::system(
                ("ffmpeg -v error -nostdin -y -i '" + png + "' -f rawvideo -pix_fmt rgb24 '" + raw + "'").c_str()) ==
            0);
    std::string bytes = test::read_file(raw);
    fs::remove(raw);
    return bytes;
  };
  const Frames expected = Video(videos.video).frames(std::vector<std::int64_t>{0, 7});
  const auto frame = [&](std::int64_t i) { return std::string(expected.frame(i).begin(), expected.frame(i).end()); };
  REQUIRE(frame(0) != frame(1));

  const auto one = write("7", folder.file("f.png"));
  CAPTURE(one.err);
  CHECK(one.exit_code == 0);
  CHECK(one.out == "1 frame of 48x32 pixels: " + folder.file("f.png") + "\n");
  CHECK(test::read_file(folder.file("f.png")).starts_with("\x89PNG\r\n\x1a\n"));
  CHECK(pixels(folder.file("f.png")) == frame(1));
  CHECK(write("7,0,7", folder.file("g.png")).exit_code == 0);
  CHECK(pixels(folder.file("g-7.png")) == frame(1));
  CHECK(pixels(folder.file("g-0.png")) == frame(0));
  CHECK(folder.count() == 4);  // with the videos

  for (const char* name : {"f.jpg", "f", "f.PNG"}) {
    const auto refused = write("0", folder.file(name));
    CHECK(refused.exit_code == 2);
    CHECK(one_line_error(refused, "frames", {"ends in .npy or .png", name}));
  }
  CHECK(folder.count() == 4);
}

TEST_CASE("frames refuses numbers that the video does not have, and lists that are none") {
  const test::TemporaryFolder folder;
  const Videos videos(folder);
  const std::string out = folder.file("f.npy");
  for (const char* at : {"9", "0,1,9", "99999999999999999999"}) {
    const auto result = mcn_command({"frames", videos.video, "--at", at, "--out", out});
    CAPTURE(at, result.err);
    CHECK(result.exit_code == 3);
    CHECK(one_line_error(result, "video", {"9 frames"}));
  }
  for (const char* at : {",", "1,,2", "1,", "a", "1.5", "1 2", "-1", "0,-1", "0x1", "1e0"}) {
    const auto result = mcn_command({"frames", videos.video, std::string("--at=") + at, "--out", out});
    CAPTURE(at, result.err);
    CHECK(result.exit_code == 2);
    CHECK(one_line_error(result, "frames", {"--at", at}));
  }
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("what is no video is refused") {
  const test::TemporaryFolder folder;
  const std::string text = folder.file("text.mp4");
  test::write_file(text, "not a video\n");
  test::write_file(folder.file("empty.avi"), "");
  for (const char* name : {"text.mp4", "empty.avi", "."}) {
    const auto inspected = mcn_command({"inspect", folder.file(name)});
    CAPTURE(name, inspected.err);
    CHECK(inspected.exit_code == 3);
    CHECK(one_line_error(inspected, "video", {name}));
    const auto read = mcn_command({"frames", folder.file(name), "--at", "0", "--out", folder.file("f.npy")});
    CHECK(read.exit_code == 3);
  }
  CHECK(folder.count() == 2);
}

TEST_CASE("an output that cannot be written exits with 3") {
  const test::TemporaryFolder folder;
  const Videos videos(folder);
  test::write_file(folder.file("file"), "");
  const std::string below_a_file = folder.file("file/x.npy");
  const auto frames = mcn_command({"frames", videos.video, "--at", "0", "--out", below_a_file});
  CAPTURE(frames.err);
  CHECK(frames.exit_code == 3);
  CHECK(one_line_error(frames, "frames", {below_a_file}));
  const auto synth = mcn_command(synth_arguments(below_a_file, "2"));
  CAPTURE(synth.err);
  CHECK(synth.exit_code == 3);
  CHECK(one_line_error(synth, "synth", {below_a_file}));
  const auto train =
      mcn_command({"train", "--data", videos.root, "--out", below_a_file, "--batch", "2", "--method", "contrastive",
                   "--width", "0.05", "--frames", "2", "--size", "16", "--iterations", "1"});
  CAPTURE(train.err);
  CHECK(train.exit_code == 3);
  CHECK(train.err.find(below_a_file) != std::string::npos);
  CHECK(folder.count() == 2);
}

TEST_CASE("decoding on a GPU that is not here is refused, where it would be used") {
  const std::string fault = device_fault("cuda");
  if (fault.empty()) return;  // tools/gpu_check.sh compares what it decodes
  const test::TemporaryFolder folder;
  const Videos videos(folder);
  std::string avi;
  for (const auto& entry : fs::recursive_directory_iterator(videos.root))
    if (entry.path().extension() == ".avi") avi = entry.path().string();
  REQUIRE_FALSE(avi.empty());
  const auto h264 =
      mcn_command({"frames", videos.video, "--at", "0", "--out", folder.file("a.npy"), "--hwaccel", "cuda"});
  CHECK(h264.exit_code == 4);
  CHECK(one_line_error(h264, "video", {"--hwaccel cuda", "CUDA device"}));
  const auto mpeg4 = mcn_command({"frames", avi, "--at", "0", "--out", folder.file("b.npy"), "--hwaccel", "cuda"});
  CHECK(mpeg4.exit_code == 0);
  const auto unknown = mcn_command({"frames", avi, "--at", "0", "--out", folder.file("c.npy"), "--hwaccel", "metal"});
  CHECK(unknown.exit_code == 2);
}

TEST_CASE("synth refuses settings without sense, and folders that hold something") {
  const test::TemporaryFolder folder;
  const std::string out = folder.file("out");
  for (const std::vector<std::string>& extra :
       std::vector<std::vector<std::string>>{{"--classes", "1"},
                                             {"--classes", "13"},
                                             {"--scene", "shapes", "--classes", "65"},
                                             {"--correlation", "0.5"},
                                             {"--width", "15"},
                                             {"--correlation", "1.5"},
                                             {"--correlation", "nan"},
                                             {"--train", "0"}}) {
    std::vector<std::string> arguments{"synth", "--out", out};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    const auto result = mcn_command(arguments);
    CAPTURE(extra, result.err);
    CHECK(result.exit_code == 2);
    CHECK(one_line_error(result, "synth"));
  }
  CHECK(folder.count() == 0);
  fs::create_directories(out);
  test::write_file(out + "/precious", "x");
  const auto result = mcn_command(synth_arguments(out, "2"));
  CHECK(result.exit_code == 2);
  CHECK(one_line_error(result, "synth", {"not empty"}));
  CHECK(test::read_file(out + "/precious") == "x");
}

TEST_CASE("synth writes classes of actions, or of shapes") {
  const test::TemporaryFolder folder;
  std::vector<std::string> arguments = synth_arguments(folder.file("actions"), "2");
  REQUIRE(mcn_command(arguments).exit_code == 0);
  CHECK(test::read_file(folder.file("actions/ucfTrainTestlist/classInd.txt")) == "1 Walk\n2 Jump\n");
  arguments = synth_arguments(folder.file("shapes"), "2");
  arguments.insert(arguments.end(), {"--scene", "shapes", "--correlation", "0.5"});
  REQUIRE(mcn_command(arguments).exit_code == 0);
  CHECK(test::read_file(folder.file("shapes/ucfTrainTestlist/classInd.txt")) ==
        "1 TranslateDiscOnStripes\n2 RotateSquareOnStripes\n");
}

TEST_CASE("Ctrl-C stops synth with 130 and leaves nothing") {
  const test::TemporaryFolder folder;
  test::Command command(synth_arguments(folder.file("videos"), "100000"));
  REQUIRE(command.wait_for_error_text("synth: "));
  command.send(SIGINT);
  const auto result = command.wait();
  CHECK(result.exit_code == 130);
  CHECK(result.err.find("mcn: [interrupt] stopped by the user\n") != std::string::npos);
  CHECK(result.out.empty());
  CHECK(folder.count() == 0);
}

}  // namespace mcn
