// Options whose value is a word.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "meta/maml.h"
#include "models/backbone.h"

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

/// An architecture of a backbone, under these names of an option.
inline void add_arch_option(CLI::App& command, const std::string& names, std::string& value) {
  const std::vector<std::string> archs = backbone_archs();
  std::string list = archs.front();
  for (std::size_t i = 1; i < archs.size(); ++i) list += (i + 1 < archs.size() ? ", " : " or ") + archs[i];
  command.add_option(names, value, "backbone: " + list)->check(CLI::IsMember(archs));
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
