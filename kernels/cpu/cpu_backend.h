// The cpu backend: convolutions as indirect matrix products, fused batch normalisation, vectorised loops. Results are
// the same bits for any number of threads.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/allocator.h"

namespace mcn::cpu {

/// Implementation by family: cpu_backend.cpp (memory), conv.cpp, batch_norm*.cpp, elementwise.cpp, matrix.cpp,
/// pool.cpp, loss.cpp, info_nce.cpp, feature.cpp, optimizer.cpp. One caller at a time; memory may be had from any
/// thread.
class CpuBackend final : public Backend {
 public:
  CpuBackend() : Backend("cpu") {}
  [[nodiscard]] std::string detail() const override;

  void copy_from_host(const void* host, View y) override;
  void copy_to_host(ConstView x, void* host) override;
  void copy(ConstView x, View y) override;

  // ConvKernels
  void conv3d_fprop(const Conv3dParams&, ConstView x, ConstView w, View y, Mode) override;
  void conv3d_dgrad(const Conv3dParams&, ConstView y_bar, ConstView w, View x_bar, Mode) override;
  void conv3d_wgrad(const Conv3dParams&, ConstView x, ConstView y_bar, View w_bar, Mode) override;
  void conv3d_fprop_pair(const Conv3dParams&, ConstView x1, ConstView w1, ConstView x2, ConstView w2, View y) override;
  void conv3d_dgrad_pair(const Conv3dParams&, ConstView y_bar1, ConstView w1, ConstView y_bar2, ConstView w2,
                         View x_bar) override;
  void conv3d_wgrad_pair(const Conv3dParams&, ConstView x1, ConstView y_bar1, ConstView x2, ConstView y_bar2,
                         View w_bar) override;

  // BatchNormKernels
  void batch_norm_forward(const BatchNormParams&, ConstView x, ConstView gamma, ConstView beta, ConstView residual,
                          View y, View mean, View rstd) override;
  void batch_norm_vjp(const BatchNormParams&, const BatchNormSaved&, ConstView y_bar,
                      const BatchNormGradients&) override;
  void batch_norm_jvp(const BatchNormParams&, const BatchNormSaved&, ConstView x_dot, ConstView gamma_dot,
                      ConstView beta_dot, ConstView residual_dot, View y_dot, View mean_dot, View rstd_dot) override;
  void batch_norm_vjp_dot(const BatchNormParams&, const BatchNormSaved&, const BatchNormSavedDot&, ConstView y_bar,
                          ConstView y_bar_dot, const BatchNormGradients& dots) override;

  // ElementwiseKernels
  void fill(double value, View y) override;
  void scale(double alpha, ConstView x, View y) override;
  void axpy(double alpha, std::span<const ConstView> x, std::span<const View> y) override;
  void add(ConstView a, ConstView b, View y) override;
  void relu(ConstView x, View y) override;
  void relu_mask(ConstView y, ConstView g, View out) override;
  double dot(std::span<const ConstView> a, std::span<const ConstView> b) override;
  bool all_finite(std::span<const ConstView> x) override;

  // MatrixKernels
  void gemm(bool transpose_a, bool transpose_b, ConstView a, ConstView b, View c, Mode) override;
  void add_bias(ConstView bias, View y) override;
  void sum_rows(ConstView x, View out, Mode) override;

  // PoolKernels
  void max_pool(const PoolParams&, ConstView x, View y, View index) override;
  void max_pool_gather(ConstView x_dot, ConstView index, View y_dot) override;
  void max_pool_scatter(ConstView y_bar, ConstView index, View x_bar) override;
  void avg_pool(const PoolParams&, ConstView x, View y) override;
  void avg_pool_adjoint(const PoolParams&, ConstView y_bar, View x_bar) override;

