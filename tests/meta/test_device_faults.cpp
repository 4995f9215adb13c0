// What training does when its device fails: an error that says what and where, nothing lost, nothing leaked.
#include <cmath>
#include <fstream>
#include <iterator>

#include "kernels/cuda/device/platform.h"
#include "kernels/cuda/memory.h"
#include "kernels/range.h"
#include "kernels/simt/runtime.h"
#include "tests/catch.h"
#include "tests/meta/small_training.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;
using test::values;

TrainConfig tiny_config() {
  TrainConfig c = test::small_config();
  c.model.backbone.width = 0.04;
  c.loader.augment.size = 16;
  c.loader.batch = 4;
  c.maml.inner_steps = 2;
  return c;
}

/// Limits the device's memory, and lifts the limit again.
class MemoryLimit {
 public:
  explicit MemoryLimit(std::size_t bytes) { simt::set_memory_limit(bytes); }
  ~MemoryLimit() { simt::set_memory_limit(0); }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A bug that a kernel may have: half of the block waits for the other half, which has left.
__global__ void deserted_barrier_kernel() {
  if (threadIdx.x < 16) __syncthreads();
}

}  // namespace

TEST_CASE("out of memory in an inner step says what was asked for, loses nothing, and training goes on") {
  TrainConfig c = tiny_config();
  // Iterations before the one that fails: a graph is captured in the second and replayed in the third.
  const auto [graph, done] = GENERATE(table<bool, int>({{false, 2}, {true, 1}, {true, 2}}));
  c.cuda_graph = graph;
  Backend& simt = open_device("simt");
  const test::TemporaryFolder folder;
  Trainer trainer(c, test::videos(), simt), undisturbed(c, test::videos(), simt);
  for (int i = 0; i < done; ++i) {
    trainer.step();
    undisturbed.step();
  }
  const std::string checkpoint = folder.file("last.safetensors");
  trainer.save(checkpoint);
  const auto before = values(trainer);
  const std::size_t held = simt.memory().current;
  LoaderConfig next = c.loader;
  next.first_iteration = trainer.iteration();
  const Batch batch = test::videos().open(next, simt)->next({});
  {
    // Enough for the clips and some of a tape.
    const MemoryLimit limit(held + 500'000);
    std::string message;
    try {
      trainer.step(batch);
    } catch (const MemoryError& error) {
      message = error.what();
    }
    INFO(message);
    CHECK_THAT(message, ContainsSubstring("out of memory: asked for") && ContainsSubstring("are free"));
  }
  CHECK(values(trainer) == before);
  CHECK(trainer.iteration() == done);
  trainer.save(checkpoint);
  CHECK_NOTHROW(Trainer(c, test::videos(), simt, checkpoint));
  CHECK(trainer.step(batch).query_loss == undisturbed.step(batch).query_loss);
  CHECK(values(trainer) == values(undisturbed));
}

TEST_CASE(
    "wherever an iteration runs out of memory, what it measured before is forgotten, or the state says it is none",
    "[slow]") {
  TrainConfig c = tiny_config();
  c.curvature.every = 1;
  c.curvature.products = 2;
  c.curvature.sets_inner_lr = true;
  Backend& simt = open_device("simt");
  const test::TemporaryFolder folder;
  const std::string checkpoint = folder.file("last.safetensors"), again = folder.file("again.safetensors");
  std::size_t peak = 0;
  {
    Trainer trainer(c, test::videos(), simt);
    trainer.step();
    trainer.save(checkpoint);
    simt.reset_peak();
    trainer.step();
    peak = simt.memory().peak;
  }
  const std::string saved = bytes_of(checkpoint);
  int whole = 0;
  for (int part = 0; part < 12; ++part) {
    Trainer trainer(c, test::videos(), simt, checkpoint);
    LoaderConfig next = c.loader;
    next.first_iteration = 1;
    const Batch batch = test::videos().open(next, simt)->next({});
    const std::size_t held = simt.memory().current;
    {
      const MemoryLimit limit(held + static_cast<std::size_t>(part) * (peak - held) / 12);
      CHECK_THROWS_AS(trainer.step(batch), MemoryError);
    }
    if (!trainer.whole()) continue;
    ++whole;
    trainer.save(again);
    CHECK((bytes_of(again) == saved));
  }
  CHECK(whole > 6);
}

TEST_CASE("a bank that is larger than the device's memory is named") {
  TrainConfig c = tiny_config();
  c.bank.kind = BankKind::queue;
  c.bank.size = 100'000;
  Backend& simt = open_device("simt");
  const MemoryLimit limit(simt.memory().current + 4'000'000);
  CHECK_THROWS_WITH(Trainer(c, test::videos(), simt), ContainsSubstring("[bank]") && ContainsSubstring("100000 x 16") &&
                                                          ContainsSubstring("--bank-size"));
}

TEST_CASE("a kernel that faults is reported by name with the range in which it was noticed, and sticks") {
  TrainConfig c = tiny_config();
  {
    Backend& simt = open_device("simt");
    Trainer trainer(c, test::videos(), simt);
    trainer.step();
    {
      const simt_device::Stream stream;
      simt_device::launch<deserted_barrier_kernel>(stream.get(), {dim3(1), dim3(32)});
      CHECK_THROWS(stream.synchronize());
    }
    CHECK_THROWS_WITH(trainer.step(), ContainsSubstring("deserted_barrier_kernel"));
    CHECK_THAT(failed_range(), ContainsSubstring("iteration 1"));
    CHECK_THROWS_AS(trainer.step(), DeviceError);
  }
  simt::clear_fault();
  CHECK_NOTHROW(Trainer(c, test::videos(), open_device("simt")).step());
}

TEST_CASE("a NaN in bf16 is an error that names it, and leaves parameters and the last checkpoint alone", "[slow]") {
  TrainConfig c = tiny_config();
  c.model.backbone.precision = Precision::bf16;
  c.maml.inner_steps = 1;
  Backend& simt = open_device("simt");
  const test::TemporaryFolder folder;
  const std::string checkpoint = folder.file("last.safetensors");
  Trainer trainer(c, test::videos(), simt);
  trainer.step();
  trainer.save(checkpoint);
  const std::string saved = bytes_of(checkpoint);

  // The factor of every later product that is the first to be NaN.
  Tensor weight = trainer.state().theta.front();
  simt.run(kernel::Fill{.value = std::nan(""), .y = weight});
  CHECK_THROWS_WITH(trainer.step(), ContainsSubstring("[train] iteration 1: ") && ContainsSubstring("not finite") &&
                                        ContainsSubstring("stem.0.weight"));
  CHECK_THROWS_AS(trainer.save(checkpoint), NonFiniteError);

  // Steps that are too long, until a value is not finite: theta is what it was before the iteration.
  c.maml.inner_lr = 1e30;
  Trainer diverging(c, test::videos(), simt, checkpoint, {"inner-lr"});
  const auto before = values(diverging);
  CHECK_THROWS_AS(diverging.step(), NonFiniteError);
  CHECK(values(diverging) == before);
  CHECK(bytes_of(checkpoint) == saved);

  c.maml.inner_lr = tiny_config().maml.inner_lr;
  CHECK(std::isfinite(Trainer(c, test::videos(), simt, checkpoint).step().query_loss));
}

}  // namespace mcn
