// Checks of options whose value is a number with a lower bound alone: CLI11's own print the type's largest as the
// upper.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <string>

namespace mcn {

inline CLI::Validator number_check(const char* name, const char* expected, bool (*good)(double)) {
  return {[expected, good](const std::string& text) -> std::string {
            double value = 0;
            const bool number = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
            return number && good(value) ? std::string() : fmt::format("expected {}, got {}", expected, text);
          },
          name};
}

inline CLI::Validator positive_number() {
  return number_check("POSITIVE", "a number above 0", [](double value) { return value > 0; });
}

inline CLI::Validator not_negative_number() {
  return number_check("NONNEGATIVE", "a number of at least 0", [](double value) { return value >= 0; });
}

}  // namespace mcn
