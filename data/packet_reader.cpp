// Units of H.264 and HEVC (ISO/IEC 14496-15), video object planes of MPEG-4 Part 2 (ISO/IEC 14496-2).
#include "data/packet_reader.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "data/decoder.h"

namespace mcn {
namespace {

using Bytes = std::span<const std::uint8_t>;

Bytes bytes_of(const AVPacket& packet) { return {packet.data, static_cast<std::size_t>(std::max(0, packet.size))}; }

/// What the units of an H.264 or HEVC packet in an MP4 or Matroska file say.
class UnitReader {
 public:
  explicit UnitReader(const AVCodecContext& codec) : hevc_(codec.codec_id == AV_CODEC_ID_HEVC) {
    const Bytes extra(codec.extradata, static_cast<std::size_t>(std::max(0, codec.extradata_size)));
    const std::size_t at = hevc_ ? 21 : 4;
    if (extra.size() > at + 2 && extra[0] == 1) length_bytes_ = (extra[at] & 3U) + 1U;
  }

  /// What a packet may be.
  struct Entry {
    bool any = false;      ///< decoding can start with it
    bool restart = false;  ///< and all before it in the file is shown before it and what comes after it
  };

  /// False where another parameter set would apply, or the packet makes no sense.
  bool read(Bytes packet, Entry& entry) {
    if (length_bytes_ == 0 || packet.empty()) return false;
    while (!packet.empty()) {
      if (packet.size() <= length_bytes_) return false;
      std::size_t length = 0;
      for (std::size_t i = 0; i < length_bytes_; ++i) length = length << 8U | packet[i];
      packet = packet.subspan(length_bytes_);
      if (length == 0 || length > packet.size() || !take(packet.first(length), entry)) return false;
      packet = packet.subspan(length);
    }
    return true;
  }

  /// HEVC says that a picture is for no reference of its own temporal layer: one above it may refer to it.
  [[nodiscard]] bool layered() const { return layered_; }

 private:
  bool take(Bytes unit, Entry& entry) {
    const unsigned type = hevc_ ? (unit[0] >> 1U) & 63U : unit[0] & 31U;
    if (hevc_) {
      if (unit.size() < 2) return false;
      layered_ = layered_ || (type < 32 && (unit[1] & 7U) > 1);
      // IDR and CRA. What follows one of them in presentation needs nothing from before it.
      entry.any = entry.any || (type >= 19 && type <= 21);
      entry.restart = entry.restart || type == 19 || type == 20;
      if (type == 33) return same_as_before(unit);
      return type != 36 && type != 37;  // the end of a sequence: the order starts anew
    }
    entry.any = entry.restart = entry.any || type == 5;
    if (type == 7) return same_as_before(unit);
    return type != 10 && type != 11;
  }

  bool same_as_before(Bytes parameters) {
    if (parameters_.empty()) parameters_.assign(parameters.begin(), parameters.end());
    return std::ranges::equal(parameters_, parameters);
  }

  bool hevc_;
  bool layered_ = false;
  std::size_t length_bytes_ = 0;
  std::vector<std::uint8_t> parameters_;
};

struct ParserDeleter {
  void operator()(AVCodecParserContext* p) const { av_parser_close(p); }
};

/// Frames are shown in the order of their times, which must be the codec's own order, too: that is what a decoder goes
/// by, and in a file that was joined from parts which overlap, or with times that are wrong, it is another.
class TimedReader : public PacketReader {
 public:
  explicit TimedReader(Decoder& decoder) : codec_(&decoder.codec()) {
    if (codec_->codec_id == AV_CODEC_ID_AV1) return;
    units_.emplace(*codec_);
    parser_.reset(av_parser_init(codec_->codec_id));
    if (parser_) parser_->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  }

  bool read(const AVPacket& packet, PacketFacts& facts) override {
    if (packet.pts == AV_NOPTS_VALUE) return false;
    facts.key = facts.entry = (packet.flags & AV_PKT_FLAG_KEY) != 0;
    // AV1 has a packet for what is shown, when it is shown.
    Place place{0, std::ssize(times_)};
    if (units_ && !read_units(packet, facts, place)) return false;
    times_.push_back(packet.pts);
    places_.push_back(place);
    return true;
  }

  std::vector<std::int64_t> order() override {
    std::vector<std::int64_t> packets(times_.size());
    std::iota(packets.begin(), packets.end(), std::int64_t{0});
    const auto time = [&](std::int64_t packet) { return times_[static_cast<std::size_t>(packet)]; };
    std::ranges::sort(packets, {}, time);
    // The times must tell all frames apart, as the codec does, and nothing may come before the start.
    const auto place = [&](std::int64_t packet) { return places_[static_cast<std::size_t>(packet)]; };
    if (!packets.empty() && (packets.front() != 0 || std::ranges::adjacent_find(packets, {}, time) != packets.end() ||
                             std::ranges::adjacent_find(packets, std::ranges::greater_equal(), place) != packets.end()))
      packets.clear();
    return packets;
  }

  [[nodiscard]] bool may_skip() const override { return !units_ || !units_->layered(); }

 private:
  /// Where the codec shows a frame: its picture order count, among those since the last restart.
  using Place = std::pair<std::int64_t, std::int64_t>;

