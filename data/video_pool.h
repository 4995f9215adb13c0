// Open video files shared by threads: a bounded number of them, the least recently used closed first.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "data/file_config.h"
#include "data/video.h"

namespace mcn {

/// As many of the wanted files as this process's limit of descriptors allows to be open at a time, but at least 1.
int affordable_files(int wanted);

/// Keeps files open between clips, and the indices of as many files as there is room for. Safe from any thread.
class VideoPool {
 public:
  /// A Video that nobody else uses; goes back to the pool when this is destroyed, unless by an exception.
  class Lease {
   public:
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Video& operator*() const { return *video_; }
    Video* operator->() const { return video_.get(); }

   private:
    friend class VideoPool;
    Lease(VideoPool& pool, VideoSource source) : pool_(&pool), source_(std::move(source)) {}

    VideoPool* pool_;
    VideoSource source_;
    std::unique_ptr<Video> video_;
    int exceptions_ = 0;
  };

  /// options: of every Video, but for the index. Fewer than max_open files are kept open where the process may not have
  /// as many descriptors. index_bytes: of memory for indices; those that were not used for longest are forgotten.
  /// UsageError if max_open is not positive.
  VideoPool(VideoOptions options, int max_open, std::int64_t index_bytes = std::int64_t{256} << 20);

  /// Waits while max_open files are in use. Throws what Video's constructor throws.
  Lease open(const VideoSource& source);
  /// Files that are open now, in use or not.
  [[nodiscard]] int open_files() const;
  /// Indices that are kept.
  [[nodiscard]] std::size_t indices() const;

 private:
  using Place = std::tuple<std::string, std::int64_t, std::int64_t>;
  static Place place(const VideoSource& source) { return {source.path, source.offset, source.bytes}; }

  struct Idle {
    VideoSource source;
    std::unique_ptr<Video> video;
  };

  struct Known {
    std::shared_ptr<const VideoIndex> index;
    std::int64_t bytes = 0;
    std::list<Place>::iterator use;
  };

  void give_back(Lease& lease) noexcept;
  // Under mutex_.
  void keep(const Place& file, std::shared_ptr<const VideoIndex> index);

  const VideoOptions options_;
  const int max_open_;
  const std::int64_t index_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::list<Idle> idle_;  // the most recently used first
  std::map<Place, Known> indices_;
  std::list<Place> uses_;  // of indices_, the latest first
  std::int64_t kept_bytes_ = 0;
  int open_ = 0;
};

}  // namespace mcn
