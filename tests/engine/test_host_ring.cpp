// The ring of host buffers: what a device copies late is still what was written, and buffers are used again.
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>

#include "engine/device.h"
#include "engine/host_ring.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "tests/catch.h"
#include "tests/device_here.h"

namespace mcn {
namespace {

constexpr std::int64_t bytes = 1000;

std::vector<std::uint8_t> on_device(const Tensor& x) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(x.shape().numel()));
  x.backend().copy_to_host(x, values.data());
  return values;
}

void fill(std::span<std::uint8_t> buffer, int value) { std::ranges::fill(buffer, static_cast<std::uint8_t>(value)); }

TEST_CASE("a buffer that is written again too early shows on simt") {
  Backend& simt = open_device("simt");
  Tensor x(simt, DType::u8, {bytes});
  std::vector<std::uint8_t> buffer(bytes, 1);
  const Backend::Upload upload = simt.upload(buffer.data(), x);
  fill(buffer, 2);  // bug: nobody waited
  simt.wait_upload(upload);
  CHECK(on_device(x) == std::vector<std::uint8_t>(bytes, 2));
}

TEST_CASE("a buffer from the ring may be written at once, whatever was uploaded from it") {
  Backend& backend = open_device(GENERATE("ref", "cpu", "simt"));
  INFO(backend.name());
  HostRing ring(backend, bytes, 3);
  std::vector<Tensor> uploaded;
  std::set<const void*> memory;
  for (int i = 0; i < 20; ++i) {
    const HostRing::Slot slot = ring.take();
    REQUIRE(slot.bytes().size() == bytes);
    memory.insert(slot.bytes().data());
    fill(slot.bytes(), i);
    uploaded.emplace_back(backend, DType::u8, Shape{bytes});
    slot.upload(uploaded.back());
  }
  CHECK(memory.size() == 1);
  CHECK(ring.slots() == 1);
  for (int i = 0; i < 20; ++i)
    CHECK(on_device(uploaded[static_cast<std::size_t>(i)]) ==
          std::vector<std::uint8_t>(bytes, static_cast<std::uint8_t>(i)));
}

void upload_into_memory_in_use(Backend& backend) {
  HostRing ring(backend, bytes, 2);
  Tensor sum(backend, DType::u8, {20, bytes});
  for (int i = 0; i < 20; ++i) {
    Tensor x(backend, DType::u8, {bytes});  // the memory of the one before, as likely as not
    const HostRing::Slot slot = ring.take();
    fill(slot.bytes(), i);
    slot.upload(x);
    backend.copy(x, sum.rows(i, i + 1).reshaped({bytes}));
  }
  const std::vector<std::uint8_t> values = on_device(sum);
  for (std::size_t i = 0; i < values.size(); ++i) REQUIRE(values[i] == i / bytes);
}

TEST_CASE("kernels see what was uploaded before them, and memory that kernels still use is not written") {
  upload_into_memory_in_use(open_device(GENERATE("ref", "cpu", "simt")));
}

TEST_CASE("cuda has kernels that see what was uploaded before them", "[cuda]") {
  if (test::device_here("cuda")) upload_into_memory_in_use(open_device("cuda"));
}

TEST_CASE("there are as many buffers as were out at a time") {
  HostRing ring(open_device("cpu"), 16, 3);
  {
    std::vector<HostRing::Slot> held;
    for (int i = 0; i < 5; ++i) held.push_back(ring.take());
    std::set<const void*> memory;
    for (const HostRing::Slot& slot : held) memory.insert(slot.bytes().data());
    CHECK(memory.size() == 5);
  }
  for (int i = 0; i < 5; ++i) const HostRing::Slot slot = ring.take();
  CHECK(ring.slots() == 5);
}

