// `mcn grad`: gradients and meta-gradients of a problem in a safetensors file, under PyTorch's names and layout, for
// comparison with another framework.
#include <cstring>
#include <set>

#include "engine/device.h"
#include "meta/checkpoint.h"
#include "meta/maml.h"
#include "tools/command.h"

namespace mcn {
namespace {

struct GradOptions {
  std::string model = "r2plus1d_18", problem, out, device = "cpu";
  MamlConfig maml;
  int order = 2, threads = 0;
  bool f64 = false, recompute = false;
};

const SafetensorsEntry& entry(const SafetensorsFile& file, const std::string& path, const std::string& name) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) fail<DataError>("grad", "{}: no tensor \"{}\"", path, name);
  return found->second;
}

// A set's clips (N 3 T H W) and labels (N, i64).
struct Examples {
  Tensor clips, labels;
};

Examples read_set(const SafetensorsFile& file, const std::string& path, const std::string& set, std::int64_t classes,
                  Backend& backend, DType dtype) {
  const SafetensorsEntry& x = entry(file, path, set + ".x");
  const SafetensorsEntry& y = entry(file, path, set + ".y");
  if (x.shape.rank() != 5 || x.shape[1] != 3 || x.shape.numel() == 0)
    fail<DataError>("grad", "{}: {}.x has shape {}, expected (N, 3, T, H, W)", path, set, x.shape.str());
  const std::int64_t n = x.shape[0];
  if (n < 2) fail<DataError>("grad", "{}: {}.x holds {} clips, batch statistics need at least 2", path, set, n);
  if (y.dtype != DType::i64 || y.shape != Shape{n})
    fail<DataError>("grad", "{}: {}.y is {} {}, expected i64 {}", path, set, name_of(y.dtype), y.shape.str(),
                    Shape{n}.str());
  std::vector<std::int64_t> labels(static_cast<std::size_t>(n));
  std::memcpy(labels.data(), y.data.data(), y.data.size());
  for (const std::int64_t label : labels)
    if (label < 0 || label >= classes)
      fail<DataError>("grad", "{}: {}.y holds label {}, expected [0, {})", path, set, label, classes);
  return {take(file, path, set + ".x", channels_last_shape(x.shape), backend, dtype), Tensor::from(backend, labels)};
}

int grad(const GradOptions& o) {
  set_threads(o.threads);
  Backend& backend = open_device(o.device);
  const DType dtype = o.f64 ? DType::f64 : DType::f32;
  const SafetensorsFile file = read_safetensors(o.problem);
  const Shape fc = entry(file, o.problem, "model.fc.weight").shape;
  if (fc.rank() != 2 || fc[0] < 1)
    fail<DataError>("grad", "{}: model.fc.weight has shape {}, expected (classes, features)", o.problem, fc.str());
  const VideoResNet model({o.model, 1, fc[0]});
  Tensors theta;
  std::set<std::string> known;
  for (const ParameterSpec& spec : model.parameters()) {
    theta.push_back(take(file, o.problem, "model." + spec.name, spec.shape, backend, dtype));
    known.insert("model." + spec.name);
  }
  for (const auto& [name, value] : file.tensors)
    if (name.starts_with("model.") && !known.contains(name))
      fail<DataError>("grad", "{}: \"{}\" is no parameter of {}", o.problem, name, o.model);

  const auto loss_on = [&](const std::string& set) -> LossFunction {
    const Examples examples = read_set(file, o.problem, set, fc[0], backend, dtype);
    return [&model, examples](Tape& tape, std::span<const Var> vars) {
      return tape.apply(ops::cross_entropy(examples.labels), {model.logits(tape, vars, tape.constant(examples.clips))});
    };
  };
  const LossFunction support = loss_on("support");
  const LossFunction query = loss_on("query");
  MamlConfig config = o.maml;
  config.second_order = o.order == 2;
  config.inner_tape = o.recompute ? InnerTape::recompute : InnerTape::keep;
  for (const ParameterSpec& spec : model.parameters()) config.parameter_names.push_back(spec.name);

  const std::int64_t before = backend.kernel_calls();
  const MetaGradient meta = meta_gradient(theta, support, query, config);
  const std::int64_t kernels = backend.kernel_calls() - before;
  if (kernels == 0) fail<DeviceError>("grad", "device {} ran no kernel", backend.name());

  SafetensorsFile out;
  const auto put_values = [&](const std::string& name, const std::vector<double>& values) {
    if (values.empty()) {
      out.tensors[name] = {dtype, {0}, {}};
      return;
    }
    put(out, name,
        Tensor::from(backend, dtype, {static_cast<std::int64_t>(values.size())}, std::span<const double>(values)));
  };
  put_values("loss.support", meta.support_losses);
  put_values("loss.query", {meta.query_loss});
  for (std::size_t i = 0; i < theta.size(); ++i)
    put(out, "grad." + model.parameters()[i].name,
        meta.gradient[i] ? meta.gradient[i] : Tensor::full(backend, dtype, theta[i].shape(), 0));
  write_safetensors(o.out, out);
  fmt::print(stderr, "{} kernels ran on {}, {}; query loss {:.6f}\n", kernels, backend.name(), name_of(dtype),
             meta.query_loss);
  return ok;
}

}  // namespace

void add_grad(CLI::App& app) {
  CLI::App* command = app.add_subcommand("grad", "gradient or meta-gradient of a problem in a safetensors file");
  auto o = std::make_shared<GradOptions>();
  command->add_option("--model", o->model, "r2plus1d_18, r2plus1d_10 or r3d_18")
      ->check(CLI::IsMember(video_resnet_archs()));
  command
      ->add_option(
          "--problem", o->problem,
          "model.NAME under torchvision's names; support.x, query.x (N, 3, T, H, W); support.y, query.y (N, i64)")
      ->required();
  command->add_option("--out", o->out, "loss.support (K), loss.query (1), grad.NAME")->required();
  command->add_option("--inner-steps", o->maml.inner_steps, "K inner SGD steps on support; 0: the query's gradient")
      ->check(CLI::Range(0, 1000));
  command->add_option("--inner-lr", o->maml.inner_lr, "learning rate of the inner steps");
  command->add_option("--order", o->order, "1: first order (H = 0); 2: exact second order")->check(CLI::Range(1, 2));
  command->add_option("--device", o->device, "cpu or ref");
  command
      ->add_option_function<std::string>(
          "--dtype", [o](const std::string& t) { o->f64 = t == "f64"; }, "f32 or f64")
      ->check(CLI::IsMember({"f32", "f64"}))
      ->default_str("f32");
  command
      ->add_option_function<std::string>(
          "--inner-tape", [o](const std::string& t) { o->recompute = t == "recompute"; }, "keep or recompute")
      ->check(CLI::IsMember({"keep", "recompute"}))
      ->default_str("keep");
  command->add_option("--threads", o->threads, "CPU threads; 0: all cores")->check(CLI::Range(0, 1024));
  set_action(*command, [o] { return grad(*o); });
}

}  // namespace mcn
