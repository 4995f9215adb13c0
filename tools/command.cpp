// What subcommands share.
#include "tools/command.h"

#include <omp.h>

#include <utility>

namespace mcn {
namespace {

int action_result = ok;

}  // namespace

void set_action(CLI::App& command, std::function<int()> action) {
  command.callback([action = std::move(action)] { action_result = action(); });
}

int result_of_action() { return action_result; }

void set_threads(int threads) {
  if (threads > 0) omp_set_num_threads(threads);
}

}  // namespace mcn
