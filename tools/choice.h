// Options whose value is a word.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "meta/maml.h"

namespace mcn {

/// An option whose value is one of a few names.
template <class Enum>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Enum& value,
                        const std::map<std::string, Enum>& names, const std::string& help) {
  std::string initial;
  for (const auto& [text, e] : names)
    if (e == value) initial = text;
  return command
      .add_option_function<std::string>(
          name, [&value, names](const std::string& text) { value = names.at(text); }, help)
      ->check(CLI::IsMember(names))
      ->default_str(initial)
      ->run_callback_for_default();
}

/// --inner-tape.
inline void add_inner_tape_option(CLI::App& command, InnerTape& value) {
  add_choice<InnerTape>(command, "--inner-tape", value,
                        {{"keep", InnerTape::keep}, {"recompute", InnerTape::recompute}},
                        "keep the inner steps' tapes (fast), or record them again one at a time (memory of one)");
}

/// --dtype.
inline void add_dtype_option(CLI::App& command, DType& value, const std::string& help) {
  add_choice<DType>(command, "--dtype", value, {{"f32", DType::f32}, {"f64", DType::f64}}, help);
}

}  // namespace mcn
