// Whole training iterations against PyTorch's, in float64 (tests/golden/make_training.py wrote the numbers): what goes
// into S and Q, the meta-gradient of both branches with a bank, the learning rate, the optimizer, which parameters
// decay, running statistics, and the bank's rows.
#include <cmath>

#include "engine/safetensors.h"
#include "meta/trainer.h"
#include "tests/device_here.h"
#include "tests/meta/golden.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using test::relative;

// make_training.py's filled(): values in PyTorch's order for a tensor of our shape.
std::vector<double> filled(const ParameterSpec& spec, std::size_t number) {
  const Shape& s = spec.shape;
  double scale = 0.2;
  double shift = spec.name.ends_with(".weight") ? 1.0 : 0.0;
  if (s.rank() == 5) {
    scale = std::sqrt(4.0 / static_cast<double>(s.o() * s.kd() * s.kh() * s.kw()));
    shift = 0;
  } else if (s.rank() == 2) {
    scale = std::sqrt(2.0 / static_cast<double>(s[1]));
    shift = 0;
  }
  std::vector<double> values(static_cast<std::size_t>(s.numel()));
  for (std::size_t j = 0; j < values.size(); ++j) {
    const auto i = static_cast<double>(j);
    values[j] = std::sin(0.37 * i * i + static_cast<double>(number)) * scale + shift;
  }
  return to_channels_last(values, channels_first_shape(s));
}

// make_training.py's clips(), as bytes.
void draw(std::span<std::uint8_t> bytes, std::int64_t video, std::int64_t view, std::int64_t size) {
  std::size_t at = 0;
  for (std::int64_t d = 0; at < bytes.size(); ++d)
    for (std::int64_t h = 0; h < size; ++h)
      for (std::int64_t w = 0; w < size; ++w)
        for (std::int64_t c = 0; c < 3; ++c) {
          const std::int64_t number = (h / 3) * (video + 2) + (w / 4) * (view + 3) + 5 * c + 2 * d * (video % 3 + 1);
          bytes[at++] = (number + video * video) % 11 < 5 ? 255 : 0;
        }
}

Batch batch_of(const std::vector<std::int64_t>& videos, const LoaderConfig& config, HostRing& ring) {
  Batch batch;
  batch.videos = videos;
  batch.labels.assign(videos.size(), 0);
  for (const std::int64_t video : videos)
    for (const std::int64_t side : {0, 1}) {
      BatchView& view = side == 0 ? batch.view_a : batch.view_b;
      view.frames.push_back(ring.take());
      draw(view.frames.back().bytes(), video, side, config.augment.size);
      view.augmentation.emplace_back();
    }
  return batch;
}

TrainConfig config_of(const nlohmann::json& golden, const nlohmann::json& wanted) {
  TrainConfig c;
  c.dtype = DType::f64;
  c.model = {{wanted.at("arch").get<std::string>(), wanted.at("width").get<double>(), 0},
             golden.at("features").get<std::int64_t>()};
  c.objective = {golden.at("temperature").get<double>(), golden.at("lambda").get<double>()};
  c.method = wanted.at("method") == "mcn" ? Method::mcn : Method::joint;
  c.maml.inner_steps = wanted.at("steps").get<int>();
  c.maml.inner_lr = golden.at("inner_lr").get<double>();
  c.maml.beta = golden.at("beta").get<double>();
  c.maml.objective = wanted.at("objective") == "query" ? OuterObjective::query : OuterObjective::support_and_query;
  c.bank = {wanted.at("bank") == "memory" ? BankKind::memory : BankKind::queue,
            wanted.at("bank_size").get<std::int64_t>(), wanted.at("bank_momentum").get<double>()};
  c.clip_grad = wanted.at("clip").get<double>();
  c.iterations = 4;
  OptimizerConfig& o = c.optimizer;
  o.momentum = wanted.at("momentum").get<double>();
  o.weight_decay = wanted.at("weight_decay").get<double>();
  const auto rates = wanted.at("rates").get<std::vector<double>>();
  if (wanted.at("optimizer") == "adamw") {
    o.kind = OptimizerKind::adamw;
    o.beta2 = wanted.at("beta2").get<double>();
    o.schedule = ScheduleKind::cosine;
    o.lr = rates[0];
  } else if (c.method == Method::mcn) {
    o.schedule = ScheduleKind::multistep;
    o.warmup = 2;
    o.milestones = {3};
    o.lr = rates[1];
  } else {
    o.lr = rates[0];
  }
  c.loader.batch = std::ssize(golden.at("batches").front());
  c.loader.seed = golden.at("seed").get<std::uint64_t>();
  c.loader.clip = {golden.at("frames").get<int>(), 1};
  AugmentConfig& a = c.loader.augment;
  a.size = a.resize_height = a.resize_width = golden.at("size").get<int>();
  a.mean = a.std = {0.5F, 0.5F, 0.5F};  // bytes 0 and 255 become -1 and 1 exactly
  return c;
}

