// Every kernel in the sources of kernels/cuda has run on the device simt: the list comes from the sources.
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "engine/device.h"
#include "kernels/simt/runtime.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/ops/harness.h"

namespace mcn::test {
namespace {

std::set<std::string> kernels_in_sources() {
  std::set<std::string> names;
  const std::regex kernel(R"(__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\()");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test::source_file("kernels/cuda"))) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    const std::string source = text.str();
    for (std::sregex_iterator it(source.begin(), source.end(), kernel), end; it != end; ++it) names.insert((*it)[1]);
  }
  return names;
}

Tensor numbers(Backend& backend, DType dtype, const Shape& shape, std::uint64_t seed_of_it) {
  return GradcheckDraw(backend, dtype, seed_of_it).uniform(shape, -1, 1);
}

// What no operator's rules call.
void run_the_rest(Backend& backend, DType dtype) {
  const Shape shape{5, 7};
  Tensor x = numbers(backend, dtype, shape, 1);
  Tensor y = numbers(backend, dtype, shape, 2);
  Tensor m = Tensor::full(backend, dtype, shape, 0);
  Tensor v = Tensor::full(backend, dtype, shape, 0);
  backend.run(kernel::Fill{.value = 1, .y = y});
  backend.run(kernel::Scale{.alpha = 2, .x = x, .y = y});
  mcn::axpy(backend, 0.5, x, y);
  backend.run(kernel::Add{.a = x, .b = y, .y = y});
  CHECK(mcn::all_finite(backend, y));
  CHECK(mcn::dot(backend, x, x) > 0);
  const std::vector<double> decay{0.01};
  const std::vector<ConstView> gradients{x};
  const std::vector<View> parameters{y}, first{m}, second{v};
  backend.run(
      kernel::SgdStep{.weight_decay = decay, .gradients = gradients, .parameters = parameters, .buffers = first});
  backend.run(kernel::AdamWStep{.weight_decay = decay,
                                .gradients = gradients,
                                .parameters = parameters,
                                .first_moments = first,
                                .second_moments = second});
  const std::vector<std::int64_t> picked{3, 0};
  const Tensor rows = Tensor::from(backend, std::span<const std::int64_t>(picked));
  Tensor z(backend, dtype, {2, 7});
  backend.run(kernel::GatherRows{.bank = x, .rows = rows, .out = z});
  backend.run(kernel::UpdateRows{.momentum = 0.5, .z = z, .rows = rows, .bank = y});
  CHECK(mcn::all_finite(backend, y));
  Tensor frames(backend, DType::u8, {1, 2, 8, 8, 3});
  const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(frames.shape().numel()), 7);
  backend.copy_from_host(pixels.data(), frames);
  Tensor clips(backend, dtype, {1, 2, 8, 8, 3});
  AugmentParams params;
  params.size = params.resize_height = params.resize_width = 8;
  backend.run(kernel::Augment{.params = params, .clips = std::vector<AugmentClip>(1), .frames = frames, .y = clips});
  CHECK(mcn::all_finite(backend, clips));
}

}  // namespace

TEST_CASE("no kernel is left out", "[slow]") {
  Backend& simt = open_device("simt");
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const GradcheckCase& c : gradcheck_cases()) run_rules(c, simt, dtype, seed);
    for (const GradcheckCase& c : odd_shapes()) run_rules(c, simt, dtype, seed);
    for (const GradcheckCase& c : layer_others()) run_rules(c, simt, dtype, seed);
    run_the_rest(simt, dtype);
  }
  std::set<std::string> run;
  for (const std::string& name : simt::kernels_run()) run.insert(name.substr(0, name.find('<')));
  const std::set<std::string> all = kernels_in_sources();
  CHECK(all.size() > 20);
  for (const std::string& name : all) {
    INFO(name);
    CHECK(name.ends_with("_kernel"));
    CHECK(run.contains(name));
  }
}

}  // namespace mcn::test
