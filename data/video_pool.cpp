// The pool of open files.
#include "data/video_pool.h"

#include <sys/resource.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "data/frame_index.h"
#include "kernels/error.h"

namespace mcn {

namespace {

std::int64_t bytes_of(const VideoIndex& index) {
  return static_cast<std::int64_t>(sizeof index + 8 * index.fingerprints.size() + 8 * index.packets.size() +
                                   sizeof(VideoIndex::Key) * index.keys.size());
}

}  // namespace

int affordable_files(int wanted) {
  // With some descriptors left for all else, and two for a file while its index is made.
  constexpr rlim_t others = 24;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const rlim_t most = limit.rlim_cur > others ? (limit.rlim_cur - others) / 2 : 0;
  return static_cast<int>(std::clamp<rlim_t>(most, 1, static_cast<rlim_t>(wanted)));
}

VideoOptions FileConfig::options() const {
  VideoOptions options;
  options.index_folder = index_folder;
  options.timeout_seconds = timeout_seconds;
  options.threads = codec_threads;
  options.cuda = cuda;
  return options;
}

VideoPool::VideoPool(VideoOptions options, int max_open, std::int64_t index_bytes)
    : options_(std::move(options)), max_open_(affordable_files(std::max(1, max_open))), index_bytes_(index_bytes) {
  if (max_open < 1) fail("video", "expected room for at least 1 open file, got {}", max_open);
}

VideoPool::Lease VideoPool::open(const VideoSource& source) {
  Lease lease(*this, source);
  std::unique_ptr<Video> closed;  // after the lock
  VideoOptions options = options_;
  {
    std::unique_lock lock(mutex_);
    const auto same = std::ranges::find(idle_, source, &Idle::source);
    if (same != idle_.end()) {
      lease.video_ = std::move(same->video);
      idle_.erase(same);
      lease.exceptions_ = std::uncaught_exceptions();
      return lease;
    }
    room_.wait(lock, [this] { return open_ < max_open_ || !idle_.empty(); });
    if (open_ == max_open_) {
      closed = std::move(idle_.back().video);
      idle_.pop_back();
    } else {
      ++open_;
    }
    const auto known = indices_.find(place(source));
    if (known != indices_.end()) {
      options.index = known->second.index;
      uses_.splice(uses_.begin(), uses_, known->second.use);
    }
  }
  closed.reset();
  try {
    lease.video_ = std::make_unique<Video>(source, options);
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      --open_;
    }
    room_.notify_one();
    throw;
  }
  lease.exceptions_ = std::uncaught_exceptions();
  return lease;
}

VideoPool::Lease::~Lease() {
  if (video_ != nullptr) pool_->give_back(*this);
}

void VideoPool::give_back(Lease& lease) noexcept {
  // After an exception the decoder may stand anywhere.
  const bool usable = std::uncaught_exceptions() == lease.exceptions_;
  std::unique_ptr<Video> dropped;
  {
    const std::lock_guard lock(mutex_);
    try {
      keep(place(lease.source_), lease.video_->index());
      if (usable) idle_.push_front({lease.source_, std::move(lease.video_)});
    } catch (const std::bad_alloc&) {
      dropped = std::move(lease.video_);
    }
    if (lease.video_ != nullptr) dropped = std::move(lease.video_);
    if (dropped != nullptr) --open_;
  }
  room_.notify_one();
}

void VideoPool::keep(const Place& file, std::shared_ptr<const VideoIndex> index) {
  auto known = indices_.find(file);
  if (known == indices_.end()) {
    uses_.push_front(file);
    try {
      known = indices_.emplace(file, Known{nullptr, 0, uses_.begin()}).first;
    } catch (...) {
      uses_.pop_front();
      throw;
    }
  }
  Known& one = known->second;
  if (one.index != index) {
    kept_bytes_ -= one.bytes;
    one.bytes = bytes_of(*index);
    kept_bytes_ += one.bytes;
    one.index = std::move(index);
  }
  uses_.splice(uses_.begin(), uses_, one.use);
  // A data set of a million videos would fill the memory with them.
  while (kept_bytes_ > index_bytes_ && uses_.size() > 1) {
    const auto oldest = indices_.find(uses_.back());
    kept_bytes_ -= oldest->second.bytes;
    indices_.erase(oldest);
    uses_.pop_back();
  }
}

std::size_t VideoPool::indices() const {
  const std::lock_guard lock(mutex_);
  return indices_.size();
}

int VideoPool::open_files() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace mcn
