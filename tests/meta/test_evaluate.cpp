// Evaluation: neighbor search, retrieval, k-NN, linear probe, bootstrap and chance, against numbers of numpy 2.4.6 and
// scikit-learn 1.9.1 or worked out by hand.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/device.h"
#include "engine/random.h"
#include "kernels/error.h"
#include "meta/evaluate/linear_probe.h"
#include "meta/evaluate/protocols.h"
#include "meta/evaluate/selection.h"
#include "tests/catch.h"
#include "tests/threads.h"

namespace mcn {
namespace {

/// x[i, j] = ((i' (3 j + 5) + i'^2 (j + 1) + j^2) mod 101 - 50) / 16 with i' = i + shift, plus 2 where j is the class
/// 7 i' mod 3. In Python with i = arange(rows)[:, None], j = arange(5)[None, :]:
///   c = (arange(rows) + shift) * 7 % 3; x[:, :3] += 2 * eye(3)[c]
Embedding formula(std::int64_t rows, std::int64_t shift) {
  Embedding e{5, {}, {}};
  for (std::int64_t i = shift; i < shift + rows; ++i) {
    e.labels.push_back(i * 7 % 3);
    for (std::int64_t j = 0; j < 5; ++j)
      e.values.push_back(static_cast<float>((i * (3 * j + 5) + i * i * (j + 1) + j * j) % 101 - 50) / 16 +
                         (j == e.labels.back() ? 2 : 0));
  }
  return e;
}
Embedding formula_train() { return formula(40, 0); }
Embedding formula_test() { return formula(15, 1000); }

/// Rows of which four of 12 features are 1 or -1: their length is 2, and all arithmetic is exact, with many ties.
Embedding exact_rows(std::int64_t rows, std::uint64_t stream) {
  Embedding e{12, std::vector<float>(static_cast<std::size_t>(rows * 12), 0.0F), {}};
  Philox random(5, stream);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<std::int64_t> places(12);
    std::iota(places.begin(), places.end(), std::int64_t{0});
    random.shuffle(std::span<std::int64_t>(places));
    for (std::size_t p = 0; p < 4; ++p)
      e.values[static_cast<std::size_t>(i * 12 + places[p])] = random.chance(0.5) ? 1.0F : -1.0F;
    e.labels.push_back(random.below(3));
  }
  return e;
}

/// All rows of the gallery by falling dot product with a query, of equal ones the smaller row first.
std::vector<std::int64_t> full_order(const Embedding& gallery, const Embedding& queries, std::int64_t query) {
  std::vector<int> products;
  for (std::int64_t row = 0; row < gallery.rows(); ++row)
    products.push_back(static_cast<int>(
        std::inner_product(queries.row(query), queries.row(query) + queries.features, gallery.row(row), 0.0F)));
  std::vector<std::int64_t> order(products.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return products[static_cast<std::size_t>(a)] > products[static_cast<std::size_t>(b)];
  });
  return order;
}

Dataset labelled(std::vector<std::string> classes, const std::vector<std::int64_t>& labels) {
  Dataset dataset;
  dataset.classes = std::move(classes);
  for (const std::int64_t label : labels)
    dataset.videos.push_back({"video" + std::to_string(dataset.videos.size()), label});
  return dataset;
}

std::vector<std::string> names_of(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const VideoEntry& entry : dataset.videos) names.push_back(entry.source.name);
  return names;
}

}  // namespace

TEST_CASE("a blocked search finds what a full sort finds, ties included, for any blocks, threads and device") {
  const std::string device = GENERATE(as<std::string>{}, "ref", "cpu", "simt");
  Backend& backend = open_device(device);
  const Embedding gallery = exact_rows(203, 1), queries = exact_rows(37, 2);
  const std::int64_t k = GENERATE(1, 20, 500);
  const auto blocks = GENERATE(values<std::pair<std::int64_t, std::int64_t>>({{4096, 256}, {64, 16}, {7, 5}, {1, 37}}));
  const test::Threads threads(GENERATE(1, 3));
  CAPTURE(device, k, blocks.first, blocks.second);
  const Search search{backend, blocks.first, blocks.second};
  const Neighbors found = nearest(gallery, queries, k, search);
  REQUIRE(found.k == std::min<std::int64_t>(k, 203));
  REQUIRE(std::ssize(found.rows) == 37 * found.k);
  const std::vector<double> precisions = average_precisions(gallery, queries, search);
  for (std::int64_t query = 0; query < 37; ++query) {
    const std::vector<std::int64_t> order = full_order(gallery, queries, query);
    CHECK(std::equal(order.begin(), order.begin() + found.k, found.rows.begin() + query * found.k));
    double sum = 0;
    int relevant = 0;
    for (std::size_t place = 0; place < order.size(); ++place)
      if (gallery.labels[static_cast<std::size_t>(order[place])] == queries.labels[static_cast<std::size_t>(query)])
        sum += ++relevant / static_cast<double>(place + 1);
    CHECK(std::abs(precisions[static_cast<std::size_t>(query)] - sum / relevant) <= 1e-12);
  }
}

