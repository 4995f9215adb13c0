// The handler of SIGSEGV.
#include "kernels/simt/guards.h"

#if defined(__SANITIZE_ADDRESS__)

namespace mcn::simt {

GuardWatch::GuardWatch() = default;
GuardWatch::~GuardWatch() = default;
std::optional<Touch> take_touch() { return {}; }

}  // namespace mcn::simt

#else

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace mcn::simt {
namespace {

struct sigaction before;

// Of the calling thread: the pages that it has touched, which are open until it asks, and the first time.
constinit thread_local std::array<void*, 64> open_pages{};
constinit thread_local std::size_t open = 0;
constinit thread_local Touch first;

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

bool note(void* p, bool writes) {
  if (open == open_pages.size()) return false;
  const MemoryRange allocation = allocation_beside(p);
  if (allocation.bytes == 0) return false;
  void* const page = static_cast<std::byte*>(p) - reinterpret_cast<std::uintptr_t>(p) % page_bytes();
  if (mprotect(page, page_bytes(), PROT_READ | PROT_WRITE) != 0) return false;
  std::memset(page, 0xFF, page_bytes());
  if (open == 0) first = {p, allocation, writes, threadIdx};
  open_pages[open++] = page;
  return true;
}

void on_fault(int, siginfo_t* info, [[maybe_unused]] void* context) {
#if defined(__x86_64__)
  constexpr greg_t of_a_store = 2;  // in the processor's error code
  const bool writes = (static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & of_a_store) != 0;
#else
  const bool writes = false;
#endif
  if (!note(info->si_addr, writes)) sigaction(SIGSEGV, &before, nullptr);  // it happens again, to that
}

}  // namespace

GuardWatch::GuardWatch() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before);
}

GuardWatch::~GuardWatch() { sigaction(SIGSEGV, &before, nullptr); }

std::optional<Touch> take_touch() {
  if (open == 0) return {};
  for (; open > 0; --open) mprotect(open_pages[open - 1], page_bytes(), PROT_NONE);
  return first;
}

}  // namespace mcn::simt

#endif
