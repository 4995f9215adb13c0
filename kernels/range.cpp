// Ranges of this thread, told to NVTX where the build has it.
#include "kernels/range.h"

#include <fmt/ranges.h>

#include <exception>
#include <new>
#include <vector>

#ifdef MCN_HAS_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace mcn {
namespace {

thread_local std::vector<std::string> open_ranges;
thread_local std::string last_failure;

#ifdef MCN_HAS_NVTX
nvtxDomainHandle_t domain() {
  static const nvtxDomainHandle_t handle = nvtxDomainCreateA("mcn");
  return handle;
}
#endif

}  // namespace

Range::Range(std::string_view name) : exceptions_(std::uncaught_exceptions()) {
  if (open_ranges.empty()) last_failure.clear();
  open_ranges.emplace_back(name);
#ifdef MCN_HAS_NVTX
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = open_ranges.back().c_str();
  nvtxDomainRangePushEx(domain(), &event);
#endif
}

Range::~Range() {
#ifdef MCN_HAS_NVTX
  nvtxDomainRangePop(domain());
#endif
  // The innermost range that an exception leaves knows the whole path.
  const bool failing = std::uncaught_exceptions() > exceptions_;
  if (!failing)
    last_failure.clear();
  else if (last_failure.empty())
    try {
      last_failure = fmt::format("{}", fmt::join(open_ranges, " > "));
    } catch (const std::bad_alloc&) {
      last_failure.clear();  // the exception under way is about memory too, most likely
    }
  open_ranges.pop_back();
}

std::string failed_range() { return last_failure; }

bool has_nvtx() {
#ifdef MCN_HAS_NVTX
  return true;
#else
  return false;
#endif
}

}  // namespace mcn
