// What subcommands share.
#include "tools/command.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "engine/atomic_file.h"
#include "kernels/range.h"

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

bool lacks_resources(const std::exception& error) {
  if (dynamic_cast<const DeviceError*>(&error) != nullptr || dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const std::length_error*>(&error) != nullptr)  // more than an address can count
    return true;
  const auto* const of_system = dynamic_cast<const std::system_error*>(&error);
  return of_system != nullptr &&
         std::ranges::any_of(std::array{std::errc::not_enough_memory, std::errc::resource_unavailable_try_again,
                                        std::errc::too_many_files_open, std::errc::too_many_files_open_in_system},
                             [&](std::errc lack) { return of_system->code() == lack; });
}

void expect_writable(const std::string& prefix, const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) fail<DataError>(prefix, "{}: is a folder", path);
  // Makes the temporary file, and removes it.
  const AtomicFile probe(prefix, path);
}

}  // namespace mcn
