// Checks of a problem's tensors, before any of them is converted.
#include "tools/problem.h"

#include <algorithm>
#include <cstring>

#include "meta/checkpoint.h"

namespace mcn {
namespace {

constexpr const char* sets[] = {"support", "query"};

// What a PyTorch model's state_dict() has beside parameters. The loss takes batch statistics.
bool is_running_statistic(const std::string& name, const Backbone& model) {
  return std::ranges::any_of(model.norms(), [&name](const std::string& norm) {
    return name == "model." + norm + ".running_mean" || name == "model." + norm + ".running_var" ||
           name == "model." + norm + ".num_batches_tracked";
  });
}

// A file with the path that its errors name.
class Reader {
 public:
  Reader(const SafetensorsFile& file, const std::string& path, Backend& backend, DType dtype)
      : file_(file), path_(path), backend_(backend), dtype_(dtype) {}

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail<DataError>("problem", "{}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }

  [[nodiscard]] const SafetensorsEntry& at(const std::string& name) const {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) refuse("no tensor \"{}\"", name);
    return found->second;
  }

  // PyTorch mixes no dtypes either: a problem that does was put together wrongly.
  void expect_one_float_dtype(const Backbone& model) const {
    const std::string* first = nullptr;
    for (const auto& [name, entry] : file_.tensors) {
      if (name == "support.y" || name == "query.y" || is_running_statistic(name, model)) continue;
      if (entry.dtype != DType::f32 && entry.dtype != DType::f64)
        refuse("\"{}\" is {}, expected f32 or f64", name, name_of(entry.dtype));
      if (first == nullptr) first = &name;
      if (entry.dtype != at(*first).dtype)
        refuse("\"{}\" is {} but \"{}\" is {}, expected one dtype", name, name_of(entry.dtype), *first,
               name_of(at(*first).dtype));
    }
  }

  void expect_nothing_else(const Backbone& model, const std::string& arch) const {
    const ParameterSpecs& specs = model.parameters();
    for (const auto& [name, entry] : file_.tensors) {
      if (is_running_statistic(name, model)) continue;
      const auto is = [&n = name](const ParameterSpec& spec) { return n == "model." + spec.name; };
      const bool known = std::any_of(specs.begin(), specs.end(), is) ||
                         std::any_of(std::begin(sets), std::end(sets), [&n = name](const std::string& set) {
                           return n == set + ".x" || n == set + ".y";
                         });
      if (!known) refuse("\"{}\" is no parameter of {} and no part of a set", name, arch);
    }
  }

  [[nodiscard]] Tensor floats(const std::string& name, const Shape& channels_last) const {
    const Shape expected = channels_first_shape(channels_last);
    if (at(name).shape != expected)
      refuse("\"{}\" has shape {}, expected {}", name, at(name).shape.str(), expected.str());
    return take(file_, path_, name, channels_last, backend_, dtype_);
  }

  [[nodiscard]] Tensor clips(const std::string& name) const {
    const Shape& shape = at(name).shape;
    if (shape.rank() != 5 || shape[1] != 3 || shape.numel() == 0)
      refuse("\"{}\" has shape {}, expected (N, 3, T, H, W)", name, shape.str());
    if (shape[0] < 2) refuse("\"{}\" holds {} clip, batch statistics need a batch of at least 2", name, shape[0]);
    return floats(name, channels_last_shape(shape));
  }

  [[nodiscard]] Tensor labels(const std::string& name, std::int64_t count, std::int64_t classes) const {
    const SafetensorsEntry& entry = at(name);
    if (entry.dtype != DType::i64 || entry.shape != Shape{count})
      refuse("\"{}\" is {} {}, expected i64 {}", name, name_of(entry.dtype), entry.shape.str(), Shape{count}.str());
    std::vector<std::int64_t> values(static_cast<std::size_t>(count));
    std::memcpy(values.data(), entry.data.data(), entry.data.size());
    for (const std::int64_t label : values)
      if (label < 0 || label >= classes) refuse("\"{}\" holds label {}, expected [0, {})", name, label, classes);
    return Tensor::from(backend_, values);
  }

 private:
  const SafetensorsFile& file_;
  const std::string& path_;
  Backend& backend_;
  DType dtype_;
};

}  // namespace

LossFunction classification(std::shared_ptr<const Backbone> model, Tensor clips, Tensor labels) {
  return [model = std::move(model), clips = std::move(clips), labels = std::move(labels)](Tape& tape,
                                                                                          std::span<const Var> theta) {
    return tape.apply(ops::cross_entropy(labels), {model->logits(tape, theta, tape.constant(clips))});
  };
}

Problem take_problem(const SafetensorsFile& file, const std::string& path, BackboneConfig config, Backend& backend,
                     DType dtype) {
  const Reader reader(file, path, backend, dtype);
  config.classes = 1;
  const auto any = make_backbone(config);
  const ParameterSpec& classifier = any->parameters()[any->classifier()->weight];
  const Shape& weight = reader.at("model." + classifier.name).shape;
  if (weight.rank() != classifier.shape.rank() || weight[0] < 1)
    reader.refuse("\"model.{}\" has shape {}, expected (classes, features{})", classifier.name, weight.str(),
                  classifier.shape.rank() == 5 ? ", 1, 1, 1" : "");
  Problem problem;
  config.classes = weight[0];
  problem.model = make_backbone(config);
  reader.expect_one_float_dtype(*problem.model);
  reader.expect_nothing_else(*problem.model, config.arch);
  // The sets first: they are small, and wrong more often.
  const auto loss_on = [&](const std::string& set) {
    Tensor clips = reader.clips(set + ".x");
    Tensor labels = reader.labels(set + ".y", clips.shape().n(), config.classes);
    return classification(problem.model, std::move(clips), std::move(labels));
  };
  problem.support = loss_on("support");
  problem.query = loss_on("query");
  for (const ParameterSpec& spec : problem.model->parameters())
    problem.theta.push_back(reader.floats("model." + spec.name, spec.shape));
  return problem;
}

}  // namespace mcn
