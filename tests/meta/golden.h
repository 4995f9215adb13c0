// What the tests against PyTorch's numbers (tests/golden/) share: formulas that fill tensors, and sums of a tensor.
#pragma once

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/parameters.h"
#include "tests/catch.h"
#include "tests/files.h"

namespace mcn::test {

inline nlohmann::json golden(const std::string& name) {
  std::ifstream stream(source_file("tests/golden/" + name));
  return nlohmann::json::parse(stream);
}

/// The scripts' wave().
inline std::vector<double> wave(std::int64_t count, double phase) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    values[static_cast<std::size_t>(i)] = std::sin(0.7 * static_cast<double>(i) + phase);
  return values;
}

inline double relative(double actual, double expected, double scale) { return std::abs(actual - expected) / scale; }

/// A tensor against the scripts' four numbers of it: norm, product with a wave, first and last element. An error counts
/// in units of `scale`, that of the tensor's norm.
inline void check_summary(const std::vector<double>& values, const nlohmann::json& row, double scale,
                          double tolerance) {
  double squares = 0;
  double product = 0;
  const std::vector<double> w = wave(static_cast<std::int64_t>(values.size()), 0.5);
  for (std::size_t j = 0; j < values.size(); ++j) {
    squares += values[j] * values[j];
    product += values[j] * w[j];
  }
  CHECK(relative(std::sqrt(squares), row.at("norm").get<double>(), scale) <= tolerance);
  CHECK(relative(product, row.at("wave").get<double>(), scale * std::sqrt(static_cast<double>(values.size()))) <=
        tolerance);
  CHECK(relative(values.front(), row.at("first").get<double>(), scale) <= tolerance);
  CHECK(relative(values.back(), row.at("last").get<double>(), scale) <= tolerance);
}

}  // namespace mcn::test
