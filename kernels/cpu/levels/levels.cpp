// The choice among the levels of an instruction set that the cpu kernels are compiled for. Compiled once, for the
// baseline: nothing here may need what the processor turns out to lack.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include "kernels/backend.h"

#if defined(__x86_64__)
#define MCN_CPU_LEVELS(X) X(v2) X(v3) X(v4)
#else
#define MCN_CPU_LEVELS(X) X(generic)
#endif

// Each is the one visible symbol of its level's object file (kernels/cpu/cpu_backend.cpp).
#define MCN_DECLARE_FACTORY(level) extern "C" mcn::Backend* mcn_make_cpu_backend_##level();
MCN_CPU_LEVELS(MCN_DECLARE_FACTORY)
#undef MCN_DECLARE_FACTORY

namespace mcn {
namespace {

struct Level {
  std::string_view name;
  Backend* (*make)();
};

// From the lowest to the highest.
#define MCN_LEVEL_ROW(level) {#level, mcn_make_cpu_backend_##level},
constexpr Level levels[] = {MCN_CPU_LEVELS(MCN_LEVEL_ROW)};
#undef MCN_LEVEL_ROW

#if defined(__x86_64__)
// What marks a level of the x86-64 psABI among the processors that exist; the compiler's builtins also ask whether the
// system saves the registers. clang 16 does not know the levels by name, nor all of their features.
bool is_here(std::string_view level) {
  const bool v2 = __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse3") &&
                  __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
                  __builtin_cpu_supports("sse4.2");
  const bool v3 = v2 && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  if (level == "v2") return v2;
  if (level == "v3") return v3;
  return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
bool is_here(std::string_view) { return true; }
#endif

// "v2, v3 or v4"
std::string text(std::span<const Level> some) {
  std::string out;
  for (std::size_t i = 0; i < some.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : i + 1 == some.size() ? " or " : ", ", some[i].name);
  return out;
}

const Level& find_level(std::string_view name, std::string_view asked_by) {
  const auto* const found = std::ranges::find(levels, name, &Level::name);
  if (found == std::end(levels)) fail<DeviceError>("cpu", "{} is {}, expected {}", asked_by, name, text(levels));
  if (!is_here(name)) {
    const std::vector<std::string> here = cpu_levels();
    fail<DeviceError>("cpu", "{} is {}, but this processor has {} at most", asked_by, name,
                      here.empty() ? "none of them" : here.front());
  }
  return *found;
}

}  // namespace

std::vector<std::string> cpu_levels() {
  std::vector<std::string> names;
  for (const Level& level : levels)
    if (is_here(level.name)) names.emplace(names.begin(), level.name);
  return names;
}

std::unique_ptr<Backend> make_cpu_backend(std::string_view level) {
  return std::unique_ptr<Backend>(find_level(level, "the level").make());
}

std::unique_ptr<Backend> make_cpu_backend() {
  if (const char* forced = std::getenv("MCN_CPU_ISA"))
    return std::unique_ptr<Backend>(find_level(forced, "MCN_CPU_ISA").make());
  const std::vector<std::string> here = cpu_levels();
  if (here.empty())
    fail<DeviceError>("cpu", "expected a processor of x86-64-{}, the lowest level of this build, or a later one",
                      levels[0].name);
  return make_cpu_backend(here.front());
}

}  // namespace mcn