TEST_CASE("buffers are parts of one allocation, and there are more where that does not suffice") {
  constexpr std::size_t asked = 20;
  constexpr std::ptrdiff_t pitch = 1024;  // 1000 bytes, aligned
  HostRing ring(open_device(GENERATE("cpu", "simt")), bytes, asked);
  std::vector<HostRing::Slot> held;
  for (std::size_t i = 0; i < asked; ++i) held.push_back(ring.take());
  for (std::size_t i = 1; i < asked; ++i) CHECK(held[i].bytes().data() - held[i - 1].bytes().data() == pitch);
  for (std::size_t i = 0; i < asked; ++i) held.push_back(ring.take());
  std::set<const void*> memory;
  for (std::size_t i = 0; i < held.size(); ++i) {
    fill(held[i].bytes(), static_cast<int>(i));
    memory.insert(held[i].bytes().data());
  }
  CHECK(memory.size() == 2 * asked);
  for (std::size_t i = 0; i < held.size(); ++i)
    CHECK(std::ranges::all_of(held[i].bytes(), [&](std::uint8_t v) { return v == i; }));
  CHECK(ring.slots() == 2 * asked);
}

TEST_CASE("a buffer may outlive its ring, be moved, and refuses what it cannot fill") {
  Backend& cpu = open_device("cpu");
  HostRing::Slot slot;
  CHECK_THROWS_AS(slot.upload(Tensor(cpu, DType::u8, {1})), UsageError);
  {
    HostRing ring(cpu, 16, 1);
    slot = ring.take();
  }
  fill(slot.bytes(), 9);
  const HostRing::Slot moved = std::move(slot);
  Tensor x(cpu, DType::u8, {16});
  moved.upload(x);
  CHECK(on_device(x) == std::vector<std::uint8_t>(16, 9));
  CHECK_THROWS_AS(moved.upload(Tensor(cpu, DType::u8, {17})), UsageError);
  CHECK_THROWS_AS(moved.upload(Tensor(cpu, DType::f32, {4})), UsageError);
}

TEST_CASE("a buffer that no machine has room for is an error that says so") {
  Backend& backend = open_device(GENERATE("cpu", "simt"));
  CHECK_THROWS_AS(HostRing(backend, std::size_t{1} << 50, 1), MemoryError);
  CHECK_THROWS_AS(HostRing(backend, std::size_t{1} << 40, std::size_t{1} << 40), MemoryError);
}

TEST_CASE("threads fill buffers while the device copies from others") {
  Backend& backend = open_device(GENERATE("cpu", "simt"));
  INFO(backend.name());
  constexpr int threads = 3, each = 40;
  HostRing ring(backend, bytes, threads + 4);
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<HostRing::Slot> filled;
  {
    std::vector<std::jthread> producers;
    for (int t = 0; t < threads; ++t)
      producers.emplace_back([&, t] {
        for (int i = 0; i < each; ++i) {
          HostRing::Slot slot = ring.take();
          fill(slot.bytes(), t * each + i);
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return filled.size() < 4; });
          filled.push_back(std::move(slot));
          changed.notify_all();
        }
      });
    std::multiset<int> seen;
    std::vector<Tensor> late;
    std::vector<int> expected;
    for (int i = 0; i < threads * each; ++i) {
      HostRing::Slot slot;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return !filled.empty(); });
        slot = std::move(filled.front());
        filled.pop_front();
        changed.notify_all();
      }
      expected.push_back(slot.bytes()[0]);
      late.emplace_back(backend, DType::u8, Shape{bytes});
      slot.upload(late.back());
    }
    for (std::size_t i = 0; i < late.size(); ++i) {
      const std::vector<std::uint8_t> values = on_device(late[i]);
      REQUIRE(std::ranges::all_of(values, [&](std::uint8_t v) { return v == expected[i]; }));
      seen.insert(expected[i]);
    }
    for (int v = 0; v < threads * each; ++v) CHECK(seen.count(v) == 1);
  }
  // One in each thread's hands, four on their way, one with the consumer, and one whose turn to be returned it is.
  CHECK(ring.slots() <= threads + 4 + 2);
}

}  // namespace
}  // namespace mcn
