// A backend in front of another one: every allocation lies between guard zones, starts as NaN and is checked when it
// is released. A kernel that writes outside its output, or reads what was never written, shows.
#pragma once

#include <map>

#include "kernels/backend.h"

namespace mcn::test {

class GuardedBackend final : public Backend {
 public:
  explicit GuardedBackend(Backend& inner) : Backend(inner.name()), inner_(inner) {}

  /// Guard zones of all allocations so far, live ones included, are as they were laid.
  [[nodiscard]] bool guards_intact() const;
  [[nodiscard]] std::int64_t allocations() const { return allocations_; }

  void copy_from_host(const void* host, View y) override { run().copy_from_host(host, y); }
  void copy_to_host(ConstView x, void* host) override { run().copy_to_host(x, host); }
  void copy(ConstView x, View y) override { run().copy(x, y); }
  void* allocate_host(std::size_t bytes) override { return inner_.allocate_host(bytes); }
  void release_host(void* p) noexcept override { inner_.release_host(p); }
  Upload upload(const void* host, View y) override { return run().upload(host, y); }
  void wait_upload(Upload upload) noexcept override { inner_.wait_upload(upload); }

  void conv3d_fprop(const Conv3dParams& p, ConstView x, ConstView w, View y, Mode m) override {
    run().conv3d_fprop(p, x, w, y, m);
  }
  void conv3d_dgrad(const Conv3dParams& p, ConstView g, ConstView w, View x, Mode m) override {
    run().conv3d_dgrad(p, g, w, x, m);
  }
  void conv3d_wgrad(const Conv3dParams& p, ConstView x, ConstView g, View w, Mode m) override {
    run().conv3d_wgrad(p, x, g, w, m);
  }
  void conv3d_fprop_pair(const Conv3dParams& p, ConstView x1, ConstView w1, ConstView x2, ConstView w2,
                         View y) override {
    run().conv3d_fprop_pair(p, x1, w1, x2, w2, y);
  }
  void conv3d_dgrad_pair(const Conv3dParams& p, ConstView g1, ConstView w1, ConstView g2, ConstView w2,
                         View x) override {
    run().conv3d_dgrad_pair(p, g1, w1, g2, w2, x);
  }
  void conv3d_wgrad_pair(const Conv3dParams& p, ConstView x1, ConstView g1, ConstView x2, ConstView g2,
                         View w) override {
    run().conv3d_wgrad_pair(p, x1, g1, x2, g2, w);
  }

  void batch_norm_forward(const BatchNormParams& p, ConstView x, ConstView gamma, ConstView beta, ConstView residual,
                          View y, View mean, View rstd) override {
    run().batch_norm_forward(p, x, gamma, beta, residual, y, mean, rstd);
  }
  void batch_norm_vjp(const BatchNormParams& p, const BatchNormSaved& s, ConstView g,
                      const BatchNormGradients& bars) override {
    run().batch_norm_vjp(p, s, g, bars);
  }
  void batch_norm_jvp(const BatchNormParams& p, const BatchNormSaved& s, ConstView x, ConstView gamma, ConstView beta,
                      ConstView residual, View y, View mean, View rstd) override {
    run().batch_norm_jvp(p, s, x, gamma, beta, residual, y, mean, rstd);
  }
  void batch_norm_vjp_dot(const BatchNormParams& p, const BatchNormSaved& s, const BatchNormSavedDot& d, ConstView g,
                          ConstView g_dot, const BatchNormGradients& dots) override {
    run().batch_norm_vjp_dot(p, s, d, g, g_dot, dots);
  }

  void fill(double value, View y) override { run().fill(value, y); }
  void scale(double alpha, ConstView x, View y) override { run().scale(alpha, x, y); }
  void axpy(double alpha, std::span<const ConstView> x, std::span<const View> y) override { run().axpy(alpha, x, y); }
  void add(ConstView a, ConstView b, View y) override { run().add(a, b, y); }
  void relu(ConstView x, View y) override { run().relu(x, y); }
  void relu_mask(ConstView y, ConstView g, View out) override { run().relu_mask(y, g, out); }
  double dot(std::span<const ConstView> a, std::span<const ConstView> b) override { return run().dot(a, b); }
  bool all_finite(std::span<const ConstView> x) override { return run().all_finite(x); }

  void gemm(bool ta, bool tb, ConstView a, ConstView b, View c, Mode m) override { run().gemm(ta, tb, a, b, c, m); }
  void add_bias(ConstView bias, View y) override { run().add_bias(bias, y); }
  void sum_rows(ConstView x, View out, Mode m) override { run().sum_rows(x, out, m); }

  void max_pool(const PoolParams& p, ConstView x, View y, View index) override { run().max_pool(p, x, y, index); }
  void max_pool_gather(ConstView x, ConstView index, View y) override { run().max_pool_gather(x, index, y); }
  void max_pool_scatter(ConstView g, ConstView index, View x) override { run().max_pool_scatter(g, index, x); }
  void avg_pool(const PoolParams& p, ConstView x, View y) override { run().avg_pool(p, x, y); }
  void avg_pool_adjoint(const PoolParams& p, ConstView g, View x) override { run().avg_pool_adjoint(p, g, x); }

