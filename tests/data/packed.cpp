// Demultiplexes, joins packets, and multiplexes again.
#include "tests/data/packed.h"

#include <stdexcept>
#include <string_view>
#include <vector>

#include "data/ffmpeg.h"

namespace mcn::test {
namespace {

constexpr std::string_view vop_start{"\x00\x00\x01\xB6", 4}, group_start{"\x00\x00\x01\xB3", 4},
    user_data_start{"\x00\x00\x01\xB2", 4};

struct Packet {
  std::string bytes;
  bool key = false;
  [[nodiscard]] bool is_b() const {
    const auto at = bytes.find(vop_start);
    return at != std::string::npos && static_cast<std::uint8_t>(bytes.at(at + 4)) >> 6 == 2;
  }
};

/// vop_coding_type P, no second gone by, a marker, 5 bits of time, a marker, vop_coded 0, then stuffing.
std::string not_coded(unsigned time) {
  const unsigned bits = 1U << 14 | 1U << 12 | (time % 25) << 7 | 1U << 6 | 0U << 5 | 0b01111;
  return std::string(vop_start) + static_cast<char>(bits >> 8) + static_cast<char>(bits & 255);
}

std::vector<Packet> read(AVFormatContext* format, int stream) {
  const ffmpeg::Packet packet(av_packet_alloc());
  std::vector<Packet> packets;
  for (; av_read_frame(format, packet.get()) >= 0; av_packet_unref(packet.get()))
    if (packet->stream_index == stream)
      packets.push_back({{reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)},
                         (packet->flags & AV_PKT_FLAG_KEY) != 0});
  return packets;
}

std::vector<Packet> packed(const std::vector<Packet>& plain) {
  std::vector<Packet> result;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    result.push_back(plain[i]);
    if (plain[i].is_b() || i + 1 == plain.size() || !plain[i + 1].is_b()) continue;
    result.back().bytes += plain[i + 1].bytes;
    // The B-VOPs between the same two others keep chunks of their own.
    for (i += 2; i < plain.size() && plain[i].is_b(); ++i) result.push_back(plain[i]);
    --i;
    result.push_back({not_coded(static_cast<unsigned>(result.size())), false});
  }
  return result;
}

}  // namespace

void pack_b_frames(const std::string& source, const std::string& target, const PackConfig& config) {
  AVFormatContext* opened = nullptr;
  if (avformat_open_input(&opened, source.c_str(), nullptr, nullptr) < 0) throw std::runtime_error("open " + source);
  const ffmpeg::Input input(opened);
  avformat_find_stream_info(opened, nullptr);
  const int index = av_find_best_stream(opened, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (index < 0) throw std::runtime_error("no video in " + source);
  std::vector<Packet> packets = packed(read(opened, index));
  bool first = true;
  for (Packet& packet : packets) {
    if (!packet.key || !(first || config.user_data_at_every_key)) continue;
    const auto group = packet.bytes.find(group_start);
    const auto at = group != std::string::npos ? group : packet.bytes.find(vop_start);
    packet.bytes.insert(at, std::string(user_data_start) + config.user_data);
    first = false;
  }

  AVFormatContext* made = nullptr;
  avformat_alloc_output_context2(&made, nullptr, "avi", target.c_str());
  if (made == nullptr) throw std::bad_alloc();
  const ffmpeg::Output output(made);
  made->flags |= AVFMT_FLAG_BITEXACT;
  AVStream* stream = avformat_new_stream(made, nullptr);
  if (stream == nullptr) throw std::bad_alloc();
  avcodec_parameters_copy(stream->codecpar, opened->streams[index]->codecpar);
  stream->codecpar->codec_tag = MKTAG(config.tag[0], config.tag[1], config.tag[2], config.tag[3]);
  stream->time_base = {1, 25};
  stream->avg_frame_rate = {25, 1};
  if (avio_open(&made->pb, target.c_str(), AVIO_FLAG_WRITE) < 0 || avformat_write_header(made, nullptr) < 0)
    throw std::runtime_error("write " + target);
  const ffmpeg::Packet packet(av_packet_alloc());
  std::int64_t number = 0;
  for (const Packet& p : packets) {
    if (av_new_packet(packet.get(), static_cast<int>(p.bytes.size())) < 0) throw std::bad_alloc();
    std::copy(p.bytes.begin(), p.bytes.end(), packet->data);
    packet->stream_index = 0;
    packet->dts = packet->pts = number++;
    packet->duration = 1;
    packet->flags = p.key ? AV_PKT_FLAG_KEY : 0;
    av_packet_rescale_ts(packet.get(), AVRational{1, 25}, stream->time_base);
    if (av_write_frame(made, packet.get()) < 0) throw std::runtime_error("write " + target);
    av_packet_unref(packet.get());
  }
  av_write_trailer(made);
}

}  // namespace mcn::test
