// The demuxer of one file, which can open no other. Internal to data/.
#pragma once

#include <exception>
#include <string>

#include "data/ffmpeg.h"
#include "data/file_bytes.h"
#include "kernels/error.h"

namespace mcn {

/// No memory, by FFmpeg's word. That may be of the data's making: it asks for more than there could be.
class NoMemoryError : public SystemError {
 public:
  using SystemError::SystemError;
};

/// Throws NoMemoryError.
[[noreturn]] void fail_without_memory(const std::string& name);

/// The containers that are read, by FFmpeg's names: files that hold their pictures themselves. What only names other
/// files (HLS, DASH, lists for concatenation, numbered images, VobSub) is not among them.
inline constexpr const char* readable_containers =
    "apng,asf,asf_o,av1,avi,cavsvideo,dirac,dv,flv,gif,h261,h263,h264,hevc,ivf,live_flv,m4v,matroska,mjpeg,mov,mpeg,"
    "mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,yuv4mpegpipe";

/// What one file may ask for; a file that asks for more is a DataError that says so. A recording of a whole
/// television channel has some 30 streams, one of 38 hours has 4 million frames.
inline constexpr unsigned most_streams = 100;
inline constexpr std::int64_t most_packets = std::int64_t{1} << 22;  ///< of its video stream
inline constexpr std::int64_t most_pixels = std::int64_t{1} << 26;   ///< of a frame: 8192 x 8192
inline constexpr int most_packet_bytes = 1 << 28;

/// An AVFormatContext over FileBytes: FFmpeg sees neither the file's name nor a way to another file or a socket. Every
/// call of FFmpeg's that may read is to be followed by check(): FFmpeg takes a failed read for the end of a file.
class MediaInput {
 public:
  /// Opens and probes the file and looks for its streams. DataError, naming the cause, for what is no such container or
  /// more than the limits allow; what check() throws.
  MediaInput(const VideoSource& source, double timeout_seconds, const char* containers = readable_containers);
  MediaInput(const MediaInput&) = delete;
  MediaInput& operator=(const MediaInput&) = delete;
  ~MediaInput();

  [[nodiscard]] AVFormatContext& format() const { return *format_; }
  [[nodiscard]] Deadline& deadline() { return deadline_; }

  /// To be given what a call of FFmpeg's returned. Throws whatever went wrong while the file was read: SystemError, or
  /// DataError after the deadline, for a file that changed, or one that names another; NoMemoryError where FFmpeg had
  /// no memory. Any other code says something of the content, and is the caller's affair.
  void check(int code) const;

 private:
  static int read(void* self, std::uint8_t* out, int size);
  static std::int64_t seek(void* self, std::int64_t offset, int whence);
  static int interrupted(void* self);
  static int refuse(AVFormatContext* format, AVIOContext** io, const char* url, int flags, AVDictionary** options);
  void open(const VideoSource& source, const char* containers);
  void find_streams();
  void expect_few_streams(const AVFormatContext& format) const;

  std::string name_;
  Deadline deadline_;
  FileBytes bytes_;
  std::int64_t at_ = 0;
  std::exception_ptr failure_;          // of read() or refuse(), which FFmpeg cannot let through
  AVFormatContext* watched_ = nullptr;  // under construction
  AVIOContext* io_ = nullptr;
  ffmpeg::Input format_;
};

/// Runs `work`, which reads a video, and once more if FFmpeg had no memory: a moment's lack goes by. If it has none the
/// second time, though there is as much as FFmpeg may take in one piece, the file asks for more than that: DataError.
template <class Work>
auto with_memory(const std::string& name, const Work& work);

/// Whether as much memory as FFmpeg may take in one piece is to be had now.
bool memory_to_be_had();

/// SystemError if the system has not even a few MiB left: FFmpeg does not look everywhere whether it got its memory.
void expect_headroom(const std::string& name);

template <class Work>
auto with_memory(const std::string& name, const Work& work) {
  try {
    return work();
  } catch (const NoMemoryError&) {
  }
  try {
    return work();
  } catch (const NoMemoryError&) {
    if (!memory_to_be_had()) throw;
    fail<DataError>("video", "{}: it asks for more than {} MiB of memory in one piece", name,
                    ffmpeg::most_allocation >> 20);
  }
}

}  // namespace mcn