TEST_CASE("blocks and threads change no bit of a search among real features") {
  Backend& backend = open_device("cpu");
  const Embedding gallery = formula(1000, 0), queries = formula(90, 5000);
  const Search whole{backend};
  const Neighbors truth = nearest(gallery, queries, 20, whole);
  const std::vector<double> precisions = average_precisions(gallery, queries, whole);
  for (const std::int64_t block : {1, 33, 512}) {
    const test::Threads threads(block % 2 == 0 ? 1 : 4);
    const Search search{backend, block, block};
    const Neighbors found = nearest(gallery, queries, 20, search);
    CHECK(found.rows == truth.rows);
    CHECK(found.cosines == truth.cosines);
    CHECK(average_precisions(gallery, queries, search) == precisions);
  }
}

TEST_CASE("neighbors, average precision and votes are numpy's and scikit-learn's") {
  const Embedding train = formula_train(), test = formula_test();
  const Neighbors found = nearest(train, test, 7, {open_device("cpu")});
  // numpy.argsort(-cosines, kind="stable")[:, :3]
  const std::vector<std::vector<std::int64_t>> rows{{33, 26, 11}, {4, 28, 19},  {10, 30, 13}, {19, 28, 4}, {2, 31, 8},
                                                    {0, 1, 9},    {21, 36, 15}, {32, 19, 26}, {20, 26, 5}, {5, 18, 26},
                                                    {0, 23, 1},   {0, 1, 23},   {13, 16, 1},  {3, 37, 11}, {32, 22, 4}};
  for (std::size_t query = 0; query < rows.size(); ++query)
    CHECK(std::equal(rows[query].begin(), rows[query].end(),
                     found.rows.begin() + static_cast<std::ptrdiff_t>(7 * query)));
  // sklearn.metrics.average_precision_score(train labels == label of the query, cosines)
  const std::vector<double> precisions{
      0.25145531792799003, 0.2927786695588553, 0.4186827443263166, 0.6908584301570726,  0.4384649480525778,
      0.47044930146433905, 0.2623784713887689, 0.472026421332274,  0.43353516447440776, 0.2668277967494258,
      0.41491233414310336, 0.4524239257878384, 0.7689284370732334, 0.5831126138818445,  0.34206739434520766};
  const std::vector<double> ours = average_precisions(train, test, {open_device("cpu")});
  for (std::size_t i = 0; i < precisions.size(); ++i) CHECK(std::abs(ours[i] - precisions[i]) <= 1e-12);
  // sklearn.neighbors.KNeighborsClassifier(k, weights=lambda d: exp(-d / T), metric="cosine")
  CHECK(votes(found, train, 5, 0.07) == std::vector<std::int64_t>{2, 1, 1, 1, 2, 0, 0, 2, 2, 2, 0, 0, 1, 0, 1});
  CHECK(votes(found, train, 7, 0.5) == std::vector<std::int64_t>{2, 1, 1, 1, 2, 0, 0, 2, 2, 2, 2, 0, 1, 2, 1});
}

TEST_CASE("votes by hand: exp(cosine / T) each, more than two are, the smaller label of equals") {
  const Embedding gallery{1, {}, {4, 2, 2, 4}};
  // exp(.9 / .1) against twice exp(.85 / .1): 8103 and 9830. At T = .05: 6.6e7 and 4.8e7.
  const Neighbors one{3, {0, 1, 2}, {0.9F, 0.85F, 0.85F}};
  CHECK(votes(one, gallery, 3, 0.1) == std::vector<std::int64_t>{2});
  CHECK(votes(one, gallery, 3, 0.05) == std::vector<std::int64_t>{4});
  CHECK(votes(one, gallery, 1, 0.1) == std::vector<std::int64_t>{4});
  // exp(1 / 1e-4) is infinite.
  CHECK(votes(one, gallery, 3, 1e-4) == std::vector<std::int64_t>{4});
  CHECK(votes({2, {0, 1}, {0.5F, 0.5F}}, gallery, 2, 0.07) == std::vector<std::int64_t>{2});
  CHECK_THROWS_AS(votes(one, gallery, 0, 0.07), UsageError);
  CHECK_THROWS_AS(votes(one, gallery, 1, std::nan("")), UsageError);
}

