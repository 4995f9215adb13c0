// Which videos of a data set an evaluation is about: some classes, or a few videos of each.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace mcn {

/// DataError unless both know the same classes by the same numbers (one may know more of them) and every video has one.
void expect_same_classes(const Dataset& train, const Dataset& test);

/// The numbers of classes that are given by name, or by number from 0 where no class has that name; rising. UsageError
/// for one that is not there or is given twice.
std::vector<std::int64_t> class_numbers(const Dataset& dataset, std::span<const std::string> wanted);

/// The videos of these classes alone.
Dataset only_classes(const Dataset& dataset, std::span<const std::int64_t> classes);

/// At most k videos of each class, drawn by the seed, in the data set's order. UsageError unless k is positive.
Dataset some_of_each_class(const Dataset& dataset, std::int64_t k, std::uint64_t seed);

/// Splits a data set: of each class whole recordings (recording_of()) are held out, in an order by the seed that all
/// classes share, as many as come nearest to `percent` of its videos, and at least one. In a class of one recording
/// each video counts as one; a class of one video is not split. Both parts keep the order. UsageError unless 0 <
/// percent < 100.
struct HeldOut {
  Dataset train, validation;
};
HeldOut hold_out(const Dataset& dataset, double percent, std::uint64_t seed);

/// At most `most` videos, of each class as many as of any other that has them, drawn by the seed, in the data set's
/// order; of fewer than one a class, the classes with the smallest numbers. UsageError unless `most` is positive.
Dataset evenly_over_classes(const Dataset& dataset, std::int64_t most, std::uint64_t seed);

}  // namespace mcn
