// Principal components, against numpy 2.4.6.
#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "meta/evaluate/projection.h"
#include "tests/catch.h"

namespace mcn {

TEST_CASE("the first two principal components of unit rows") {
  // In Python: u = x / norm(x, axis=1, keepdims=True); U, S, V = svd(u - u.mean(0)); U[:, :2] * S[:2], with the sign by
  // which each column's largest value is positive; S ** 2 / sum(S ** 2).
  const Embedding e{3, {3, 4, 0, 1, 2, 2, 0, -2, 1, 2, -1, 2, 5, 0, 0}, {0, 0, 1, 1, 1}};
  const double expected[5][2]{{-0.80166229, 0.04295128},
                              {-0.48394059, -0.51767836},
                              {1.04132448, -0.1421169},
                              {0.38430335, 0.03484499},
                              {-0.14002495, 0.581999}};
  const Projection plane = principal_plane(e);
  REQUIRE(plane.points.size() == 5);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t axis = 0; axis < 2; ++axis) CHECK(std::abs(plane.points[i][axis] - expected[i][axis]) <= 1e-6);
  CHECK(std::abs(plane.variance[0] - 0.70891018) <= 1e-6);
  CHECK(std::abs(plane.variance[1] - 0.20981406) <= 1e-6);

  // The length of a row has no part in it.
  Embedding longer = e;
  for (std::size_t i = 3; i < 6; ++i) longer.values[i] *= 1000;
  CHECK(std::abs(principal_plane(longer).points[1][1] - expected[1][1]) <= 1e-6);
}

TEST_CASE("features that have collapsed lie on one point, and those that are not finite on none") {
  const Projection plane = principal_plane({2, {1, 2, 2, 4, .5F, 1}, {0, 1, 2}});
  for (const auto& point : plane.points) CHECK(point == std::array<double, 2>{0, 0});
  CHECK(plane.variance == std::array<double, 2>{0, 0});
  CHECK(principal_plane({2, {0, 0}, {0}}).points.size() == 1);
  CHECK(std::abs(principal_plane({1, {1, -1}, {0, 1}}).variance[0] - 1) <= 1e-12);
  CHECK_THROWS_AS(principal_plane({2, {}, {}}), UsageError);
  CHECK_THROWS_AS(principal_plane({2, {1, std::numeric_limits<float>::quiet_NaN()}, {0}}), NonFiniteError);
}

}  // namespace mcn
