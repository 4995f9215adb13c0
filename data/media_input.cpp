// FFmpeg's demuxers behind a whitelist, with reading of our own.
#include "data/media_input.h"

#include <sys/mman.h>

#include <cerrno>
#include <filesystem>
#include <limits>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

extern "C" {
#include <libavutil/avstring.h>
}

namespace mcn {
namespace {

// As FFmpeg's own for files: seeks that stay within the buffer, and with them what is read, would else be others.
constexpr int buffer_bytes = 32768;

// Asked of the system and not of malloc(), which would go on otherwise after a block of that size.
bool can_allocate(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory != MAP_FAILED && ::munmap(memory, bytes) == 0;
}

using Sizes = std::vector<std::pair<std::int64_t, std::int64_t>>;

/// Width and height of every stream, which need not be pictures.
Sizes sizes(const AVFormatContext& format) {
  Sizes result;
  for (const AVStream* stream : std::span(format.streams, format.nb_streams))
    result.emplace_back(stream->codecpar->width, stream->codecpar->height);
  return result;
}

}  // namespace

void fail_without_memory(const std::string& name) {
  fail<NoMemoryError>("video", "{}: {}; FFmpeg got no memory", name, std::generic_category().message(ENOMEM));
}

void expect_headroom(const std::string& name) {
  if (!can_allocate(std::size_t{16} << 20)) fail_by_errno("video", name, ENOMEM);
}

bool memory_to_be_had() { return can_allocate(ffmpeg::most_allocation); }

MediaInput::MediaInput(const VideoSource& source, double timeout_seconds, const char* containers)
    : name_(source.name), deadline_(timeout_seconds), bytes_(source, deadline_) {
  ffmpeg::set_up();
  expect_headroom(name_);
  auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_bytes));
  if (buffer != nullptr) io_ = avio_alloc_context(buffer, buffer_bytes, 0, this, &read, nullptr, &seek);
  if (io_ == nullptr) av_free(buffer);
  try {
    open(source, containers);
    find_streams();
  } catch (...) {
    format_.reset();
    ffmpeg::free_io(io_);
    throw;
  }
}

MediaInput::~MediaInput() {
  format_.reset();
  ffmpeg::free_io(io_);
}

void MediaInput::open(const VideoSource& source, const char* containers) {
  if (io_ == nullptr) check(AVERROR(ENOMEM));
  // Of the name FFmpeg needs the extension, where the content leaves a doubt. A demuxer that looks for a neighbour of
  // this has no folder to look in.
  const std::string url = "video" + std::filesystem::path(source.name).extension().string();
  const AVInputFormat* container = nullptr;
  int code = av_probe_input_buffer2(io_, &container, url.c_str(), nullptr, 0, 0);
  check(code);
  if (code < 0 || container == nullptr)
    fail<DataError>("video", "{}: not a video file that FFmpeg can read ({})", name_, ffmpeg::error_text(code));
  if (av_match_list(container->name, containers, ',') <= 0)
    fail<DataError>("video", "{}: not a video file of a known container (it looks like {})", name_, container->name);

  AVFormatContext* made = avformat_alloc_context();
  if (made == nullptr) check(AVERROR(ENOMEM));
  made->pb = io_;
  made->opaque = this;
  made->io_open = &refuse;
  made->interrupt_callback = {&interrupted, this};
  // read() counts them; FFmpeg would say "out of memory".
  made->max_streams = 1 << 20;
  ffmpeg::Options options;
  // For what a demuxer might open by itself, without io_open: no protocol has such a name.
  options.set("protocol_whitelist", "none");
  options.set("format_whitelist", containers);
  watched_ = made;
  code = avformat_open_input(&made, url.c_str(), container, options.get());
  watched_ = made;  // nullptr after a failure
  if (code >= 0) format_.reset(made);
  check(code);
  if (code < 0)
    fail<DataError>("video", "{}: not a video file that FFmpeg can read ({})", name_, ffmpeg::error_text(code));
  expect_few_streams(*format_);
}

