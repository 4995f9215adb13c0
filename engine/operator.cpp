// The bookkeeping of saved tensors.
#include "engine/operator.h"

namespace mcn {

Saved::Saved(Operator& owner) { owner.saved_.push_back(this); }

void Operator::forget_tangents() {
  for (Saved* s : saved_) s->dot = Tensor();
}

std::size_t Operator::saved_bytes() const {
  std::size_t bytes = 0;
  for (const Saved* s : saved_) {
    if (s->value) bytes += s->value.bytes();
    if (s->dot) bytes += s->dot.bytes();
  }
  return bytes;
}

}  // namespace mcn
