// Work done ahead by several threads and handed out in order: item 0, 1, 2, ... whichever thread made it. Internal to
// data/.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace mcn {

/// Makes item(0), item(1), ... item(count - 1) (count < 0: without end) on threads, at most `ahead` of them beyond the
/// one that is asked for next. item must be safe to call from several threads. An exception from item(i) comes out of
/// the next() that would have given i. The destructor waits for items under way, and for nothing else.
template <class T>
class Ordered {
 public:
  Ordered(int threads, std::int64_t ahead, std::int64_t count, std::function<T(std::int64_t)> item)
      : item_(std::move(item)), ahead_(ahead), count_(count) {
    for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  Ordered(const Ordered&) = delete;
  Ordered& operator=(const Ordered&) = delete;
  ~Ordered() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// Blocks until the next item is there. Past the last, std::nullopt.
  std::optional<T> next() {
    std::unique_lock lock(mutex_);
    if (count_ >= 0 && delivered_ >= count_) return std::nullopt;
    ready_.wait(lock, [this] { return done_.contains(delivered_); });
    auto node = done_.extract(delivered_++);
    lock.unlock();
    room_.notify_all();
    if (node.mapped().error) std::rethrow_exception(node.mapped().error);
    return std::move(node.mapped().value);
  }

  /// Items that are made and not yet asked for.
  [[nodiscard]] std::int64_t waiting() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(done_.size());
  }

 private:
  struct Outcome {
    std::optional<T> value;
    std::exception_ptr error;
  };

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [this] { return stop_ || exhausted() || started_ < delivered_ + ahead_; });
      if (stop_ || exhausted()) return;
      const std::int64_t i = started_++;
      lock.unlock();
      Outcome outcome;
      try {
        outcome.value.emplace(item_(i));
      } catch (...) {
        outcome.error = std::current_exception();
      }
      lock.lock();
      done_.emplace(i, std::move(outcome));
      ready_.notify_one();
    }
  }

  [[nodiscard]] bool exhausted() const { return count_ >= 0 && started_ >= count_; }

  std::function<T(std::int64_t)> item_;
  std::int64_t ahead_, count_;
  mutable std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::map<std::int64_t, Outcome> done_;
  std::int64_t started_ = 0, delivered_ = 0;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace mcn
