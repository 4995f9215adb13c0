// Subsets of data sets.
#include "meta/evaluate/selection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "engine/random.h"
#include "kernels/error.h"

namespace mcn {
namespace {

// The numbers of each class's videos in an order by the seed, classes by their labels. A stream of its own for each:
// which videos it gives does not depend on the others.
std::vector<std::vector<std::size_t>> shuffled_classes(const Dataset& dataset, std::uint64_t seed) {
  std::map<std::int64_t, std::vector<std::size_t>> videos_of;
  for (std::size_t i = 0; i < dataset.videos.size(); ++i) videos_of[dataset.videos[i].label].push_back(i);
  std::vector<std::vector<std::size_t>> classes;
  for (auto& [label, videos] : videos_of) {
    Philox draws(seed, hash_stream(label));
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
  std::vector<std::string> units;  // of each video, what is held out as a whole
  std::map<std::int64_t, std::set<std::string>> recordings_of;
  for (const VideoEntry& video : dataset.videos) {
    units.push_back(recording_of(video.source));
    recordings_of[video.label].insert(units.back());
  }
  for (std::size_t i = 0; i < units.size(); ++i)
    if (recordings_of[dataset.videos[i].label].size() == 1) units[i] = dataset.videos[i].source.name;
  const std::set<std::string> different(units.begin(), units.end());
  std::vector<std::string> order(different.begin(), different.end());
  // Another stream than a choice by the same seed has, which would decide what is held out of it.
  Philox draws(seed, 0);
  draws.shuffle(std::span<std::string>(order));
  std::map<std::string, std::size_t> place_of;
  for (std::size_t i = 0; i < order.size(); ++i) place_of[order[i]] = i;

  std::map<std::int64_t, std::map<std::size_t, std::vector<std::size_t>>> classes;
  for (std::size_t i = 0; i < dataset.videos.size(); ++i)
    classes[dataset.videos[i].label][place_of[units[i]]].push_back(i);
  std::vector<bool> held(dataset.videos.size());
  for (const auto& [label, recordings] : classes) {
    std::size_t all = 0, count = 0, left = recordings.size();
    for (const auto& [place, videos] : recordings) all += videos.size();
    const double wanted = percent / 100 * static_cast<double>(all);
    for (const auto& [place, videos] : recordings) {
      const double now = static_cast<double>(count), then = static_cast<double>(count + videos.size());
      if (--left == 0 || (count > 0 && std::abs(then - wanted) > std::abs(now - wanted))) break;
      for (const std::size_t i : videos) held[i] = true;
      count += videos.size();
    }
  }
  HeldOut split;
  split.train.classes = split.validation.classes = dataset.classes;
  for (std::size_t i = 0; i < dataset.videos.size(); ++i)
    (held[i] ? split.validation : split.train).videos.push_back(dataset.videos[i]);
  return split;
}

}  // namespace mcn
