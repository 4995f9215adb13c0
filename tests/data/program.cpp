// The ffmpeg program through pipes and the shell; patterns of access.
#include "tests/data/program.h"

extern "C" {
#include <libavutil/md5.h>
}

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "engine/random.h"
#include "kernels/error.h"
#include "tests/catch.h"

namespace mcn::test {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string output_of(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run a shell");
  std::string text;
  char block[1 << 14];
  for (std::size_t got = 0; (got = std::fread(block, 1, sizeof block, pipe)) > 0;) text.append(block, got);
  pclose(pipe);
  return text;
}

void require_program() {
  static const bool there = std::system("ffmpeg -version >/dev/null 2>&1") == 0;
  if (!there) throw std::runtime_error("no ffmpeg program; tools/setup.sh --test installs it");
}

std::string md5(std::span<const std::uint8_t> bytes) {
  std::uint8_t sum[16];
  av_md5_sum(sum, bytes.data(), bytes.size());
  std::string text;
  for (const std::uint8_t byte : sum) text += fmt::format("{:02x}", byte);
  return text;
}

/// Reads one request and says which frames differ; empty if none does.
std::string differences(Video& video, const Digests& truth, const std::vector<std::int64_t>& indices) {
  const Digests got = digests(video.frames(indices));
  std::string text;
  for (std::size_t k = 0; k < indices.size(); ++k) {
    if (got.frames[k] == truth.frames[static_cast<std::size_t>(indices[k])]) continue;
    const auto other = std::ranges::find(truth.frames, got.frames[k]);
    text += fmt::format("frame {} is {}; ", indices[k],
                        other == truth.frames.end() ? "no frame of the truth"
                                                    : fmt::format("the truth's {}", other - truth.frames.begin()));
  }
  return text;
}

std::vector<std::int64_t> shuffled(std::int64_t count, Philox& random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
  return order;
}

}  // namespace

Digests program_decode(const std::string& path, const std::string& scaling) {
  require_program();
  const std::string text =
      output_of("ffmpeg -v quiet -nostdin -threads 1 -i " + quoted("file:" + path) + " -an -sn -dn -sws_flags " +
                scaling + " -fps_mode passthrough -c:v rawvideo -pix_fmt rgb24 -f framemd5 - 2>/dev/null");
  Digests truth;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (std::sscanf(line.c_str(), "#dimensions 0: %dx%d", &truth.width, &truth.height) == 2) continue;
    if (!line.starts_with('#')) truth.frames.push_back(line.substr(line.rfind(' ') + 1));
  }
  return truth;
}

Digests digests(const Frames& frames) {
  Digests result{frames.height, frames.width, {}};
  for (std::int64_t i = 0; i < frames.count; ++i) result.frames.push_back(md5(frames.frame(i)));
  return result;
}

bool run_script(const std::filesystem::path& folder, const std::string& script, const std::string& output) {
  require_program();
  const std::string program = "set -e\ncd " + quoted(folder.string()) + "\no=" + quoted(output) + "\n" +
                              R"(ff() { ffmpeg -v error -nostdin -y "$@" </dev/null; }
enc_size() {
  # testsrc2 makes every size even.
  size=$1; shift; ff -f lavfi -i "testsrc2=s=$size:r=25:d=1.6,scale=${size%x*}:${size#*x}" -threads 1 -fflags +bitexact -flags:v +bitexact "$@"
}
enc() { enc_size 48x36 "$@"; }
)" + script;
  return std::system(("sh -c " + quoted(program) + " >>" + quoted((folder / "log").string()) + " 2>&1").c_str()) == 0;
}

void check_access(const std::string& path, const Digests& truth, const AccessPlan& plan) {
  REQUIRE(truth.count() > 0);
  Philox random(11);
  Video video(path, {.cache_bytes = 0});
  const std::int64_t n = truth.count();
  REQUIRE(video.info().frames == n);
  REQUIRE(video.info().height == truth.height);
  REQUIRE(video.info().width == truth.width);

  // A test of each frame would bury what fails under thousands of lines.
  std::string wrong;
  const std::vector<std::int64_t> order = shuffled(n, random);
  for (std::size_t k = 0; k < order.size() && k < static_cast<std::size_t>(plan.singles); ++k)
    wrong += differences(video, truth, {order[k]});
  CHECK("alone: " + wrong == "alone: ");

  wrong.clear();
  for (int clip = 0; clip < plan.clips; ++clip) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = random.below(n); i < n && indices.size() < 8; i += 2) indices.push_back(i);
    wrong += differences(video, truth, indices);
  }
  CHECK("stride 2: " + wrong == "stride 2: ");

  const std::int64_t last = n - 1, from = std::max<std::int64_t>(0, last + 1 - plan.backwards);
  std::vector<std::int64_t> backwards;
  for (std::int64_t i = last; i >= from; --i) backwards.push_back(i);
  CHECK("backwards: " + differences(video, truth, backwards) == "backwards: ");
  wrong.clear();
  for (const std::int64_t i : backwards) wrong += differences(video, truth, {i});
  CHECK("backwards, alone: " + wrong == "backwards, alone: ");

  const std::int64_t middle = random.below(n);
  CHECK("repeats: " + differences(video, truth, {middle, last, middle, 0, 0, middle}) == "repeats: ");
  CHECK("again: " + differences(video, truth, {middle}) + differences(video, truth, {middle}) == "again: ");
  CHECK("ends: " + differences(video, truth, {last}) + differences(video, truth, {0}) == "ends: ");
  const std::int64_t past[] = {n};
  CHECK_THROWS_AS(video.frames(past), DataError);

  Video cached(path, {.cache_bytes = std::int64_t{1} << 26, .index = {}});
  Video indexed(path, {.cache_bytes = 0, .index = video.index()});
  for (Video* other : {&cached, &indexed}) {
    REQUIRE(other->info().frames == n);
    wrong.clear();
    for (int clip = 0; clip < 4; ++clip)
      wrong += differences(*other, truth, {random.below(n), random.below(n), random.below(n)});
    CHECK("another Video: " + wrong == "another Video: ");
  }
}

}  // namespace mcn::test
