// The threads that kernels run on: one pool a process, which sleeps while there is nothing to do.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace mcn {

/// The CPUs that this process may run on, by its affinity and by the quota of its control group; at least 1.
int available_cpus();

/// Threads of run_parallel, the caller's among them: available_cpus() at first.
int thread_count();
/// count >= 1; 0: available_cpus(). Waits for a run_parallel under way. The threads start when they are first needed.
void set_thread_count(int count);

/// A reference to something callable as f(i, slot): two pointers. It must not outlive what it refers to.
class ParallelBody {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, ParallelBody>)
      ParallelBody(F&& f)  // NOLINT(google-explicit-constructor,bugprone-forwarding-reference-overload)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, std::int64_t i, std::int64_t slot) {
          (*static_cast<std::remove_reference_t<F>*>(object))(i, slot);
        }) {}
  void operator()(std::int64_t i, std::int64_t slot) const { call_(object_, i, slot); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

/// Calls f(i, slot) for every i in [0, n), in any order, on any thread; calls that run at the same time have different
/// slots in [0, thread_count()). A call from inside f, or during another thread's call, runs on its own thread alone.
/// SystemError, before anything runs, without threads. What f throws comes out once no f runs; the rest is left out.
void run_parallel(std::int64_t n, ParallelBody f);

}  // namespace mcn
