// All kernels, in the only list of them.
#pragma once

#include "kernels/augment.h"
#include "kernels/batch_norm.h"
#include "kernels/channels.h"
#include "kernels/conv.h"
#include "kernels/elementwise.h"
#include "kernels/feature.h"
#include "kernels/loss.h"
#include "kernels/optimizer.h"
#include "kernels/pool.h"

namespace mcn {

template <typename... K>
struct KernelList {};

using Kernels =
    KernelList<kernel::Conv3dFprop, kernel::Conv3dDgrad, kernel::Conv3dWgrad,                                  //
               kernel::BatchNormForward, kernel::BatchNormVjp, kernel::BatchNormJvp, kernel::BatchNormVjpDot,  //
               kernel::Fill, kernel::Scale, kernel::Add, kernel::Relu, kernel::ReluMask, kernel::Axpy,         //
               kernel::Dot, kernel::AllFinite, kernel::Gemm, kernel::AddBias, kernel::SumRows,                 //
               kernel::MaxPool, kernel::MaxPoolGather, kernel::MaxPoolScatter,                                 //
               kernel::AvgPool, kernel::AvgPoolAdjoint,                                                        //
               kernel::ConcatChannels, kernel::SplitChannels,                                                  //
               kernel::CrossEntropyForward, kernel::CrossEntropyVjp, kernel::CrossEntropyJvp,                  //
               kernel::CrossEntropyVjpDot,                                                                     //
               kernel::BceForward, kernel::BceVjp, kernel::BceJvp, kernel::BceVjpDot,                          //
               kernel::InfoNceForward, kernel::InfoNceVjp, kernel::InfoNceJvp, kernel::InfoNceVjpDot,          //
               kernel::L2NormalizeForward, kernel::L2NormalizeVjp, kernel::L2NormalizeJvp,                     //
               kernel::L2NormalizeVjpDot,                                                                      //
               kernel::PairingForward, kernel::PairingVjp, kernel::PairingJvp, kernel::PairingVjpDot,          //
               kernel::GatherRows, kernel::UpdateRows,                                                         //
               kernel::SgdStep, kernel::AdamWStep,                                                             //
               kernel::Augment>;

namespace detail {

template <typename Visit, typename... K>
void for_each_kernel(KernelList<K...>, Visit&& visit) {
  (visit.template operator()<K>(), ...);
}

}  // namespace detail

/// Calls visit.operator()<K>() for every kernel K.
template <typename Visit>
void for_each_kernel(Visit&& visit) {
  detail::for_each_kernel(Kernels{}, visit);
}

/// Anything with a virtual function that takes each kernel.
template <typename List>
class TakesKernels;
template <>
class TakesKernels<KernelList<>> {
 public:
  virtual ~TakesKernels() = default;
  void compute_any() = delete;
};
template <typename K, typename... Rest>
class TakesKernels<KernelList<K, Rest...>> : public TakesKernels<KernelList<Rest...>> {
 protected:
  using TakesKernels<KernelList<Rest...>>::compute_any;
  virtual ResultOf<K> compute_any(const K& kernel) = 0;
};

}  // namespace mcn
