// PyTorch's word, in float64: gradients, second-order meta-gradients and derivatives by inner rates of R(2+1)D and S3D
// on problems that formulas fill (tests/golden/make_golden.py and make_s3d.py wrote the numbers).
#include <algorithm>
#include <cmath>

#include "meta/maml.h"
#include "meta/train/diagnostics.h"
#include "models/backbone.h"
#include "tests/device_here.h"
#include "tests/meta/golden.h"

namespace mcn {
namespace {

using test::relative;
using test::wave;

// make_s3d.py's chirp().
std::vector<double> chirp(std::int64_t count, double phase) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] =
        std::sin((0.7 * static_cast<double>(i) + phase) + static_cast<double>(i * i % 1009));
  return values;
}

using Fill = std::vector<double> (*)(std::int64_t count, double phase);

// The scripts' filled(): values in PyTorch's order for a tensor of our shape.
Tensor filled(Backend& backend, const Backbone& model, std::size_t number, Fill fill) {
  const ParameterSpec& spec = model.parameters()[number];
  std::vector<double> values = fill(spec.shape.numel(), static_cast<double>(number));
  double scale = 0.2;
  double shift = spec.name.ends_with(".weight") ? 1.0 : 0.0;
  if (number == model.classifier()->weight) {
    scale = 0.05;
    shift = 0;
  } else if (spec.shape.rank() == 5) {
    const Shape& s = spec.shape;
    scale = std::sqrt(4.0 / static_cast<double>(s.o() * s.kd() * s.kh() * s.kw()));
    shift = 0;
  }
  for (double& v : values) v = v * scale + shift;
  values = to_channels_last(values, channels_first_shape(spec.shape));
  return Tensor::from(backend, DType::f64, spec.shape, values);
}

