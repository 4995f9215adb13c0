// Pictures from a loader's batch, and from features of test and training videos.
#include "meta/train/run_pictures.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>

#include "data/loader.h"
#include "engine/random.h"
#include "meta/evaluate/embed.h"
#include "meta/evaluate/projection.h"
#include "meta/evaluate/protocols.h"
#include "meta/evaluate/selection.h"

namespace mcn {
namespace {

// Of everything random here: the same videos for every run, so that runs can be compared.
constexpr std::uint64_t seed = 0;

std::string name_of(const VideoEntry& entry) { return std::filesystem::path(entry.source.name).filename().string(); }

std::uint8_t byte_of(double share) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(share, 0.0, 1.0))); }

// A normalised clip, frames x size x size x 3, as colors; of a difference gray is 0.
Frames colors_of(std::span<const double> clip, const LoaderConfig& loader, bool residual) {
  const int size = loader.augment.size;
  Frames frames{loader.clip.frames, size, size, std::vector<std::uint8_t>(clip.size())};
  for (std::size_t i = 0; i < clip.size(); ++i) {
    const double value = clip[i] * static_cast<double>(loader.augment.std[i % 3]);
    frames.rgb[i] =
        byte_of(residual ? 0.5 + residual_contrast * value : value + static_cast<double>(loader.augment.mean[i % 3]));
  }
  return frames;
}

// Rows for the gallery, drawn at random: one of each class, then another, and so on; of more classes than queries,
// those that are spread evenly over the list.
std::vector<std::int64_t> query_rows(const std::vector<std::int64_t>& labels, std::int64_t most) {
  std::vector<std::int64_t> drawn(labels.size());
  std::iota(drawn.begin(), drawn.end(), std::int64_t{0});
  Philox draws(seed, labels.size());
  draws.shuffle(std::span<std::int64_t>(drawn));
  const auto label_of = [&](std::int64_t row) { return labels[static_cast<std::size_t>(row)]; };
  std::map<std::int64_t, std::int64_t> rounds;
  std::vector<std::array<std::int64_t, 3>> order;  // round, class, row
  for (const std::int64_t row : drawn) order.push_back({rounds[label_of(row)]++, label_of(row), row});
  std::ranges::sort(order);
  const auto classes = std::ssize(rounds), count = std::min<std::int64_t>(most, std::ssize(order));
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i)
    rows.push_back(order[static_cast<std::size_t>(classes > count ? i * classes / count : i)][2]);
  std::ranges::sort(rows, {}, [&](std::int64_t row) { return std::pair(label_of(row), row); });
  return rows;
}

// Strips of the gallery, without which it is complete.
void add_strips(std::vector<RunPictures::Query>& gallery, const std::vector<VideoSource>& sources,
                const ModelDescription& description, const LoaderConfig& loader, const std::function<void()>& waiting) {
  StripConfig config;
  config.clip = {description.frames, description.stride};
  config.threads = loader.threads;
  std::vector<Strip> strips = middle_strips(sources, config, loader.files, waiting);
  auto strip = strips.begin();
  for (RunPictures::Query& query : gallery) {
    query.video.strip = std::move(*strip++);
    for (RunPictures::Video& neighbor : query.neighbors) neighbor.strip = std::move(*strip++);
  }
}

}  // namespace

void picture_views(const Dataset& train, const LoaderConfig& loader, const PictureLimits& limits, Backend& backend,
                   RunPictures& pictures, const PictureProgress& progress) {
  LoaderConfig config = loader;
  // Twice as many videos as are shown: some may be unusable.
  const Dataset few = evenly_over_classes(train, 2 * limits.views, seed);
  config.batch = std::min<std::int64_t>(limits.views, std::ssize(few.videos));
  config.ring = 1;
  config.first_iteration = 0;
  config.max_bad_percent = 100;
  Loader source(few, config, backend);
  const Batch batch = source.next([&] {
    if (progress) progress(0);
  });
  const Tensor clips = augmented_clips(batch, 0, config.batch, config, backend, DType::f32);
  pictures.residual = config.residual_view;
  for (std::int64_t i = 0; i < config.batch; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto view = [&](std::int64_t row, bool residual) {
      return make_strip(colors_of(clips.rows(row, row + 1).to_doubles(), config, residual), limits.view_frames,
                        limits.view_bytes);
    };
    const std::span<const std::uint8_t> decoded = batch.view_a.frames[at].bytes();
    Frames frames{config.clip.frames, config.augment.resize_height, config.augment.resize_width, {}};
    const auto bytes = static_cast<std::ptrdiff_t>(frames.frame_bytes()) * frames.count;
    frames.rgb.assign(decoded.begin(), decoded.begin() + bytes);
    pictures.views.push_back({name_of(few.videos[static_cast<std::size_t>(batch.videos[at])]),
                              make_strip(frames, limits.view_frames, limits.view_bytes), view(i, false),
                              view(config.batch + i, config.residual_view)});
  }
}