TEST_CASE("a hit is a neighbor of the query's class among the first k") {
  const Embedding gallery{2, {1, 0, 0.9F, 0.1F, 0, 1, -1, 0}, {0, 1, 2, 3}};
  const Embedding queries{2, {2, 0.01F, 0.1F, 5}, {1, 3}};
  const Neighbors found = nearest(gallery, queries, 50, {open_device("ref")});
  CHECK(hits(found, gallery, queries, 1) == std::vector<double>{0, 0});
  CHECK(hits(found, gallery, queries, 2) == std::vector<double>{1, 0});
  CHECK(hits(found, gallery, queries, 4) == std::vector<double>{1, 1});
  CHECK(hits(found, gallery, queries, 50) == std::vector<double>{1, 1});
}

TEST_CASE("a search refuses empty sets, other widths and features that are not finite, and zeros are near nothing") {
  const Search search{open_device("cpu")};
  const Embedding gallery{2, {1, 0, 0, 0}, {0, 1}};
  CHECK_THROWS_AS(nearest({2, {}, {}}, gallery, 1, search), UsageError);
  CHECK_THROWS_AS(nearest(gallery, {2, {}, {}}, 1, search), UsageError);
  CHECK_THROWS_AS(nearest(gallery, {1, {1}, {0}}, 1, search), UsageError);
  CHECK_THROWS_AS(nearest(gallery, gallery, 0, search), UsageError);
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    CHECK_THROWS_AS(nearest(gallery, {2, {1, value}, {0}}, 1, search), NonFiniteError);
  const Neighbors found = nearest(gallery, {2, {-3, 0}, {0}}, 2, search);
  CHECK(found.rows == std::vector<std::int64_t>{1, 0});
  CHECK(found.cosines == std::vector<float>{0, -1});
  CHECK(average_precisions(gallery, {2, {-3, 0, -3, 0, -3, 0}, {0, 1, 7}}, search) == std::vector<double>{0.5, 1, 0});
}

TEST_CASE("the linear probe is scikit-learn's minimum of the same loss") {
  const std::string device = GENERATE(as<std::string>{}, "ref", "cpu", "simt");
  CAPTURE(device);
  LinearProbeConfig config;
  config.dtype = DType::f64;
  config.tolerance = 1e-9;
  int passes = 0;
  config.between_passes = [&] { ++passes; };
  const LinearProbe probe(formula_train(), config, open_device(device));
  // LogisticRegression(C=1 / (1e-3 * 40), tol=1e-12).fit((x - mean) / std, labels); biases less their mean
  const std::vector<double> weight{1.031151649279,  -0.49854310805,  -0.365852495973, 0.510037379657,  -0.224608960343,
                                   -1.204899766753, 0.948968943679,  -0.498085128554, -1.213246595791, 0.823483948991,
                                   0.173748117474,  -0.450425835629, 0.863937624527,  0.703209216134,  -0.598874988649};
  const std::vector<double> bias{0.462503934226, -0.803848285315, 0.341344351089};
  const std::vector<double> w = probe.weight().to_doubles(), b = probe.bias().to_doubles();
  REQUIRE(w.size() == weight.size());
  for (std::size_t i = 0; i < w.size(); ++i) CHECK(std::abs(w[i] - weight[i]) <= 1e-6);
  const double mean = std::accumulate(b.begin(), b.end(), 0.0) / 3;
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(b[i] - mean - bias[i]) <= 1e-6);
  CHECK(std::abs(probe.loss() - 0.6355629210549774) <= 1e-12);
  // With Hessian products that lack the decay it takes half as many again.
  CHECK(passes <= 45);
  const std::vector<std::int64_t> answers{2, 1, 1, 1, 2, 0, 0, 2, 2, 2, 1, 0, 1, 2, 2};
  CHECK(probe.predict(formula_test()) == answers);
  // As the protocols use it.
  CHECK(LinearProbe(formula_train(), {}, open_device(device)).predict(formula_test()) == answers);
}

TEST_CASE("the linear probe takes classes with gaps and features that are all the same, and not one class alone") {
  Backend& backend = open_device("cpu");
  const Embedding train{3, {1, 7, 0, 2, 7, 0, 8, 7, 0, 9, 7, 0}, {3, 3, 90, 90}};
  const LinearProbe probe(train, {}, backend);
  CHECK(probe.classes() == std::vector<std::int64_t>{3, 90});
  CHECK(probe.predict({3, {0, 7, 0, 10, -7, 1e9F}, {3, 90}}) == std::vector<std::int64_t>{3, 90});
  CHECK(probe.predict({3, {}, {}}).empty());
  CHECK_THROWS_AS(probe.predict({1, {1}, {3}}), UsageError);
  CHECK_THROWS_AS(LinearProbe({1, {1, 2}, {5, 5}}, {}, backend), UsageError);
  CHECK_THROWS_AS(LinearProbe({1, {1, std::nanf("")}, {5, 6}}, {}, backend), NonFiniteError);
}

