// Functions of the C library's names, which the linker finds first.
#include "tests/data/system_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define MCN_FAILS_ALLOCATIONS
#endif

namespace mcn::test {
namespace {

std::mutex mutex;
bool watching = false;
std::vector<std::string> names;
std::atomic<int> made_sockets{0};

// Plain values, looked at without a lock: an allocator must not allocate.
struct Plan {
  std::atomic<bool> active{false};
  Call call = Call::open;
  int error = 0, before = 0, times = 0;
  std::array<char, 256> name{};
  std::atomic<int> calls{0}, failed{0};
};
Plan plan;

bool fails(Call call, std::string_view name) {
  if (!plan.active || plan.call != call || !name.ends_with(plan.name.data())) return false;
  const int number = plan.calls++;
  if (number < plan.before || (plan.times >= 0 && number >= plan.before + plan.times)) return false;
  ++plan.failed;
  errno = plan.error;
  return true;
}

bool fails(Call call, int descriptor) {
  if (!plan.active || plan.call != call) return false;
  std::array<char, 4096> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size() - 1);
  return fails(call, std::string_view(target.data(), length > 0 ? static_cast<std::size_t>(length) : 0));
}

void note(const char* path) {
  const std::lock_guard lock(mutex);
  if (watching) names.emplace_back(path);
}

/// For a command that has this as a library: MCN_FAILING_CALLS="CALL ERRNO BEFORE TIMES NAME", as FailingCalls.
struct FromEnvironment {
  FromEnvironment() {
    const char* text = std::getenv("MCN_FAILING_CALLS");
    int call = 0;
    if (text == nullptr ||
        std::sscanf(text, "%d %d %d %d %255s", &call, &plan.error, &plan.before, &plan.times, plan.name.data()) != 5)
      return;
    plan.call = static_cast<Call>(call);
    plan.active = true;
  }
} const from_environment;

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

Watch::Watch() {
  const std::lock_guard lock(mutex);
  names.clear();
  made_sockets = 0;
  watching = true;
}
Watch::~Watch() {
  const std::lock_guard lock(mutex);
  watching = false;
}
std::vector<std::string> Watch::opened() const {
  const std::lock_guard lock(mutex);
  return names;
}
int Watch::sockets() const { return made_sockets; }

FailingCalls::FailingCalls(Call call, int error, int before, int times, const std::string& name) {
  plan.call = call;
  plan.error = error;
  plan.before = before;
  plan.times = times;
  plan.name.fill(0);
  name.copy(plan.name.data(), plan.name.size() - 1);
  plan.calls = plan.failed = 0;
  plan.active = true;
}
FailingCalls::~FailingCalls() { plan.active = false; }
int FailingCalls::calls() const { return plan.calls; }
int FailingCalls::failed() const { return plan.failed; }

bool can_fail_allocations() {
#ifdef MCN_FAILS_ALLOCATIONS
  return true;
#else
  return false;
#endif
}

namespace {

using Open = int(const char*, int, mode_t);
using Pread = ssize_t(int, void*, std::size_t, off_t);

int open_by(const char* name, const char* path, int flags, mode_t mode) {
  note(path);
  if (fails(Call::open, path)) return -1;
  return next<Open>(name)(path, flags, mode);
}

ssize_t pread_by(const char* name, int descriptor, void* out, std::size_t bytes, off_t at) {
  if (fails(Call::pread, descriptor)) return -1;
  return next<Pread>(name)(descriptor, out, bytes, at);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

}  // namespace
}  // namespace mcn::test

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mcn::test::mode_of(flags, arguments);
  va_end(arguments);
  return mcn::test::open_by("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mcn::test::mode_of(flags, arguments);
  va_end(arguments);
  return mcn::test::open_by("open64", path, flags, mode);
}

ssize_t pread(int descriptor, void* out, std::size_t bytes, off_t at) {
  return mcn::test::pread_by("pread", descriptor, out, bytes, at);
}

ssize_t pread64(int descriptor, void* out, std::size_t bytes, off64_t at) {
  return mcn::test::pread_by("pread64", descriptor, out, bytes, at);
}

int socket(int domain, int type, int protocol) noexcept {
  ++mcn::test::made_sockets;
  return mcn::test::next<int(int, int, int)>("socket")(domain, type, protocol);
}

#ifdef MCN_FAILS_ALLOCATIONS
int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
  static auto* const real = mcn::test::next<int(void**, std::size_t, std::size_t)>("posix_memalign");
  if (mcn::test::fails(mcn::test::Call::allocate, "")) return ENOMEM;
  return real(out, alignment, bytes);
}
#endif
}
