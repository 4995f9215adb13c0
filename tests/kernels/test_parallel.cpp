// The threads that kernels run on: every index once, slots of their own, and no work while there is none.
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/catch.h"
#include "tests/threads.h"

namespace mcn::test {
namespace {

using namespace std::chrono_literals;

const int thread_counts[] = {1, 2, 3, 7, 2 * available_cpus() + 1};

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// True if `count` calls are at this place at the same time.
bool meet(std::atomic<int>& arrived, int count) {
  ++arrived;
  for (int i = 0; i < 20000 && arrived < count; ++i) std::this_thread::sleep_for(1ms);
  return arrived >= count;
}

}  // namespace

TEST_CASE("run_parallel: an exception of any thread comes out of the call, and the next call is as any",
          "[cpu][parallel]") {
  for (const int count : thread_counts) {
    CAPTURE(count);
    const Threads scope(count);
    for (int repeat = 0; repeat < 20; ++repeat) {
      const std::int64_t bad = repeat % 7;
      // On another thread than the caller's, too: who takes the index throws.
      CHECK_THROWS_AS(run_parallel(64,
                                   [&](std::int64_t i, std::int64_t) {
                                     if (i % 7 == bad) throw std::bad_alloc();
                                   }),
                      std::bad_alloc);
      std::atomic<int> calls{0};
      run_parallel(64, [&](std::int64_t, std::int64_t) { ++calls; });
      CHECK(calls == 64);
    }
  }
}

TEST_CASE("run_parallel: every index once, and no slot twice at the same time", "[cpu][parallel]") {
  for (const int count : thread_counts) {
    const Threads scope(count);
    CHECK(thread_count() == count);
    for (const std::int64_t n : {0, 1, 2, 3, 16, 1000}) {
      CAPTURE(count, n);
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
      std::vector<std::atomic<int>> taken(static_cast<std::size_t>(count));
      std::atomic<int> bad{0};
      for (int repeat = 0; repeat < 20; ++repeat)
        run_parallel(n, [&](std::int64_t i, std::int64_t slot) {
          if (slot < 0 || slot >= count || taken[static_cast<std::size_t>(slot)].exchange(1) != 0) {
            ++bad;
            return;
          }
          ++calls[static_cast<std::size_t>(i)];
          if (i % 16 == 0) std::this_thread::yield();
          taken[static_cast<std::size_t>(slot)] = 0;
        });
      CHECK(bad == 0);
      for (const auto& c : calls) CHECK(c == 20);
    }
  }
}

TEST_CASE("run_parallel: as many threads as were asked for, also after the number has changed", "[cpu][parallel]") {
  for (const int count : {2, 7, 3, 2, 2 * available_cpus() + 1}) {
    CAPTURE(count);
    const Threads scope(count);
    std::atomic<int> arrived{0}, met{0};
    run_parallel(count, [&](std::int64_t, std::int64_t) { met += meet(arrived, count) ? 1 : 0; });
    CHECK(met == count);
  }
}

TEST_CASE("run_parallel: a call within a call runs on its own thread", "[cpu][parallel]") {
  const Threads scope(3);
  std::atomic<int> elsewhere{0}, inner{0};
  run_parallel(6, [&](std::int64_t, std::int64_t) {
    const auto here = std::this_thread::get_id();
    run_parallel(50, [&](std::int64_t, std::int64_t slot) {
      ++inner;
      if (std::this_thread::get_id() != here || slot != 0) ++elsewhere;
    });
  });
  CHECK(inner == 300);
  CHECK(elsewhere == 0);
}

TEST_CASE("run_parallel: callers side by side", "[cpu][parallel]") {
  const Threads scope(3);
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) run_parallel(20, [&](std::int64_t i, std::int64_t) { sum += i; });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == 4 * 200 * 190);
}

TEST_CASE("idle threads use no processor", "[cpu][parallel]") {
  const Threads scope(4);
  run_parallel(1000, [](std::int64_t, std::int64_t) {});
  std::this_thread::sleep_for(20ms);
  const double before = cpu_seconds();
  std::this_thread::sleep_for(300ms);
  CHECK(cpu_seconds() - before < 0.05);

  // Nor does a caller that waits for the last of them.
  std::atomic<int> arrived{0};
  const double begun = cpu_seconds();
  run_parallel(2, [&](std::int64_t, std::int64_t slot) {
    if (meet(arrived, 2) && slot != 0) std::this_thread::sleep_for(300ms);
  });
  CHECK(cpu_seconds() - begun < 0.1);
}

// AddressSanitizer's own memory would not fit. Tagged [system]: qemu's emulation of a process has no such limit.
#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("threads that the system does not give are an error of one line", "[cpu][parallel][system]") {
  const Threads scope(9);
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit lowered = before;
  lowered.rlim_cur = pages * 4096 + (std::size_t{16} << 20);  // two stacks at most
  std::string message;
  REQUIRE(setrlimit(RLIMIT_AS, &lowered) == 0);
  std::atomic<int> calls{0};
  try {
    run_parallel(100, [&](std::int64_t, std::int64_t) { ++calls; });
  } catch (const DeviceError& e) {
    message = e.what();
  }
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(message.starts_with("[threads] expected 9 of them, the system allows "));
  CHECK(calls == 0);
  run_parallel(100, [&](std::int64_t, std::int64_t) { ++calls; });
  CHECK(calls == 100);
}
#endif

}  // namespace mcn::test