TEST_CASE("threads change no bit of the linear probe") {
  Backend& backend = open_device("cpu");
  const Embedding train = formula(600, 0);
  const auto weights = [&](int count) {
    const test::Threads threads(count);
    return LinearProbe(train, {}, backend).weight().to_doubles();
  };
  CHECK(weights(1) == weights(4));
}

TEST_CASE("the bootstrap interval of shares is the binomial's") {
  // scipy.stats.binom.ppf([.025, .975], n, p) / n; 2,000 samples find a percentile to about a step of the share.
  std::vector<double> scores(200, 0);
  std::fill_n(scores.begin(), 60, 1.0);
  const Interval many = bootstrap_interval(scores, 0);
  CHECK(std::abs(many.low - 0.24) <= 0.0101);
  CHECK(std::abs(many.high - 0.365) <= 0.0101);
  scores.assign(40, 0);
  std::fill_n(scores.begin(), 20, 1.0);
  const Interval few = bootstrap_interval(scores, 3);
  CHECK(std::abs(few.low - 0.35) <= 0.0251);
  CHECK(std::abs(few.high - 0.65) <= 0.0251);
  // Of many equally spaced scores it is the normal one: 2 x 1.96 deviations of their mean wide.
  std::vector<double> spaced;
  for (int i = 0; i < 1000; ++i) spaced.push_back(i / 999.0);
  const double deviation = std::sqrt((1000.0 * 1000 - 1) / 12) / 999 / std::sqrt(1000.0);
  const Interval normal = bootstrap_interval(spaced, 0);
  CHECK(std::abs((normal.high - normal.low) / (2 * deviation) - 1.96) <= 0.1);
  CHECK(std::abs((normal.high + normal.low) / 2 - 0.5) <= 0.1 * deviation);
  // A sample of one, and of equals, has no spread.
  const std::vector<double> one{0.25}, equals{1, 1, 1};
  CHECK(bootstrap_interval(one, 0).low == 0.25);
  CHECK(bootstrap_interval(equals, 0).high == 1);
  CHECK_THROWS_AS(bootstrap_interval({}, 0), UsageError);
  // Of the seed and nothing else.
  const test::Threads threads(3);
  CHECK(bootstrap_interval(scores, 3).low == few.low);
  scores[0] = 0.125;
  CHECK(bootstrap_interval(scores, 4).low != bootstrap_interval(scores, 5).low);
}

TEST_CASE("chance by hand") {
  CHECK(chance_of_hit(4, 1, 1) == 0.25);
  CHECK(std::abs(chance_of_hit(5, 2, 2) - 0.7) <= 1e-12);  // 1 - 3/5 2/4
  CHECK(chance_of_hit(5, 2, 4) == 1);
  CHECK(chance_of_hit(5, 0, 50) == 0);
  // One of three: (1 + 1/2 + 1/3) / 3. Two of three: 1, (1 + 2/3) / 2 and (1/2 + 2/3) / 2.
  CHECK(std::abs(chance_of_precision(3, 1) - 11.0 / 18) <= 1e-12);
  CHECK(std::abs(chance_of_precision(3, 2) - 29.0 / 36) <= 1e-12);
  CHECK(chance_of_precision(3, 0) == 0);
  CHECK(chance_of_precision(1, 1) == 1);
}

TEST_CASE("protocols: means over all and by class, and misses of a class that the gallery lacks") {
  Embedding train = formula_train(), test = formula_test();
  test.labels[0] = 9;
  const Protocols p = run_protocols(train, test, {5, 0.07}, {open_device("cpu")});
  // Of the votes above, 1: classes of the queries are 7 i mod 3.
  const std::vector<std::int64_t> answers{2, 1, 1, 1, 2, 0, 0, 2, 2, 2, 0, 0, 1, 0, 1};
  double right = 0, right_of_two = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    right += answers[i] == test.labels[i] ? 1 : 0;
    right_of_two += test.labels[i] == 2 && answers[i] == 2 ? 1 : 0;
  }
  const auto of_two = static_cast<double>(std::ranges::count(test.labels, 2));
  const Summary all = summarize(p.knn, 0), two = summarize(p.knn, test.labels, 2, 0);
  CHECK(std::abs(all.value - right / 15) <= 1e-12);
  CHECK(all.low <= all.value);
  CHECK(all.high >= all.value);
  CHECK(std::abs(two.value - right_of_two / of_two) <= 1e-12);
  CHECK(two.videos == static_cast<std::int64_t>(of_two));
  CHECK(std::abs(two.chance - 13.0 / 40) <= 1e-12);
  for (const Measure* measure : {&p.recall[4], &p.precision, &p.knn, &p.linear}) {
    CHECK(measure->scores[0] == 0);
    CHECK(measure->chance[0] == 0);
    CHECK(measure->scores.size() == 15);
  }
  CHECK(summarize(p.recall[4], 0).value == 14.0 / 15);  // of 40 videos, 50 are all
}

