// Runs something in every order of threads that the simt layer knows.
#pragma once

#include "kernels/simt/runtime.h"
#include "tests/catch.h"

namespace mcn::test {

/// Sets an order, and sets it back to forward.
class ThreadOrder {
 public:
  explicit ThreadOrder(simt::Order order) { simt::set_order(order); }
  ~ThreadOrder() { simt::set_order(simt::Order::forward); }
  ThreadOrder(const ThreadOrder&) = delete;
  ThreadOrder& operator=(const ThreadOrder&) = delete;
};

inline constexpr simt::Order every_order[] = {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled};

/// The result of run() must be the same in every order.
template <class F>
void in_every_order(F&& run) {
  const auto first = [&] {
    const ThreadOrder order(simt::Order::forward);
    return run();
  }();
  for (const simt::Order o : {simt::Order::reverse, simt::Order::shuffled}) {
    const ThreadOrder order(o);
    CHECK((run() == first));
  }
}

}  // namespace mcn::test
