// Checks of options whose value is a number with a lower bound alone: CLI11's own print the type's largest as the
// upper.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cmath>
#include <cstdlib>
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

/// CLI11 takes the nearest number of 64 bits for one beyond, and a large one for one below 0 where the option is
/// unsigned: refuses both, for all options of a command and of those that are a part of it.
inline void refuse_longer_integers(CLI::App& command) {
  const auto check = [](CLI::Option* option, bool is_signed) {
    option->check(CLI::Validator(
        [is_signed](const std::string& text) {
          errno = 0;
          if (is_signed)
            std::strtoll(text.c_str(), nullptr, 0);
          else
            std::strtoull(text.c_str(), nullptr, 0);
          const bool good = errno != ERANGE && (is_signed || text.find('-') == std::string::npos);
          return good ? std::string()
                      : fmt::format("expected an integer of {}, got {}",
                                    is_signed ? "64 bits" : "at least 0 and of 64 bits", text);
        },
        ""));
  };
  for (CLI::Option* option : command.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("INT") || type.starts_with("UINT")) check(option, type.starts_with("INT"));
  }
  for (CLI::App* inner : command.get_subcommands([](CLI::App*) { return true; })) refuse_longer_integers(*inner);
}

}  // namespace mcn
