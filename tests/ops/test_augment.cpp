// Augmentation is the same bits on every device, between guard zones, for every kind of clip.
#include "engine/device.h"
#include "engine/random.h"
#include "engine/tensor.h"
#include "tests/catch.h"
#include "tests/device_here.h"
#include "tests/ops/guarded_backend.h"
#include "tests/simt/orders.h"

namespace mcn {
namespace {

struct Case {
  AugmentParams params;
  std::vector<AugmentClip> clips;
  Shape frames;
  DType dtype = DType::f32;
};

AugmentClip random_clip(const AugmentParams& p, Philox& random, int radius) {
  AugmentClip c;
  c.top = static_cast<int>(random.below(p.resize_height - p.size + 1));
  c.left = static_cast<int>(random.below(p.resize_width - p.size + 1));
  c.flip = random.chance(0.5);
  for (double& v : c.a) v = random.uniform(-0.4, 0.9);
  for (double& v : c.b) v = random.uniform(-0.2, 0.3);
  for (double& v : c.m) v = random.uniform(-0.3, 0.3);
  c.radius = radius;
  float total = 0;
  for (int k = 0; k <= radius; ++k) {
    c.blur[k] = static_cast<float>(random.uniform(0.1, 1));
    total += c.blur[k] * (k == 0 ? 1.0F : 2.0F);
  }
  for (int k = 0; k <= radius; ++k) c.blur[k] /= total;
  return c;
}

Case make_case(int size, int resize_height, int resize_width, const Shape& frames, bool residual, DType dtype) {
  Case c;
  c.params.size = size;
  c.params.resize_height = resize_height;
  c.params.resize_width = resize_width;
  c.params.residual = residual;
  for (int i = 0; i < 3; ++i) {
    c.params.scale[i] = 4.1F + 0.3F * static_cast<float>(i);
    c.params.shift[i] = -1.9F + 0.2F * static_cast<float>(i);
  }
  c.frames = frames;
  c.dtype = dtype;
  Philox random(7, static_cast<std::uint64_t>(size));
  for (std::int64_t n = 0; n < frames.n(); ++n)
    c.clips.push_back(random_clip(c.params, random, static_cast<int>(n % (AugmentClip::most_radius + 1))));
  return c;
}

std::vector<Case> cases() {
  return {
      make_case(1, 1, 1, {1, 1, 1, 1, 3}, false, DType::f32),
      make_case(5, 7, 9, {3, 2, 7, 9, 3}, false, DType::f64),
      make_case(33, 40, 41, {2, 2, 40, 41, 3}, false, DType::f32),
      make_case(9, 11, 14, {14, 4, 11, 14, 3}, true, DType::f32),   // more clips than a launch takes
      make_case(16, 18, 20, {2, 3, 37, 45, 3}, false, DType::f32),  // shrunk
      make_case(17, 30, 40, {2, 2, 9, 7, 3}, true, DType::f32),     // enlarged
      make_case(4, 9, 6, {1, 1, 1, 2, 3}, false, DType::f32),
  };
}

std::vector<double> run(Backend& backend, const Case& c) {
  test::GuardedBackend guarded(backend);
  std::vector<double> values;
  {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(c.frames.numel()));
    Philox random(3, static_cast<std::uint64_t>(bytes.size()));
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random.below(256));
    Tensor frames(guarded, DType::u8, c.frames);
    guarded.copy_from_host(bytes.data(), frames);
    Tensor y(guarded, c.dtype,
             {c.frames.n(), c.frames.d() / (c.params.residual ? 2 : 1), c.params.size, c.params.size, 3});
    guarded.run(kernel::Augment{.params = c.params, .clips = c.clips, .frames = frames, .y = y});
    values = y.to_doubles();
  }
  CHECK(guarded.guards_intact());
  return values;
}

}  // namespace

TEST_CASE("augmentation is the same bits on cpu, on simt in every order of threads, and on ref") {
  for (const Case& c : cases()) {
    INFO("size " << c.params.size << ", frames " << c.frames.str());
    const std::vector<double> expected = run(open_device("ref"), c);
    CHECK(std::ranges::all_of(expected, [](double v) { return std::isfinite(v); }));
    CHECK((run(open_device("cpu"), c) == expected));
    for (const simt::Order o : test::every_order) {
      const test::ThreadOrder order(o);
      CHECK((run(open_device("simt"), c) == expected));
    }
  }
}

TEST_CASE("cuda has the bits of ref in augmentation", "[cuda]") {
  if (!test::device_here("cuda")) return;
  for (const Case& c : cases()) {
    INFO("size " << c.params.size << ", frames " << c.frames.str());
    CHECK((run(open_device("cuda"), c) == run(open_device("ref"), c)));
  }
}

}  // namespace mcn
