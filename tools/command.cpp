// What subcommands share.
#include "tools/command.h"

#include <filesystem>
#include <utility>

#include "engine/atomic_file.h"
#include "engine/range.h"

namespace mcn {
namespace {

int action_result = ok;

}  // namespace

void set_action(CLI::App& command, std::function<int()> action) {
  command.callback([action = std::move(action)] { action_result = action(); });
}

int result_of_action() { return action_result; }

std::string device_message(const DeviceError& error) {
  std::string message = error.what();
  if (const std::string range = failed_range(); !range.empty()) message += fmt::format(" (noticed in: {})", range);
  if (dynamic_cast<const MemoryError*>(&error) != nullptr) message += less_memory;
  return message;
}

void expect_writable(const std::string& prefix, const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) fail<DataError>(prefix, "{}: is a folder", path);
  // Makes the temporary file, and removes it.
  const AtomicFile probe(prefix, path);
}

}  // namespace mcn
