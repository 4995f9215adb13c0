// The cpu batch normalisation against the reference: all four rules, every combination of what may be absent.
#include "tests/kernels/test_cpu_support.h"

namespace mcn::test {
namespace {

// Everything that the four rules read and write. Absent inputs are given as empty views.
struct Case {
  Shape shape;
  DType dtype;
  bool relu, batch_statistics;
  bool residual, x_dot, weight_dots, y_bar_dot;
};

void check_rules(const Case& c) {
  const std::string name = c.shape.str() + name_of(c.dtype) + (c.relu ? " relu" : "") +
                           (c.batch_statistics ? "" : " fixed") + (c.residual ? " residual" : "") +
                           (c.x_dot ? " x_dot" : "") + (c.weight_dots ? " gamma_dot" : "") +
                           (c.y_bar_dot ? " y_bar_dot" : "");
  const Shape channels{c.shape.back()};
  enum {
    x,
    gamma,
    beta,
    residual,
    y,
    mean,
    rstd,
    y_bar,
    x_bar,
    gamma_bar,
    beta_bar,
    residual_bar,
    x_dot,
    gamma_dot,
    beta_dot,
    residual_dot,
    y_dot,
    mean_dot,
    rstd_dot,
    y_bar_dot,
    x_bar_dot,
    gamma_bar_dot,
    beta_bar_dot,
    residual_bar_dot,
    count
  };
  Buffers b;
  for (unsigned i = 0; i < count; ++i) {
    const bool wide = i == x || i == residual || i == y || i == y_bar || i == x_bar || i == residual_bar ||
                      i == x_dot || i == residual_dot || i == y_dot || i == y_bar_dot || i == x_bar_dot ||
                      i == residual_bar_dot;
    b.emplace_back(c.dtype, wide ? c.shape : channels, i + 1);
  }
  for (std::size_t i = 0; i < b[rstd].size(); ++i) b[rstd].set(i, 0.5 + 0.01 * static_cast<double>(i % 100));
  const BatchNormParams p{.eps = 1e-5, .relu = c.relu, .batch_statistics = c.batch_statistics};
  // Sums over few rows cancel: a mean of derivatives is small beside its terms.
  const double bar = c.dtype == DType::f32 ? 1e-4 : 1e-11;
  check_kernel(name, b, bar, [&](Backend& k, Buffers& v) {
    const auto in = [&](int i, bool present) {
      return present ? ConstView(v[static_cast<std::size_t>(i)]) : ConstView{};
    };
    const bool statistics_dot = c.batch_statistics;
    k.run(kernel::BatchNormForward{.params = p,
                                   .x = v[x],
                                   .gamma = v[gamma],
                                   .beta = v[beta],
                                   .residual = in(residual, c.residual),
                                   .y = v[y],
                                   .mean = v[mean],
                                   .rstd = v[rstd]});
    // A mask that both backends share: rounding may put a pre-activation on either side of zero.
    Guarded mask(c.dtype, c.shape, 99);
    for (std::size_t i = 0; i < mask.size(); ++i) mask.set(i, std::max(mask.at(i), 0.0));
    const BatchNormSaved saved{v[x], v[gamma], v[mean], v[rstd], mask};
    k.run(kernel::BatchNormVjp{
        .params = p,
        .saved = saved,
        .y_bar = v[y_bar],
        .bars = {v[x_bar], v[gamma_bar], v[beta_bar], c.residual ? v[residual_bar].view() : View{}}});
    k.run(kernel::BatchNormJvp{.params = p,
                               .saved = saved,
                               .x_dot = in(x_dot, c.x_dot),
                               .gamma_dot = in(gamma_dot, c.weight_dots),
                               .beta_dot = in(beta_dot, c.weight_dots),
                               .residual_dot = in(residual_dot, c.residual && c.x_dot),
                               .y_dot = v[y_dot],
                               .mean_dot = statistics_dot ? v[mean_dot].view() : View{},
                               .rstd_dot = statistics_dot ? v[rstd_dot].view() : View{}});
    const BatchNormSavedDot dot{in(x_dot, c.x_dot), in(gamma_dot, c.weight_dots), in(mean_dot, statistics_dot),
                                in(rstd_dot, statistics_dot)};
    k.run(kernel::BatchNormVjpDot{
        .params = p,
        .saved = saved,
        .saved_dot = dot,
        .y_bar = v[y_bar],
        .y_bar_dot = in(y_bar_dot, c.y_bar_dot),
        .dots = {v[x_bar_dot], v[gamma_bar_dot], v[beta_bar_dot], c.residual ? v[residual_bar_dot].view() : View{}}});
  });
}

TEST_CASE("cpu batch normalisation agrees with ref on every combination of inputs", "[cpu][batch_norm]") {
  for (const DType t : {DType::f32, DType::f64})
    for (int bits = 0; bits < 64; ++bits)
      check_rules({{2, 2, 3, 3, 45},
                   t,
                   (bits & 1) != 0,
                   (bits & 2) != 0,
                   (bits & 4) != 0,
                   (bits & 8) != 0,
                   (bits & 16) != 0,
                   (bits & 32) != 0});
}

TEST_CASE("cpu batch normalisation agrees with ref for any number of channels and rows", "[cpu][batch_norm]") {
  for (const std::int64_t channels : {1, 3, 12, 16, 36, 64, 144, 230, 460, 921, 1152})
    for (const std::int64_t rows : {2, 7, 200})  // two rows: derivatives cancel but for rounding, so in f64
      check_rules({{rows, channels}, rows == 2 ? DType::f64 : DType::f32, true, true, true, true, true, true});
  // Many blocks and tasks.
  check_rules({{4, 8, 30, 31, 45}, DType::f32, true, true, true, true, true, true});
  check_rules({{4, 8, 20, 21, 64}, DType::f64, true, true, true, true, true, true});
}

TEST_CASE("cpu batch statistics keep their digits where the mean is large", "[cpu][batch_norm]") {
  Guarded x(DType::f32, {4000, 5}, 1);
  for (std::size_t i = 0; i < x.size(); ++i) x.set(i, 4096.0 + x.at(i));
  Buffers b{x,
            {DType::f32, {5}, 2},
            {DType::f32, {5}, 3},
            {DType::f32, {4000, 5}, 4},
            {DType::f32, {5}, 5},
            {DType::f32, {5}, 6}};
  check_kernel("mean 4096", b, 1e-4, [](Backend& k, Buffers& v) {
    k.run(kernel::BatchNormForward{.x = v[0], .gamma = v[1], .beta = v[2], .y = v[3], .mean = v[4], .rstd = v[5]});
  });
}

TEST_CASE("cpu batch normalisation writes only the gradients that are wanted, and lets NaN through",
          "[cpu][batch_norm]") {
  Buffers b{{DType::f32, {50, 9}, 1}, {DType::f32, {9}, 2}, {DType::f32, {9}, 3},     {DType::f32, {50, 9}, 4},
            {DType::f32, {9}, 5},     {DType::f32, {9}, 6}, {DType::f32, {50, 9}, 7}, {DType::f32, {50, 9}, 8}};
  const BatchNormParams p{.eps = 1e-5, .relu = true, .batch_statistics = true};
  check_kernel("x only", b, 1e-4, [&](Backend& k, Buffers& v) {
    k.run(kernel::BatchNormForward{
        .params = p, .x = v[0], .gamma = v[1], .beta = v[2], .y = v[3], .mean = v[4], .rstd = v[5]});
    k.run(kernel::BatchNormVjp{
        .params = p, .saved = {v[0], v[1], v[4], v[5], v[0]}, .y_bar = v[6], .bars = {v[7], {}, {}, {}}});
  });
  check_kernel("gamma only", b, 1e-4, [&](Backend& k, Buffers& v) {
    k.run(kernel::BatchNormForward{
        .params = p, .x = v[0], .gamma = v[1], .beta = v[2], .y = v[3], .mean = v[4], .rstd = v[5]});
    k.run(kernel::BatchNormVjp{
        .params = p, .saved = {v[0], v[1], v[4], v[5], v[0]}, .y_bar = v[6], .bars = {{}, v[2], {}, {}}});
  });
  b[0].set(9 * 7 + 2, std::nan(""));
  check_kernel("NaN", b, 1e-4, [&](Backend& k, Buffers& v) {
    k.run(kernel::BatchNormForward{
        .params = p, .x = v[0], .gamma = v[1], .beta = v[2], .y = v[3], .mean = v[4], .rstd = v[5]});
    k.run(kernel::BatchNormVjp{
        .params = p, .saved = {v[0], v[1], v[4], v[5], v[3]}, .y_bar = v[6], .bars = {v[7], {}, {}, {}}});
  });
}

}  // namespace
}  // namespace mcn::test
