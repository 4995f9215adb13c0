// Open video files shared by threads: a bounded number of them, the least recently used closed first.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "data/video.h"

namespace mcn {

/// How the files of a data set are read.
struct FileConfig {
  std::string index_folder;    ///< where indices are kept between runs; empty: nowhere
  int max_open = 64;           ///< files open at a time
  double timeout_seconds = 0;  ///< for opening a file, and for each read of it; 0: none

  [[nodiscard]] VideoOptions options() const;
};

/// Keeps files open between clips, and the index of every file that was ever opened. Safe from any thread.
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
  /// as many descriptors. UsageError if max_open is not positive.
  VideoPool(VideoOptions options, int max_open);

  /// Waits while max_open files are in use. Throws what Video's constructor throws.
  Lease open(const VideoSource& source);
  /// Files that are open now, in use or not.
  [[nodiscard]] int open_files() const;

 private:
  using Place = std::tuple<std::string, std::int64_t, std::int64_t>;
  static Place place(const VideoSource& source) { return {source.path, source.offset, source.bytes}; }

  struct Idle {
    VideoSource source;
    std::unique_ptr<Video> video;
  };

  void give_back(Lease& lease) noexcept;

  const VideoOptions options_;
  const int max_open_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::list<Idle> idle_;  // the most recently used first
  std::map<Place, std::shared_ptr<const VideoIndex>> indices_;
  int open_ = 0;
};

}  // namespace mcn
