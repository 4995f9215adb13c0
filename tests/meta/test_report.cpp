// What a report reads of a run, how curves are thinned, and what its page holds.
#include <cmath>
#include <fstream>

#include "kernels/error.h"
#include "meta/train/report.h"
#include "meta/train/report_matrix.h"
#include "meta/train/report_pictures.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

bool has(const std::vector<std::string>& texts, const std::string& part) {
  for (const std::string& text : texts)
    if (has(text, part)) return true;
  return false;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("thinning keeps means and extremes of neighbors") {
  // Two groups of {0, 1} and {2, 3, 4}: 5 points do not divide by 2.
  const Curve curve{{0, 1, 2, 3, 4}, {1, 3, 10, -20, 40}};
  const ThinnedCurve two = thin(curve, 2);
  CHECK(two.x == std::vector<double>{0.5, 3});
  CHECK(two.y == std::vector<double>{2, 10});
  CHECK(two.low == std::vector<double>{1, -20});
  CHECK(two.high == std::vector<double>{3, 40});
  const ThinnedCurve all = thin(curve, 5);
  CHECK(all.x == curve.x);
  CHECK(all.y == curve.y);
  CHECK(all.low == curve.y);
  CHECK(all.high == curve.y);
  CHECK(thin({}, 5).x.empty());
  CHECK(mean_of_last(curve, 2) == 10);
  CHECK(mean_of_last(curve, 99) == 6.8);
  CHECK(std::isnan(mean_of_last({}, 2)));
}

TEST_CASE("a run is read with what is wrong in it") {
  const test::TemporaryFolder folder;
  const RunLog nothing = read_run(folder.file("none"));
  CHECK(nothing.empty());
  CHECK(has(nothing.problems, "there is no such folder"));

  const std::string path = folder.file("");
  CHECK(read_run(path).empty());
  CHECK(has(read_run(path).problems, "there is no metrics.jsonl"));

  write(folder.file("metrics.jsonl"), "");
  CHECK(has(read_run(path).problems, "metrics.jsonl is empty"));

  // In the order 1, 0; a null, a line that is no object, one without an iteration, and a piece of a line.
  write(folder.file("metrics.jsonl"),
        "{\"iteration\":1,\"loss_query\":2.5,\"update_ratio\":{\"stem\":0.25}}\n"
        "{\"iteration\":0,\"loss_query\":3.5}\n"
        "[1]\n"
        "{\"loss_query\":7}\n"
        "{\"iteration\":2,\"loss_query\":null,\"word\":\"x\"}\n"
        "{\"iteration\":3,\"loss_qu");
  write(folder.file("config.toml"), "# a comment\nmethod=\"mcn\"\nlr = 0.1\niterations=5\n");
  const RunLog run = read_run(path);
  CHECK_FALSE(run.empty());
  CHECK(run.curves.at("loss_query").x == std::vector<double>{0, 1});
  CHECK(run.curves.at("loss_query").y == std::vector<double>{3.5, 2.5});
  CHECK(run.curves.at("update_ratio.stem").y == std::vector<double>{0.25});
  CHECK_FALSE(run.curves.contains("word"));
  CHECK(run.setting("method") == "mcn");
  CHECK(run.setting("lr") == "0.1");
  CHECK(run.setting("none").empty());
  CHECK(has(run.problems, "line 6, is cut off"));
  CHECK(has(run.problems, "1 of 6 lines of metrics.jsonl are no JSON objects and are left out, line 3 first"));
  CHECK(has(run.problems, "have no number \"iteration\""));
  CHECK(has(run.problems, "1 of 6 values of loss_query are not finite"));
  CHECK(has(run.problems, "unfinished: 2 of 5 iterations"));

  write(folder.file("metrics.jsonl"), "{\"iteration\":0,\"height\":2}\n");
  CHECK(has(read_run(path).problems, "its keys are not those of `mcn train`"));
  write(folder.file("metrics.jsonl"), "{\"iteration\":0,\"loss_query\":1e999}\n{\"iteration\":1,\"loss_query\":NaN}\n");
  CHECK(read_run(path).empty());
  write(folder.file("evaluation.json"), "{");
  CHECK(has(read_run(path).problems, "evaluation.json is no JSON object"));
}

TEST_CASE("text is escaped wherever it stands on the page") {
  CHECK(html_text("<a href=\"x\">&'") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  CHECK(html_text("caf\xC3\xA9 \xFF!") == "caf\xC3\xA9 \xEF\xBF\xBD!");

  const std::string evil = "</script><img src=x onerror=alert(1)>{{data}}";
  RunLog run;
  run.folder = "runs/" + std::string("<b>evil");
  run.curves["loss_query"] = {{0, 1}, {2, 1}};
  run.curves[evil] = {{0}, {1}};
  run.settings = {{evil, evil}};
  run.problems = {evil};
  run.finetuning = {{"top1", {{"value", 50}}}, {"classes", {evil, "b"}}, {"confusion", {{1, 2}, {0, 3}}}};
  run.evaluation = {{"knn", {{"value", 70.25}, {"low", 60}, {"high", 80}, {"by_class", {{evil, {{"value", 1}}}}}}}};
  const std::string page = report_page(std::span(&run, 1));
  CHECK(count(page, "<img") == 0);
  CHECK(count(page, "<b>evil") == 0);
  CHECK(count(page, "</script>") == 2);  // the template's own
  CHECK(count(page, "{{data}}") > 0);    // text, and not filled in
  CHECK(has(page, "&lt;b&gt;evil"));
  CHECK_THROWS_AS(report_page({}), UsageError);
}

TEST_CASE("a page asks for nothing and says what there is") {
  std::vector<RunLog> runs(2);
  runs[0].folder = "a/run";
  runs[1].folder = "b/run/";
  for (RunLog& run : runs) {
    run.curves["top1_query"] = {{0, 1}, {0.25, 0.75}};
    run.curves["top1_chance"] = {{0, 1}, {0.125, 0.125}};
    run.curves["update_ratio.stem"] = {{0, 1}, {0.5, 0.5}};
    run.curves["alpha1.layer2"] = {{0, 1}, {0.002, 0.001}};
    run.settings = {{"lr", "0.1"}, {"seed", "1"}, {"out", run.folder}};
  }
  runs[1].settings[0].second = "0.2";
  const std::string page = report_page(runs);
  for (const char* address : {"http:", "https:", "src=", "url(", "@import"})
    if (const std::size_t at = page.find(address); at != std::string::npos)
      CHECK(page.substr(at, 26) == "http://www.w3.org/2000/svg");  // a name, never loaded
  CHECK(has(page, "default-src 'none'"));
  CHECK(has(page, "a/run"));
  CHECK(has(page, "b/run"));
  CHECK(count(page, "class=\"plot\" role=\"img\"") == 3);
  CHECK(has(page, "InfoNCE top-1 over iterations; mean of the last 20; a/run 50.0%; b/run/ 50.0%"));
  CHECK(has(page, "chance 12.5%"));
  CHECK(has(page, "Update to weight, stem"));
  CHECK(has(page, "alpha1, layer2"));
  // The differing settings are lr alone; all of them have seed, too.
  const std::size_t differ = page.find("Those that differ"), all = page.find("All settings");
  REQUIRE(differ < all);
  CHECK(has(page.substr(differ, all - differ), "0.2"));
  CHECK_FALSE(has(page.substr(differ, all - differ), "seed"));
  CHECK(has(page.substr(all), "seed"));
}

TEST_CASE("the summary has means of the last 20 iterations, the whole time and clips a second") {
  RunLog run;
  run.folder = "a/run";
  run.settings = {{"method", "mcn"}, {"batch", "8"}, {"iterations", "40"}};
  // 5 iterations, then 20 of other figures.
  const auto curve = [&](const std::string& key, double first, double then) {
    Curve c;
    for (int i = 0; i < 25; ++i) {
      c.x.push_back(i);
      c.y.push_back(i < 5 ? first : then);
    }
    run.curves[key] = c;
  };
  curve("seconds", 100, 200);
  curve("top1_query", 0, 0.25);
  curve("top1_chance", 0.125, 0.125);
  curve("pairs_query", 0, 0.75);
  curve("loss_query", 9, 1.5);
  curve("gradient_norm", 9, 2.5);
  curve("outer_cosine", 9, 0.875);
  curve("waited_share", 9, 0.375);
  curve("bad_videos", 1, 3);
  // 5 * 100 + 20 * 200 = 4500 s; 2 * 8 clips in 200 s.
  CHECK(has(report_page({&run, 1}),
            "<tr><th scope=\"row\">run</th><td>mcn</td><td>25 of 40</td><td>1 h 15 min</td><td>25.0%</td><td>12.5%</td>"
            "<td>75.0%</td><td>1.5</td><td>2.5</td><td>0.875</td><td>0.08</td><td>37.5%</td><td>3</td></tr>"));
}

TEST_CASE("results of evaluations are tables, and what has another form is said") {
  RunLog run;
  run.folder = "run";
  run.evaluation = {{"retrieval",
                     {{"value", 34.04},
                      {"low", 30},
                      {"high", 38.5},
                      {"chance", 12.5},
                      {"map", 20.5},
                      {"r5", 77},
                      {"random", {{"value", 30.2}, {"low", 26}, {"high", 34}}}}}};
  run.finetuning = {{"top1", {{"value", 66.67}, {"low", 60}, {"high", 70}, {"chance", 50}}},
                    {"classes", {"walk", "run"}},
                    {"confusion", {{3, 1}, {0, 2}}},
                    {"epochs", {{{"epoch", 0}, {"train_accuracy", 0.5}, {"validation_accuracy", 0.25}}}}};
  const std::string page = report_page(std::span(&run, 1));
  CHECK(has(page, "34.0%</td><td>30.0 to 38.5</td><td>30.2%</td><td>26.0 to 34.0</td><td>12.5%"));
  CHECK(has(page, "R@5 77.0%"));
  CHECK(has(page, "66.7%</td><td>60.0 to 70.0"));
  CHECK(has(page, "title=\"walk as run\">1</td>"));
  CHECK(has(page, "title=\"run as run\">2</td>"));
  CHECK(has(page, "last; training 50.0%; held out 25.0%"));

  run.evaluation = {{"retrieval", 3}};
  run.finetuning = {{"top1", {{"value", "x"}}}, {"classes", {1, "b"}}, {"confusion", {{1}, {2, 3}}}, {"epochs", 7}};
  const std::string other = report_page(std::span(&run, 1));
  CHECK(has(other, "does not have the form of `mcn evaluate --json`"));
  CHECK_FALSE(has(other, "Confusion"));

  // More classes than a matrix shows: the most frequent mistakes instead.
  auto& result = run.finetuning = {{"top1", {{"value", 1}}}};
  for (int c = 0; c < 61; ++c) {
    result["classes"].push_back(fmt::format("class {}", c));
    result["confusion"].push_back(std::vector<int>(61, 0));
  }
  result["confusion"][3][4] = 9;
  CHECK(has(report_page(std::span(&run, 1)), "<td>class 3</td><td>class 4</td><td>9</td>"));
}

TEST_CASE("bytes as base64, by the vectors of RFC 4648") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xFB\xFF") == "+/8=");
}

TEST_CASE("pictures of a run are animations with words beside their colors") {
  const std::string evil = "<b>&evil";
  const Strip strip{"foo", 3, 8, 16};
  RunPictures pictures;
  pictures.views = {{evil, strip, strip, strip}};
  pictures.residual = true;
  pictures.classes = {"walk", evil};
  pictures.gallery = {{{"q.mp4", 0, 1, strip}, {{"n.mp4", 0, 0.875, strip}, {evil, 1, 0.5, {}}}}};
  pictures.confusion = {3, 1, 0, 2};
  pictures.map = {{"q.mp4", 0, 0, {-1, 0}}, {evil, 1, 0, {1, 0.5}}};
  pictures.variance = {0.5, 0.25};
  pictures.train_videos = 40;
  pictures.test_videos = 6;
  pictures.nearest_right = 4;
  pictures.neighbors = 20;
  pictures.chance = 0.125;
  pictures.clips = 3;
  pictures.problems = {"no " + evil};
  std::vector<RunLog> runs(2);
  runs[0].folder = "one";
  runs[1].folder = "two";
  runs[0].curves["loss_query"] = {{0, 1}, {2, 1}};
  const std::string page = report_page(runs, std::span(&pictures, 1));
  CHECK_FALSE(has(page, "<b>&evil"));
  CHECK(has(page, "one: no &lt;b&gt;&amp;evil"));
  // Three of the views, the query, and one of its neighbors: the other cannot be read.
  CHECK(count(page, "src=\"data:image/jpeg;base64,Zm9v\"") == 5);
  CHECK(has(page, "--n:3;--w:16;--h:8\"><img alt=\"query q.mp4\" width=\"16\" height=\"24\""));
  CHECK(has(page, "cannot be read"));
  CHECK(has(page, "view 2, differences"));
  CHECK(has(page, "<b>✓ right</b><span title=\"walk\">walk</span><small>0.875</small>"));
  CHECK(has(page, "<b>✗ wrong</b><span title=\"&lt;b&gt;&amp;evil\">&lt;b&gt;&amp;evil</span><small>0.500</small>"));
  CHECK(has(page, "for 1 of these 1, and for 4 of all 6 test videos."));
  CHECK(has(page, "6 test videos: 83.3% are right, and 12.5% would be by chance. These are samples, with 3 clips"));
  CHECK(has(page, "title=\"walk as &lt;b&gt;&amp;evil\">1</td>"));
  CHECK(has(page, "<td class=\"recall\">75%</td>"));
  CHECK(has(page, "50.0% and 25.0% of the variance"));
  CHECK(has(page, "<title>walk; q.mp4; k-NN: walk</title>"));
  CHECK(has(page, "class=\"miss\""));
  CHECK(has(page, "<td>walk (wrong)</td><td>1.000</td><td>0.500</td>"));
  // Two videos 2 apart in 612 points, the middle in the middle; up is up.
  CHECK(has(page, "translate(14.0 296.5)"));
  CHECK(has(page, "translate(626.0 143.5)"));
  for (const char* title : {"What the network sees", "Nearest neighbors", "Confusion of the k-NN"})
    CHECK(count(page, std::string(title) + "</") == 2);  // the heading, and the link to it
  CHECK(count(page, "<h3>one</h3>") == 4);
  CHECK(count(page, "<h3>two</h3>") == 0);
  CHECK(count(report_page(std::span(runs).first(1), std::span(&pictures, 1)), "<h3>one</h3>") == 0);
  CHECK(has(page, "id=\"animate\""));
  CHECK_FALSE(has(report_page(runs), "id=\"animate\""));
}

TEST_CASE("a confusion matrix of 51 classes is a table, with the most frequent mistakes below") {
  std::vector<std::string> classes;
  std::vector<std::vector<double>> matrix(51, std::vector<double>(51));
  for (int c = 0; c < 51; ++c) classes.push_back(fmt::format("class {}", c));
  matrix[50][49] = 7;
  matrix[1][2] = 2;
  const std::string html = confusion_html(matrix, classes);
  CHECK(count(html, "<tr>") == 1 + 51 + 1 + 2);
  CHECK(has(html, "class=\"matrix many\""));
  const std::size_t first = html.find("<td>class 50</td><td>class 49</td><td>7</td>");
  REQUIRE(first != std::string::npos);
  CHECK(first < html.find("<td>class 1</td><td>class 2</td><td>2</td>"));
  CHECK(count(confusion_html({{1, 0}, {0, 1}}, {"a", "b"}), "most frequent") == 0);
}

}  // namespace mcn
