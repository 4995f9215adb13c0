// The device cuda where there is a GPU: every operator's rules against the oracle, and three runs with the same bits.
#include "tests/device_here.h"
#include "tests/ops/guarded_backend.h"
#include "tests/ops/harness.h"

namespace mcn::test {

TEST_CASE("cuda equals ref on every operator's small cases", "[cuda]") {
  if (!device_here("cuda")) return;
  for (const GradcheckCase& c : gradcheck_cases()) compare_with_ref("cuda", c);
}

TEST_CASE("cuda equals ref on odd shapes", "[cuda]") {
  if (!device_here("cuda")) return;
  for (const GradcheckCase& c : odd_shapes()) compare_with_ref("cuda", c);
}

TEST_CASE("cuda equals ref on the layers of R(2+1)D-18", "[cuda][slow]") {
  if (!device_here("cuda")) return;
  for (const GradcheckCase& c : layer_others()) compare_with_ref("cuda", c);
  for (const GradcheckCase& c : layer_convolutions()) compare_with_ref("cuda", c);
}

TEST_CASE("cuda has rules that agree with each other and with differences", "[cuda][gradcheck]") {
  if (!device_here("cuda")) return;
  for (const DType dtype : {DType::f64, DType::f32})
    for (const GradcheckCase& c : gradcheck_cases()) {
      INFO(name_of(dtype) << " " << c.name());
      GuardedBackend guarded(open_device("cuda"));
      require_ok(check_rules(c, guarded, dtype, seed));
      CHECK(guarded.guards_intact());
      CHECK(guarded.memory().current == 0);
    }
}

}  // namespace mcn::test
