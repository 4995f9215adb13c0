// The convolutions of float32 tensors on tensor cores (conv_tensor_core.cu).
#pragma once

#include "kernels/cuda/conv_kernels.h"
#include "kernels/precision.h"

namespace mcn::MCN_DEVICE_NAMESPACE {

/// The three maps of conv_kernels.h; precision is tf32 or bf16.
void fprop_tensor_core(Precision, cudaStream_t, const ConvShape&, const Products<float>&, float* y, bool accumulate);
void dgrad_tensor_core(Precision, cudaStream_t, const ConvShape&, const Products<float>&, float* x_bar,
                       bool accumulate);
void wgrad_tensor_core(Precision, cudaStream_t, const ConvShape&, const Products<float>&, float* w_bar,
                       bool accumulate);

}  // namespace mcn::MCN_DEVICE_NAMESPACE
