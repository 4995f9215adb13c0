// Both branches of the objective on one tape.
#include "meta/objective.h"

namespace mcn {

Tensor same_video(Backend& backend, DType dtype, std::int64_t videos) {
  std::vector<double> same(static_cast<std::size_t>(videos * videos), 0.0);
  for (std::int64_t i = 0; i < videos; ++i) same[static_cast<std::size_t>(i * (videos + 1))] = 1;
  return Tensor::from(backend, dtype, {videos * videos}, std::span<const double>(same));
}

Var mcn_loss(Tape& tape, std::span<const Var> theta, const McnModel& model, const ClipSet& set,
             const ObjectiveConfig& config, const NormPass& norm, ObjectiveParts* parts) {
  const std::int64_t videos = set.clips.shape()[0] / 2;
  if (videos < 2 || set.clips.shape()[0] % 2 != 0)
    fail("objective", "expected two views of at least 2 videos, got {} clips", set.clips.shape()[0]);
  // Both views in one pass, so that batch statistics are taken over both.
  const Var z = model.project(tape, theta, tape.constant(set.clips), norm);
  const Var a = tape.apply(ops::slice_rows(0, videos), {z});
  const Var b = tape.apply(ops::slice_rows(videos, 2 * videos), {z});
  const Var ab = tape.apply(ops::info_nce(config.temperature, set.bank), {a, b});
  const Var ba = tape.apply(ops::info_nce(config.temperature, set.bank), {b, a});
  Var loss = tape.apply(ops::add(0.5, 0.5), {ab, ba});
  if (parts != nullptr) *parts = {loss.value, {}, z.value, {}};
  if (config.lambda == 0) return loss;

  const Var logits = model.meta_logits(tape, theta, a, b);
  const Var meta = tape.apply(ops::bce_with_logits(set.same, static_cast<double>(videos - 1)), {logits});
  if (parts != nullptr) {
    parts->meta = meta.value;
    parts->logits = logits.value;
  }
  return tape.apply(ops::add(1, config.lambda), {loss, meta});
}

}  // namespace mcn
