// Errors are one line, whatever they quote.
#include <string>

#include "kernels/error.h"
#include "tests/catch.h"

namespace mcn {
namespace {

TEST_CASE("error: control characters of what a message quotes are escaped", "[error]") {
  const std::string name("a\nb\r\x1b[2J\0caf\xC3\xA9\x7f", 15);
  std::string message;
  try {
    fail<DataError>("data", "{}: no such file", name);
  } catch (const DataError& error) {
    message = error.what();
  }
  CHECK(message == "[data] a\\x0ab\\x0d\\x1b[2J\\x00caf\xC3\xA9\\x7f: no such file");
}

}  // namespace
}  // namespace mcn
