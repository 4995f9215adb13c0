// Ends a system call in which another thread is stuck. Internal to data/.
#pragma once

#include <thread>

namespace mcn {

/// Makes a system call that blocks that thread return early (EINTR), as reading from a network file system that does
/// not answer may; FFmpeg then looks at its deadline. A thread that does not block notices nothing. Uses SIGURG, whose
/// default is to be ignored; does nothing in a program that handles it already.
void interrupt_blocking_call(std::thread& thread);

}  // namespace mcn
