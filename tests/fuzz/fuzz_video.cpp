// A video file: bytes, index, clip. With MCN_FUZZ_STRICT set, also that a frame's number settles its pixels, whatever
// else was read before; damage that a decoder does not notice can break that where frames were left out.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "data/container.h"
#include "data/video.h"
#include "tests/fuzz/fuzz.h"

using mcn::fuzz::violated;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  static const bool strict = std::getenv("MCN_FUZZ_STRICT") != nullptr;
  // A small file may hold an hour of frames; the loader, too, gives up on it.
  constexpr double timeout_seconds = 2;
  file.write(mcn::fuzz::as_text(data, size));
  mcn::fuzz::read([&] {
    static_cast<void>(mcn::declared_bytes(file.path()));
    mcn::Video video(file.path(), {.cache_bytes = 0, .timeout_seconds = timeout_seconds});
    const std::int64_t n = video.info().frames;
    if (n < 1) violated("an open video has frames");
    const std::array<std::int64_t, 4> indices{n / 2, n - 1, 0, n / 2};
    const mcn::Frames clip = video.frames(indices, 16, 16);
    if (clip.rgb.size() != 4 * clip.frame_bytes()) violated("a clip has the size asked for");
    mcn::Video again(file.path(), {.cache_bytes = 1 << 24, .timeout_seconds = timeout_seconds});
    if (again.info().frames != n) violated("a file has the same frames every time");
    mcn::Video whole(file.path(), {.cache_bytes = 1 << 24, .timeout_seconds = timeout_seconds, .always_decode = true});
    if (whole.info().damaged == 0 && whole.info().frames != n)
      violated("an index made of packets counts the frames that a decode gives");
    for (std::size_t k = 0; k < indices.size(); ++k)
      for (mcn::Video* other : {&again, &whole}) {
        const mcn::Frames one = other->frames({&indices[k], 1}, 16, 16);
        if (strict && !std::ranges::equal(one.frame(0), clip.frame(static_cast<std::int64_t>(k))))
          violated("a frame is the same however it is reached");
      }
  });
  return 0;
}
