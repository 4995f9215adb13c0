// Reference augmentation: every value of the result from the frames, step by step.
#include "kernels/augment_math.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/values.h"

namespace mcn::ref {
namespace {

using augment::Rgb;

// One frame of one clip before its blur: size x size.
std::vector<Rgb> cropped(const AugmentParams& p, const AugmentClip& clip, const std::uint8_t* frame, int height,
                         int width) {
  std::vector<Rgb> out;
  for (int y = 0; y < p.size; ++y)
    for (int x = 0; x < p.size; ++x) {
      if (height == p.resize_height && width == p.resize_width) {
        const std::uint8_t* in = frame + (std::int64_t{clip.top + y} * width + clip.left + x) * 3;
        out.push_back({static_cast<float>(in[0]), static_cast<float>(in[1]), static_cast<float>(in[2])});
      } else {
        out.push_back(augment::resized(frame, width, augment::Taps(height, p.resize_height, clip.top + y),
                                       augment::Taps(width, p.resize_width, clip.left + x)));
      }
    }
  return out;
}

std::vector<Rgb> blurred(const AugmentClip& clip, int size, const std::vector<Rgb>& in, bool along_rows) {
  std::vector<Rgb> out;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      Rgb sum{0, 0, 0};
      for (int k = -clip.radius; k <= clip.radius; ++k) {
        const int from =
            along_rows ? y * size + augment::mirrored(x + k, size) : augment::mirrored(y + k, size) * size + x;
        const Rgb& v = in[static_cast<std::size_t>(from)];
        const float w = clip.blur[k < 0 ? -k : k];
        sum.r += w * v.r;
        sum.g += w * v.g;
        sum.b += w * v.b;
      }
      out.push_back(sum);
    }
  return out;
}

}  // namespace

template <>
void RefBackend::compute(const kernel::Augment& k) {
  const auto height = static_cast<int>(k.frames.shape[2]), width = static_cast<int>(k.frames.shape[3]);
  const std::int64_t frame_bytes = std::int64_t{height} * width * 3;
  const std::int64_t depth = k.frames.shape[1];
  const std::int64_t pixels = std::int64_t{k.params.size} * k.params.size;
  Values out;
  for (std::size_t n = 0; n < k.clips.size(); ++n) {
    const AugmentClip& clip = k.clips[n];
    std::vector<std::vector<Rgb>> pictures;
    std::int64_t sum[3] = {};
    for (std::int64_t d = 0; d < depth; ++d) {
      const auto* frame = k.frames.as<std::uint8_t>() + (static_cast<std::int64_t>(n) * depth + d) * frame_bytes;
      pictures.push_back(cropped(k.params, clip, frame, height, width));
      for (const Rgb& v : pictures.back()) {
        sum[0] += augment::fixed_point(v.r);
        sum[1] += augment::fixed_point(v.g);
        sum[2] += augment::fixed_point(v.b);
      }
    }
    double mean[3];
    for (int c = 0; c < 3; ++c) mean[c] = augment::mean_of(sum[c], depth * pixels);
    const augment::Color color = augment::color_of(clip, mean);
    for (std::vector<Rgb>& picture : pictures) {
      for (Rgb& v : picture) v = augment::recolored(color, k.params, v);
      if (clip.radius > 0) picture = blurred(clip, k.params.size, blurred(clip, k.params.size, picture, true), false);
    }
    const std::int64_t step = k.params.residual ? 2 : 1;
    for (std::int64_t d = 0; d < depth / step; ++d)
      for (int i = 0; i < k.params.size; ++i)
        for (int x = 0; x < k.params.size; ++x) {
          const auto at =
              static_cast<std::size_t>(std::int64_t{i} * k.params.size + (clip.flip ? k.params.size - 1 - x : x));
          Rgb v = pictures[static_cast<std::size_t>(step * d + step - 1)][at];
          if (k.params.residual) {
            const Rgb& before = pictures[static_cast<std::size_t>(step * d)][at];
            v = {v.r - before.r, v.g - before.g, v.b - before.b};
          }
          for (const float value : {v.r, v.g, v.b}) out.push_back(static_cast<double>(value));
        }
  }
  write(out, k.y);
}

}  // namespace mcn::ref
