// Subsets of data sets.
#include "meta/evaluate/selection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engine/random.h"
#include "kernels/error.h"

namespace mcn {
namespace {

std::uint64_t stream_of(std::int64_t label) { return hash_stream(label); }

// The numbers of each class's videos in an order by the seed, classes by their labels. A stream of its own for each:
// which videos it gives does not depend on the others.
std::vector<std::vector<std::size_t>> shuffled_classes(const Dataset& dataset, std::uint64_t seed,
                                                       std::uint64_t (*stream)(std::int64_t label) = stream_of) {
  std::map<std::int64_t, std::vector<std::size_t>> videos_of;
  for (std::size_t i = 0; i < dataset.videos.size(); ++i) videos_of[dataset.videos[i].label].push_back(i);
  std::vector<std::vector<std::size_t>> classes;
  for (auto& [label, videos] : videos_of) {
    Philox draws(seed, stream(label));
    draws.shuffle(std::span<std::size_t>(videos));
    classes.push_back(std::move(videos));
  }
  return classes;
}

Dataset only_videos(const Dataset& dataset, std::vector<std::size_t> chosen) {
  std::ranges::sort(chosen);
  Dataset result = dataset;
  result.videos.clear();
  for (const std::size_t i : chosen) result.videos.push_back(dataset.videos[i]);
  return result;
}

}  // namespace

void expect_same_classes(const Dataset& train, const Dataset& test) {
  for (std::size_t i = 0; i < std::min(train.classes.size(), test.classes.size()); ++i)
    if (train.classes[i] != test.classes[i])
      fail<DataError>("evaluate", "training and test videos have different classes: number {} is {} and {}", i,
                      train.classes[i], test.classes[i]);
  for (const Dataset* dataset : {&train, &test})
    for (const VideoEntry& entry : dataset->videos)
      if (entry.label < 0 || entry.label >= std::ssize(dataset->classes))
        fail<DataError>("evaluate", "{} has no class: evaluation needs labelled videos", entry.source.name);
}

std::vector<std::int64_t> class_numbers(const Dataset& dataset, std::span<const std::string> wanted) {
  std::vector<std::int64_t> numbers;
  for (const std::string& name : wanted) {
    std::int64_t number = std::ranges::find(dataset.classes, name) - dataset.classes.begin();
    if (number == std::ssize(dataset.classes)) {
      const char* const end = name.data() + name.size();
      const auto [rest, error] = std::from_chars(name.data(), end, number);
      if (error != std::errc() || rest != end || number < 0 || number >= std::ssize(dataset.classes))
        fail("evaluate", "no class {}: expected a name, or a number from 0 to {}", name, dataset.classes.size() - 1);
    }
    if (std::ranges::find(numbers, number) != numbers.end()) fail("evaluate", "class {} is given twice", name);
    numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Dataset only_classes(const Dataset& dataset, std::span<const std::int64_t> classes) {
  Dataset result = dataset;
  std::erase_if(result.videos, [&](const VideoEntry& entry) {
    return !std::binary_search(classes.begin(), classes.end(), entry.label);
  });
  return result;
}

Dataset some_of_each_class(const Dataset& dataset, std::int64_t k, std::uint64_t seed) {
  if (k < 1) fail("evaluate", "expected at least 1 video of each class, got {}", k);
  std::vector<std::size_t> chosen;
  for (const std::vector<std::size_t>& videos : shuffled_classes(dataset, seed))
    chosen.insert(chosen.end(), videos.begin(),
                  videos.begin() + static_cast<std::ptrdiff_t>(std::min(videos.size(), static_cast<std::size_t>(k))));
  return only_videos(dataset, std::move(chosen));
}

Dataset evenly_over_classes(const Dataset& dataset, std::int64_t most, std::uint64_t seed) {
  if (most < 1) fail("evaluate", "expected at least 1 video, got {}", most);
  const std::size_t count = std::min(dataset.videos.size(), static_cast<std::size_t>(most));
  const auto classes = shuffled_classes(dataset, seed);
  std::vector<std::size_t> chosen;
  for (std::size_t round = 0; chosen.size() < count; ++round)
    for (const std::vector<std::size_t>& videos : classes)
      if (round < videos.size() && chosen.size() < count) chosen.push_back(videos[round]);
  return only_videos(dataset, std::move(chosen));
}

HeldOut hold_out(const Dataset& dataset, double percent, std::uint64_t seed) {
  if (!(percent > 0 && percent < 100))
    fail("evaluate", "expected to hold out more than 0 and less than 100%, got {}", percent);
  std::vector<bool> held(dataset.videos.size());
  // Other streams than a choice by the same seed has, which would decide what is held out of it.
  const auto stream = [](std::int64_t label) { return static_cast<std::uint64_t>(label); };
  for (const std::vector<std::size_t>& videos : shuffled_classes(dataset, seed, stream)) {
    if (videos.size() < 2) continue;
    const auto wanted = static_cast<std::size_t>(std::llround(percent / 100 * static_cast<double>(videos.size())));
    const std::size_t count = std::clamp<std::size_t>(wanted, 1, videos.size() - 1);
    for (std::size_t i = 0; i < count; ++i) held[videos[i]] = true;
  }
  HeldOut split;
  split.train.classes = split.validation.classes = dataset.classes;
  for (std::size_t i = 0; i < dataset.videos.size(); ++i)
    (held[i] ? split.validation : split.train).videos.push_back(dataset.videos[i]);
  return split;
}

}  // namespace mcn
