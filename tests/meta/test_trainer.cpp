// Training end to end on a handful of videos of random frames: it keeps running statistics out of
// Hessian passes, and stops where a value is not finite.
#include <cmath>
#include <functional>

#include "engine/device.h"
#include "meta/train/settings.h"
#include "meta/trainer.h"
#include "tests/catch.h"
#include "tests/device_here.h"
#include "tests/meta/small_training.h"

namespace mcn {
namespace {

using test::small_config;
using test::values;
using test::videos;

// In float64: in float32 a ReLU's input within a rounding of zero sets two runs apart.
void compare_losses_with_cpu(const std::string& device) {
  TrainConfig c = small_config();
  c.dtype = DType::f64;
  c.optimizer.kind = GENERATE(OptimizerKind::sgd, OptimizerKind::adamw);
  Trainer on_cpu(c, videos(), open_device("cpu"));
  Trainer on_device(c, videos(), open_device(device));
  const std::int64_t before = open_device(device).kernel_calls();
  for (int i = 0; i < 3; ++i) {
    const IterationMetrics a = on_cpu.step();
    const IterationMetrics b = on_device.step();
    INFO("iteration " << i << ": " << a.query_loss << " on cpu, " << b.query_loss << " on " << device);
    CHECK(std::abs(a.query_loss - b.query_loss) <= 1e-7 * a.query_loss);
  }
  CHECK(open_device(device).kernel_calls() > before);
}

void compare_graph_with_calls(const std::string& device) {
  TrainConfig c = small_config();
  c.model.backbone.width = 0.04;
  c.loader.augment.size = 16;
  c.loader.batch = 6;
  c.method = GENERATE(Method::joint, Method::mcn);
  c.maml.inner_tape = InnerTape::recompute;
  c.maml.objective = c.method == Method::mcn ? OuterObjective::support_and_query : OuterObjective::query;
  c.bank.kind = BankKind::queue;  // its shape changes until it is full: a graph of its own for each
  c.bank.size = 12;
  Backend& backend = open_device(device);
  Trainer plain(c, videos(), backend);
  c.cuda_graph = true;
  Trainer graph(c, videos(), backend);
  std::vector<std::int64_t> calls;
  for (int i = 0; i < 5; ++i) {
    const IterationMetrics a = plain.step();
    const std::int64_t before = backend.kernel_calls();
    const IterationMetrics b = graph.step();
    calls.push_back(backend.kernel_calls() - before);
    INFO("iteration " << i);
    CHECK(a.query_loss == b.query_loss);
    CHECK(a.support_loss == b.support_loss);
    CHECK(a.query.meta == b.query.meta);
    CHECK(a.gradient_norm == b.gradient_norm);
    CHECK(values(plain) == values(graph));
  }
  CHECK(calls[4] < calls[0] * 2 / 3);  // the last ones were replayed
  CHECK_THROWS_WITH(Trainer(c, videos(), open_device("cpu")), Catch::Matchers::ContainsSubstring("--cuda-graph"));
}

}  // namespace

TEST_CASE("every method and bank trains, and reports what it does") {
  TrainConfig c = small_config();
  c.method = GENERATE(Method::contrastive, Method::joint, Method::mcn);
  c.bank.kind = GENERATE(BankKind::none, BankKind::memory, BankKind::queue);
  Trainer trainer(c, videos(), open_device("cpu"));
  const std::vector<std::vector<double>> before = values(trainer);
  for (int i = 0; i < 2; ++i) {
    const IterationMetrics m = trainer.step();
    CHECK(m.iteration == i);
    CHECK(std::isfinite(m.query_loss));
    CHECK(m.gradient_norm > 0);
    CHECK(m.support.has_value() == (c.method == Method::mcn));
    CHECK((m.query.meta > 0) == (c.method != Method::contrastive));
    CHECK(std::abs(m.query.contrastive + m.query.meta - m.query_loss) <= 1e-5 * m.query_loss);
  }
  const std::vector<std::vector<double>> after = values(trainer);
  CHECK(before.front() != after.front());
  CHECK(before.back() != after.back());
}

TEST_CASE("a gradient that is too long is scaled down to --clip-grad, and reported as it was") {
  TrainConfig c = small_config();
  c.dtype = DType::f64;
  c.optimizer.weight_decay = 0;
  Backend& backend = open_device("cpu");
  Trainer plain(c, videos(), backend);
  const double norm = plain.step().gradient_norm;
  // The first step of SGD is the gradient times the rate.
  const auto moved = [&](double clip) {
    c.clip_grad = clip;
    Trainer trainer(c, videos(), backend);
    Tensors update;
    for (const Tensor& t : trainer.state().theta) update.push_back(t.clone());
    CHECK(trainer.step().gradient_norm == norm);
    axpy(-1, trainer.state().theta, update);
    return std::sqrt(dot(update, update)) / c.optimizer.lr;
  };
  CHECK(std::abs(moved(0) - norm) <= 1e-9 * norm);
  CHECK(std::abs(moved(0.25) - 0.25) <= 1e-9);
  CHECK(std::abs(moved(2 * norm) - norm) <= 1e-9 * norm);
  c.clip_grad = -1;
  CHECK_THROWS_AS(Trainer(c, videos(), backend), UsageError);
}

TEST_CASE("alpha1 follows the curvature at its interval, and the metrics say what the inner step did") {
  TrainConfig c = small_config();
  c.curvature = {2, 3, true};
  c.first_order_iterations = 1;
  Trainer trainer(c, videos(), open_device("cpu"));
  double rate = 0;
  for (int i = 0; i < 4; ++i) {
    const IterationMetrics m = trainer.step();
    REQUIRE(m.inner);
    REQUIRE(m.curvature.has_value() == (i % 2 == 0));
    if (m.curvature) {
      rate = std::min(1.0, 0.5 / std::abs(m.curvature->eigenvalue));
      CHECK(m.curvature->query_loss_at_theta != m.query_loss);
      CHECK(std::abs(m.curvature->query_loss_at_theta - m.query_loss) <= 0.5 * m.query_loss);
    }
    CHECK(m.inner->inner_lr == rate);
    CHECK(m.inner->order == (i == 0 ? 1 : 2));
    CHECK((m.inner->hessian_term_norm > 0) == (i > 0));
    // |alpha1 H g| <= |g| / 2 where the eigenvalue is exact: a turn of at most 30 degrees.
    CHECK(m.inner->cosine >= (i == 0 ? 1 - 1e-6 : 0.7));
    CHECK(m.query_accuracies.top1_chance == 0.25);
    CHECK(m.support_accuracies.has_value());
    CHECK(m.updates.size() == 6);
  }
  c.curvature.every = 0;
  CHECK_THROWS_AS(Trainer(c, videos(), open_device("cpu")), UsageError);
}

TEST_CASE("a curvature that has grown is measured again before its time") {
  TrainConfig c = small_config();
  c.curvature = {8, 3, true};
  c.optimizer.lr = 0;
  Trainer trainer(c, videos(), open_device("cpu"));
  const IterationMetrics before = trainer.step();
  // Batch norm takes out a convolution's scale: the loss stays, and the curvature grows by the scale's inverse square.
  for (Tensor t : trainer.state().theta)
    if (t.shape().rank() == 5) t.backend().run(kernel::Scale{.alpha = 0.1, .x = t, .y = t});
  const IterationMetrics grown = trainer.step();
  CHECK_FALSE(grown.curvature);
  CHECK(grown.inner->cosine < 0.7);
  const IterationMetrics again = trainer.step();  // a quarter of the interval after the first
  REQUIRE(again.curvature);
  CHECK(again.curvature->eigenvalue > 10 * before.curvature->eigenvalue);
  CHECK(again.inner->inner_lr < 0.1 * before.inner->inner_lr);
}

TEST_CASE("a run whose alpha1 follows the curvature is resumed to the bit") {
  TrainConfig c = small_config();
  c.curvature = {3, 2, true};
  c.first_order_iterations = 3;
  c.clip_grad = 1;
  c.inner_parameters = GENERATE(InnerParameters::all, InnerParameters::layer4_and_heads);
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  Trainer whole(c, videos(), backend);
  for (int i = 0; i < 5; ++i) whole.step();
  {
    Trainer first(c, videos(), backend);
    for (int i = 0; i < 2; ++i) first.step();
    first.save(path);
  }
  Trainer second(c, videos(), backend, path);
  for (int i = 0; i < 3; ++i) second.step();
  CHECK(values(second) == values(whole));
}

TEST_CASE("a resumed run names the settings that changed, and leaves out what does not fit where they may") {
  TrainConfig c = small_config();
  c.optimizer.kind = OptimizerKind::sgd;
  c.bank = {BankKind::memory, 8, 0.5};
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  {
    Trainer first(c, videos(), backend);
    first.step();
    first.save(path);
  }
  CHECK(Trainer(c, videos(), backend, path).changed_since_checkpoint().empty());
  const ClipSource fewer = random_clips(videos().videos - 1);
  CHECK_THROWS_AS(Trainer(c, fewer, backend, path), ChangedSettingsError);
  CHECK_THROWS_WITH(Trainer(c, fewer, backend, path),
                    Catch::Matchers::ContainsSubstring("data 12 random videos -> 11 random videos"));

  TrainConfig rates = c;
  rates.inner_rates.factors = {{"heads", 10}};
  rates.inner_rates.learned = true;
  CHECK_THROWS_AS(Trainer(rates, videos(), backend, path), ChangedSettingsError);
  const std::set<std::string> all{"all"};
  CHECK(Trainer(rates, videos(), backend, path, all).changed_since_checkpoint() ==
        std::vector<std::string>{"inner-lr-factors {} -> {\"heads\":10.0}", "learn-inner-lr false -> true"});

  TrainConfig other = c;
  other.method = Method::joint;
  other.optimizer.kind = OptimizerKind::adamw;
  other.bank.kind = BankKind::queue;
  other.bank.size = 5;
  CHECK_THROWS_AS(Trainer(other, videos(), backend, path, {"bank", "bank-size", "method"}), ChangedSettingsError);
  Trainer changed(other, videos(), backend, path, {"bank", "bank-size", "method", "optimizer"});
  CHECK(changed.changed_since_checkpoint() ==
        std::vector<std::string>{"bank memory -> queue (the bank's features start anew)",
                                 "bank-size 8 -> 5 (the bank's features start anew)", "method mcn -> joint",
                                 "optimizer sgd -> adamw (its moments start at zero)"});
  CHECK(changed.iteration() == 1);
  // The first step of AdamW, whose bias correction counts from its own zero moments: a parameter moves by the rate.
  const double rate = learning_rate(other.optimizer, 1, other.iterations);
  const Tensors before = changed.state().theta;
  std::vector<std::vector<double>> old;
  for (const Tensor& t : before) old.push_back(t.to_doubles());
  changed.step();
  double most = 0;
  for (std::size_t i = 0; i < old.size(); ++i) {
    const std::vector<double> now = changed.state().theta[i].to_doubles();
    for (std::size_t k = 0; k < now.size(); ++k) most = std::max(most, std::abs(now[k] - old[i][k]));
  }
  CHECK(most <= 1.01 * rate);
  CHECK(most >= 0.9 * rate);
}

TEST_CASE("a CUDA graph is captured again where alpha1 or the order changes", "[slow]") {
  TrainConfig c = small_config();
  c.model.backbone.width = 0.04;
  c.loader.augment.size = 16;
  c.loader.batch = 4;
  c.bank.kind = BankKind::none;
  c.curvature = {3, 1, true};
  c.first_order_iterations = 5;
  Backend& backend = open_device("simt");
  Trainer plain(c, videos(), backend);
  c.cuda_graph = true;
  Trainer graph(c, videos(), backend);
  for (int i = 0; i < 8; ++i) {
    INFO("iteration " << i);
    const IterationMetrics a = plain.step();
    const IterationMetrics b = graph.step();
    CHECK(a.query_loss == b.query_loss);
    CHECK(a.inner->cosine == b.inner->cosine);
    CHECK(values(plain) == values(graph));
  }
}

TEST_CASE("running statistics learn from the first pass over S alone") {
  // More inner steps, second order and recomputed tapes add passes; none of them may be seen.
  Backend& backend = open_device("cpu");
  TrainConfig c = small_config();
  c.maml.inner_tape = InnerTape::recompute;
  c.maml.inner_steps = 3;
  Trainer many(c, videos(), backend);
  c.maml.inner_steps = 1;
  c.maml.second_order = false;
  Trainer few(c, videos(), backend);
  many.step();
  few.step();
  for (std::size_t i = 0; i < many.state().running.size(); ++i) {
    CHECK(many.state().running[i].mean.to_doubles() == few.state().running[i].mean.to_doubles());
    CHECK(many.state().running[i].variance.to_doubles() == few.state().running[i].variance.to_doubles());
  }
}

TEST_CASE("a learning rate that blows up stops training, names the iteration, and leaves the last checkpoint alone") {
  TrainConfig c = small_config();
  c.optimizer.lr = 1e6;
  c.optimizer.weight_decay = 0;
  c.maml.inner_lr = 1e6;
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Backend& backend = open_device("cpu");
  Trainer trainer(c, videos(), backend);
  trainer.save(path);
  std::string message;
  try {
    for (int i = 0; i < 50; ++i) trainer.step();
  } catch (const NonFiniteError& e) {
    message = e.what();
  }
  CHECK(message.find("iteration") != std::string::npos);
  CHECK(message.find("not finite") != std::string::npos);
  c.optimizer.lr = 0.01;
  c.maml.inner_lr = 0.01;
  Trainer again(c, videos(), backend, path, {"all"});
  CHECK(std::isfinite(again.step().query_loss));
}

TEST_CASE("a short training run on simt has the losses of one on cpu", "[slow]") { compare_losses_with_cpu("simt"); }

TEST_CASE("cuda has the losses of cpu in a short training run", "[cuda]") {
  if (test::device_here("cuda")) compare_losses_with_cpu("cuda");
}

TEST_CASE("training by a CUDA graph has the bits of training call by call", "[slow]") {
  compare_graph_with_calls("simt");
}

TEST_CASE("cuda has the bits of training call by call in training by a CUDA graph", "[cuda]") {
  if (test::device_here("cuda")) compare_graph_with_calls("cuda");
}

TEST_CASE("a loss that is not finite is named in a replayed graph too") {
  TrainConfig c = small_config();
  c.model.backbone.width = 0.04;
  c.loader.augment.size = 16;
  c.loader.batch = 4;
  c.bank.kind = BankKind::none;
  c.cuda_graph = true;
  Trainer trainer(c, videos(), open_device("simt"));
  for (int i = 0; i < 3; ++i) CHECK(std::isfinite(trainer.step().query_loss));
  Tensor weight = trainer.state().theta.front();
  weight.backend().run(kernel::Fill{.value = std::nan(""), .y = weight});
  CHECK_THROWS_WITH(trainer.step(), Catch::Matchers::ContainsSubstring("iteration 3") &&
                                        Catch::Matchers::ContainsSubstring("stem.0.weight"));
}

TEST_CASE("settings that are not finite are refused before anything runs") {
  for (const auto& break_it : std::vector<std::function<void(TrainConfig&)>>{
           [](TrainConfig& c) { c.maml.inner_lr = std::nan(""); }, [](TrainConfig& c) { c.maml.beta = INFINITY; },
           [](TrainConfig& c) { c.objective.lambda = std::nan(""); }, [](TrainConfig& c) { c.optimizer.lr = INFINITY; },
           [](TrainConfig& c) { c.optimizer.weight_decay = std::nan(""); }}) {
    TrainConfig c = small_config();
    break_it(c);
    CHECK_THROWS_AS(Trainer(c, videos(), open_device("ref")), UsageError);
  }
}

TEST_CASE("configurations that make no sense and checkpoints that do not fit are refused") {
  Backend& backend = open_device("ref");
  TrainConfig c = small_config();
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  Trainer(c, videos(), backend).save(path);
  SECTION("batch") {
    c.loader.batch = 3;
    CHECK_THROWS_AS(Trainer(c, videos(), backend), UsageError);
  }
  SECTION("batch larger than the data set") {
    c.loader.batch = 16;
    CHECK_THROWS_AS(Trainer(c, videos(), backend), DataError);
  }
  SECTION("inner steps") {
    c.maml.inner_steps = 0;
    CHECK_THROWS_AS(Trainer(c, videos(), backend), UsageError);
  }
  SECTION("another width") {
    c.model.backbone.width = 0.1;
    CHECK_THROWS_AS(Trainer(c, videos(), backend, path), DataError);
  }
  SECTION("another seed, which would draw other videos than those that are left of the epoch") {
    ++c.loader.seed;
    CHECK_THROWS_AS(Trainer(c, videos(), backend, path), DataError);
  }
  SECTION("other clips") {
    switch (GENERATE(0, 1, 2, 3)) {
      case 0:
        ++c.loader.clip.stride;
        break;
      case 1:
        ++c.loader.clip.frames;
        break;
      case 2:
        --c.loader.augment.size;
        break;
      default:
        ++c.loader.augment.resize_width;
    }
    CHECK_THROWS_AS(Trainer(c, videos(), backend, path), DataError);
  }
  SECTION("without its bank") {
    SafetensorsFile file = read_safetensors(path);
    file.tensors.erase("bank.features");
    write_safetensors(path, file);
    CHECK_THROWS_AS(Trainer(c, videos(), backend, path), DataError);
  }
  SECTION("a file that is no checkpoint") {
    write_safetensors(path, {});
    CHECK_THROWS_AS(Trainer(c, videos(), backend, path), DataError);
  }
  SECTION("a missing file") { CHECK_THROWS_AS(Trainer(c, videos(), backend, folder.file("none")), DataError); }
}

}  // namespace mcn
