// JSON from files of other people.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace mcn {

/// The value of a text; discarded (is_discarded()) where that is no JSON, or arrays and objects are nested more than
/// `deepest` deep: nlohmann's dump(), copies and comparisons call themselves for every level, and would run out of
/// stack.
inline nlohmann::json parse_json(std::string_view text, int deepest = 64) {
  struct TooDeep {};
  using Event = nlohmann::json::parse_event_t;
  try {
    return nlohmann::json::parse(
        text,
        [deepest](int depth, Event event, const nlohmann::json&) {
          if ((event == Event::array_start || event == Event::object_start) && depth >= deepest) throw TooDeep();
          return true;
        },
        false);
  } catch (const TooDeep&) {
    return nlohmann::json::value_t::discarded;
  }
}

}  // namespace mcn
