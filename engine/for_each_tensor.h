// The tensors in a structure that names its members (kernels/members.h).
#pragma once

#include "engine/tensor.h"
#include "kernels/members.h"

namespace mcn {

template <typename T>
struct IsTensor : std::is_same<T, Tensor> {};

/// Calls visit(tensor) for every tensor in value, always in the same order, and for absent tensors too.
template <typename T, typename Visit>
void for_each_tensor(T& value, Visit&& visit) {
  for_each_leaf<IsTensor>(value, visit);
}

/// The tensors in value, as for_each_tensor() meets them.
template <typename T>
Tensors tensors_in(const T& value) {
  Tensors all;
  for_each_tensor(value, [&](const Tensor& t) { all.push_back(t); });
  return all;
}

}  // namespace mcn
