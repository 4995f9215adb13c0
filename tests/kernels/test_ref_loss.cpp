// The reference losses: values by hand, stability at large logits, derivatives against central differences.
#include "tests/kernels/test_ref_helpers.h"

namespace mcn::test {
namespace {

Array scalar(double value) { return {{1}, {value}}; }

}  // namespace

TEST_CASE("ref cross_entropy: values, stability, NaN") {
  const auto ref = make_ref_backend();
  Array loss = scalar(0);
  Array lse({2});
  const Labels labels{{0, 1}};
  ref->run(kernel::CrossEntropyForward{
      .logits = Array({2, 2}, {0, 0, 0, std::log(3.0)}), .labels = labels, .loss = loss, .lse = lse});
  CHECK(loss[0] == Catch::Approx(0.5 * (std::log(2.0) + std::log(4.0 / 3.0))));
  CHECK(lse[1] == Catch::Approx(std::log(4.0)));

  const Array large({2, 2}, {1000, -1000, 1000, -1000});
  ref->run(kernel::CrossEntropyForward{.logits = large, .labels = labels, .loss = loss, .lse = lse});
  CHECK(loss[0] == Catch::Approx(1000));
  Array bar({2, 2});
  ref->run(
      kernel::CrossEntropyVjp{.logits = large, .labels = labels, .lse = lse, .loss_bar = scalar(1), .logits_bar = bar});
  CHECK(bar.values == std::vector<double>{0, 0, 0.5, -0.5});

  ref->run(kernel::CrossEntropyForward{
      .logits = Array({2, 2}, {0, std::nan(""), 0, 0}), .labels = labels, .loss = loss, .lse = lse});
  CHECK(std::isnan(lse[0]));
  CHECK(std::isnan(loss[0]));
  CHECK(lse[1] == Catch::Approx(std::log(2.0)));
}

TEST_CASE("ref cross_entropy: derivatives against central differences") {
  const auto ref = make_ref_backend();
  const Labels labels{{2, 0, 1}};
  const Array x = Array::random({3, 4}, 1);
  const Array x_dot = Array::random({3, 4}, 2);
  Array lse({3});
  const auto forward = [&](double t) {
    Array loss = scalar(0);
    ref->run(kernel::CrossEntropyForward{.logits = x.moved(t, x_dot), .labels = labels, .loss = loss, .lse = lse});
    return loss;
  };
  const auto vjp = [&](double t) {
    forward(t);
    Array bar({3, 4});
    ref->run(kernel::CrossEntropyVjp{.logits = x.moved(t, x_dot),
                                     .labels = labels,
                                     .lse = lse,
                                     .loss_bar = scalar(0.7 + 0.3 * t),
                                     .logits_bar = bar});
    return bar;
  };
  const Array slope = central_difference(forward);
  const Array expected = central_difference(vjp);
  CHECK(inner(vjp(0), x_dot) == Catch::Approx(0.7 * slope[0]).epsilon(tolerances::central_difference));
  Array loss_dot = scalar(0);
  Array lse_dot({3});
  ref->run(kernel::CrossEntropyJvp{
      .logits = x, .labels = labels, .lse = lse, .logits_dot = x_dot, .loss_dot = loss_dot, .lse_dot = lse_dot});
  CHECK(difference(loss_dot, slope) <= tolerances::central_difference);
  Array dot({3, 4});
  ref->run(kernel::CrossEntropyVjpDot{.logits = x,
                                      .labels = labels,
                                      .lse = lse,
                                      .logits_dot = x_dot,
                                      .lse_dot = lse_dot,
                                      .loss_bar = scalar(0.7),
                                      .loss_bar_dot = scalar(0.3),
                                      .logits_bar_dot = dot});
  CHECK(difference(dot, expected) <= tolerances::central_difference);
}

TEST_CASE("ref bce: values, stability, derivatives") {
  const auto ref = make_ref_backend();
  Array loss = scalar(0);
  ref->run(
      kernel::BceForward{.pos_weight = 3, .logits = Array({2}, {0, 0}), .targets = Array({2}, {1, 0}), .loss = loss});
  CHECK(loss[0] == Catch::Approx(2 * std::log(2.0)));
  const Array large({4}, {800, -800, 800, -800});
  const Array targets({4}, {1, 0, 0, 1});
  ref->run(kernel::BceForward{.pos_weight = 2, .logits = large, .targets = targets, .loss = loss});
  CHECK(loss[0] == Catch::Approx((800 + 2 * 800) / 4.0));
  Array bar({4});
  ref->run(
      kernel::BceVjp{.pos_weight = 2, .logits = large, .targets = targets, .loss_bar = scalar(4), .logits_bar = bar});
  CHECK(bar.values == std::vector<double>{0, 0, 1, -2});
  ref->run(kernel::BceForward{
      .pos_weight = 2, .logits = Array({1}, {std::nan("")}), .targets = Array({1}, {0.5}), .loss = loss});
  CHECK(std::isnan(loss[0]));

  const Array x = Array::random({6}, 1);
  const Array x_dot = Array::random({6}, 2);
  const Array t({6}, {0, 1, 0.25, 1, 0, 0.5});
  const auto forward = [&](double step) {
    Array value = scalar(0);
    ref->run(kernel::BceForward{.pos_weight = 2.5, .logits = x.moved(step, x_dot), .targets = t, .loss = value});
    return value;
  };
  const auto vjp = [&](double step) {
    Array value({6});
    ref->run(kernel::BceVjp{.pos_weight = 2.5,
                            .logits = x.moved(step, x_dot),
                            .targets = t,
                            .loss_bar = scalar(0.7 + 0.3 * step),
                            .logits_bar = value});
    return value;
  };
  Array loss_dot = scalar(0);
  ref->run(kernel::BceJvp{.pos_weight = 2.5, .logits = x, .targets = t, .logits_dot = x_dot, .loss_dot = loss_dot});
  CHECK(difference(loss_dot, central_difference(forward)) <= tolerances::central_difference);
  CHECK(inner(vjp(0), x_dot) == Catch::Approx(0.7 * loss_dot[0]).epsilon(tolerances::identity));
  Array dot({6});
  ref->run(kernel::BceVjpDot{.pos_weight = 2.5,
                             .logits = x,
                             .targets = t,
                             .logits_dot = x_dot,
                             .loss_bar = scalar(0.7),
                             .loss_bar_dot = scalar(0.3),
                             .logits_bar_dot = dot});
  CHECK(difference(dot, central_difference(vjp)) <= tolerances::central_difference);
}

TEST_CASE("ref info_nce: cross-entropy of the similarity matrix when there is no bank") {
  const auto ref = make_ref_backend();
  const Array anchor = Array::random({3, 4}, 1);
  const Array key = Array::random({3, 4}, 2);
  Array similarity({3, 3});
  ref->run(kernel::Gemm{.transpose_b = Transpose::yes, .a = anchor, .b = key, .c = similarity});
  ref->run(kernel::Scale{.alpha = 1 / 0.2, .x = similarity, .y = similarity});
  Array expected = scalar(0);
  Array lse({3});
  ref->run(
      kernel::CrossEntropyForward{.logits = similarity, .labels = Labels{{0, 1, 2}}, .loss = expected, .lse = lse});
  Array loss = scalar(0);
  ref->run(kernel::InfoNceForward{.inputs = {0.2, anchor, key, {}, {}, {}}, .loss = loss, .lse = lse});
  CHECK(loss[0] == Catch::Approx(expected[0]).epsilon(tolerances::formula));
}

TEST_CASE("ref info_nce: an anchor's own rows of the bank are left out") {
  const auto ref = make_ref_backend();
  const Array anchor = Array::random({2, 3}, 1);
  const Array key = Array::random({2, 3}, 2);
  const Array bank = Array::random({3, 3}, 3);
  Array loss = scalar(0);
  Array lse({2});
  const Labels ids{{5, 6}};
  const Labels bank_ids{{6, 9, 5}};
  ref->run(kernel::InfoNceForward{.inputs = {0.5, anchor, key, bank, ids, bank_ids}, .loss = loss, .lse = lse});
  const auto logit = [&](std::size_t i, const Array& other, std::size_t j) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) sum += anchor[i * 3 + c] * other[j * 3 + c];
    return sum / 0.5;
  };
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t other_row = i == 0 ? 0 : 2;
    const double sum = std::exp(logit(i, key, 0)) + std::exp(logit(i, key, 1)) + std::exp(logit(i, bank, 1)) +
                       std::exp(logit(i, bank, other_row));
    CHECK(lse[i] == Catch::Approx(std::log(sum)).epsilon(tolerances::formula));
  }
  // Without ids nothing is left out.
  const double excluded = lse[0];
  ref->run(kernel::InfoNceForward{.inputs = {0.5, anchor, key, bank, {}, {}}, .loss = loss, .lse = lse});
  CHECK(lse[0] > excluded);
}

