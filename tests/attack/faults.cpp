// A library for LD_PRELOAD under which a program's calls of the system and of the allocator fail on request. It stands
// between the program (and its libraries) and the C library.
//
//   MCN_ATTACK="CALL WHAT FIRST TIMES"   the calls of kind CALL from number FIRST on, TIMES of them (0: all) fail.
//                                        WHAT: an errno; 0: only half of the bytes are read or written; kill: SIGKILL
//                                        before the call
//   MCN_ATTACK_COUNTS=FILE               8-byte numbers: calls of each kind, in the order of `names`, then those that
//                                        failed. The file must be there and long enough. It is mapped, so that
//                                        it is true however the program ends
//   MCN_ATTACK_LOG=FILE                  appends lines: "failed CALL NUMBER TARGET", "socket", "connect", "exec
//                                        PATH", and without MCN_ATTACK "call CALL NUMBER TARGET" for what is done to
//                                        files
//
// Calls count from the start of main() to its return: what the loader and the constructors of libraries do before, and
// destructors after it, is not the program's. Standard streams (descriptors 0 to 2) never fail here: what full and
// closed streams do is tried with real ones. What the C library does within itself (reads of fread(), writes of
// fwrite(), the allocator's own mmap()) is not seen, but the opening and closing of FILEs is.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>

namespace {

// In the order of `names`; up to `file` are operations on files, which also count as `file`.
// clang-format off
enum Call : int { open_, read_, write_, sync_, close_, rename_, link_, unlink_, mkdir_, list_, stat_, seek_, lock_, file_,
                  map_, thread_, malloc_, large_, calls };
constexpr std::array<const char*, calls> names{
    "open", "read", "write", "sync", "close", "rename", "link", "unlink", "mkdir", "list", "stat", "seek", "lock", "file",
    "map", "thread", "malloc", "large"};
// clang-format on
constexpr std::size_t large_bytes = 128 << 10;

std::array<std::atomic<std::uint64_t>, calls + 1> own_counts{};
std::atomic<std::uint64_t>* counts = own_counts.data();
std::atomic<bool> armed{false};
bool sanitized = false;
int log_descriptor = -1;

enum class Effect : std::uint8_t { none, error, half };
struct Plan {
  Call call = calls;
  bool kills = false;
  int error = 0;
  std::uint64_t first = 0, times = 0;
};
Plan plan;

// Bytes that the program has of the allocator and by mmap(), and the most that it may have. "malloc" from number N on
// fills the memory: there is no more than what the program gives back.
constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
std::atomic<std::int64_t> held{0}, most_held{unlimited};
bool is_beyond(std::size_t more) {
  const std::int64_t most = most_held;
  return most != unlimited &&
         (more > static_cast<std::size_t>(unlimited) || held > most - static_cast<std::int64_t>(more));
}

// What a call is about, for the log.
struct Target {
  const char* path = nullptr;
  int descriptor = -1;
  Target() = default;
  Target(const char* p) : path(p) {}  // NOLINT(google-explicit-constructor)
  Target(int fd) : descriptor(fd) {}  // NOLINT(google-explicit-constructor)
};

// By the kernel's own calls, as those of the C library lead here.
void log_line(std::string_view word, std::string_view rest) {
  if (log_descriptor < 0) return;
  std::array<char, PATH_MAX + 128> line{};
  const int length = std::snprintf(line.data(), line.size(), "%.*s %.*s\n", static_cast<int>(word.size()), word.data(),
                                   static_cast<int>(rest.size()), rest.data());
  const int saved = errno;
  syscall(SYS_write, log_descriptor, line.data(),
          std::min<std::size_t>(static_cast<std::size_t>(length), line.size() - 1));
  errno = saved;
}

void log_call(const char* word, Call call, std::uint64_t number, const Target& target) {
  if (log_descriptor < 0) return;
  std::array<char, PATH_MAX> path{};
  std::array<char, PATH_MAX + 64> rest{};
  if (target.path != nullptr) {
    std::snprintf(path.data(), path.size(), "%s", target.path);
  } else if (target.descriptor >= 0) {
    std::snprintf(rest.data(), rest.size(), "/proc/self/fd/%d", target.descriptor);
    syscall(SYS_readlink, rest.data(), path.data(), path.size() - 1);
  }
  std::snprintf(rest.data(), rest.size(), "%s %lu %s", names[call], static_cast<unsigned long>(number), path.data());
  log_line(word, rest.data());
}

Effect counted(Call call, const Target& target) {
  const std::uint64_t n = ++counts[call];
  if (plan.call == calls && call < file_) log_call("call", call, n, target);
  if (plan.call != call || n < plan.first || (plan.times > 0 && n >= plan.first + plan.times)) return Effect::none;
  ++counts[calls];
  log_call("failed", call, n, target);
  if (plan.kills) syscall(SYS_kill, getpid(), SIGKILL);
  errno = plan.error;
  return plan.error == 0 ? Effect::half : Effect::error;
}

Effect effect_on(Call call, const Target& target) {
  if (!armed || (target.path == nullptr && target.descriptor >= 0 && target.descriptor <= 2)) return Effect::none;
  const Effect effect = counted(call, target);
  if (call >= file_) return effect;
  const Effect of_any = counted(file_, target);
  return effect != Effect::none ? effect : of_any;
}

bool fails(Call call, const Target& target) { return effect_on(call, target) == Effect::error; }

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void read_plan() {
  const char* text = std::getenv("MCN_ATTACK");
  std::array<char, 16> call{}, what{};
  unsigned long first = 0, times = 0;
  if (text == nullptr || std::sscanf(text, "%15s %15s %lu %lu", call.data(), what.data(), &first, &times) != 4) return;
  for (int i = 0; i < calls; ++i)
    if (std::string_view(names[static_cast<std::size_t>(i)]) == call.data()) plan.call = static_cast<Call>(i);
  plan.kills = std::string_view(what.data()) == "kill";
  plan.error = std::atoi(what.data());
  plan.first = first;
  plan.times = times;
}

void open_files() {
  if (const char* path = std::getenv("MCN_ATTACK_COUNTS")) {
    const int descriptor = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
    void* const memory =
        next<decltype(mmap)>("mmap")(nullptr, sizeof own_counts, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory != MAP_FAILED) counts = static_cast<std::atomic<std::uint64_t>*>(memory);
    syscall(SYS_close, descriptor);
  }
  if (const char* path = std::getenv("MCN_ATTACK_LOG")) {
    const int descriptor =
        static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    // Out of the way of the numbers that the program gets.
    log_descriptor = static_cast<int>(syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, 1000));
    syscall(SYS_close, descriptor);
  }
}

