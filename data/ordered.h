// Work done ahead by several threads and handed out in order: item 0, 1, 2, ... whichever thread made it. Internal to
// data/.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "data/blocking.h"
#include "data/deadline.h"
#include "kernels/error.h"

namespace mcn {

/// Makes item(0), item(1), ... item(count - 1) (count < 0: without end) on threads, at most `ahead` of them beyond the
/// one that is asked for next. item must be safe to call from several threads. An exception from item(i) comes out of
/// the next() that would have given i. The destructor waits for items under way, and for nothing else. Where anybody
/// waits for an item that takes longer than `patience` seconds in which the process ran (data/deadline.h), the system
/// call that blocks its thread is interrupted, again and again; item should have a deadline that it looks at then.
/// SystemError if there are no more threads to be had. If there is no memory to note an item in, every later next()
/// throws std::bad_alloc.
template <class T>
class Ordered {
 public:
  Ordered(int threads, std::int64_t ahead, std::int64_t count, std::function<T(std::int64_t)> item, double patience = 0)
      : item_(std::move(item)),
        ahead_(ahead),
        count_(count),
        patience_(patience),
        workers_(static_cast<std::size_t>(threads)),
        running_(threads) {
    for (std::size_t i = 0; i < workers_.size(); ++i) try {
        workers_[i].thread = std::thread([this, i] { work(workers_[i]); });
      } catch (const std::system_error& error) {
        end(static_cast<int>(workers_.size() - i));
        fail<SystemError>("threads", "expected {} of them, the system allows {}: {}", workers_.size(), i, error.what());
      } catch (...) {
        end(static_cast<int>(workers_.size() - i));
        throw;
      }
  }
  Ordered(const Ordered&) = delete;
  Ordered& operator=(const Ordered&) = delete;
  ~Ordered() { end(0); }

  /// Blocks until the next item is there. Past the last, std::nullopt. waiting is called ten times a second while it
  /// blocks; what it throws comes out, and the item remains the next.
  std::optional<T> next(const std::function<void()>& waiting = {}) {
    std::unique_lock lock(mutex_);
    if (count_ >= 0 && delivered_ >= count_) return std::nullopt;
    while (!ready_.wait_for(lock, glance, [this] { return done(delivered_) || broken_; })) {
      interrupt_late();
      if (!waiting) continue;
      lock.unlock();
      waiting();
      lock.lock();
    }
    if (!done(delivered_)) std::rethrow_exception(broken_);
    auto node = items_.extract(delivered_++);
    lock.unlock();
    room_.notify_all();
    if (node.mapped().error) std::rethrow_exception(node.mapped().error);
    return std::move(node.mapped().value);
  }

  /// Items that are made and not yet asked for.
  [[nodiscard]] std::int64_t waiting() const {
    const std::lock_guard lock(mutex_);
    return std::ranges::count_if(items_, [](const auto& entry) { return entry.second.done; });
  }

 private:
  static constexpr std::chrono::milliseconds glance{100};

  struct Outcome {
    std::optional<T> value;
    std::exception_ptr error;
    bool done = false;
  };
  struct Worker {
    std::thread thread;
    std::optional<double> since;  // of run_seconds(), when its item began
  };

  /// Some threads may not have been to be had.
  void end(int never_started) {
    {
      std::unique_lock lock(mutex_);
      stop_ = true;
      running_ -= never_started;
      room_.notify_all();
      while (!ended_.wait_for(lock, glance, [this] { return running_ == 0; })) interrupt_late();
    }
    for (Worker& worker : workers_)
      if (worker.thread.joinable()) worker.thread.join();
  }

  void work(Worker& self) {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [this] { return stop_ || exhausted() || started_ < delivered_ + ahead_; });
      if (stop_ || exhausted()) break;
      Outcome* outcome = nullptr;
      try {
        // Before the work: there must be a place for whatever comes of it.
        outcome = &items_[started_];
      } catch (...) {
        broken_ = std::current_exception();
        ready_.notify_one();
        break;
      }
      const std::int64_t i = started_++;
      self.since = run_seconds();
      lock.unlock();
      try {
        outcome->value.emplace(item_(i));
      } catch (...) {
        outcome->error = std::current_exception();
      }
      lock.lock();
      self.since.reset();
      outcome->done = true;
      ready_.notify_one();
    }
    --running_;
    ended_.notify_all();
  }

  // A little later than the item's own deadline, which must be over when the call returns.
  void interrupt_late() {
    if (!(patience_ > 0)) return;
    const double late = run_seconds() - 1.1 * std::min(patience_, 1e8) - 0.2;
    for (Worker& worker : workers_)
      if (worker.since && *worker.since < late) interrupt_blocking_call(worker.thread);
  }

  [[nodiscard]] bool done(std::int64_t i) const {
    const auto item = items_.find(i);
    return item != items_.end() && item->second.done;
  }
  [[nodiscard]] bool exhausted() const { return count_ >= 0 && started_ >= count_; }

  std::function<T(std::int64_t)> item_;
  std::int64_t ahead_, count_;
  double patience_;
  mutable std::mutex mutex_;
  std::condition_variable ready_, room_, ended_;
  std::map<std::int64_t, Outcome> items_;  // begun and not yet handed out
  std::exception_ptr broken_;
  std::int64_t started_ = 0, delivered_ = 0;
  bool stop_ = false;
  std::vector<Worker> workers_;
  int running_;
};

}  // namespace mcn
