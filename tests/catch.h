// Catch2 version 3 or 2 under the names of version 3: Catch::Approx, Catch::Matchers::ContainsSubstring and the like.
#pragma once

/// Says why this machine cannot run a test case; the case is to return. ctest reports it as skipped
/// (tests/CMakeLists.txt looks for this text, because Catch2 2 cannot skip), so it counts as neither passed nor failed.
#define MCN_SKIPPED(reason) WARN("skipped: " << reason)

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>

#else

#include <catch2/catch.hpp>
#include <string>

namespace Catch {
using Detail::Approx;

namespace Matchers {
inline StdString::ContainsMatcher ContainsSubstring(const std::string& text) { return Contains(text); }
}  // namespace Matchers
}  // namespace Catch

#endif
