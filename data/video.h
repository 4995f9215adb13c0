// Reads frames of a video file by their number: frame i is exactly the i-th frame of a plain sequential decode.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/source.h"

namespace mcn {

struct VideoInfo {
  std::string path, container, codec, pixel_format;  ///< path: VideoSource::name
  std::string color_matrix, color_range;  ///< as coded; "unknown" is read as BT.601 limited, as the ffmpeg program does
  int width = 0, height = 0;              ///< pixels, as shown: after rotation
  std::int64_t frames = 0;                ///< exactly as many as a sequential decode gives
  std::int64_t keyframes = 0;
  double fps = 0, seconds = 0;  ///< by the container; 0: it does not say
  bool b_frames = false;
  int rotation = 0;                ///< degrees clockwise that the file asks for, already applied: 0, 90, 180 or 270
  std::int64_t damaged = 0;        ///< packets that the decoder refused
  std::int64_t other_sizes = 0;    ///< frames coded at another size than the first; scaled to the first's
  std::int64_t header_frames = 0;  ///< what the container's header claims; 0: it does not say
};

/// Frames as uint8 RGB, count x height x width x 3, row-major.
struct Frames {
  std::int64_t count = 0;
  int height = 0, width = 0;
  std::vector<std::uint8_t> rgb;

  [[nodiscard]] std::size_t frame_bytes() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3;
  }
  [[nodiscard]] std::span<const std::uint8_t> frame(std::int64_t i) const {
    return {rgb.data() + static_cast<std::size_t>(i) * frame_bytes(), frame_bytes()};
  }
};

/// What a file's frames are and from where each can be reached. Immutable: one index may serve many Videos of the same
/// file, in many threads, and spares each of them the pass that made it.
struct VideoIndex;

struct VideoOptions {
  std::int64_t cache_bytes = 16 << 20;        ///< decoded frames kept from a pass over the file, if all of them fit
  std::shared_ptr<const VideoIndex> index{};  ///< of an earlier Video of this file, as long as that has not changed
  std::string index_folder{};                 ///< where indices are kept between processes; empty: nowhere
  double timeout_seconds = 0;                 ///< for opening, and for each read; 0: none
  int threads = 1;                            ///< of the codec, for reading; the index is made with one
  bool cuda = false;                          ///< decode on a GPU (NVDEC) what that decodes to the same bits
  bool always_decode = false;                 ///< for the index, whatever the container says
};

/// An open video file. Opening one makes its index, unless one is given or kept: from the file's packets alone where
/// container and codec leave no doubt (data/packet_reader.h: H.264, HEVC and AV1 where every packet is a frame with a
/// time of its own, MPEG-4 Part 2 where every packet is a plane that is coded), else by decoding it once from end to
/// end, which takes a fingerprint of every frame. Reading then starts at the nearest keyframe and leaves out frames
/// that nothing needs. A frame is handed out only if it has its fingerprint, or, without fingerprints, if all before it
/// came undamaged and in the order foretold; what does not agree makes the file be decoded from its start. Not
/// thread-safe: one Video a thread. DataError if the file is missing, not a regular file, has no video stream that can
/// be decoded, no frame, or takes longer than the timeout.
class Video {
 public:
  explicit Video(const VideoSource& source, const VideoOptions& options = {});
  Video(Video&&) noexcept;
  Video& operator=(Video&&) noexcept;
  ~Video();

  [[nodiscard]] const VideoInfo& info() const;
  /// The best index so far: reading may find that one made without decoding was wrong, and make another.
  [[nodiscard]] std::shared_ptr<const VideoIndex> index() const;

  /// Frames by number, from 0, in any order, repeats allowed, at the video's size. DataError past the last frame.
  Frames frames(std::span<const std::int64_t> indices);
  /// The same, scaled to height x width pixels (bilinear, widened when it shrinks).
  Frames frames(std::span<const std::int64_t> indices, int height, int width);

  /// How often frames() had to decode from the start of the file since a seek was not to be trusted.
  [[nodiscard]] std::int64_t failed_seeks() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcn
