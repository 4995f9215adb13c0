// Fibers, barriers and warp exchanges of one block; the loop over blocks.
#include "kernels/simt/block.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/simt/guards.h"
#include "kernels/simt/language.h"
#include "kernels/simt/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>
#endif

namespace mcn::simt {
namespace {

namespace context = boost::context;

constexpr std::size_t stack_bytes = std::size_t{256} << 10;

// What a thread does next.
enum class State : std::uint8_t { ready, at_block_barrier, at_warp_barrier, done };

// Thrown into the fibers of a block that has failed, to unwind them.
struct Abandoned {};

// A fiber that runs one thread of a block after another, with the annotations that AddressSanitizer wants round every
// change of stack (Boost's own switches have none in Debian's build).
class Fiber {
 public:
  Fiber() : stack_(allocator_.allocate()) {
    // Boost enters a new fiber once, and leaves it before its function: what ASan lays out there must be the fiber's
    // own, or it is taken for dead when an exception passes here.
    void* fake = nullptr;
    const void* bottom = nullptr;
    std::size_t size = 0;
    leave(&fake, stack_bottom(), stack_.size);
    fiber_ = context::fiber(std::allocator_arg, context::preallocated(stack_.sp, stack_.size, stack_), Kept{},
                            [this](context::fiber&& caller) { return loop(std::move(caller)); });
    arrive(fake, &bottom, &size);
    leave(&fake, bottom, size);
    arrive(fake, nullptr, nullptr);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() {
    stopping_ = true;
    resume();
    allocator_.deallocate(stack_);
  }

  /// Runs `body` from its start at the next resume().
  void begin(const std::function<void()>& body) { body_ = &body; }

  /// Runs until the body ends or suspends; true if it has ended.
  bool resume() {
    ended_ = false;
    void* fake = nullptr;
    leave(&fake, stack_bottom(), stack_.size);
    fiber_ = std::move(fiber_).resume();
    arrive(fake, nullptr, nullptr);
    return ended_;
  }

  /// Back to whoever called resume().
  void suspend() {
    void* fake = nullptr;
    leave(&fake, caller_bottom_, caller_size_);
    caller_ = std::move(caller_).resume();
    arrive(fake, &caller_bottom_, &caller_size_);
  }

 private:
  // The stack is released by ~Fiber, not by Boost.
  struct Kept {
    static context::stack_context allocate() { return {}; }
    static void deallocate(context::stack_context&) {}
  };

  [[nodiscard]] const void* stack_bottom() const { return static_cast<char*>(stack_.sp) - stack_.size; }

  context::fiber loop(context::fiber&& caller) {
    arrive(nullptr, &caller_bottom_, &caller_size_);
    caller_ = std::move(caller);
    while (!stopping_) {
      (*body_)();
      ended_ = true;
      suspend();
    }
    leave(nullptr, caller_bottom_, caller_size_);
    return std::move(caller_);
  }

#if defined(__SANITIZE_ADDRESS__)
  static void leave(void** fake, const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(fake, bottom, size);
  }
  static void arrive(void* fake, const void** bottom, std::size_t* size) {
    __sanitizer_finish_switch_fiber(fake, bottom, size);
  }
#else
  static void leave(void**, const void*, std::size_t) {}
  static void arrive(void*, const void**, std::size_t*) {}
#endif

  context::protected_fixedsize_stack allocator_{stack_bytes};
  context::stack_context stack_;
  context::fiber caller_;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
  const std::function<void()>* body_ = nullptr;
  bool ended_ = false;
  bool stopping_ = false;
  context::fiber fiber_;
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

void perform(const Copy& copy) {
  if (copy.from == nullptr)
    std::memset(copy.to, 0, copy.bytes);
  else
    std::memcpy(copy.to, copy.from, copy.bytes);
}

struct Thread {
  State state = State::ready;
  unsigned id = 0;
  uint3 index{0, 0, 0};
  std::source_location where;
  unsigned exchanges = 0;
  std::vector<Copy> open;                // copies after the last commit
  std::deque<std::vector<Copy>> groups;  // committed and not yet done
};

struct Warp {
  // Two sets of slots, used in turn: a lane that has read one set may show its next value before the others have read.
  alignas(64) std::array<std::array<std::byte, warp_lanes * exchange_bytes>, 2> slots;
};

// xorshift: the order of threads need be arbitrary, not random.
struct Shuffle {
  std::uint64_t state;
  std::size_t operator()(std::size_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::size_t>(state % n);
  }
};

std::vector<unsigned> ordered(std::size_t n, Order order, std::uint64_t salt) {
  std::vector<unsigned> ids(n);
  std::iota(ids.begin(), ids.end(), 0U);
  if (order == Order::reverse) std::reverse(ids.begin(), ids.end());
  if (order == Order::shuffled) {
    Shuffle shuffle{0x9E3779B97F4A7C15ULL ^ (salt * 0xD1342543DE82EF95ULL + 1)};
    for (std::size_t i = n; i > 1; --i) std::swap(ids[i - 1], ids[shuffle(i)]);
  }
  return ids;
}

std::string text(const Index3& i) { return fmt::format("({}, {}, {})", i.x, i.y, i.z); }
std::string text(const uint3& i) { return text(Index3{i.x, i.y, i.z}); }

std::string text(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), where.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

// Runs blocks on one OS thread, one at a time. Fibers stay for the next block and the next launch.
class BlockRunner {
 public:
  void run(const Launch& launch, Index3 block, Order order, std::uint64_t salt) {
    launch_ = &launch;
    const Index3& size = launch.block;
    const unsigned count = size.x * size.y * size.z;
    while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>());
    threads_.assign(count, {});
    const unsigned warps = (count + warp_lanes - 1) / warp_lanes;
    warps_.resize(warps);
    shared_ = std::make_unique_for_overwrite<Shared[]>((launch.shared_bytes + sizeof(Shared) - 1) / sizeof(Shared));
    std::memset(shared_.get(), 0xFF, (launch.shared_bytes + sizeof(Shared) - 1) / sizeof(Shared) * sizeof(Shared));
    poison_past_end();
    blockIdx = {block.x, block.y, block.z};
    blockDim = {size.x, size.y, size.z};
    gridDim = {launch.grid.x, launch.grid.y, launch.grid.z};
    failed_ = nullptr;
    found_.clear();
    for (unsigned id = 0; id < count; ++id) {
      Thread& thread = threads_[id];
      thread.id = id;
      thread.index = {id % size.x, id / size.x % size.y, id / size.x / size.y};
      fibers_[id]->begin(body_);
    }
    warp_order_ = ordered(warps, order, salt);
    lane_order_ = ordered(warp_lanes, order, salt + 1);
    run_threads();
    current_ = nullptr;
    if (const auto touch = take_touch(); touch && !failed_)
      set_failure(fmt::format(
          "thread {} {} byte {} of an allocation of {} bytes", text(touch->thread), touch->writes ? "writes" : "reads",
          static_cast<const std::byte*>(touch->address) - touch->allocation.begin, touch->allocation.bytes));
    if (failed_) {
      abandon();
      current_ = nullptr;
      std::rethrow_exception(failed_);
    }
  }

  void wait(State state, const std::source_location& where) {
    Thread& thread = *current_;
    thread.state = state;
    thread.where = where;
    fibers_[thread.id]->suspend();
    if (failed_) throw Abandoned{};
  }

  const std::byte* exchange(const void* value, std::size_t bytes, const std::source_location& where) {
    Thread& thread = *current_;
    if (const std::size_t lanes = threads_.size() - thread.id / warp_lanes * warp_lanes; lanes < warp_lanes)
      fail<DeviceError>("simt", "{}: warp operation at {} in a warp of {} lanes, expected {}", here(), text(where),
                        lanes, warp_lanes);
    auto& slots = warps_[thread.id / warp_lanes].slots[thread.exchanges++ % 2];
    std::memcpy(slots.data() + thread.id % warp_lanes * exchange_bytes, value, bytes);
    wait(State::at_warp_barrier, where);
    return slots.data();
  }

  [[noreturn]] void refuse_mask(unsigned mask, const std::source_location& where) const {
    fail<DeviceError>("simt", "{}: mask {:#010x} at {}, expected 0xffffffff: every lane takes part", here(), mask,
                      text(where));
  }

  [[noreturn]] void refuse_address(const void* p, std::size_t alignment, std::string_view what) const {
    fail<DeviceError>("simt", "{}: {} at {}, expected a multiple of {} bytes", here(), what, name_of(p), alignment);
  }

  void check_shared(const void* p, std::size_t bytes, std::string_view what) const {
    const std::size_t at = shared_offset(p);
    if (at > launch_->shared_bytes || bytes > launch_->shared_bytes - at)
      fail<DeviceError>("simt", "{}: {} at {}, expected {} bytes within the block's {} bytes of shared memory", here(),
                        what, name_of(p), bytes, launch_->shared_bytes);
  }

  void copy_async(void* to, const void* from, std::size_t bytes, bool inside) {
    if (bytes != 4 && bytes != 8 && bytes != 16)
      fail<DeviceError>("simt", "{}: cp.async of {} bytes, expected 4, 8 or 16", here(), bytes);
    simt::check_aligned(to, bytes, "cp.async writes");
    simt::check_aligned(from, bytes, "cp.async reads");
    check_shared(to, bytes, "cp.async writes");
    if (inside) check_device(from, bytes, "cp.async reads");
    current_->open.push_back({to, inside ? from : nullptr, bytes});
  }

  void* shared_memory(std::size_t bytes) {
    if (bytes > launch_->shared_bytes)
      fail<DeviceError>("simt", "{}: uses {} bytes of shared memory, launched with {}", launch_->kernel, bytes,
                        launch_->shared_bytes);
    return shared_.get();
  }

  Thread& current() { return *current_; }

#if defined(__SANITIZE_ADDRESS__)
  void report() const {
    if (launch_ == nullptr || current_ == nullptr) return;
    const std::string line = fmt::format("[simt] in {}, block {}, thread {}\n", launch_->kernel,
                                         text(Index3{blockIdx.x, blockIdx.y, blockIdx.z}), text(current_->index));
    (void)!write(STDERR_FILENO, line.data(), line.size());
  }
#endif

 private:
  struct alignas(64) Shared {
    std::byte bytes[64];
  };

  // The running thread, for messages.
  [[nodiscard]] std::string here() const {
    return fmt::format("{}, block {}, thread {}", launch_->kernel, text(Index3{blockIdx.x, blockIdx.y, blockIdx.z}),
                       text(current_->index));
  }

  // Past the end of shared memory, and far past for what lies before it.
  [[nodiscard]] std::size_t shared_offset(const void* p) const {
    return reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(shared_.get());
  }

  // An address in words that are the same in every run.
  [[nodiscard]] std::string name_of(const void* p) const {
    constexpr std::size_t past = 4096;  // a store that far past the end was meant for shared memory
    const bool device = live_range(p).bytes != 0;
    if (!device && shared_offset(p) < launch_->shared_bytes + past)
      return fmt::format("byte {} of shared memory", shared_offset(p));
    return name_of_device_address(p);
  }

  // A kernel reads the same few allocations again and again: those found are kept until the block ends.
  void check_device(const void* p, std::size_t bytes, std::string_view what) {
    const auto holds = [&](const MemoryRange& r) { return r.holds(p, bytes); };
    if (std::any_of(found_.begin(), found_.end(), holds)) return;
    const MemoryRange range = live_range(p);
    if (!holds(range))
      fail<DeviceError>("simt", "{}: {} at {}, expected {} bytes within one allocation", here(), what,
                        name_of_device_address(p), bytes);
    found_.push_back(range);
  }

  // Runs each warp until all its lanes wait for the block or have left; then opens the block's barrier.
  void run_threads() {
    for (;;) {
      for (const unsigned warp : warp_order_) {
        run_warp(warp * warp_lanes);
        if (failed_) return;
      }
      const auto waiting = static_cast<std::size_t>(std::count_if(
          threads_.begin(), threads_.end(), [](const Thread& t) { return t.state == State::at_block_barrier; }));
      if (waiting == 0) return;
      check_together(threads_.data(), threads_.size(), State::at_block_barrier, "barrier");
      if (failed_) return;
      for (Thread& thread : threads_) thread.state = State::ready;
    }
  }

  void run_warp(std::size_t first) {
    const std::size_t lanes = std::min<std::size_t>(warp_lanes, threads_.size() - first);
    Thread* warp = &threads_[first];
    for (;;) {
      for (const unsigned lane : lane_order_) {
        if (lane >= lanes || warp[lane].state != State::ready) continue;
        current_ = &warp[lane];
        threadIdx = current_->index;
        if (fibers_[current_->id]->resume()) current_->state = State::done;
        if (failed_) return;
      }
      const bool any =
          std::any_of(warp, warp + lanes, [](const Thread& t) { return t.state == State::at_warp_barrier; });
      if (!any) return;
      check_together(warp, lanes, State::at_warp_barrier, "warp operation");
      if (failed_) return;
      for (std::size_t lane = 0; lane < lanes; ++lane) warp[lane].state = State::ready;
    }
  }

  // All of these threads wait for the same thing at the same place, or the kernel has failed.
  void check_together(const Thread* threads, std::size_t count, State state, const char* what) {
    const Thread& waiting = *std::find_if(threads, threads + count, [&](const Thread& t) { return t.state == state; });
    for (std::size_t i = 0; i < count; ++i) {
      const Thread& other = threads[i];
      if (other.state == state && same_place(other.where, waiting.where)) continue;
      const std::string elsewhere =
          other.state == State::done ? "has returned" : fmt::format("waits at {}", text(other.where));
      set_failure(fmt::format("divergent {}: thread {} waits at {}, thread {} {}", what, text(waiting.index),
                              text(waiting.where), text(other.index), elsewhere));
      return;
    }
  }

  void set_failure(const std::string& message) {
    failed_ = std::make_exception_ptr(DeviceError(fmt::format(
        "[simt] {}, block {}: {}", launch_->kernel, text(Index3{blockIdx.x, blockIdx.y, blockIdx.z}), message)));
  }

  // Unwinds the fibers that are in the middle of a thread.
  void abandon() {
    for (Thread& thread : threads_) {
      if (thread.state != State::at_block_barrier && thread.state != State::at_warp_barrier) continue;
      current_ = &thread;
      threadIdx = thread.index;
      fibers_[thread.id]->resume();
    }
  }

  void thread_body() {
    try {
      launch_->body();
      const auto& groups = current_->groups;
      if (!current_->open.empty() ||
          std::any_of(groups.begin(), groups.end(), [](const auto& g) { return !g.empty(); }))
        set_failure(
            fmt::format("thread {} returned without waiting for its asynchronous copies", text(current_->index)));
    } catch (const Abandoned&) {
    } catch (...) {
      failed_ = std::current_exception();
    }
  }

  // Shared memory ends where the launch says, not where its last unit does.
  void poison_past_end() {
#if defined(__SANITIZE_ADDRESS__)
    const std::size_t units = (launch_->shared_bytes + sizeof(Shared) - 1) / sizeof(Shared);
    auto* begin = reinterpret_cast<std::byte*>(shared_.get());
    ASAN_POISON_MEMORY_REGION(begin + launch_->shared_bytes, units * sizeof(Shared) - launch_->shared_bytes);
#endif
  }

  const Launch* launch_ = nullptr;
  const std::function<void()> body_ = [this] { thread_body(); };
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> warp_order_, lane_order_;
  std::unique_ptr<Shared[]> shared_;
  std::vector<MemoryRange> found_;
  Thread* current_ = nullptr;
  std::exception_ptr failed_;
};

BlockRunner& runner() {
  thread_local BlockRunner instance;
  return instance;
}

#if defined(__SANITIZE_ADDRESS__)
// AddressSanitizer's report is about an address: adds the kernel, block and thread that used it.
void add_to_report(const char*) { runner().report(); }
const bool reporting = (__asan_set_error_report_callback(add_to_report), true);
#endif

}  // namespace

void run_grid(const Launch& launch, Order order) {
  const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const std::vector<unsigned> ids = ordered(static_cast<std::size_t>(blocks), order, 0);
  std::exception_ptr failed;
  std::mutex mutex;
  std::atomic<bool> stop{false};
  const GuardWatch watch;
  run_parallel(static_cast<std::int64_t>(blocks), [&](std::int64_t i, std::int64_t) {
    if (stop) return;
    const unsigned id = ids[static_cast<std::size_t>(i)];
    const Index3 block{id % launch.grid.x, id / launch.grid.x % launch.grid.y, id / launch.grid.x / launch.grid.y};
    try {
      runner().run(launch, block, order, id);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failed) failed = std::current_exception();
      stop = true;
    }
  });
  if (failed) std::rethrow_exception(failed);
}

void wait_block(const std::source_location& where) { runner().wait(State::at_block_barrier, where); }

const std::byte* exchange(const void* value, std::size_t bytes, const std::source_location& where) {
  return runner().exchange(value, bytes, where);
}

void refuse_mask(unsigned mask, const std::source_location& where) { runner().refuse_mask(mask, where); }
void refuse_address(const void* p, std::size_t alignment, std::string_view what) {
  runner().refuse_address(p, alignment, what);
}
void check_shared(const void* p, std::size_t bytes, std::string_view what) { runner().check_shared(p, bytes, what); }

void* shared_memory(std::size_t bytes) { return runner().shared_memory(bytes); }

void copy_async(void* to, const void* from, std::size_t bytes, bool inside) {
  runner().copy_async(to, from, bytes, inside);
}

void commit_copies() {
  Thread& thread = runner().current();
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}

void wait_copies(int pending) {
  Thread& thread = runner().current();
  while (thread.groups.size() > static_cast<std::size_t>(pending)) {
    for (const Copy& copy : thread.groups.front()) perform(copy);
    thread.groups.pop_front();
  }
}

}  // namespace mcn::simt
