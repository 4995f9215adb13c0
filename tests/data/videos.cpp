// The videos of tests, their sequential decode, and the ffmpeg program's word.
#include "tests/data/videos.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "data/ffmpeg.h"
#include "kernels/error.h"

namespace mcn::test {

Frames moving_blocks(int count, int height, int width) {
  Frames frames{count, height, width, {}};
  for (int f = 0; f < count; ++f)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const int block = ((x + 3 * f) / 8 + (y + f) / 8) % 5;
        const bool bar = y < 6 && ((f >> (x * 8 / width)) & 1) != 0;
        frames.rgb.push_back(static_cast<std::uint8_t>(bar ? 255 : 40 * block));
        frames.rgb.push_back(static_cast<std::uint8_t>(bar ? 255 : (x * 200 / width + 5 * f) % 256));
        frames.rgb.push_back(static_cast<std::uint8_t>(bar ? 0 : (y * 200 / height + 60 * block) % 256));
      }
  return frames;
}

std::string encode(const std::filesystem::path& path, VideoWriterConfig config, int count) {
  const Frames frames = moving_blocks(count, config.height, config.width);
  VideoWriter writer(path.string(), config);
  for (int f = 0; f < count; ++f) writer.write(frames.frame(f));
  writer.finish();
  return path.string();
}

Frames sequential_decode(const std::string& path) {
  AVFormatContext* opened = nullptr;
  if (avformat_open_input(&opened, path.c_str(), nullptr, nullptr) < 0) throw std::runtime_error("open " + path);
  const ffmpeg::Input format(opened);
  avformat_find_stream_info(opened, nullptr);
  const AVCodec* decoder = nullptr;
  const int stream = av_find_best_stream(opened, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
  if (stream < 0) throw std::runtime_error("no video in " + path);
  const ffmpeg::Codec codec(avcodec_alloc_context3(decoder));
  avcodec_parameters_to_context(codec.get(), opened->streams[stream]->codecpar);
  avcodec_open2(codec.get(), decoder, nullptr);
  const ffmpeg::Packet packet(av_packet_alloc());
  const ffmpeg::Frame frame(av_frame_alloc());
  Frames result;
  ffmpeg::Scaler scaler;
  const auto receive = [&] {
    while (avcodec_receive_frame(codec.get(), frame.get()) >= 0) {
      if (!scaler) {
        result.height = frame->height;
        result.width = frame->width;
        scaler.reset(sws_getContext(frame->width, frame->height, static_cast<AVPixelFormat>(frame->format),
                                    frame->width, frame->height, AV_PIX_FMT_RGB24, SWS_BICUBIC, nullptr, nullptr,
                                    nullptr));
      }
      const int stride = (frame->width * 3 + 127) / 64 * 64;
      std::vector<std::uint8_t> rows(static_cast<std::size_t>(stride) * static_cast<std::size_t>(frame->height) + 64);
      std::uint8_t* planes[4] = {rows.data(), nullptr, nullptr, nullptr};
      const int strides[4] = {stride, 0, 0, 0};
      sws_scale(scaler.get(), frame->data, frame->linesize, 0, frame->height, planes, strides);
      for (int y = 0; y < frame->height; ++y)
        result.rgb.insert(result.rgb.end(), rows.data() + y * stride, rows.data() + y * stride + frame->width * 3);
      ++result.count;
    }
  };
  while (av_read_frame(opened, packet.get()) >= 0) {
    if (packet->stream_index == stream) avcodec_send_packet(codec.get(), packet.get());
    receive();
    av_packet_unref(packet.get());
  }
  avcodec_send_packet(codec.get(), nullptr);
  receive();
  return result;
}

Frames ffmpeg_decode(const std::string& path, int height, int width) {
  Frames result{0, height, width, {}};
  const std::string command =
      "ffmpeg -v quiet -nostdin -i '" + path + "' -vsync 0 -f rawvideo -pix_fmt rgb24 - 2>/dev/null";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  std::uint8_t block[1 << 14];
  for (std::size_t got = 0; (got = std::fread(block, 1, sizeof block, pipe)) > 0;)
    result.rgb.insert(result.rgb.end(), block, block + got);
  pclose(pipe);
  result.count = static_cast<std::int64_t>(result.rgb.size() / result.frame_bytes());
  return result;
}

void write_audio_only(const std::string& path) {
  // A WAV file of silence: 8 kHz, mono, 16 bits.
  std::string bytes = "RIFF";
  const auto number = [&](std::uint32_t v, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(v >> (8 * i));
  };
  number(36 + 1600, 4);
  bytes += "WAVEfmt ";
  number(16, 4);
  number(1, 2);
  number(1, 2);
  number(8000, 4);
  number(16000, 4);
  number(2, 2);
  number(16, 2);
  bytes += "data";
  number(1600, 4);
  bytes.append(1600, '\0');
  write_file(path, bytes);
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace mcn::test
