// The levels of the instruction set that the cpu kernels are compiled for, and the choice among them.
#include <algorithm>
#include <cstdlib>

#include "tests/catch.h"
#include "tests/cpu_levels.h"

namespace mcn::test {
namespace {

class ForcedLevel {
 public:
  explicit ForcedLevel(const char* level) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, level, 1);
  }
  ~ForcedLevel() { before_.empty() ? ::unsetenv(name) : ::setenv(name, before_.c_str(), 1); }
  ForcedLevel(const ForcedLevel&) = delete;
  ForcedLevel& operator=(const ForcedLevel&) = delete;

 private:
  static constexpr const char* name = "MCN_CPU_ISA";
  std::string before_;
};

}  // namespace

TEST_CASE("cpu kernels of every level that the processor has, the highest by default", "[cpu][levels]") {
  const std::vector<std::string> levels = cpu_levels();
  REQUIRE_FALSE(levels.empty());
#if defined(__x86_64__)
  CHECK(levels.back() == "v2");
  CHECK(std::ranges::is_sorted(levels, std::greater<>{}));
#endif
  for (const std::string& level : levels) {
    CHECK(make_cpu_backend(level)->detail().find(level + " kernels") != std::string::npos);
    const ForcedLevel forced(level.c_str());
    CHECK(make_cpu_backend()->detail() == make_cpu_backend(level)->detail());
  }
  if (std::getenv("MCN_CPU_ISA") == nullptr)
    CHECK(make_cpu_backend()->detail() == make_cpu_backend(levels.front())->detail());
}

TEST_CASE("a level of the cpu kernels that is not there is an error of one line", "[cpu][levels]") {
  const ForcedLevel forced("v5");
#if defined(__x86_64__)
  CHECK_THROWS_WITH(make_cpu_backend(), "[cpu] MCN_CPU_ISA is v5, expected v2, v3 or v4");
  const std::vector<std::string> levels = cpu_levels();
  if (std::ranges::find(levels, "v4") == levels.end()) {
    const ForcedLevel highest("v4");
    CHECK_THROWS_WITH(make_cpu_backend(),
                      "[cpu] MCN_CPU_ISA is v4, but this processor has " + levels.front() + " at most");
  }
#else
  CHECK_THROWS_WITH(make_cpu_backend(), "[cpu] MCN_CPU_ISA is v5, expected generic");
#endif
  CHECK_THROWS_AS(make_cpu_backend(), DeviceError);
}

}  // namespace mcn::test