using Main = int(int, char**, char**);
Main* real_main = nullptr;
int main_under_attack(int argc, char** argv, char** environment) {
  read_plan();
  open_files();
  sanitized = dlsym(RTLD_DEFAULT, "__asan_init") != nullptr;
  armed = true;
  const int code = real_main(argc, argv, environment);
  armed = false;
  return code;
}

}  // namespace

// A function of the C library's name. The name in the source is another one, as the C library's headers declare theirs
// with exception specifications that differ from version to version.
#define REPLACED(result, name, ...)                                                                   \
  extern "C" __attribute__((visibility("default"))) result attack_##name(__VA_ARGS__) __asm__(#name); \
  extern "C" result attack_##name(__VA_ARGS__)
#define REAL(name) static auto* const real = next<decltype(attack_##name)>(#name)

// One that fails by `failure` and errno, or is passed on.
#define FAILING(call, target, failure, result, name, parameters, arguments)                         \
  extern "C" __attribute__((visibility("default"))) result attack_##name parameters __asm__(#name); \
  extern "C" result attack_##name parameters {                                                      \
    REAL(name);                                                                                     \
    if (fails(call, target)) return failure;                                                        \
    return real arguments;                                                                          \
  }

REPLACED(int, __libc_start_main, Main* main, int argc, char** argv, void (*init)(), void (*fini)(), void (*rtld_fini)(),
         void* stack_end) {
  REAL(__libc_start_main);
  real_main = main;
  return real(main_under_attack, argc, argv, init, fini, rtld_fini, stack_end);
}

// ---- opening

namespace {
mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}
}  // namespace

