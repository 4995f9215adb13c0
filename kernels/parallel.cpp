// A pool of threads that wait in the kernel (futex), not in a loop, so that they leave the CPUs to whoever has work.
#include "kernels/parallel.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace mcn {
namespace {

using Clock = std::chrono::steady_clock;
using Word = std::atomic<std::uint32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free, "a futex is a plain word");

// A call that comes right after the last one finds the threads awake. It is well below a slice of the scheduler, so
// that whoever else wants this CPU does not notice.
constexpr std::chrono::microseconds patience{30};

void futex_wait(Word& word, std::uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futex_wake(Word& word, int threads) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True once done() is, false if that takes longer than `patience`.
template <class F>
bool spin_until(F&& done) {
  const auto end = Clock::now() + patience;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return false;
}

// Set in the threads of a pool, and in a caller while it takes part: what they call runs serially.
thread_local bool inside = false;

struct Inside {
  Inside() { inside = true; }
  ~Inside() { inside = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

// `threads` threads beside the caller's. A call opens the gate; a thread that comes through it counts itself in, and
// takes indices until there are none. The caller closes the gate when it finds none left, and waits for those who are
// in: one that has not been woken yet, or has no CPU, keeps nobody waiting.
class Pool {
 public:
  explicit Pool(int threads) {
    threads_.reserve(static_cast<std::size_t>(threads));
    for (int slot = 1; slot <= threads; ++slot) try {
        threads_.emplace_back([this, slot] { work(slot); });
      } catch (const std::system_error& e) {
        stop();
        fail<SystemError>("threads", "expected {} of them, the system allows {}: {}", threads + 1, slot,
                          e.code().message());
      } catch (...) {
        stop();
        throw;
      }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { stop(); }

  // One caller at a time.
  void run(std::int64_t n, ParallelBody f) {
    body_ = &f;
    n_ = n;
    next_.store(0, std::memory_order_relaxed);
    gate_.store(0, std::memory_order_release);
    call_threads(static_cast<int>(std::min<std::int64_t>(n - 1, std::ssize(threads_))));
    take_indices(0);
    close_gate();
    if (failed_.load(std::memory_order_relaxed)) {
      failed_.store(false, std::memory_order_relaxed);
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }

 private:
  // The gate: the threads that are in, whether it is closed, and whether the caller sleeps until they have left.
  static constexpr std::uint32_t closed = 1U << 31, waited_for = 1U << 30;

  // Waits for those who are in.
  void close_gate() {
    std::uint32_t in = gate_.fetch_or(closed, std::memory_order_acq_rel) | closed;
    const auto all_left = [&] { return (in = gate_.load(std::memory_order_acquire)) == closed; };
    if (in == closed || spin_until(all_left)) return;
    in = gate_.fetch_or(waited_for, std::memory_order_acq_rel) | waited_for;
    for (; (in & ~waited_for) != closed; in = gate_.load(std::memory_order_acquire)) futex_wait(gate_, in);
  }

  void call_threads(int most) {
    call_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) futex_wake(call_, most);
  }

  bool enter() {
    std::uint32_t in = gate_.load(std::memory_order_relaxed);
    while ((in & closed) == 0)
      if (gate_.compare_exchange_weak(in, in + 1, std::memory_order_acquire, std::memory_order_relaxed)) return true;
    return false;
  }

  void leave() {
    const std::uint32_t in = gate_.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if (in == (closed | waited_for)) futex_wake(gate_, 1);
  }

  // Of exceptions the first one counts, and ends the call for everybody.
  void take_indices(std::int64_t slot) {
    const ParallelBody f = *body_;
    const std::int64_t n = n_;
    try {
      for (std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < n;
           i = next_.fetch_add(1, std::memory_order_relaxed))
        f(i, slot);
    } catch (...) {
      next_.store(n, std::memory_order_relaxed);
      if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
    }
  }

  void work(std::int64_t slot) {
    inside = true;
    std::uint32_t seen = 0;
    for (;;) {
      const auto called = [&] { return call_.load(std::memory_order_acquire) != seen; };
      if (!spin_until(called)) {
        sleeping_.fetch_add(1, std::memory_order_seq_cst);
        while (!called()) futex_wait(call_, seen);
        sleeping_.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = call_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_acquire)) return;
      if (!enter()) continue;
      take_indices(slot);
      leave();
    }
  }

  void stop() {
    stopping_.store(true, std::memory_order_release);
    call_threads(INT_MAX);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  alignas(64) Word call_{0};  // counts the calls; idle threads sleep on it
  Word sleeping_{0};
  std::atomic<bool> stopping_{false};
  alignas(64) Word gate_{closed};
  alignas(64) std::atomic<std::int64_t> next_{0};
  const ParallelBody* body_ = nullptr;
  std::int64_t n_ = 0;
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the thread that set failed_; the gate orders it before the caller's look
  std::vector<std::thread> threads_;
};

// CPUs' worth of time that a control group or one above it grants; at least 1.
int quota_cpus() {
  int least = INT_MAX;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::/")) continue;
    for (std::string group = line.substr(3);; group.resize(group.rfind('/'))) {
      std::ifstream file("/sys/fs/cgroup" + group + "/cpu.max");
      double quota = 0, period = 0;
      if (file >> quota >> period && quota > 0 && period > 0)
        least = std::min(least, std::max(1, static_cast<int>(quota / period + 0.999)));
      if (group.empty() || group == "/") break;
    }
  }
  return least;
}

int affinity_cpus() {
  // The kernel refuses a set smaller than its own.
  for (std::size_t most = CPU_SETSIZE; most <= std::size_t{1} << 20; most *= 2) {
    cpu_set_t* set = CPU_ALLOC(most);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(most);
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return 1;
}

struct Threads {
  std::mutex mutex;  // held by a caller while its call runs
  std::unique_ptr<Pool> pool;
  std::atomic<int> count{available_cpus()};
};

// Never destroyed: threads that outlive main() may still compute.
Threads& threads() {
  static Threads& instance = *new Threads;
  return instance;
}

void run_serially(std::int64_t n, ParallelBody f) {
  for (std::int64_t i = 0; i < n; ++i) f(i, 0);
}

}  // namespace

int available_cpus() { return std::min(affinity_cpus(), quota_cpus()); }

int thread_count() { return threads().count.load(std::memory_order_relaxed); }

void set_thread_count(int count) {
  Threads& t = threads();
  const std::lock_guard lock(t.mutex);
  const int wanted = count > 0 ? count : available_cpus();
  if (wanted != t.count) t.pool.reset();
  t.count = wanted;
}

void run_parallel(std::int64_t n, ParallelBody f) {
  if (n <= 1 || inside) return run_serially(n, f);
  Threads& t = threads();
  if (t.count.load(std::memory_order_relaxed) == 1) return run_serially(n, f);
  const std::unique_lock lock(t.mutex, std::try_to_lock);
  if (!lock) return run_serially(n, f);
  if (t.count == 1) return run_serially(n, f);
  if (t.pool == nullptr) t.pool = std::make_unique<Pool>(t.count - 1);
  const Inside scope;
  t.pool->run(n, f);
}

}  // namespace mcn