TEST_CASE("ref info_nce: derivatives against central differences") {
  const auto ref = make_ref_backend();
  const Array anchor = Array::random({3, 4}, 1);
  const Array key = Array::random({3, 4}, 2);
  const Array anchor_dot = Array::random({3, 4}, 3);
  const Array key_dot = Array::random({3, 4}, 4);
  const Array bank = Array::random({5, 4}, 5);
  const Labels ids{{0, 1, 2}};
  const Labels bank_ids{{1, 7, 0, 8, 1}};
  Array lse({3});
  const auto joined = [](const Array& a, const Array& b) {
    Array all = a;
    all.values.insert(all.values.end(), b.values.begin(), b.values.end());
    return all;
  };
  const auto forward = [&](double t) {
    const Array a = anchor.moved(t, anchor_dot);
    const Array k = key.moved(t, key_dot);
    Array loss = scalar(0);
    ref->run(kernel::InfoNceForward{.inputs = {0.5, a, k, bank, ids, bank_ids}, .loss = loss, .lse = lse});
    return loss;
  };
  const auto vjp = [&](double t) {
    forward(t);
    const Array a = anchor.moved(t, anchor_dot);
    const Array k = key.moved(t, key_dot);
    Array a_bar(a.shape);
    Array k_bar(k.shape);
    ref->run(kernel::InfoNceVjp{.inputs = {0.5, a, k, bank, ids, bank_ids},
                                .lse = lse,
                                .loss_bar = scalar(0.7 + 0.3 * t),
                                .anchor_bar = a_bar,
                                .key_bar = k_bar});
    return joined(a_bar, k_bar);
  };
  const Array slope = central_difference(forward);
  const Array expected = central_difference(vjp);
  CHECK(inner(vjp(0), joined(anchor_dot, key_dot)) ==
        Catch::Approx(0.7 * slope[0]).epsilon(tolerances::central_difference));
  const InfoNceInputs inputs{0.5, anchor, key, bank, ids, bank_ids};
  Array loss_dot = scalar(0);
  Array lse_dot({3});
  ref->run(kernel::InfoNceJvp{.inputs = inputs,
                              .lse = lse,
                              .anchor_dot = anchor_dot,
                              .key_dot = key_dot,
                              .loss_dot = loss_dot,
                              .lse_dot = lse_dot});
  CHECK(difference(loss_dot, slope) <= tolerances::central_difference);
  Array a_dot(anchor.shape);
  Array k_dot(key.shape);
  ref->run(kernel::InfoNceVjpDot{.inputs = inputs,
                                 .lse = lse,
                                 .anchor_dot = anchor_dot,
                                 .key_dot = key_dot,
                                 .lse_dot = lse_dot,
                                 .loss_bar = scalar(0.7),
                                 .loss_bar_dot = scalar(0.3),
                                 .anchor_bar_dot = a_dot,
                                 .key_bar_dot = k_dot});
  CHECK(difference(joined(a_dot, k_dot), expected) <= tolerances::central_difference);
}

}  // namespace mcn::test
