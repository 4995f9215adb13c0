// A new operator without a row in engine/gradcheck_cases.cpp fails here: operators are found in the sources themselves.
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "engine/device.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/ops/harness.h"

namespace mcn::test {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), regex); it != std::sregex_iterator(); ++it)
    found.insert((*it)[1]);
  return found;
}

const std::filesystem::path engine = test::source_file("engine");

}  // namespace

TEST_CASE("every factory of engine/ops.h has a gradcheck case, and every case a factory") {
  const std::set<std::string> factories = matches(read_text(engine / "ops.h"), R"(OperatorPtr\s+(\w+)\s*\()");
  REQUIRE(factories.size() >= 14);
  std::set<std::string> covered;
  for (const GradcheckCase& c : gradcheck_cases()) covered.insert(c.op);
  CHECK(covered == factories);
}

TEST_CASE("every operator class of engine/ops is made by a gradcheck case, and named as its factory is") {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(engine / "ops")) {
    if (entry.path().extension() != ".cpp") continue;
    INFO(entry.path());
    const std::string text = read_text(entry.path());
    const std::set<std::string> classes = matches(text, R"(class\s+(\w+)[^;{]*:\s*public\s+Operator\b)");
    const std::set<std::string> in_file = matches(text, R"re(name\(\)\s*const\s*override\s*\{\s*return\s*"(\w+)")re");
    CHECK_FALSE(classes.empty());
    CHECK(in_file.size() == classes.size());
    names.insert(in_file.begin(), in_file.end());
  }
  std::set<std::string> made;
  for (const GradcheckCase& c : gradcheck_cases()) {
    GradcheckDraw draw(open_device("ref"), DType::f64, seed);
    const std::string name(c.make(draw)->name());
    made.insert(name);
    INFO(c.name());
    CHECK(c.op.starts_with(name));
  }
  CHECK(made == names);
}

}  // namespace mcn::test
