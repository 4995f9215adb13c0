// Gathers what pictures are made of, a part at a time.
#include "tools/run_pictures.h"

#include <filesystem>
#include <set>

#include "meta/train/run_folder.h"
#include "tools/network.h"
#include "tools/progress.h"

namespace mcn {
namespace {

namespace fs = std::filesystem;

constexpr PictureLimits limits;

// Why a part is missing; Ctrl-C is no reason.
bool attempt(RunPictures& pictures, const std::string& what, const std::function<void()>& part) {
  try {
    part();
    return true;
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    pictures.problems.push_back(fmt::format("{}: {}", what, error.what()));
    return false;
  }
}

constexpr const char* no_features = "gallery, confusion matrix and map are missing";

/// The videos whose features are taken.
struct Subsets {
  Dataset train, test;
  [[nodiscard]] std::int64_t size() const { return std::ssize(train.videos) + std::ssize(test.videos); }
};

void add_views(const TrainOptions& o, const Dataset& train, Backend& backend, const InterruptGuard& interrupt,
               RunPictures& pictures) {
  attempt(pictures, "the augmented views are missing", [&] {
    picture_views(train, o.config.loader, limits, backend, pictures,
                  [&](std::int64_t) { interrupt.leave_if_requested(); });
  });
}

void add_features(const TrainOptions& o, const ModelDescription& description, const McnModel& model,
                  const ModelState& state, const Subsets& videos, Backend& backend, const InterruptGuard& interrupt,
                  RunPictures& pictures) {
  Progress progress("pictures", videos.size());
  picture_features(description, model, state, videos.train, videos.test, o.config.loader, limits, backend, pictures,
                   [&](std::int64_t done) {
                     interrupt.leave_if_requested();
                     progress.update(done, "");
                   });
  progress.finish();
}

Subsets subsets(const TrainOptions& o, const Dataset& train) {
  return {pictured_videos(train, limits.train_videos),
          pictured_videos(load_dataset(o.dataset, Subset::test), limits.test_videos)};
}

std::string checkpoint_in(const std::string& folder) {
  for (const char* name : {RunFolder::last, RunFolder::last_finite})
    if (const fs::path path = fs::path(folder) / name; fs::exists(path)) return path.string();
  fail<DataError>("report", "{}: expected a checkpoint {}, got none", folder, RunFolder::last);
}

}  // namespace

RunPictures pictures_of_run(const std::string& folder, const std::string& data, Backend& backend) {
  RunPictures pictures;
  TrainOptions o;
  if (!attempt(pictures, "the pictures are missing", [&] { o = saved_options(folder, data); })) return pictures;
  Dataset train;
  const std::string no_data = "the pictures are missing";
  if (!attempt(pictures, data.empty() ? no_data + "; --data names the data set's folder, if it has moved" : no_data,
               [&] { train = load_dataset(o.dataset, Subset::train); }))
    return pictures;
  const InterruptGuard interrupt;
  add_views(o, train, backend, interrupt, pictures);
  attempt(pictures, no_features, [&] {
    NetworkOptions from;
    from.checkpoint = checkpoint_in(folder);
    const Network network = load_network(from, backend);
    add_features(o, network.description, network.model, network.state, subsets(o, train), backend, interrupt, pictures);
  });
  return pictures;
}

RunPictures pictures_of_training(const TrainOptions& o, const Dataset& train, const Trainer& trainer, Backend& backend,
                                 const InterruptGuard& interrupt) {
  RunPictures pictures;
  // What training could not use may be stuck, and would be waited for again.
  Dataset good = train;
  std::set<std::int64_t> bad;
  for (const auto& [video, error] : trainer.bad_videos()) bad.insert(video);
  std::int64_t number = 0;
  std::erase_if(good.videos, [&](const VideoEntry&) { return bad.contains(number++); });
  add_views(o, good, backend, interrupt, pictures);
  attempt(pictures, no_features, [&] {
    const Subsets videos = subsets(o, good);
    // A clip of training takes three times as long as one of these, and mostly ten.
    const std::int64_t seen = 2 * trainer.iteration() * o.config.loader.batch, wanted = limits.clips * videos.size();
    if (wanted > seen)
      fail("report", "the run has seen {} clips, the features take {}; mcn report {} makes them", seen, wanted, o.out);
    add_features(o, trainer.description(), trainer.model(), trainer.state(), videos, backend, interrupt, pictures);
  });
  return pictures;
}

}  // namespace mcn
