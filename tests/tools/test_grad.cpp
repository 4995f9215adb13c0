// `mcn grad`: what it writes, and every way in which a problem can be wrong.
#include <cstring>

#include "engine/device.h"
#include "engine/random.h"
#include "meta/checkpoint.h"
#include "tests/catch.h"
#include "tests/tools/run_command.h"
#include "tools/problem.h"

namespace mcn {

using test::mcn_command;
using test::one_line_error;

namespace {

constexpr const char* arch = "r2plus1d_10";
constexpr std::int64_t classes = 3;

template <class T>
SafetensorsEntry entry_of(const Shape& shape, const std::vector<T>& values) {
  SafetensorsEntry entry{dtype_of<T>(), shape, {}};
  entry.data.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(entry.data.data(), values.data(), entry.data.size());
  return entry;
}

SafetensorsEntry random_entry(const Shape& shape, std::uint64_t stream) {
  Philox random(3, stream);
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& v : values) v = static_cast<float>(random.normal());
  return entry_of(shape, values);
}

// The sets and the one weight that tells the classes: enough for whatever is refused before the other weights are read.
SafetensorsFile small_problem() {
  SafetensorsFile file;
  file.tensors["model.fc.weight"] = random_entry({classes, 512}, 1);
  file.tensors["support.x"] = random_entry({2, 3, 2, 8, 6}, 2);
  file.tensors["query.x"] = random_entry({3, 3, 2, 8, 6}, 3);
  file.tensors["support.y"] = entry_of<std::int64_t>({2}, {0, 2});
  file.tensors["query.y"] = entry_of<std::int64_t>({3}, {1, 1, 0});
  return file;
}

SafetensorsFile whole_problem() {
  SafetensorsFile file = small_problem();
  const auto model = make_backbone({arch, 1, classes});
  Backend& ref = open_device("ref");
  const Tensors theta = initialise(model->parameters(), ref, DType::f32, 0);
  for (std::size_t i = 0; i < theta.size(); ++i) put(file, "model." + model->parameters()[i].name, theta[i]);
  return file;
}

std::string refusal(const SafetensorsFile& file, const std::string& name = arch) {
  try {
    take_problem(file, "P", {.arch = name}, open_device("ref"), DType::f32);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a problem with wrong tensors is refused by name") {
  SafetensorsFile file = small_problem();
  std::string expected;
  const auto set = [&](const std::string& name, SafetensorsEntry entry) { file.tensors[name] = std::move(entry); };
  SECTION("as it is, but for weights") { expected = "[problem] P: no tensor \"model.stem.0.weight\""; }
  SECTION("no fc") {
    file.tensors.erase("model.fc.weight");
    expected = "[problem] P: no tensor \"model.fc.weight\"";
  }
  SECTION("fc of a wrong rank") {
    set("model.fc.weight", random_entry({classes}, 1));
    expected = "[problem] P: \"model.fc.weight\" has shape (3), expected (classes, features)";
  }
  SECTION("fc without classes") {
    set("model.fc.weight", random_entry({0, 512}, 1));
    expected = "[problem] P: \"model.fc.weight\" has shape (0, 512), expected (classes, features)";
  }
  SECTION("no clips") {
    file.tensors.erase("support.x");
    expected = "[problem] P: no tensor \"support.x\"";
  }
  SECTION("no labels") {
    file.tensors.erase("query.y");
    expected = "[problem] P: no tensor \"query.y\"";
  }
  SECTION("clips in another layout") {
    set("query.x", random_entry({3, 2, 8, 6, 3}, 1));
    expected = "[problem] P: \"query.x\" has shape (3, 2, 8, 6, 3), expected (N, 3, T, H, W)";
  }
  SECTION("clips without frames") {
    set("query.x", random_entry({3, 3, 0, 8, 6}, 1));
    expected = "[problem] P: \"query.x\" has shape (3, 3, 0, 8, 6), expected (N, 3, T, H, W)";
  }
  SECTION("one clip") {
    set("support.x", random_entry({1, 3, 2, 8, 6}, 1));
    set("support.y", entry_of<std::int64_t>({1}, {0}));
    expected = "[problem] P: \"support.x\" holds 1 clip, batch statistics need a batch of at least 2";
  }
  SECTION("labels for other clips") {
    set("support.y", entry_of<std::int64_t>({3}, {0, 1, 2}));
    expected = "[problem] P: \"support.y\" is i64 (3), expected i64 (2)";
  }
  SECTION("labels of another dtype") {
    set("support.y", entry_of<float>({2}, {0, 1}));
    expected = "[problem] P: \"support.y\" is f32 (2), expected i64 (2)";
  }
  SECTION("a label too large") {
    set("query.y", entry_of<std::int64_t>({3}, {0, 3, 1}));
    expected = "[problem] P: \"query.y\" holds label 3, expected [0, 3)";
  }
  SECTION("a negative label") {
    set("support.y", entry_of<std::int64_t>({2}, {0, -1}));
    expected = "[problem] P: \"support.y\" holds label -1, expected [0, 3)";
  }
  SECTION("a weight that the model does not have") {
    set("model.stem.0.running_mean", random_entry({45}, 1));
    expected = "[problem] P: \"model.stem.0.running_mean\" is no parameter of r2plus1d_10 and no part of a set";
  }
  SECTION("a tensor of no kind") {
    set("suport.x", random_entry({45}, 1));
    expected = "[problem] P: \"suport.x\" is no parameter of r2plus1d_10 and no part of a set";
  }
  SECTION("weights in integers") {
    set("model.fc.bias", entry_of<std::int64_t>({3}, {0, 0, 0}));
    expected = "[problem] P: \"model.fc.bias\" is i64, expected f32 or f64";
  }
  SECTION("two dtypes") {
    set("support.x", entry_of<double>({2, 3, 1, 1, 1}, std::vector<double>(6)));
    expected = "[problem] P: \"support.x\" is f64 but \"model.fc.weight\" is f32, expected one dtype";
  }
  SECTION("a weight of a wrong shape") {
    set("model.stem.0.weight", random_entry({45, 3, 1, 7, 5}, 1));
    expected = "[problem] P: \"model.stem.0.weight\" has shape (45, 3, 1, 7, 5), expected (45, 3, 1, 7, 7)";
  }
  SECTION("a weight in the engine's layout") {
    set("model.stem.0.weight", random_entry({45, 1, 7, 7, 3}, 1));
    expected = "[problem] P: \"model.stem.0.weight\" has shape (45, 1, 7, 7, 3), expected (45, 3, 1, 7, 7)";
  }
  CHECK(refusal(file) == expected);
}

TEST_CASE("a problem may be PyTorch's whole state dict: running statistics are ignored") {
  SafetensorsFile file = small_problem();
  // Of another dtype than the weights, as num_batches_tracked is, and in no shape that matters.
  file.tensors["model.stem.1.num_batches_tracked"] = entry_of<std::int64_t>({}, {7});
  file.tensors["model.stem.1.running_mean"] = random_entry({45}, 1);
  file.tensors["model.layer1.0.conv1.1.running_var"] = entry_of<double>({1}, {0.5});
  CHECK(refusal(file) == "[problem] P: no tensor \"model.stem.0.weight\"");
}

TEST_CASE("an unknown arch is a usage error") {
  CHECK_THROWS_AS(take_problem(small_problem(), "P", {.arch = "vgg"}, open_device("ref"), DType::f32), UsageError);
}

TEST_CASE("grad refuses bad files with 3 and writes nothing") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("p.safetensors");
  write_safetensors(path, small_problem());
  const std::string bytes = test::read_file(path);
  std::string text = "no tensor";
  std::string prefix = "safetensors";
  std::string out = folder.file("g.safetensors");
  SECTION("weights are missing") { prefix = "problem"; }
  SECTION("truncated") {
    test::write_file(path, bytes.substr(0, bytes.size() - 1));
    text = path;
  }
  SECTION("empty") {
    test::write_file(path, "");
    text = path;
  }
  SECTION("a header larger than the file") {
    test::write_file(path, std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10));
    text = path;
  }
  SECTION("noise") {
    test::write_file(path, std::string(4096, '\x07'));
    text = path;
  }
  const auto result = mcn_command({"grad", "--model", arch, "--problem", path, "--out", out});
  CAPTURE(result.err);
  CHECK(result.exit_code == 3);
  CHECK(one_line_error(result, prefix, {text}));
  CHECK(folder.count() == 1);
}

