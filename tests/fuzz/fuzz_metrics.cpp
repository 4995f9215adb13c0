// The files of a run folder that others may have written: metrics.jsonl, evaluations.jsonl, bad_videos.jsonl,
// evaluation.json, finetune.json and config.toml, with a NUL between one and the next. A report is made of them, then
// a run goes on in the folder.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "meta/train/report.h"
#include "meta/train/run_folder.h"
#include "meta/train/run_log.h"
#include "tests/fuzz/fuzz.h"

namespace mcn {
extern const std::string_view report_template;
// The page's parts, and between the last two a character that the JSON text cannot hold.
const std::string_view report_template = "{{title}}{{body}}\x01{{data}}";
// What a run folder asks of a trainer, which none of its files needs to be read.
void Trainer::save(const std::string&, int) { fuzz::violated("reading a run folder saves nothing"); }
std::vector<std::pair<std::int64_t, std::string>> Trainer::bad_videos() const {
  fuzz::violated("reading a run folder asks no trainer");
}
}  // namespace mcn

namespace {

namespace fs = std::filesystem;
using mcn::fuzz::violated;
using nlohmann::json;

constexpr std::array names{"metrics.jsonl",   "evaluations.jsonl", "bad_videos.jsonl",
                           "evaluation.json", "finetune.json",     "config.toml"};
constexpr std::size_t logs = 3;         // of the names, from the first
constexpr std::int64_t iterations = 5;  // of the checkpoint that the run goes on from

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

void check_report(const std::string& folder, std::size_t input_bytes) {
  const mcn::RunLog run = mcn::read_run(folder);
  const auto finite = [](double v) { return std::isfinite(v); };
  for (const auto& [key, curve] : run.curves) {
    if (curve.x.empty() || curve.x.size() != curve.y.size()) violated("a curve has as many x as y");
    if (!std::ranges::is_sorted(curve.x)) violated("a curve's x ascends");
    if (!std::ranges::all_of(curve.x, finite) || !std::ranges::all_of(curve.y, finite))
      violated("a curve's values are finite");
    if (curve.x.size() > input_bytes) violated("a curve has no more values than its file has bytes");
  }
  const std::string page = mcn::report_page({&run, 1});
  // Whatever the files say, it is text: every tag and every quote is the report's own.
  const std::size_t place = page.rfind('\x01');
  const std::string_view body = std::string_view(page).substr(0, place);
  int depth = 0;
  for (const char c : body) {
    if (c == '<' && ++depth > 1) violated("a page's tags are not nested");
    if (c == '>' && --depth < 0) violated("a page's tags have a beginning");
  }
  if (depth != 0) violated("a page's tags have an end");
  if (std::ranges::count(body, '"') % 2 != 0) violated("a page's quotes have an end");
  if (!json::accept(std::string_view(page).substr(place + 1))) violated("a page's numbers are JSON");
  if (page.find('<', place) != std::string::npos) violated("a page's numbers cannot end their element");
  try {
    static_cast<void>(json(std::string(body)).dump());
  } catch (const json::exception&) {
    violated("a page is UTF-8");
  }
  // A short key has a chart of its own.
  if (page.size() > (std::size_t{1} << 16) + 4096 * input_bytes) violated("a page's size follows from its input's");
}

// The number of a line that says nothing else but a loss, so that nothing can be wrong with it.
std::optional<std::int64_t> plain_iteration(std::string_view line) {
  constexpr std::string_view before = R"({"iteration":)", after = R"(,"loss_query":1.5})";
  if (!line.starts_with(before) || !line.ends_with(after)) return {};
  const std::string_view digits = line.substr(before.size(), line.size() - before.size() - after.size());
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool sound =
      error == std::errc() && end == digits.data() + digits.size() && number >= 0 && digits == std::to_string(number);
  return sound ? std::optional(number) : std::nullopt;
}

// What became of a log: nothing but lines that stood there, in order, each once; and no sound line is gone.
void check_kept(std::size_t log, const std::string& before, const std::string& after) {
  const std::vector<std::string> old = lines_of(before), kept = lines_of(after);
  if (!after.empty() && after.back() != '\n') violated("a log's last line is whole");
  const std::int64_t end = log == 0 ? iterations : iterations + 1;
  const std::set<std::string> known(old.begin(), old.end());
  std::set<std::int64_t> numbers;
  std::set<std::string> videos;
  std::int64_t last = -1;
  for (const std::string& line : kept) {
    if (!known.contains(line)) violated("a kept line stood in the file");
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object()) violated("a kept line is a JSON object");
    const auto number = object.at("iteration").get<std::int64_t>();
    if (number < last || number >= end) violated("kept lines are in order, and before the checkpoint's iteration");
    last = number;
    const bool first = numbers.insert(number).second;
    if (log < 2 && !first) violated("an iteration has one line");
    if (log == 2 && !videos.insert(object.at("video").get<std::string>()).second) violated("a video has one line");
  }
  if (log != 0) return;
  for (const std::string& line : old)
    if (const auto number = plain_iteration(line); number && *number < end && !numbers.contains(*number))
      violated("a sound line is kept");
}

void check_resume(const fs::path& folder, const std::array<std::string, names.size()>& texts) {
  static const mcn::Dataset dataset{{"a"}, {{"v.mp4", 0}}, 0, {}};
  const mcn::RunFolderConfig config{.folder = folder.string(),
                                    .resume = (folder / "last.safetensors").string(),
                                    .settings = texts.back(),
                                    .first = iterations,
                                    .batch = 1,
                                    .events = false,
                                    .keep = 2};
  std::array<std::string, logs> once;
  {
    mcn::RunFolder run(config, dataset);
    run.begin();
    for (std::size_t log = 0; log < logs; ++log) {
      once[log] = text_of(folder / names[log]);
      check_kept(log, texts[log], once[log]);
    }
    if (const auto& best = run.evaluations().best()) {
      bool found = false;
      for (const std::string& line : lines_of(once[1])) {
        const json object = json::parse(line);
        found = found || (object.at("iteration") == best->iteration && object.at("best") == true &&
                          object.at("knn").at("value") == best->knn);
      }
      if (!found) violated("the best evaluation is one of the lines that are kept");
    }
  }
  mcn::RunFolder again(config, dataset);
  again.begin();
  for (std::size_t log = 0; log < logs; ++log)
    if (text_of(folder / names[log]) != once[log]) violated("a log that was mended stays as it is");
  for (const std::string& problem : again.problems()) {
    if (problem.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos) violated("a problem is one line");
    if (!problem.ends_with("have no line")) violated("a log that was mended has no other problem");
  }
  mcn::IterationMetrics metrics;
  metrics.iteration = iterations;
  metrics.seconds = 1;
  again.write(metrics);
  const std::string longer = text_of(folder / names[0]);
  if (!longer.starts_with(once[0]) || json::parse(longer.substr(once[0].size())).at("iteration") != iterations)
    violated("a run that goes on adds a line");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const mcn::test::TemporaryFolder temporary;
  const fs::path folder = temporary.file("run");
  fs::create_directories(folder);
  std::string_view rest = mcn::fuzz::as_text(data, size);
  std::array<std::string, names.size()> texts;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    texts[i] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    fs::remove(folder / names[i]);
    // An empty text stands for a file that is not there, but for the first.
    if (i == 0 || !texts[i].empty()) std::ofstream(folder / names[i], std::ios::binary) << texts[i];
  }
  // Neither is an error, whatever the files hold.
  check_report(folder.string(), size);
  check_resume(folder, texts);
  return 0;
}