void compare_with_pytorch(const std::string& arch, const std::string& device) {
  const nlohmann::json golden = test::golden(arch + ".json");
  Backend& backend = open_device(device);
  const auto batch = golden.at("batch").get<std::int64_t>();
  const auto frames = golden.at("frames").get<std::int64_t>();
  const auto size = golden.at("size").get<std::int64_t>();
  const auto classes = golden.at("classes").get<std::int64_t>();
  const auto model = make_backbone({.arch = arch, .width = golden.value("width", 1.0), .classes = classes});
  const Fill fill = arch == "s3d" ? chirp : wave;
  const ParameterSpecs& specs = model->parameters();
  const auto names = golden.at("parameters").get<std::vector<std::string>>();
  REQUIRE(names.size() == specs.size());
  Tensors theta;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    REQUIRE(names[i] == specs[i].name);
    theta.push_back(filled(backend, *model, i, fill));
  }

  const auto clips = [&](double phase) {
    const Shape channels_first{batch, 3, frames, size, size};
    const std::vector<double> x = to_channels_last(fill(channels_first.numel(), phase), channels_first);
    return Tensor::from(backend, DType::f64, channels_last_shape(channels_first), x);
  };
  const auto loss_on = [&](double phase, std::int64_t factor, std::int64_t offset) -> LossFunction {
    const Tensor clip = clips(phase);
    std::vector<std::int64_t> y;
    for (std::int64_t i = 0; i < batch; ++i) y.push_back((factor * i + offset) % classes);
    const Tensor labels = Tensor::from(backend, y);
    return [&model, clip, labels](Tape& tape, std::span<const Var> vars) {
      return tape.apply(ops::cross_entropy(labels), {model->logits(tape, vars, tape.constant(clip))});
    };
  };
  const LossFunction support = loss_on(0.25, 1, 0);
  const LossFunction query = loss_on(1.5, 2, 1);

  const double tolerance = 1e-8;  // float64 against float64; batch norm over few values amplifies rounding
  if (golden.contains("logits")) {
    Tape tape;
    const std::vector<double> logits =
        model->logits(tape, tape.variables(theta), tape.constant(clips(0.25))).value.to_doubles();
    for (std::int64_t i = 0; i < batch; ++i)
      for (std::int64_t c = 0; c < classes; ++c)
        CHECK(relative(logits[static_cast<std::size_t>(i * classes + c)],
                       golden.at("logits").at(static_cast<std::size_t>(i)).at(static_cast<std::size_t>(c)),
                       1) <= tolerance);
  }
  for (const auto& expected : golden.at("cases")) {
    MamlConfig config;
    config.inner_steps = expected.at("steps").get<int>();
    // simt is slow: there the inner steps with a rate for every group stand for those with one rate.
    if (device == "simt" && config.inner_steps > 0 && golden.contains("groups") && !expected.contains("factors"))
      continue;
    config.inner_lr = golden.at("inner_lr").get<double>();
    config.second_order = expected.at("order").get<int>() == 2;
    if (expected.contains("factors")) {
      const auto groups = golden.at("groups").get<std::vector<std::string>>();
      for (const ParameterSpec& spec : specs)
        config.inner_factors.group.push_back(
            static_cast<std::size_t>(std::ranges::find(groups, parameter_group(spec.name)) - groups.begin()));
      config.inner_factors.factors = expected.at("factors").get<std::vector<std::vector<double>>>();
      config.inner_factors.derivatives = true;
    }
    INFO(device << " K " << config.inner_steps << " order " << expected.at("order"));
    const std::int64_t calls = backend.kernel_calls();
    const MetaGradient actual = meta_gradient(theta, support, query, config);
    CHECK(backend.kernel_calls() > calls);

    const auto losses = expected.at("support").get<std::vector<double>>();
    REQUIRE(actual.support_losses.size() == losses.size());
    for (std::size_t k = 0; k < losses.size(); ++k)
      CHECK(relative(actual.support_losses[k], losses[k], losses[k]) <= tolerance);
    const auto loss = expected.at("query").get<double>();
    CHECK(relative(actual.query_loss, loss, loss) <= tolerance);

    if (expected.contains("by_rates")) {
      const auto by_rates = expected.at("by_rates").get<std::vector<std::vector<double>>>();
      double length = 0;
      for (const std::vector<double>& row : by_rates)
        for (const double d : row) length = std::hypot(length, d);
      REQUIRE(actual.inner_lr_derivatives.size() == by_rates.size());
      for (std::size_t k = 0; k < by_rates.size(); ++k) {
        REQUIRE(actual.inner_lr_derivatives[k].size() == by_rates[k].size());
        for (std::size_t l = 0; l < by_rates[k].size(); ++l)
          CHECK(relative(actual.inner_lr_derivatives[k][l], by_rates[k][l], std::abs(by_rates[k][l]) + 1e-3 * length) <=
                tolerance);
      }
    }

    double total = 0;
    for (const auto& row : expected.at("gradient")) total = std::hypot(total, row.at("norm").get<double>());
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const auto& row = expected.at("gradient").at(i);
      INFO(row.at("name"));
      REQUIRE(actual.gradient[i]);
      const std::vector<double> g = to_channels_first(actual.gradient[i].to_doubles(), specs[i].shape);
      test::check_summary(g, row, row.at("norm").get<double>() + 1e-3 * total, tolerance);
    }
  }
}

}  // namespace

TEST_CASE("gradients and K=2 meta-gradients agree with PyTorch in float64", "[golden]") {
  compare_with_pytorch(GENERATE("r2plus1d_10", "s3d"), GENERATE("ref", "cpu"));
}

TEST_CASE("gradients and K=2 meta-gradients on simt agree with PyTorch in float64", "[golden][slow]") {
  compare_with_pytorch(GENERATE("r2plus1d_10", "s3d"), "simt");
}

TEST_CASE("cuda has gradients and K=2 meta-gradients that agree with PyTorch in float64", "[golden][cuda]") {
  if (test::device_here("cuda")) compare_with_pytorch(GENERATE("r2plus1d_10", "s3d"), "cuda");
}

}  // namespace mcn