  bool read_units(const AVPacket& packet, PacketFacts& facts, Place& place) {
    if (!parser_) return false;
    UnitReader::Entry entry;
    if (!units_->read(bytes_of(packet), entry)) return false;
    facts.entry = entry.any;
    if (entry.restart) ++restarts_;
    std::uint8_t* out = nullptr;
    int out_size = 0;
    av_parser_parse2(parser_.get(), codec_, &out, &out_size, packet.data, packet.size, packet.pts, packet.dts,
                     packet.pos);
    facts.b_frame = parser_->pict_type == AV_PICTURE_TYPE_B;
    place = {restarts_, parser_->output_picture_number};
    // A field by itself is not a frame.
    return parser_->pict_type != AV_PICTURE_TYPE_NONE &&
           (codec_->codec_id != AV_CODEC_ID_H264 || parser_->picture_structure == AV_PICTURE_STRUCTURE_FRAME) &&
           parser_->picture_structure != AV_PICTURE_STRUCTURE_TOP_FIELD &&
           parser_->picture_structure != AV_PICTURE_STRUCTURE_BOTTOM_FIELD;
  }

  AVCodecContext* codec_;
  std::optional<UnitReader> units_;
  std::unique_ptr<AVCodecParserContext, ParserDeleter> parser_;
  std::vector<std::int64_t> times_;
  std::vector<Place> places_;
  std::int64_t restarts_ = 0;
};

struct Vop {
  char type = 'I';
  std::size_t bytes = 0;
};

/// A chunk of MPEG-4 Part 2, taken apart at its start codes by what they announce.
struct Chunk {
  explicit Chunk(Bytes bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    constexpr std::string_view prefix("\0\0\1", 3);
    for (std::size_t at = text.find(prefix); at < text.size();) {
      const std::size_t next = std::min(text.size(), text.find(prefix, at + prefix.size()));
      const unsigned code = at + 4 < next ? bytes[at + 3] : 0xB7U;
      if (code == 0xB6) vops.push_back({"IPBS"[bytes[at + 4] >> 6U], next - at});
      if (code < 0x30 || code == 0xB0 || code == 0xB5) layer += text.substr(at, next - at);
      if (code == 0xB2) user_data += text.substr(at, next - at);
      at = next;
    }
  }

  std::vector<Vop> vops;
  std::string layer, user_data;
};

// FFmpeg's own limit, in bytes, for the chunk that makes up for one that held two VOPs.
constexpr std::size_t largest_filler = 19;

/// MPEG-4 Part 2: a B-VOP is shown at once, every other when the next other comes. In packed files a chunk may hold an
/// I- or P-VOP and the B-VOP after it; the chunks after that hold what is one chunk late, up to one with a VOP that is
/// not coded, which makes up for it. So chunk k stands for the k-th coded VOP, as FFmpeg's decoder has it, too.
class VopReader : public PacketReader {
 public:
  bool read(const AVPacket& packet, PacketFacts& facts) override {
    const Bytes bytes = bytes_of(packet);
    const Chunk chunk(bytes);
    const std::vector<Vop>& vops = chunk.vops;
    if (types_.empty()) {
      layer_ = chunk.layer;
      user_data_ = chunk.user_data;
    }
    // Another layer or another encoder would change how the frames after it are decoded, wherever that starts.
    if ((!chunk.layer.empty() && chunk.layer != layer_) || (!chunk.user_data.empty() && chunk.user_data != user_data_))
      return false;
    if (vops.empty() || vops.size() > 2) return false;
    Vop vop = vops.front();
    if (late_) {
      vop = *late_;
      late_.reset();
      if (vops.size() > 1) return false;
      if (bytes.size() > largest_filler) late_ = vops.front();
    } else {
      if (vops.size() > 1) late_ = vops.back();
    }
    // One that is not coded gives no frame.
    if (vop.bytes < smallest_coded || (late_ && (late_->type != 'B' || late_->bytes < smallest_coded))) return false;
    if (types_.empty() && vop.type != 'I') return false;
    types_ += vop.type;
    facts.key = vop.type == 'I';
    facts.entry = facts.key && (packet.flags & AV_PKT_FLAG_KEY) != 0;
    facts.b_frame = vop.type == 'B';
    return true;
  }

  std::vector<std::int64_t> order() override {
    std::vector<std::int64_t> packets;
    if (late_) return packets;
    std::optional<std::int64_t> held;
    std::int64_t references = 0;
    for (std::int64_t i = 0; i < std::ssize(types_); ++i) {
      if (types_[static_cast<std::size_t>(i)] == 'B') {
        if (references < 2) return {};  // without what it refers to
        packets.push_back(i);
        continue;
      }
      ++references;
      if (held) packets.push_back(*held);
      held = i;
    }
    if (held) packets.push_back(*held);
    return packets;
  }

 private:
  // With its time, a VOP that is not coded has some 5 bytes; one of a few macroblocks may be as small. In doubt, no.
  static constexpr std::size_t smallest_coded = 20;

  std::string layer_, user_data_;  // of the first packet
  std::string types_;              // a packet each
  std::optional<Vop> late_;        // the next packet's
};

}  // namespace

bool LateVops::take(const AVPacket& packet) {
  const Bytes bytes = bytes_of(packet);
  late_ = late_ ? bytes.size() > largest_filler : Chunk(bytes).vops.size() > 1;
  return late_;
}

std::unique_ptr<PacketReader> PacketReader::of(Decoder& decoder) {
  const AVCodecID codec = decoder.codec().codec_id;
  const std::string_view container = decoder.format().iformat->name;
  const bool timed = container.starts_with("mov,mp4") || container.starts_with("matroska,webm");
  if (timed && (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_AV1))
    return std::make_unique<TimedReader>(decoder);
  if ((timed || container == "avi") && codec == AV_CODEC_ID_MPEG4) return std::make_unique<VopReader>();
  return nullptr;
}

}  // namespace mcn