  void cross_entropy_forward(ConstView x, ConstView labels, View loss, View lse) override {
    run().cross_entropy_forward(x, labels, loss, lse);
  }
  void cross_entropy_vjp(ConstView x, ConstView labels, ConstView lse, ConstView g, View bar) override {
    run().cross_entropy_vjp(x, labels, lse, g, bar);
  }
  void cross_entropy_jvp(ConstView x, ConstView labels, ConstView lse, ConstView x_dot, View loss_dot,
                         View lse_dot) override {
    run().cross_entropy_jvp(x, labels, lse, x_dot, loss_dot, lse_dot);
  }
  void cross_entropy_vjp_dot(ConstView x, ConstView labels, ConstView lse, ConstView x_dot, ConstView lse_dot,
                             ConstView g, ConstView g_dot, View dot_out) override {
    run().cross_entropy_vjp_dot(x, labels, lse, x_dot, lse_dot, g, g_dot, dot_out);
  }

  void bce_forward(double w, ConstView x, ConstView t, View loss) override { run().bce_forward(w, x, t, loss); }
  void bce_vjp(double w, ConstView x, ConstView t, ConstView g, View bar) override { run().bce_vjp(w, x, t, g, bar); }
  void bce_jvp(double w, ConstView x, ConstView t, ConstView x_dot, View loss_dot) override {
    run().bce_jvp(w, x, t, x_dot, loss_dot);
  }
  void bce_vjp_dot(double w, ConstView x, ConstView t, ConstView x_dot, ConstView g, ConstView g_dot,
                   View dot_out) override {
    run().bce_vjp_dot(w, x, t, x_dot, g, g_dot, dot_out);
  }

  void info_nce_forward(const InfoNceInputs& in, View loss, View lse) override {
    run().info_nce_forward(in, loss, lse);
  }
  void info_nce_vjp(const InfoNceInputs& in, ConstView lse, ConstView g, View anchor, View key) override {
    run().info_nce_vjp(in, lse, g, anchor, key);
  }
  void info_nce_jvp(const InfoNceInputs& in, ConstView lse, ConstView anchor, ConstView key, View loss_dot,
                    View lse_dot) override {
    run().info_nce_jvp(in, lse, anchor, key, loss_dot, lse_dot);
  }
  void info_nce_vjp_dot(const InfoNceInputs& in, ConstView lse, ConstView anchor_dot, ConstView key_dot,
                        ConstView lse_dot, ConstView g, ConstView g_dot, View anchor, View key) override {
    run().info_nce_vjp_dot(in, lse, anchor_dot, key_dot, lse_dot, g, g_dot, anchor, key);
  }

  void l2_normalize_forward(double eps, ConstView x, View y, View norm) override {
    run().l2_normalize_forward(eps, x, y, norm);
  }
  void l2_normalize_vjp(double eps, ConstView y, ConstView norm, ConstView g, View x) override {
    run().l2_normalize_vjp(eps, y, norm, g, x);
  }
  void l2_normalize_jvp(double eps, ConstView y, ConstView norm, ConstView x_dot, View y_dot, View norm_dot) override {
    run().l2_normalize_jvp(eps, y, norm, x_dot, y_dot, norm_dot);
  }
  void l2_normalize_vjp_dot(double eps, ConstView y, ConstView norm, ConstView y_dot, ConstView norm_dot, ConstView g,
                            ConstView g_dot, View x) override {
    run().l2_normalize_vjp_dot(eps, y, norm, y_dot, norm_dot, g, g_dot, x);
  }

  void pairing_forward(double s, ConstView a, ConstView b, View y) override { run().pairing_forward(s, a, b, y); }
  void pairing_vjp(double s, ConstView a, ConstView b, ConstView g, View a_bar, View b_bar) override {
    run().pairing_vjp(s, a, b, g, a_bar, b_bar);
  }
  void pairing_jvp(double s, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, View y) override {
    run().pairing_jvp(s, a, b, a_dot, b_dot, y);
  }
  void pairing_vjp_dot(double s, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, ConstView g,
                       ConstView g_dot, View a_out, View b_out) override {
    run().pairing_vjp_dot(s, a, b, a_dot, b_dot, g, g_dot, a_out, b_out);
  }

  void gather_rows(ConstView bank, ConstView rows, View out) override { run().gather_rows(bank, rows, out); }
  void update_rows(double m, ConstView z, ConstView rows, View bank) override { run().update_rows(m, z, rows, bank); }

  void augment(const AugmentParams& p, std::span<const AugmentClip> clips, ConstView frames, View y) override {
    run().augment(p, clips, frames, y);
  }

  void sgd_step(const SgdParams& p, std::span<const double> decay, std::span<const ConstView> gradients,
                std::span<const View> parameters, std::span<const View> buffers) override {
    run().sgd_step(p, decay, gradients, parameters, buffers);
  }
  void adamw_step(const AdamWParams& p, std::span<const double> decay, std::span<const ConstView> gradients,
                  std::span<const View> parameters, std::span<const View> firsts,
                  std::span<const View> seconds) override {
    run().adamw_step(p, decay, gradients, parameters, firsts, seconds);
  }

 protected:
  void* allocate_impl(std::size_t bytes) override;
  void release_impl(void* p, std::size_t bytes) noexcept override;

 private:
  Backend& run() {
    count_kernel();
    return inner_;
  }

  Backend& inner_;
  std::map<void*, std::size_t> live_;
  std::int64_t allocations_ = 0;
  bool intact_ = true;
};

}  // namespace mcn::test