TEST_CASE("grad writes losses and every gradient in PyTorch's layout, and proves where it ran", "[slow]") {
  const test::TemporaryFolder folder;
  const std::string problem = folder.file("p.safetensors");
  const std::string out = folder.file("g.safetensors");
  const SafetensorsFile file = whole_problem();
  write_safetensors(problem, file);
  const auto result = mcn_command({"grad", "--model", arch, "--problem", problem, "--out", out, "--inner-steps", "2",
                                   "--inner-lr", "0.001", "--order", "2", "--device", "cpu", "--threads", "1"});
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.starts_with("cpu ran "));
  CHECK(result.err.empty());
  const SafetensorsFile got = read_safetensors(out);

  MamlConfig config;
  config.inner_steps = 2;
  config.inner_lr = 0.001;
  Backend& cpu = open_device("cpu");
  const Problem p = take_problem(file, problem, {.arch = arch}, cpu, DType::f32);
  const MetaGradient expected = meta_gradient(p.theta, p.support, p.query, config);
  CHECK(got.tensors.size() == p.theta.size() + 2);
  CHECK(got.tensors.at("loss.support").shape == Shape{2});
  CHECK(got.tensors.at("loss.query").shape == Shape{1});
  const auto floats = [](const SafetensorsEntry& entry) {
    std::vector<float> values(static_cast<std::size_t>(entry.shape.numel()));
    std::memcpy(values.data(), entry.data.data(), entry.data.size());
    return values;
  };
  CHECK(floats(got.tensors.at("loss.query"))[0] == Catch::Approx(expected.query_loss));
  for (std::size_t i = 0; i < p.theta.size(); ++i) {
    const ParameterSpec& spec = p.model->parameters()[i];
    CAPTURE(spec.name);
    const SafetensorsEntry& entry = got.tensors.at("grad." + spec.name);
    CHECK(entry.shape == file.tensors.at("model." + spec.name).shape);
    CHECK(entry.dtype == DType::f32);
    std::size_t wrong = 0;
    const std::vector<float> a = floats(entry);
    const std::vector<double> b = expected.gradient[i].to_doubles();
    for (std::size_t at = 0; at < b.size(); ++at) {
      // From O KD KH KW I to O I KD KH KW.
      std::size_t to = at;
      if (spec.shape.rank() == 5) {
        const auto inputs = static_cast<std::size_t>(spec.shape.i());
        const auto taps = static_cast<std::size_t>(spec.shape.kd() * spec.shape.kh() * spec.shape.kw());
        to = (at / (taps * inputs) * inputs + at % inputs) * taps + at / inputs % taps;
      }
      wrong += static_cast<double>(a[to]) == b[at] ? 0 : 1;
    }
    CHECK(wrong == 0);  // the same device and code, and threads change no bit
  }

  const std::string before = test::read_file(out);
  const auto diverged =
      mcn_command({"grad", "--model", arch, "--problem", problem, "--out", out, "--inner-lr", "1e30"});
  CAPTURE(diverged.err);
  CHECK(diverged.exit_code == 5);
  CHECK(one_line_error(diverged, "loss", {"not finite"}));
  CHECK(test::read_file(out) == before);
  CHECK(folder.count() == 2);

  const auto refused = mcn_command({"grad", "--model", arch, "--problem", problem, "--out", problem + "/g"});
  CHECK(refused.exit_code == 3);
  CHECK(one_line_error(refused, "grad", {problem + "/g"}));

  REQUIRE(mcn_command({"grad", "--model", arch, "--problem", problem, "--out", out, "--inner-steps", "0"}).exit_code ==
          0);
  CHECK(read_safetensors(out).tensors.at("loss.support").shape == Shape{0});
}

}  // namespace mcn
