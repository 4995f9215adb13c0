// A checkpoint that training goes on from: bytes to Trainer, by a mutator that keeps its form and its checksums, so
// that what is damaged is what the checksums vouch for. What is loaded can be saved and loaded again as the same bytes,
// and trained with.
#include <array>
#include <memory>
#include <vector>

#include "engine/io/checksum.h"
#include "kernels/backend.h"
#include "meta/train/settings.h"
#include "meta/trainer.h"
#include "tests/fuzz/allocations.h"
#include "tests/fuzz/safetensors_mutator.h"

namespace {

using mcn::Trainer;
using mcn::fuzz::violated;

constexpr std::int64_t videos = 6;

mcn::Backend& backend() {
  static const std::unique_ptr<mcn::Backend> ref = mcn::make_ref_backend();
  return *ref;
}

// Two runs that have everything between them that a checkpoint may hold. Their networks are one channel wide: the fewer
// elements, the more of the file are names, shapes and settings.
enum class Run : std::uint8_t { bilevel, joint };

mcn::TrainConfig config_of(Run run) {
  mcn::TrainConfig c;
  c.model = {{"r2plus1d_10", 0.001, 0}, 2};
  c.loader.batch = 4;
  c.loader.clip = {2, 1};
  c.loader.augment.size = c.loader.augment.resize_height = c.loader.augment.resize_width = 16;
  c.loader.threads = 1;
  c.bank.size = 3;
  c.iterations = 9;
  if (run == Run::joint) {
    c.method = mcn::Method::joint;
    c.bank.kind = mcn::BankKind::memory;
    c.optimizer.kind = mcn::OptimizerKind::sgd;
    return c;
  }
  c.bank.kind = mcn::BankKind::queue;
  c.optimizer.kind = mcn::OptimizerKind::adamw;
  c.optimizer.schedule = mcn::ScheduleKind::multistep;
  c.optimizer.milestones = {2, 5};
  c.inner_parameters = mcn::InnerParameters::heads;
  c.curvature = {.every = 2, .products = 1, .sets_inner_lr = true};
  c.inner_rates.learned = true;
  return c;
}

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string saved(Trainer& trainer) {
  static const mcn::test::TemporaryFolder folder;
  const std::string path = folder.file("saved.safetensors");
  trainer.save(path);
  return text_of(path);
}

std::unique_ptr<Trainer> trainer_of(Run run, const std::string& path = {}, const std::set<std::string>& allowed = {}) {
  return std::make_unique<Trainer>(config_of(run), mcn::random_clips(videos), backend(), path, allowed);
}

// Of two iterations: moments, curvature, rates and the bank are not as they began.
const std::array<std::string, 2>& sound_checkpoints() {
  static const std::array<std::string, 2> texts = [] {
    std::array<std::string, 2> both;
    for (const Run run : {Run::bilevel, Run::joint}) {
      const auto trainer = trainer_of(run);
      for (int i = 0; i < 2; ++i) trainer->step();
      both.at(static_cast<std::size_t>(run)) = saved(*trainer);
    }
    return both;
  }();
  return texts;
}

// Memory that a sound file's load takes besides what follows from its size.
std::size_t memory_of_a_load() {
  static const std::size_t most = [] {
    mcn::fuzz::MemoryFile file;
    std::size_t bytes = 0;
    for (const Run run : {Run::bilevel, Run::joint}) {
      file.write(sound_checkpoints().at(static_cast<std::size_t>(run)));
      const mcn::fuzz::AllocationPeak peak;
      const auto trainer = trainer_of(run, file.path());
      bytes = std::max(bytes, peak.bytes());
    }
    return bytes;
  }();
  return most;
}

// Whatever the library throws is one of its errors, of one line.
template <class F>
bool succeeds(F&& f) {
  bool done = false;
  mcn::fuzz::read([&] {
    try {
      f();
      done = true;
    } catch (const mcn::NonFiniteError& error) {
      throw mcn::DataError(error.what());
    }
  });
  return done;
}

void check_loaded(Trainer& trainer, Run run, bool step) {
  static mcn::fuzz::MemoryFile file;
  const std::string once = saved(trainer);
  file.write(once);
  const auto again = trainer_of(run, file.path());
  if (!again->damaged_checkpoint().empty() || !again->changed_since_checkpoint().empty())
    violated("a checkpoint that was written is sound, and of the same run");
  if (saved(*again) != once) violated("a checkpoint that is written, loaded and written again is the same");
  for (const auto& [video, cause] : trainer.bad_videos())
    if (video < 0 || video >= videos) violated("a bad video is one of the data set");
  if (!step) return;
  const std::int64_t before = trainer.iteration();
  try {
    trainer.step();
    if (trainer.iteration() != before + 1 || !trainer.whole()) violated("a step is an iteration");
  } catch (const mcn::NonFiniteError&) {
    // Weights that are finite may be too large to train with.
    if (!trainer.whole() || saved(trainer) != once) violated("a step that fails leaves the state as it was");
  } catch (const mcn::Error& error) {
    violated(error.what());
  }
  // An update may overflow, and what is not finite is not saved.
  succeeds([&] { static_cast<void>(saved(trainer)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  static const std::size_t usual = memory_of_a_load();
  const std::string_view bytes = mcn::fuzz::as_text(data, size);
  file.write(bytes);
  // The file chooses: mostly the run that it is of, whether it may be one with other settings, whether to train.
  const std::uint64_t choice = std::stoull(mcn::checksum(bytes), nullptr, 16);
  const bool adamw = bytes.find("adamw") != std::string_view::npos;
  const Run run = adamw != (choice % 16 == 0) ? Run::bilevel : Run::joint;
  const std::set<std::string> allowed = choice / 16 % 4 != 0 ? std::set<std::string>{"all"} : std::set<std::string>();
  std::unique_ptr<Trainer> trainer;
  const mcn::fuzz::AllocationPeak peak;
  succeeds([&] { trainer = trainer_of(run, file.path(), allowed); });
  if (peak.bytes() > usual + 256 * size) violated("memory follows from the file's size");
  if (trainer) check_loaded(*trainer, run, choice / 64 % 2 == 0);
  // As the weights that another run starts from.
  if (choice / 128 % 4 == 0)
    succeeds([&] {
      const mcn::Weights weights = mcn::read_weights(file.path());
      const auto started = trainer_of(run);
      started->initialize(weights, choice / 512 % 2 == 0);
      static_cast<void>(saved(*started));
    });
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  return mcn::fuzz::mutate_tensors(data, size, max_size, seed, sound_checkpoints().at(seed / 16 % 2), "progress");
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* first, std::size_t first_size,
                                                 const std::uint8_t* second, std::size_t second_size, std::uint8_t* out,
                                                 std::size_t max_size, unsigned seed) {
  return mcn::fuzz::cross_tensors(mcn::fuzz::as_text(first, first_size), mcn::fuzz::as_text(second, second_size), out,
                                  max_size, seed);
}