void MediaInput::find_streams() {
  // A codec of each stream is opened, and told there what a frame may have.
  struct PerStream {
    explicit PerStream(std::size_t count) : options(count) {
      for (AVDictionary*& one : options) av_dict_set_int(&one, "max_pixels", most_pixels, 0);
    }
    PerStream(const PerStream&) = delete;
    PerStream& operator=(const PerStream&) = delete;
    ~PerStream() {
      for (AVDictionary*& one : options) av_dict_free(&one);
    }
    std::vector<AVDictionary*> options;
  };
  PerStream streams(format_->nb_streams);
  const Sizes before = sizes(*format_);
  const int code = avformat_find_stream_info(format_.get(), streams.options.data());
  check(code);
  if (code < 0) fail<DataError>("video", "{}: cannot read its streams ({})", name_, ffmpeg::error_text(code));
  expect_few_streams(*format_);
  Sizes after = sizes(*format_);
  // What a codec refuses is a size of nothing afterwards; a header may be wrong, and the pictures right.
  for (std::size_t i = 0; i < before.size(); ++i)
    if (after[i].first <= 0 || after[i].second <= 0) after[i] = before[i];
  for (const auto& [width, height] : after)
    if (width * height > most_pixels)
      fail<DataError>("video", "{}: frames of {} x {} pixels, more than the {} pixels that a frame may have", name_,
                      width, height, most_pixels);
}

void MediaInput::expect_few_streams(const AVFormatContext& format) const {
  if (format.nb_streams > most_streams)
    fail<DataError>("video", "{}: more than {} streams, the most that a file may have", name_, most_streams);
}

void MediaInput::check(int code) const {
  if (failure_) std::rethrow_exception(failure_);
  deadline_.check(name_);
  if (code == AVERROR(ENOMEM)) fail_without_memory(name_);
}

int MediaInput::read(void* self, std::uint8_t* out, int size) {
  auto& input = *static_cast<MediaInput*>(self);
  if (input.failure_) return AVERROR_EXIT;
  try {
    if (input.watched_ != nullptr) input.expect_few_streams(*input.watched_);
    const std::size_t got = input.bytes_.read(input.at_, {out, static_cast<std::size_t>(size)}, input.deadline_);
    input.at_ += static_cast<std::int64_t>(got);
    return got > 0 ? static_cast<int>(got) : AVERROR_EOF;
  } catch (...) {
    input.failure_ = std::current_exception();
    return AVERROR_EXIT;
  }
}

std::int64_t MediaInput::seek(void* self, std::int64_t offset, int whence) {
  auto& input = *static_cast<MediaInput*>(self);
  const int from = whence & ~AVSEEK_FORCE;
  if (from == AVSEEK_SIZE) return input.bytes_.size();
  std::int64_t base = 0;
  if (from == SEEK_CUR)
    base = input.at_;
  else if (from == SEEK_END)
    base = input.bytes_.size();
  else if (from != SEEK_SET)
    return AVERROR(EINVAL);
  if (offset < -base || offset > std::numeric_limits<std::int64_t>::max() - base) return AVERROR(EINVAL);
  input.at_ = base + offset;
  return input.at_;
}

int MediaInput::interrupted(void* self) {
  const auto& input = *static_cast<const MediaInput*>(self);
  return input.failure_ || input.deadline_.over() ? 1 : 0;
}

int MediaInput::refuse(AVFormatContext* format, AVIOContext**, const char* url, int, AVDictionary**) {
  auto* input = static_cast<MediaInput*>(format->opaque);
  // A demuxer within a demuxer has none.
  if (input != nullptr && !input->failure_) try {
      fail<DataError>("video", "{}: it names another file, which is not opened: {}", input->name_, url);
    } catch (...) {
      input->failure_ = std::current_exception();
    }
  return AVERROR(EPERM);
}

}  // namespace mcn