  // CrossEntropyKernels
  void cross_entropy_forward(ConstView logits, ConstView labels, View loss, View lse) override;
  void cross_entropy_vjp(ConstView logits, ConstView labels, ConstView lse, ConstView loss_bar,
                         View logits_bar) override;
  void cross_entropy_jvp(ConstView logits, ConstView labels, ConstView lse, ConstView logits_dot, View loss_dot,
                         View lse_dot) override;
  void cross_entropy_vjp_dot(ConstView logits, ConstView labels, ConstView lse, ConstView logits_dot, ConstView lse_dot,
                             ConstView loss_bar, ConstView loss_bar_dot, View logits_bar_dot) override;

  // BinaryCrossEntropyKernels
  void bce_forward(double pos_weight, ConstView logits, ConstView targets, View loss) override;
  void bce_vjp(double pos_weight, ConstView logits, ConstView targets, ConstView loss_bar, View logits_bar) override;
  void bce_jvp(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot, View loss_dot) override;
  void bce_vjp_dot(double pos_weight, ConstView logits, ConstView targets, ConstView logits_dot, ConstView loss_bar,
                   ConstView loss_bar_dot, View logits_bar_dot) override;

  // InfoNceKernels
  void info_nce_forward(const InfoNceInputs&, View loss, View lse) override;
  void info_nce_vjp(const InfoNceInputs&, ConstView lse, ConstView loss_bar, View anchor_bar, View key_bar) override;
  void info_nce_jvp(const InfoNceInputs&, ConstView lse, ConstView anchor_dot, ConstView key_dot, View loss_dot,
                    View lse_dot) override;
  void info_nce_vjp_dot(const InfoNceInputs&, ConstView lse, ConstView anchor_dot, ConstView key_dot, ConstView lse_dot,
                        ConstView loss_bar, ConstView loss_bar_dot, View anchor_bar_dot, View key_bar_dot) override;

  // L2NormalizeKernels
  void l2_normalize_forward(double eps, ConstView x, View y, View norm) override;
  void l2_normalize_vjp(double eps, ConstView y, ConstView norm, ConstView y_bar, View x_bar) override;
  void l2_normalize_jvp(double eps, ConstView y, ConstView norm, ConstView x_dot, View y_dot, View norm_dot) override;
  void l2_normalize_vjp_dot(double eps, ConstView y, ConstView norm, ConstView y_dot, ConstView norm_dot,
                            ConstView y_bar, ConstView y_bar_dot, View x_bar_dot) override;

  // PairingKernels
  void pairing_forward(double scale, ConstView a, ConstView b, View y) override;
  void pairing_vjp(double scale, ConstView a, ConstView b, ConstView y_bar, View a_bar, View b_bar) override;
  void pairing_jvp(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, View y_dot) override;
  void pairing_vjp_dot(double scale, ConstView a, ConstView b, ConstView a_dot, ConstView b_dot, ConstView y_bar,
                       ConstView y_bar_dot, View a_bar_dot, View b_bar_dot) override;

  // FeatureBankKernels
  void gather_rows(ConstView bank, ConstView rows, View out) override;
  void update_rows(double momentum, ConstView z, ConstView rows, View bank) override;

  // OptimizerKernels
  void sgd_step(const SgdParams&, std::span<const double> weight_decay, std::span<const ConstView> gradients,
                std::span<const View> parameters, std::span<const View> buffers) override;
  void adamw_step(const AdamWParams&, std::span<const double> weight_decay, std::span<const ConstView> gradients,
                  std::span<const View> parameters, std::span<const View> first_moments,
                  std::span<const View> second_moments) override;

  // AugmentKernels
  void augment(const AugmentParams&, std::span<const AugmentClip> clips, ConstView frames, View y) override;

 protected:
  void* allocate_impl(std::size_t bytes) override { return allocator_.allocate(bytes); }
  void release_impl(void* p, std::size_t) noexcept override { allocator_.release(p); }

 private:
  CachingAllocator allocator_;
};

}  // namespace mcn::cpu