TEST_CASE("classes are chosen by name or number, and must be the same in training and test") {
  const Dataset train = labelled({"run", "2", "jump"}, {0, 1, 2, 2, 0, 1, 2});
  CHECK(class_numbers(train, std::vector<std::string>{"jump", "0"}) == std::vector<std::int64_t>{0, 2});
  // A name comes before a number.
  CHECK(class_numbers(train, std::vector<std::string>{"2"}) == std::vector<std::int64_t>{1});
  for (const auto& wrong :
       std::vector<std::vector<std::string>>{{"walk"}, {"3"}, {"-1"}, {""}, {"1", "2"}, {"run", "0"}})
    CHECK_THROWS_AS(class_numbers(train, wrong), UsageError);
  CHECK(names_of(only_classes(train, std::vector<std::int64_t>{0, 2})) ==
        std::vector<std::string>{"video0", "video2", "video3", "video4", "video6"});

  CHECK_NOTHROW(expect_same_classes(train, labelled({"run", "2"}, {0, 1})));
  CHECK_THROWS_WITH(expect_same_classes(train, labelled({"run", "jump"}, {0})),
                    Catch::Matchers::ContainsSubstring("number 1 is 2 and jump"));
  CHECK_THROWS_AS(expect_same_classes(train, labelled({}, {-1})), DataError);
}

TEST_CASE("labels per class: so many of each, by the seed, whatever other classes there are") {
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 90; ++i) labels.push_back(i % 3);
  const Dataset train = labelled({"a", "b", "c"}, labels);
  const Dataset five = some_of_each_class(train, 5, 1);
  REQUIRE(five.videos.size() == 15);
  for (int label = 0; label < 3; ++label) CHECK(std::ranges::count(five.videos, label, &VideoEntry::label) == 5);
  CHECK(names_of(some_of_each_class(train, 5, 1)) == names_of(five));
  CHECK(names_of(some_of_each_class(train, 5, 2)) != names_of(five));
  CHECK(names_of(some_of_each_class(train, 100, 2)) == names_of(train));
  const std::vector<std::int64_t> last{2};
  CHECK(names_of(some_of_each_class(only_classes(train, last), 5, 1)) == names_of(only_classes(five, last)));
  CHECK_THROWS_AS(some_of_each_class(train, 0, 1), UsageError);
}

TEST_CASE("videos drawn evenly over classes: as many of each as it has, up to what is left") {
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 30; ++i) labels.push_back(i < 2 ? 0 : 1 + i % 2);  // 2, 14 and 14 videos
  const Dataset all = labelled({"a", "b", "c"}, labels);
  const auto counts = [](const Dataset& dataset) {
    std::vector<std::ptrdiff_t> result;
    for (int label = 0; label < 3; ++label)
      result.push_back(std::ranges::count(dataset.videos, label, &VideoEntry::label));
    return result;
  };
  const Dataset nine = evenly_over_classes(all, 9, 1);
  CHECK(counts(nine) == std::vector<std::ptrdiff_t>{2, 4, 3});
  CHECK(counts(evenly_over_classes(all, 2, 1)) == std::vector<std::ptrdiff_t>{1, 1, 0});
  CHECK(names_of(evenly_over_classes(all, 9, 1)) == names_of(nine));
  CHECK(names_of(evenly_over_classes(all, 9, 2)) != names_of(nine));
  CHECK(names_of(evenly_over_classes(all, 99, 1)) == names_of(all));
  CHECK_THROWS_AS(evenly_over_classes(all, 0, 1), UsageError);
}

TEST_CASE("confusion: rows are true classes, columns what was answered") {
  const std::vector<std::int64_t> labels{0, 0, 2, 2, 2, 1}, answers{0, 1, 2, 0, 2, 1};
  CHECK(confusion_counts(labels, answers, 3) == std::vector<std::int64_t>{1, 1, 0, 0, 1, 0, 1, 0, 2});
}

}  // namespace mcn
