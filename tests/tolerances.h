// The tolerances of the tests, in one table. Comparisons are written !(error <= tolerance) or CHECK(error <=
// tolerance), so that NaN fails. Those that `mcn gradcheck` shows to users are in engine/gradcheck.h:
// gradcheck_tolerances.
#pragma once

namespace mcn::test::tolerances {

/// One float64 formula against another, a sum of a few hundred terms at most: a few roundings of 1e-16.
inline constexpr double formula = 1e-14;
/// Adjoint identities in float64: sums of some thousand products that partly cancel.
inline constexpr double identity = 1e-12;
/// A derivative in float64 against central differences with steps of 1e-5: a truncation error of 1e-10 times a third
/// derivative, and five digits lost to rounding.
inline constexpr double central_difference = 1e-8;
/// What a planted mistake must exceed to count as found: far above rounding in either dtype.
inline constexpr double planted = 1e-4;

}  // namespace mcn::test::tolerances
