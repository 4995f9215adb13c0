// Which errno is whose fault.
#include "kernels/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace mcn {

bool is_fault_of_file(int error) {
  // Named one by one: what nobody thought of is not held against a video.
  constexpr std::array faults{ENOENT,    ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, EINVAL,
                              EOVERFLOW, ENXIO,   ENOSPC, EDQUOT, EFBIG, EROFS, EEXIST,       ENOTEMPTY};
  return std::ranges::find(faults, error) != faults.end();
}

void fail_by_errno(std::string_view prefix, std::string_view what, int error) {
  const std::string text = std::generic_category().message(error);
  if (is_fault_of_file(error)) fail<DataError>(prefix, "{}: {}", what, text);
  fail<SystemError>(prefix, "{}: {}; the system or the disk fails, which is no fault of the file's content", what,
                    text);
}

}  // namespace mcn
