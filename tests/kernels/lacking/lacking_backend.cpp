// Does not link: a backend without one of its kernels. The test reads the linker's message.
#include "kernels/backend.h"

namespace mcn {

class LackingBackend final : public ComputesKernels<LackingBackend> {
 public:
  LackingBackend() : ComputesKernels("lacking") {}
  void copy_from_host(const void*, View) override {}
  void copy_to_host(ConstView, void*) override {}
  void copy(ConstView, View) override {}
  template <typename K>
  ResultOf<K> compute(const K&) requires(!std::same_as<K, kernel::Scale>) {
    return ResultOf<K>();
  }
  template <typename K>
  ResultOf<K> compute(const K&) requires(std::same_as<K, kernel::Scale>);

 protected:
  void* allocate_impl(std::size_t) override { return nullptr; }
  void release_impl(void*, std::size_t) noexcept override {}
};

}  // namespace mcn

int main() {
  mcn::LackingBackend backend;
  backend.run(mcn::kernel::Fill{});
  return 0;
}