Dataset pictured_videos(const Dataset& dataset, std::int64_t most) { return evenly_over_classes(dataset, most, seed); }

void picture_features(const ModelDescription& description, const McnModel& model, const ModelState& state,
                      const Dataset& train, const Dataset& test, const LoaderConfig& loader,
                      const PictureLimits& limits, Backend& backend, RunPictures& pictures,
                      const PictureProgress& progress) {
  expect_same_classes(train, test);
  EmbedConfig config;
  config.clips = limits.clips;
  config.batch = 8;
  config.threads = loader.threads;
  config.files = loader.files;
  config.max_bad_percent = 100;
  const auto embed = [&](const Dataset& dataset, std::int64_t before) {
    return embed_videos(description, model, {&state, 1}, dataset, config, backend,
                        [&](std::int64_t done, std::int64_t) {
                          if (progress) progress(before + done);
                        });
  };
  const VideoEmbeddings gallery = embed(train, 0);
  const VideoEmbeddings queries = embed(test, std::ssize(train.videos));
  const auto waiting = [&] {
    if (progress) progress(std::ssize(train.videos) + std::ssize(test.videos));
  };
  for (const auto& [embeddings, what] : {std::pair(&gallery, "training"), std::pair(&queries, "test")})
    if (!embeddings->bad.empty())
      pictures.problems.push_back(
          fmt::format("{} of {} {} videos cannot be used and are not among the features{}", embeddings->bad.size(),
                      embeddings->bad.size() + embeddings->videos.size(), what, causes(*embeddings)));
  const Embedding& rows = gallery.networks.front();
  const Embedding& tests = queries.networks.front();
  const ProtocolConfig protocol;
  const Neighbors found =
      nearest(rows, tests, std::max<std::int64_t>(protocol.neighbors, limits.neighbors), {backend, 4096, 256, waiting});
  const std::vector<std::int64_t> answers = votes(found, rows, protocol.neighbors, protocol.temperature);
  const Projection plane = principal_plane(tests);

  pictures.classes = (train.classes.size() < test.classes.size() ? test : train).classes;
  pictures.train_videos = rows.rows();
  pictures.test_videos = tests.rows();
  pictures.clips = limits.clips;
  pictures.neighbors = static_cast<int>(std::min<std::int64_t>(protocol.neighbors, found.k));
  pictures.confusion = confusion_counts(tests.labels, answers, std::ssize(pictures.classes));
  for (const std::int64_t label : tests.labels)
    pictures.chance +=
        static_cast<double>(std::ranges::count(rows.labels, label)) / static_cast<double>(rows.rows() * tests.rows());
  for (const double hit : hits(found, rows, tests, 1)) pictures.nearest_right += hit > 0 ? 1 : 0;
  pictures.variance = plane.variance;
  const auto entry_of = [](const Dataset& dataset, const VideoEmbeddings& embeddings, std::int64_t row) -> const auto& {
    return dataset.videos[static_cast<std::size_t>(embeddings.videos[static_cast<std::size_t>(row)])];
  };
  for (std::int64_t row = 0; row < tests.rows(); ++row) {
    const auto i = static_cast<std::size_t>(row);
    pictures.map.push_back({name_of(entry_of(test, queries, row)), tests.labels[i], answers[i], plane.points[i]});
  }

  std::vector<RunPictures::Query> gallery_rows;
  std::vector<VideoSource> sources;
  const auto video = [&](const VideoEntry& entry, double cosine) -> RunPictures::Video {
    sources.push_back(entry.source);
    return {name_of(entry), entry.label, cosine, {}};
  };
  for (const std::int64_t row : query_rows(tests.labels, limits.queries)) {
    RunPictures::Query query{video(entry_of(test, queries, row), 1), {}};
    for (std::int64_t n = 0; n < std::min(limits.neighbors, found.k); ++n) {
      const auto at = static_cast<std::size_t>(row * found.k + n);
      query.neighbors.push_back(
          video(entry_of(train, gallery, found.rows[at]), static_cast<double>(found.cosines[at])));
    }
    gallery_rows.push_back(std::move(query));
  }
  add_strips(gallery_rows, sources, description, loader, waiting);
  pictures.gallery = std::move(gallery_rows);
}

}  // namespace mcn
