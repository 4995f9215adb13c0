// What the packets of a stream promise of its frames, read without decoding them: from which of them decoding can
// start, and in which order their frames are shown. Internal to data/.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/ffmpeg.h"

namespace mcn {

class Decoder;

/// Of the frame that a packet stands for.
struct PacketFacts {
  bool entry = false;  ///< it and all that are shown after it can be decoded from here on
  bool key = false;    ///< it is a keyframe
  bool b_frame = false;
};

/// Reads the packets of one stream in the order of the file. A doubt about any of them is a doubt about the stream.
class PacketReader {
 public:
  /// For the decoder's stream: H.264, HEVC and AV1 in MP4, MOV and Matroska, MPEG-4 Part 2 in these and in AVI; nullptr
  /// for all others.
  static std::unique_ptr<PacketReader> of(Decoder& decoder);
  virtual ~PacketReader() = default;

  /// False if it leaves a doubt that the packet stands for one frame.
  virtual bool read(const AVPacket& packet, PacketFacts& facts) = 0;
  /// The numbers of all packets in the order in which their frames are shown; empty if there is a doubt.
  virtual std::vector<std::int64_t> order() = 0;
  /// Whether no frame refers to one that its packet says is for no reference.
  [[nodiscard]] virtual bool may_skip() const { return true; }
};

/// Packed MPEG-4 Part 2, where a chunk may hold the next chunk's frame, too: follows the chunks into a decoder.
class LateVops {
 public:
  /// Whether the decoder must keep a part of this packet for the next.
  bool take(const AVPacket& packet);
  void reset() { late_ = false; }

 private:
  bool late_ = false;
};

}  // namespace mcn
