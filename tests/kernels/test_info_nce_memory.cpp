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
  Tensor anchor = matrix(), key = matrix(), anchor_dot = matrix(), key_dot = matrix(), anchor_bar = matrix(),
         key_bar = matrix();
  Tensor lse = column(), lse_dot = column(), loss = floats({1}), bar = floats({1}), bar_dot = floats({1});
  const InfoNceInputs in{
      .temperature = 0.1, .anchor = anchor, .key = key, .bank = bank, .ids = ids, .bank_ids = bank_ids};
  k.run(kernel::InfoNceForward{.inputs = in, .loss = loss, .lse = lse});
  k.run(kernel::InfoNceVjp{.inputs = in, .lse = lse, .loss_bar = bar, .anchor_bar = anchor_bar, .key_bar = key_bar});
  k.run(kernel::InfoNceJvp{
      .inputs = in, .lse = lse, .anchor_dot = anchor_dot, .key_dot = key_dot, .loss_dot = loss, .lse_dot = lse_dot});
  k.run(kernel::InfoNceVjpDot{.inputs = in,
                              .lse = lse,
                              .anchor_dot = anchor_dot,
                              .key_dot = key_dot,
                              .lse_dot = lse_dot,
                              .loss_bar = bar,
                              .loss_bar_dot = bar_dot,
                              .anchor_bar_dot = anchor_bar,
                              .key_bar_dot = key_bar});
  const std::size_t scratch = device.peak() - k.memory().peak;
  constexpr std::size_t logits = static_cast<std::size_t>(rows * (rows + bank_rows)) * sizeof(float);
  INFO(scratch << " bytes of scratch, the logits would take " << logits);
  CHECK(scratch > 0);
  CHECK(scratch < logits / 20);
}

}  // namespace mcn