void compare_with_pytorch(const std::string& device, std::size_t number) {
  const nlohmann::json golden = test::golden("training.json");
  const nlohmann::json& expected = golden.at("cases").at(number);
  const TrainConfig config = config_of(golden, expected);
  Backend& backend = open_device(device);
  Trainer trainer(config, random_clips(golden.at("videos").get<std::int64_t>()), backend);
  const ParameterSpecs& specs = trainer.model().parameters();
  REQUIRE(expected.at("theta").size() == specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    REQUIRE(expected.at("theta").at(i).at("name") == specs[i].name);
    Tensor(trainer.state().theta[i]).copy_from(filled(specs[i], i));
  }

  // float64 against float64; four iterations, and batch norm over few values, amplify rounding.
  const double tolerance = 1e-7;
  HostRing ring(backend, view_bytes(config.loader), 2 * static_cast<std::size_t>(config.loader.batch));
  for (std::size_t i = 0; i < expected.at("iterations").size(); ++i) {
    INFO(device << " case " << number << " iteration " << i);
    const nlohmann::json& row = expected.at("iterations").at(i);
    const auto videos = golden.at("batches").at(i).get<std::vector<std::int64_t>>();
    const IterationMetrics m = trainer.step(batch_of(videos, config.loader, ring));
    const auto same = [&](double actual, const nlohmann::json& value) {
      const auto number_wanted = value.get<double>();
      CHECK(relative(actual, number_wanted, std::abs(number_wanted)) <= tolerance);
    };
    same(m.learning_rate, row.at("learning_rate"));
    same(m.query_loss, row.at("query_loss"));
    same(m.query.contrastive, row.at("query").at(0));
    same(m.query.meta, row.at("query").at(1));
    REQUIRE(m.support.has_value() == row.contains("support"));
    if (m.support) {
      same(m.support_loss, row.at("support_loss"));
      same(m.support->contrastive, row.at("support").at(0));
      same(m.support->meta, row.at("support").at(1));
    }
    same(m.gradient_norm, row.at("gradient_norm"));
  }

  for (std::size_t i = 0; i < specs.size(); ++i) {
    INFO(specs[i].name);
    const nlohmann::json& row = expected.at("theta").at(i);
    test::check_summary(to_channels_first(trainer.state().theta[i].to_doubles(), specs[i].shape), row,
                        row.at("norm").get<double>(), tolerance);
  }
  REQUIRE(expected.at("running").size() == 2 * trainer.state().running.size());
  for (std::size_t i = 0; i < trainer.state().running.size(); ++i) {
    INFO(trainer.model().backbone().norms()[i]);
    const RunningStatistics& running = trainer.state().running[i];
    for (const auto& [part, values] : {std::pair{2 * i, running.mean}, std::pair{2 * i + 1, running.variance}}) {
      const nlohmann::json& row = expected.at("running").at(part);
      test::check_summary(values.to_doubles(), row, row.at("norm").get<double>(), tolerance);
    }
  }
  const test::TemporaryFolder folder;
  const std::string path = folder.file("checkpoint.safetensors");
  trainer.save(path);
  const auto rows = expected.at("bank_rows").get<std::vector<std::vector<double>>>();
  const Shape shape{std::ssize(rows), std::ssize(rows.front())};
  const std::vector<double> bank =
      take(read_safetensors(path), path, "bank.features", shape, backend, DType::f64).to_doubles();
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      INFO("bank row " << r << " column " << c);
      CHECK(std::abs(bank[r * rows[r].size() + c] - rows[r][c]) <= tolerance);
    }
}

}  // namespace

TEST_CASE("training iterations agree with PyTorch in float64", "[golden]") {
  compare_with_pytorch(GENERATE("ref", "cpu"), GENERATE(0, 1, 2));
}

TEST_CASE("training iterations on simt agree with PyTorch in float64", "[golden][slow]") {
  compare_with_pytorch("simt", GENERATE(0, 2));
}

TEST_CASE("cuda has training iterations that agree with PyTorch in float64", "[golden][cuda]") {
  if (test::device_here("cuda")) compare_with_pytorch("cuda", GENERATE(0, 1, 2));
}

}  // namespace mcn
