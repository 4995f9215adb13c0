// The ffmpeg program's word on a video file, and random access compared with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/video.h"

namespace mcn::test {

/// A sequential decode as the MD5 of every frame's rgb24 pixels at the size as shown, for files whose frames would fill
/// the memory.
struct Digests {
  int height = 0, width = 0;
  std::vector<std::string> frames;

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(frames.size()); }
};

/// Of the ffmpeg program's plain sequential decode with one thread: no frame dropped, repeated or rescaled, rotation
/// applied. No frames if it finds none. Throws if there is no ffmpeg program. A frame of another size than the first is
/// scaled to that with `scaling`.
Digests program_decode(const std::string& path, const std::string& scaling = "bicubic");

/// MD5 of each frame.
Digests digests(const Frames& frames);

/// Runs a shell script in a folder, with functions for it:
///   ff ARGUMENTS          the ffmpeg program, without questions, always the same bytes
///   enc ARGUMENTS         the same, its input 40 frames of 48 x 36 pixels at 25 a second, all different
///   enc_size WxH ARGUMENTS  the same at another size
/// and $o, the path of the file to be written. Returns false if the script fails.
bool run_script(const std::filesystem::path& folder, const std::string& script, const std::string& output);

struct AccessPlan {
  /// Most frames that are read one by one; files with more have a random choice of them read.
  std::int64_t singles = 60;
  int clips = 8;
  std::int64_t backwards = 16;  ///< frames at the end that are read backwards, one by one
};

/// Reads a file's frames in random order and several patterns (each alone, clips with stride 2, backwards, repeats, the
/// ends), without cached frames and with them, and compares every one with the truth. Reports through Catch2.
void check_access(const std::string& path, const Digests& truth, const AccessPlan& plan = {});

}  // namespace mcn::test
