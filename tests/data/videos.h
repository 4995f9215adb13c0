// Video files for tests, and their truth: a plain sequential decode written apart from data/'s own.
#pragma once

#include <filesystem>
#include <string>

#include "data/encoder.h"
#include "data/video.h"

namespace mcn::test {

/// Frames that all differ: blocks that move, and the frame's number as bars.
Frames moving_blocks(int count, int height, int width);

/// Encodes moving_blocks and returns the path.
std::string encode(const std::filesystem::path& path, VideoWriterConfig config, int count);

/// Every frame that a sequential decode of the file gives, RGB at the coded size, without rotation.
Frames sequential_decode(const std::string& path);

/// The same by the ffmpeg program, at the shown size; no frames if the program is not there.
Frames ffmpeg_decode(const std::string& path, int height, int width);

/// A file with sound and no picture.
void write_audio_only(const std::string& path);

/// Writes bytes to a file.
void write_file(const std::filesystem::path& path, const std::string& content);
std::string read_file(const std::filesystem::path& path);

}  // namespace mcn::test