#define OPEN(name)                                            \
  REPLACED(int, name, const char* path, int flags, ...) {     \
    REAL(name);                                               \
    va_list arguments;                                        \
    va_start(arguments, flags);                               \
    const mode_t mode = mode_of(flags, arguments);            \
    va_end(arguments);                                        \
    return fails(open_, path) ? -1 : real(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                  \
  REPLACED(int, name, int folder, const char* path, int flags, ...) { \
    REAL(name);                                                       \
    va_list arguments;                                                \
    va_start(arguments, flags);                                       \
    const mode_t mode = mode_of(flags, arguments);                    \
    va_end(arguments);                                                \
    return fails(open_, path) ? -1 : real(folder, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)
#define OPEN_AS(failure, result, name, parameters, arguments)                                       \
  extern "C" __attribute__((visibility("default"))) result attack_##name parameters __asm__(#name); \
  extern "C" result attack_##name parameters {                                                      \
    REAL(name);                                                                                     \
    return fails(open_, path) ? (failure) : real arguments;                                         \
  }
OPEN_AS(-1, int, __open_2, (const char* path, int flags), (path, flags))
OPEN_AS(-1, int, __open64_2, (const char* path, int flags), (path, flags))
OPEN_AS(-1, int, creat, (const char* path, mode_t mode), (path, mode))
OPEN_AS(-1, int, creat64, (const char* path, mode_t mode), (path, mode))
OPEN_AS(nullptr, FILE*, fopen, (const char* path, const char* mode), (path, mode))
OPEN_AS(nullptr, FILE*, fopen64, (const char* path, const char* mode), (path, mode))
OPEN_AS(nullptr, DIR*, opendir, (const char* path), (path))

// ---- reading and writing: half of the bytes is an answer, too

#define TRANSFER(call, name, buffer_type, more_parameters, more_arguments)                 \
  REPLACED(ssize_t, name, int fd, buffer_type buffer, std::size_t bytes more_parameters) { \
    REAL(name);                                                                            \
    switch (effect_on(call, fd)) {                                                         \
      case Effect::error:                                                                  \
        return -1;                                                                         \
      case Effect::half:                                                                   \
        return real(fd, buffer, bytes > 1 ? bytes / 2 : bytes more_arguments);             \
      case Effect::none:                                                                   \
        break;                                                                             \
    }                                                                                      \
    return real(fd, buffer, bytes more_arguments);                                         \
  }
#define AND ,
TRANSFER(read_, read, void*, , )
TRANSFER(read_, __read_chk, void*, AND std::size_t room, AND room)
TRANSFER(read_, pread, void*, AND off_t offset, AND offset)
TRANSFER(read_, pread64, void*, AND off64_t offset, AND offset)
TRANSFER(read_, __pread_chk, void*, AND off_t offset AND std::size_t room, AND offset AND room)
TRANSFER(read_, __pread64_chk, void*, AND off64_t offset AND std::size_t room, AND offset AND room)
TRANSFER(write_, write, const void*, , )
TRANSFER(write_, pwrite, const void*, AND off_t offset, AND offset)
TRANSFER(write_, pwrite64, const void*, AND off64_t offset, AND offset)
FAILING(read_, fd, -1, ssize_t, readv, (int fd, const iovec* pieces, int n), (fd, pieces, n))
FAILING(write_, fd, -1, ssize_t, writev, (int fd, const iovec* pieces, int n), (fd, pieces, n))
FAILING(write_, to, -1, ssize_t, sendfile, (int to, int from, off_t* offset, std::size_t n), (to, from, offset, n))
FAILING(write_, to, -1, ssize_t, sendfile64, (int to, int from, off64_t* offset, std::size_t n), (to, from, offset, n))
FAILING(write_, to, -1, ssize_t, copy_file_range,
        (int from, off64_t* from_offset, int to, off64_t* to_offset, std::size_t n, unsigned flags),
        (from, from_offset, to, to_offset, n, flags))
FAILING(write_, fd, -1, int, ftruncate, (int fd, off_t length), (fd, length))
FAILING(write_, fd, -1, int, ftruncate64, (int fd, off64_t length), (fd, length))
FAILING(write_, path, -1, int, truncate, (const char* path, off_t length), (path, length))

// ---- the rest of what is done to files

FAILING(sync_, fd, -1, int, fsync, (int fd), (fd))
FAILING(sync_, fd, -1, int, fdatasync, (int fd), (fd))
// The descriptor is gone all the same, as the kernel does it.
REPLACED(int, close, int fd) {
  REAL(close);
  const bool failed = fails(close_, fd);
  const int error = errno, code = real(fd);
  if (!failed) return code;
  errno = error;
  return -1;
}
REPLACED(int, fclose, FILE* file) {
  REAL(fclose);
  const bool failed = fails(close_, fileno(file));
  const int error = errno, code = real(file);
  if (!failed) return code;
  errno = error;
  return EOF;
}
FAILING(rename_, from, -1, int, rename, (const char* from, const char* to), (from, to))
FAILING(rename_, from, -1, int, renameat, (int a, const char* from, int b, const char* to), (a, from, b, to))
FAILING(rename_, from, -1, int, renameat2, (int a, const char* from, int b, const char* to, unsigned flags),
        (a, from, b, to, flags))
FAILING(link_, from, -1, int, link, (const char* from, const char* to), (from, to))
FAILING(link_, from, -1, int, linkat, (int a, const char* from, int b, const char* to, int flags),
        (a, from, b, to, flags))
FAILING(link_, from, -1, int, symlink, (const char* from, const char* to), (from, to))
FAILING(unlink_, path, -1, int, unlink, (const char* path), (path))
FAILING(unlink_, path, -1, int, unlinkat, (int folder, const char* path, int flags), (folder, path, flags))
FAILING(unlink_, path, -1, int, remove, (const char* path), (path))
FAILING(unlink_, path, -1, int, rmdir, (const char* path), (path))
FAILING(mkdir_, path, -1, int, mkdir, (const char* path, mode_t mode), (path, mode))
FAILING(list_, dirfd(folder), nullptr, dirent*, readdir, (DIR * folder), (folder))
FAILING(list_, dirfd(folder), nullptr, dirent64*, readdir64, (DIR * folder), (folder))
FAILING(stat_, path, -1, int, stat, (const char* path, struct stat* s), (path, s))
FAILING(stat_, path, -1, int, stat64, (const char* path, struct stat64* s), (path, s))
FAILING(stat_, path, -1, int, lstat, (const char* path, struct stat* s), (path, s))
FAILING(stat_, path, -1, int, lstat64, (const char* path, struct stat64* s), (path, s))
FAILING(stat_, fd, -1, int, fstat, (int fd, struct stat* s), (fd, s))
FAILING(stat_, fd, -1, int, fstat64, (int fd, struct stat64* s), (fd, s))
FAILING(stat_, path, -1, int, fstatat, (int folder, const char* path, struct stat* s, int flags),
        (folder, path, s, flags))
FAILING(stat_, path, -1, int, fstatat64, (int folder, const char* path, struct stat64* s, int flags),
        (folder, path, s, flags))
FAILING(stat_, path, -1, int, access, (const char* path, int mode), (path, mode))
FAILING(seek_, fd, -1, off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
FAILING(seek_, fd, -1, off64_t, lseek64, (int fd, off64_t offset, int whence), (fd, offset, whence))
FAILING(lock_, fd, -1, int, flock, (int fd, int operation), (fd, operation))

// ---- memory and threads

#define MAP(name, offset_type)                                                                           \
  REPLACED(void*, name, void* place, std::size_t n, int rights, int flags, int fd, offset_type offset) { \
    REAL(name);                                                                                          \
    if (fails(map_, fd)) return MAP_FAILED;                                                              \
    if (armed && is_beyond(n)) {                                                                         \
      errno = ENOMEM;                                                                                    \
      return MAP_FAILED;                                                                                 \
    }                                                                                                    \
    void* const memory = real(place, n, rights, flags, fd, offset);                                      \
    if (memory != MAP_FAILED) held += static_cast<std::int64_t>(n);                                      \
    return memory;                                                                                       \
  }
MAP(mmap, off_t)
MAP(mmap64, off64_t)
REPLACED(int, munmap, void* place, std::size_t n) {
  REAL(munmap);
  const int code = real(place, n);
  if (code == 0) held -= static_cast<std::int64_t>(n);
  return code;
}
FAILING(map_, Target(), -1, int, mprotect, (void* place, std::size_t n, int rights), (place, n, rights))
REPLACED(int, pthread_create, pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
         void* argument) {
  REAL(pthread_create);
  return fails(thread_, {}) ? errno : real(thread, attributes, start, argument);
}

namespace {
// An allocation counts as one, and as a large one if it is.
bool allocation_fails(std::size_t bytes) {
  if (!armed) return false;
  const int saved = errno;
  bool one = counted(malloc_, {}) == Effect::error;
  // A sanitizer frees by functions of its own, which are not seen here: all fail from then on.
  if (one && plan.times == 0 && !sanitized) {
    std::int64_t none = unlimited;
    most_held.compare_exchange_strong(none, held);
    one = is_beyond(bytes);
  }
  const bool other = bytes >= large_bytes && counted(large_, {}) == Effect::error;
  if (one || other) {
    errno = ENOMEM;
    return true;
  }
  errno = saved;
  return false;
}
std::int64_t size_of(void* memory) {
  return memory == nullptr || !armed || sanitized ? 0 : static_cast<std::int64_t>(malloc_usable_size(memory));
}
void* kept(void* memory, std::int64_t before = 0) {
  held += size_of(memory) - before;
  return memory;
}
// Without static variables with guards: these are called before anything works.
template <class Function>
Function* next_once(std::atomic<Function*>& real, const char* name) {
  Function* function = real;
  if (function == nullptr) real = function = next<Function>(name);
  return function;
}
}  // namespace

#define ALLOCATING(bytes, name, parameters, arguments)                                             \
  extern "C" __attribute__((visibility("default"))) void* attack_##name parameters __asm__(#name); \
  extern "C" void* attack_##name parameters {                                                      \
    static constinit std::atomic<decltype(attack_##name)*> real{nullptr};                          \
    return allocation_fails(bytes) ? nullptr : kept(next_once(real, #name) arguments);             \
  }
ALLOCATING(n, malloc, (std::size_t n), (n))
ALLOCATING(n* each, calloc, (std::size_t n, std::size_t each), (n, each))
ALLOCATING(n, memalign, (std::size_t alignment, std::size_t n), (alignment, n))
ALLOCATING(n, aligned_alloc, (std::size_t alignment, std::size_t n), (alignment, n))
REPLACED(void*, realloc, void* old, std::size_t n) {
  static constinit std::atomic<decltype(attack_realloc)*> real{nullptr};
  const std::int64_t before = size_of(old);
  if (n > static_cast<std::size_t>(before) && allocation_fails(n - static_cast<std::size_t>(before))) return nullptr;
  void* const memory = next_once(real, "realloc")(old, n);
  return memory != nullptr || n == 0 ? kept(memory, before) : nullptr;
}
REPLACED(void*, reallocarray, void* old, std::size_t n, std::size_t each) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(n, each, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return attack_realloc(old, bytes);
}
REPLACED(int, posix_memalign, void** place, std::size_t alignment, std::size_t n) {
  static constinit std::atomic<decltype(attack_posix_memalign)*> real{nullptr};
  if (allocation_fails(n)) return ENOMEM;
  const int error = next_once(real, "posix_memalign")(place, alignment, n);
  if (error == 0) kept(*place);
  return error;
}
REPLACED(void, free, void* memory) {
  static constinit std::atomic<decltype(attack_free)*> real{nullptr};
  static constinit std::atomic<bool> asked{false};
  // dlsym() frees the message of its last error.
  if (real == nullptr && asked.exchange(true)) return;
  held -= size_of(memory);
  next_once(real, "free")(memory);
}

// operator new calls malloc, which has counted it then. Under a sanitizer it does not.
#define NEW(name, parameters, arguments)                                                           \
  extern "C" __attribute__((visibility("default"))) void* attack_##name parameters __asm__(#name); \
  extern "C" void* attack_##name parameters {                                                      \
    static constinit std::atomic<decltype(attack_##name)*> real{nullptr};                          \
    if (armed && sanitized && allocation_fails(n)) throw std::bad_alloc();                         \
    return next_once(real, #name) arguments;                                                       \
  }
NEW(_Znwm, (std::size_t n), (n))
NEW(_Znam, (std::size_t n), (n))
NEW(_ZnwmSt11align_val_t, (std::size_t n, std::size_t alignment), (n, alignment))
NEW(_ZnamSt11align_val_t, (std::size_t n, std::size_t alignment), (n, alignment))

// ---- what no video may make the program do

REPLACED(int, socket, int domain, int type, int protocol) {
  REAL(socket);
  if (armed) log_line("socket", "");
  return real(domain, type, protocol);
}
REPLACED(int, connect, int fd, const sockaddr* address, socklen_t length) {
  REAL(connect);
  if (armed) log_line("connect", "");
  return real(fd, address, length);
}
REPLACED(int, execve, const char* path, char* const* arguments, char* const* environment) {
  REAL(execve);
  if (armed) log_line("exec", path);
  return real(path, arguments, environment);
}
