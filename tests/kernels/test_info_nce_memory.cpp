// InfoNCE at full size: its logits never exist in device memory.
#include "engine/dry_device.h"
#include "engine/tensor.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("InfoNCE of 1,024 anchors and a bank of 65,536 takes a small part of the memory of its logits") {
  constexpr std::int64_t rows = 1024, bank_rows = 65536, size = 128;
  DryDevice device;
  Backend& k = device.backend();
  const auto floats = [&](const Shape& shape) { return Tensor(k, DType::f32, shape); };
  const auto matrix = [&] { return floats({rows, size}); };
  const auto column = [&] { return floats({rows}); };
  const Tensor bank = floats({bank_rows, size}), ids(k, DType::i64, {rows}), bank_ids(k, DType::i64, {bank_rows});
  const Tensor anchor = matrix(), key = matrix(), anchor_dot = matrix(), key_dot = matrix(), anchor_bar = matrix(),
               key_bar = matrix();
  const Tensor lse = column(), lse_dot = column(), loss = floats({1}), bar = floats({1}), bar_dot = floats({1});
  const InfoNceInputs in{
      .temperature = 0.1, .anchor = anchor, .key = key, .bank = bank, .ids = ids, .bank_ids = bank_ids};
  k.info_nce_forward(in, loss, lse);
  k.info_nce_vjp(in, lse, bar, anchor_bar, key_bar);
  k.info_nce_jvp(in, lse, anchor_dot, key_dot, loss, lse_dot);
  k.info_nce_vjp_dot(in, lse, anchor_dot, key_dot, lse_dot, bar, bar_dot, anchor_bar, key_bar);
  const std::size_t scratch = device.peak() - k.memory().peak;
  constexpr std::size_t logits = static_cast<std::size_t>(rows * (rows + bank_rows)) * sizeof(float);
  INFO(scratch << " bytes of scratch, the logits would take " << logits);
  CHECK(scratch > 0);
  CHECK(scratch < logits / 20);
}

}  // namespace mcn
