// Every operator's four rules on all backends and in both dtypes, behind guard zones.
#include "engine/device.h"
#include "tests/catch.h"
#include "tests/ops/guarded_backend.h"
#include "tests/ops/harness.h"

namespace mcn::test {

TEST_CASE("the four rules of every operator agree with each other and with differences", "[gradcheck]") {
  const std::string device = GENERATE("ref", "cpu", "simt");
  const DType dtype = GENERATE(DType::f64, DType::f32);
  INFO(device << " " << name_of(dtype));
  for (const GradcheckCase& c : gradcheck_cases()) {
    GuardedBackend guarded(open_device(device));
    require_ok(check_rules(c, guarded, dtype, seed));
    INFO(c.name());
    CHECK(guarded.guards_intact());
    CHECK(guarded.memory().current == 0);
  }
}

TEST_CASE("odd shapes: the rules agree with each other and with differences", "[gradcheck]") {
  for (const GradcheckCase& c : odd_shapes()) {
    std::int64_t values = 0;
    for (const auto& shape : c.inputs) values += shape ? shape->numel() : 0;
    // Differences run every rule five times; large cases are compared with the oracle only.
    if (values > 3000) continue;
    for (const char* device : {"cpu", "simt"}) {
      GuardedBackend guarded(open_device(device));
      require_ok(check_rules(c, guarded, DType::f64, seed));
    }
  }
}

TEST_CASE("cpu and simt equal ref on every operator's small cases") {
  const std::string device = GENERATE("cpu", "simt");
  for (const GradcheckCase& c : gradcheck_cases()) compare_with_ref(device, c);
}

TEST_CASE("cpu and simt equal ref on odd shapes") {
  const std::string device = GENERATE("cpu", "simt");
  for (const GradcheckCase& c : odd_shapes()) compare_with_ref(device, c);
}

TEST_CASE("cpu equals ref on the normalisations and heads of R(2+1)D-18") {
  for (const GradcheckCase& c : layer_others()) compare_with_ref("cpu", c);
}

TEST_CASE("simt equals ref on the normalisations and heads of R(2+1)D-18", "[slow]") {
  for (const GradcheckCase& c : layer_others()) compare_with_ref("simt", c);
}

TEST_CASE("cpu equals ref on the convolutions of R(2+1)D-18", "[slow]") {
  for (const GradcheckCase& c : layer_convolutions()) compare_with_ref("cpu", c);
}

TEST_CASE("simt equals ref on the convolutions of R(2+1)D-18", "[slow]") {
  for (const GradcheckCase& c : layer_convolutions()) compare_with_ref("simt", c);
}

TEST_CASE("ref in float32 is ref in float64, rounded", "[ref]") {
  const auto ref = make_ref_backend();
  for (const GradcheckCase& c : gradcheck_cases())
    require_ok(
        compare_rules(c, DType::f32, run_rules(c, *ref, DType::f32, seed), run_rules(c, *ref, DType::f64, seed)));
}

TEST_CASE("a forced backend is the one that runs") {
  Backend& cpu = open_device("cpu");
  Backend& ref = open_device("ref");
  CHECK_THROWS_AS(open_device("no such device"), UsageError);
  Backend& simt = open_device("simt");
  for (const auto& [forced, other] : {std::pair{&cpu, &ref}, std::pair{&ref, &cpu}, std::pair{&simt, &cpu}}) {
    for (const GradcheckCase& c : gradcheck_cases()) {
      INFO(forced->name() << " " << c.name());
      GradcheckDraw draw(*forced, DType::f32, seed);
      Tensors x;
      Wanted wanted;
      for (const auto& shape : c.inputs) {
        if (shape) wanted.set(x.size());
        x.push_back(shape ? draw.uniform(*shape, -1, 1) : Tensor());
      }
      const auto op = c.make(draw);
      const std::int64_t others = other->kernel_calls();
      // Counted without transfers: all tensors are there before, and nothing is read back.
      const std::int64_t before = forced->kernel_calls();
      const Tensor y = op->forward(x);
      op->vjp(y, wanted);
      op->jvp(x);
      op->vjp_dot(y, y, wanted);
      CHECK(forced->kernel_calls() > before);
      CHECK(other->kernel_calls() == others);
    }
  }
}

TEST_CASE("gradcheck_operators: a row for every operator and rule, all of them right", "[gradcheck]") {
  std::set<std::string> operators;
  for (const GradcheckCase& c : gradcheck_cases()) operators.insert(c.op);
  struct Expected {
    const char* device;
    DType dtype;
    std::size_t rules;
  };
  for (const auto& [device, dtype, rules] :
       {Expected{"ref", DType::f64, 7}, Expected{"cpu", DType::f64, 11}, Expected{"ref", DType::f32, 9},
        Expected{"cpu", DType::f32, 9}, Expected{"simt", DType::f64, 11}, Expected{"simt", DType::f32, 9}}) {
    INFO(device << " " << name_of(dtype));
    for (const std::uint64_t other_seed : {1, 2, 3}) {
      const std::vector<GradcheckRow> rows = gradcheck_operators(open_device(device), dtype, other_seed);
      require_ok(rows);
      CHECK(rows.size() == operators.size() * rules);
    }
  }
}

}  // namespace mcn::test
