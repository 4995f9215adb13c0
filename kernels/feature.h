// Kernels on feature vectors: L2 normalization, the pairing of the feature combination module, and the memory bank's
// rows.
#pragma once

#include "kernels/kernel.h"

namespace mcn::kernel {

/// y = x / n per row, n = max(|x|, eps); x: N x C, norm: N. Where |x| <= eps the divisor is the constant eps.
struct L2NormalizeForward {
  static constexpr std::string_view name = "l2_normalize_forward";
  double eps = 1e-12;
  ConstView x;
  View y, norm;
  static auto members(auto& k) { return std::tie(k.eps, k.x, k.y, k.norm); }
};

/// x_bar = (y_bar - y (y . y_bar)) / n
struct L2NormalizeVjp {
  static constexpr std::string_view name = "l2_normalize_vjp";
  double eps = 1e-12;
  ConstView y, norm, y_bar;
  View x_bar;
  static auto members(auto& k) { return std::tie(k.eps, k.y, k.norm, k.y_bar, k.x_bar); }
};

/// y_dot = (x_dot - y (y . x_dot)) / n, norm_dot = y . x_dot
struct L2NormalizeJvp {
  static constexpr std::string_view name = "l2_normalize_jvp";
  double eps = 1e-12;
  ConstView y, norm;
  OptionalConstView x_dot = {};
  View y_dot, norm_dot;
  static auto members(auto& k) { return std::tie(k.eps, k.y, k.norm, k.x_dot, k.y_dot, k.norm_dot); }
};

/// y_dot, norm_dot: absent together
struct L2NormalizeVjpDot {
  static constexpr std::string_view name = "l2_normalize_vjp_dot";
  double eps = 1e-12;
  ConstView y, norm;
  OptionalConstView y_dot = {}, norm_dot = {};
  ConstView y_bar;
  OptionalConstView y_bar_dot = {};
  View x_bar_dot;
  static auto members(auto& k) {
    return std::tie(k.eps, k.y, k.norm, k.y_dot, k.norm_dot, k.y_bar, k.y_bar_dot, k.x_bar_dot);
  }
};

/// Pairing of a (N x C) with b (N x C): y is (N N) x (2 C), row i N + j = scale [a_i * b_j, (a_i - b_j)^2].
struct PairingForward {
  static constexpr std::string_view name = "pairing_forward";
  double scale = 1;
  ConstView a, b;
  View y;
  static auto members(auto& k) { return std::tie(k.scale, k.a, k.b, k.y); }
};

struct PairingVjp {
  static constexpr std::string_view name = "pairing_vjp";
  double scale = 1;
  ConstView a, b, y_bar;
  View a_bar, b_bar;
  static auto members(auto& k) { return std::tie(k.scale, k.a, k.b, k.y_bar, k.a_bar, k.b_bar); }
};

struct PairingJvp {
  static constexpr std::string_view name = "pairing_jvp";
  double scale = 1;
  ConstView a, b;
  OptionalConstView a_dot = {}, b_dot = {};
  View y_dot;
  static auto members(auto& k) { return std::tie(k.scale, k.a, k.b, k.a_dot, k.b_dot, k.y_dot); }
};

struct PairingVjpDot {
  static constexpr std::string_view name = "pairing_vjp_dot";
  double scale = 1;
  ConstView a, b;
  OptionalConstView a_dot = {}, b_dot = {}, y_bar = {}, y_bar_dot = {};
  View a_bar_dot, b_bar_dot;
  static auto members(auto& k) {
    return std::tie(k.scale, k.a, k.b, k.a_dot, k.b_dot, k.y_bar, k.y_bar_dot, k.a_bar_dot, k.b_bar_dot);
  }
};

// Rows of a memory bank or queue (M x C), addressed by i64 row numbers in [0, M). No derivatives: the bank is constant.

/// out[i] = bank[rows[i]]
struct GatherRows {
  static constexpr std::string_view name = "gather_rows";
  ConstView bank, rows;
  View out;
  static auto members(auto& k) { return std::tie(k.bank, k.rows, k.out); }
};

/// bank[rows[i]] = normalize(momentum bank[rows[i]] + (1 - momentum) z[i]); rows must be distinct;
/// normalize divides by max(norm, 1e-12)
struct UpdateRows {
  static constexpr std::string_view name = "update_rows";
  double momentum = 0;
  ConstView z, rows;
  View bank;
  static auto members(auto& k) { return std::tie(k.momentum, k.z, k.rows, k.bank); }
};

}  // namespace mcn::kernel
