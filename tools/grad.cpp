// `mcn grad`: gradients and meta-gradients of a problem in a safetensors file, under PyTorch's names and layout, for
// comparison with another framework.
#include "meta/checkpoint.h"
#include "tools/choice.h"
#include "tools/command.h"
#include "tools/device_options.h"
#include "tools/print.h"
#include "tools/problem.h"

namespace mcn {
namespace {

struct GradOptions {
  std::string arch = "r2plus1d_18", problem, out;
  DeviceOptions device;
  DType dtype = DType::f32;
  MamlConfig maml;
  int order = 2;
};

int grad(const GradOptions& o) {
  const DType dtype = o.dtype;
  Backend& backend = open(o.device, dtype);
  const BackboneConfig model{.arch = o.arch, .precision = o.device.precision};
  const Problem problem = take_problem(read_safetensors(o.problem), o.problem, model, backend, dtype);
  const ParameterSpecs& specs = problem.model->parameters();
  expect_writable("grad", o.out);
  MamlConfig config = o.maml;
  config.second_order = o.order == 2;
  for (const ParameterSpec& spec : specs) config.parameter_names.push_back(spec.name);

  const std::int64_t before = backend.kernel_calls();
  const MetaGradient meta = meta_gradient(problem.theta, problem.support, problem.query, config);
  const std::int64_t kernels = backend.kernel_calls() - before;
  if (kernels == 0) fail<DeviceError>("grad", "device {} ran no kernel", backend.name());

  // A loss may be finite where its derivative has overflowed.
  if (const auto bad = first_not_finite(meta.gradient))
    fail<NonFiniteError>("grad", "the gradient of {} is not finite", specs[*bad].name);
  SafetensorsFile out;
  const auto put_losses = [&](const std::string& name, const std::vector<double>& values) {
    put(out, name,
        Tensor::from(backend, dtype, {static_cast<std::int64_t>(values.size())}, std::span<const double>(values)));
  };
  put_losses("loss.support", meta.support_losses);
  put_losses("loss.query", {meta.query_loss});
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const Tensor& gradient = meta.gradient[i];
    put(out, "grad." + specs[i].name, gradient ? gradient : Tensor::full(backend, dtype, specs[i].shape, 0));
  }
  write_safetensors(o.out, out);
  print_summary("{} ran {} kernels in {}; query loss {:.6f}\n", backend.name(), kernels, name_of(dtype),
                meta.query_loss);
  return ok;
}

}  // namespace

void add_grad(CLI::App& app) {
  CLI::App* command = app.add_subcommand("grad", "gradient or meta-gradient of a problem in a safetensors file");
  auto o = std::make_shared<GradOptions>();
  add_arch_option(*command, "--arch,--model", o->arch);
  command
      ->add_option("--problem", o->problem,
                   "model.NAME under torchvision's names (running statistics are ignored); support.x, query.x (N, 3, "
                   "T, H, W); support.y, query.y (N, i64)")
      ->type_name(file_type)
      ->required();
  command->add_option("--out", o->out, "file to write: loss.support (K), loss.query (1), grad.NAME")
      ->type_name(file_type)
      ->required();
  command->add_option("--inner-steps", o->maml.inner_steps, "K inner SGD steps on support; 0: the query's gradient")
      ->check(CLI::Range(0, 1000));
  command->add_option("--inner-lr", o->maml.inner_lr, "learning rate of the inner steps");
  command->add_option("--order", o->order, "1: first order (H = 0); 2: exact second order")->check(CLI::Range(1, 2));
  add_device_options(*command, o->device);
  add_arithmetic_options(*command, o->device);
  add_dtype_option(*command, o->dtype, "number format of all tensors");
  add_inner_tape_option(*command, o->maml.inner_tape);
  set_action(*command, [o] { return grad(*o); });
}

}  // namespace mcn
