// Assertions over the checks, and the cases taken from the layers of R(2+1)D-18.
#include "tests/ops/harness.h"

#include "benchmarks/shapes.h"
#include "engine/device.h"
#include "tests/catch.h"
#include "tests/cpu_levels.h"
#include "tests/ops/guarded_backend.h"
#include "tests/simt/orders.h"
#include "tests/threads.h"

namespace mcn::test {
namespace {

GradcheckCase conv_case(const shapes::ConvCase& c) {
  const Conv3dParams params = c.params;
  return {"conv3d", c.name, {c.x, c.w}, [params](GradcheckDraw&) { return ops::conv3d(params); }};
}

GradcheckCase norm_case(const std::string& name, const Shape& x, bool relu, bool residual) {
  const Shape channels{x.back()};
  GradcheckCase c{
      "batch_norm", name, {x, channels, channels}, [relu](GradcheckDraw&) { return ops::batch_norm({.relu = relu}); }};
  if (residual) c.inputs.emplace_back(x);
  if (relu) c.before_relu = [](GradcheckDraw&) { return ops::batch_norm({}); };
  return c;
}

GradcheckCase simple(const std::string& op, const std::string& label, const std::vector<std::optional<Shape>>& inputs,
                     const std::function<ops::OperatorPtr()>& make) {
  return {op, label, inputs, [make](GradcheckDraw&) { return make(); }};
}

// Less than shapes::scaled_down leaves, because all four rules run here, several times: few positions, and in the
// widest layers few of those channels that are a round number. Their kernels at full width are tested in tests/kernels.
shapes::ConvCase tiny(shapes::ConvCase c) {
  const auto shrink = [](std::int64_t extent, std::int64_t most) {
    return extent <= most ? extent : most - (most - extent) % 2;
  };
  const bool wide = c.w.numel() > 500'000;
  const bool widens = c.w.o() > c.w.i();
  const std::int64_t in = wide && widens ? 64 : c.w.i();
  const std::int64_t out = wide && !widens ? 64 : c.w.o();
  c.x = {1, shrink(c.x.d(), 2), shrink(c.x.h(), 4), shrink(c.x.w(), 3), in};
  c.w = {out, c.w.kd(), c.w.kh(), c.w.kw(), in};
  return c;
}

}  // namespace

void require_ok(const std::vector<GradcheckRow>& rows) {
  for (const GradcheckRow& row : rows) {
    INFO(row.op << " | " << row.rule << " | error " << row.error << " | tolerance " << row.tolerance);
    CHECK(row.ok);
  }
}

std::set<std::string> flagged(const std::vector<GradcheckRow>& rows) {
  std::set<std::string> rules;
  for (const GradcheckRow& row : rows)
    if (!row.ok) rules.insert(row.rule);
  return rules;
}

std::vector<GradcheckCase> layer_convolutions() {
  std::vector<GradcheckCase> cases;
  for (const shapes::ConvCase& c : shapes::r2plus1d_18_convs(1, 16, 112)) cases.push_back(conv_case(tiny(c)));
  return cases;
}

std::vector<GradcheckCase> layer_others() {
  std::vector<GradcheckCase> cases;
  for (const shapes::NormCase& n : shapes::r2plus1d_18_norms(1, 16, 112))
    cases.push_back(norm_case(n.name, {1, 2, 3, 3, n.channels}, n.relu, n.residual));
  cases.push_back(simple("global_avg_pool", "layer4", {Shape{2, 2, 7, 7, 512}}, ops::global_avg_pool));
  cases.push_back(simple("linear", "projection", {Shape{8, 512}, Shape{128, 512}, Shape{128}}, ops::linear));
  cases.push_back(simple("l2_normalize", "features", {Shape{8, 128}}, [] { return ops::l2_normalize(); }));
  cases.push_back(simple("pairing", "features", {Shape{8, 128}, Shape{8, 128}}, [] { return ops::pairing(128); }));
  cases.push_back({"bce_with_logits", "all pairs", {Shape{64, 1}}, [](GradcheckDraw& draw) {
                     return ops::bce_with_logits(draw.uniform({64, 1}, 0, 1), 7);
                   }});
  cases.push_back({"cross_entropy", "UCF101", {Shape{16, 101}}, [](GradcheckDraw& draw) {
                     return ops::cross_entropy(draw.integers(16, 101));
                   }});
  GradcheckCase info_nce{"info_nce", "bank", {Shape{8, 128}, Shape{8, 128}}, [](GradcheckDraw& draw) {
                           const Tensor bank = draw.uniform({300, 128}, -0.15, 0.15);
                           const Tensor bank_ids = draw.integers(300, 20);
                           return ops::info_nce(0.07, {bank, bank_ids, draw.integers(8, 20)});
                         }};
  info_nce.scale = 0.09;  // unit vectors
  info_nce.slack = 14;    // the temperature multiplies the roundings of a logit by that
  cases.push_back(info_nce);
  return cases;
}

std::vector<GradcheckCase> odd_shapes() {
  std::vector<GradcheckCase> cases;
  for (const shapes::ConvCase& c : shapes::odd_convs()) cases.push_back(conv_case(c));
  for (const std::int64_t channels : {1, 7, 45, 230, 921}) {
    const std::string name = std::to_string(channels) + " channels";
    cases.push_back(norm_case(name, {1, 1, 3, 5, channels}, true, true));
    cases.push_back(norm_case(name + ", one frame, no ReLU", {2, 1, 1, 5, channels}, false, false));
    GradcheckCase relu = simple("relu", name, {Shape{1, 1, 3, 5, channels}}, ops::relu);
    relu.distinct = true;
    cases.push_back(relu);
    GradcheckCase pool = simple("max_pool", name, {Shape{2, 1, 5, 4, channels}}, [] {
      return ops::max_pool({{1, 3, 3}, {1, 2, 2}, {0, 1, 1}});
    });
    pool.distinct = true;
    cases.push_back(pool);
    cases.push_back(simple("avg_pool", name, {Shape{1, 3, 1, 5, channels}}, [] {
      return ops::avg_pool({{3, 1, 2}, {2, 1, 2}, {1, 0, 0}});
    }));
    cases.push_back(simple("global_avg_pool", name, {Shape{2, 1, 1, 5, channels}}, ops::global_avg_pool));
    cases.push_back(simple("add", name, {Shape{3, channels}, Shape{3, channels}}, [] { return ops::add(1, 0.3); }));
    cases.push_back(simple("slice_rows", name, {Shape{3, channels}}, [] { return ops::slice_rows(1, 2); }));
    cases.push_back(simple("l2_normalize", name, {Shape{3, channels}}, [] { return ops::l2_normalize(); }));
    cases.push_back(simple("linear", name, {Shape{3, channels}, Shape{45, channels}}, ops::linear));
    cases.push_back(simple("linear", name + " out", {Shape{1, 5}, Shape{channels, 5}, Shape{channels}}, ops::linear));
    cases.push_back(simple("pairing", name, {Shape{3, channels}, Shape{3, channels}}, [] { return ops::pairing(); }));
  }
  // With one value a channel the derivative is exactly zero: what is compared are roundings times 1 / sqrt(eps) = 316.
  GradcheckCase one_row = norm_case("one row", {1, 1, 1, 1, 45}, false, false);
  one_row.slack = 1e4;
  cases.push_back(one_row);
  return cases;
}

namespace {

// In both dtypes: `each` gives run() every way that must have the same bits.
void compare_with_ref(Backend& backend, const GradcheckCase& c,
                      const std::function<void(const std::function<void(const std::string&)>& run)>& each) {
  INFO(c.name() << " on " << backend.name() << " " << backend.detail());
  const GradcheckValues expected = run_rules(c, open_device("ref"), DType::f64, seed);
  for (const DType dtype : {DType::f64, DType::f32}) {
    INFO(name_of(dtype));
    std::optional<GradcheckValues> first;
    each([&](const std::string& how) {
      INFO(how);
      GuardedBackend guarded(backend);
      const GradcheckValues actual = run_rules(c, guarded, dtype, seed);
      CHECK(guarded.guards_intact());
      if (first) {
        CHECK((actual == *first));
      } else {
        first = actual;
        require_ok(compare_rules(c, dtype, actual, expected));
      }
    });
  }
}

}  // namespace

void compare_with_ref(const std::string& device, const GradcheckCase& c) {
  if (device == "simt") {
    // Whatever the order, the addresses are the same: AddressSanitizer learns nothing from more than one.
#if defined(__SANITIZE_ADDRESS__)
    const simt::Order orders[] = {simt::Order::shuffled};
#else
    const auto& orders = every_order;
#endif
    return compare_with_ref(open_device(device), c, [&](const auto& run) {
      for (const simt::Order o : orders) {
        const ThreadOrder order(o);
        run(fmt::format("order {}", static_cast<int>(o)));
      }
    });
  }
  const auto with_threads = [&](Backend& backend, std::initializer_list<int> counts) {
    compare_with_ref(backend, c, [&](const auto& run) {
      for (const int count : counts) {
        const Threads threads(count);
        run(fmt::format("{} threads", count));
      }
    });
  };
  if (device != "cpu") return with_threads(open_device(device), {1, 2, 3});
  with_threads(open_device(device), {1, 2, 3, 7});
  for (const auto& cpu : cpu_of_every_level())
    if (cpu->detail() != open_device(device).detail()) with_threads(*cpu, {2});
}

}  // namespace mcn::test
