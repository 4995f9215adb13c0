// Augmentation: uint8 frames N D H W 3 to a network's input N D' size size 3, with two kernels. The first sums the crop
// of every clip, in whole numbers, for contrast works about the clip's mean. The second makes a tile of a frame of the
// result: resized, cropped and coloured pixels with a border for the blur in shared memory, blurred along rows, then
// along columns. The arithmetic is kernels/augment_math.h's, so the bits are those of every other device.
#include <algorithm>

#include "kernels/augment_math.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device/reduce.h"

namespace mcn::MCN_DEVICE_NAMESPACE {
namespace {

using augment::Rgb;

constexpr int tile_width = 32;
constexpr int tile_height = 8;
constexpr int tile_threads = tile_width * tile_height;
constexpr int border = AugmentClip::most_radius;
constexpr int sum_blocks = 16;  // of a clip
constexpr unsigned sum_threads = 256;

// As many clips as a launch has room for in its arguments.
struct ClipTable {
  static constexpr int most = 12;
  AugmentClip of[most];
};
static_assert(sizeof(ClipTable) <= 3584);

struct FrameShape {
  int depth, height, width;

  [[nodiscard]] __device__ const std::uint8_t* frame(const std::uint8_t* frames, int clip, int d) const {
    return frames + (std::int64_t{clip} * depth + d) * height * width * 3;
  }
};

// Pixel (y, x) of the crop, 0 to 255.
__device__ Rgb crop_pixel(const AugmentParams& p, const AugmentClip& clip, const FrameShape& s,
                          const std::uint8_t* frame, int y, int x) {
  if (s.height == p.resize_height && s.width == p.resize_width) {
    const std::uint8_t* in = frame + (std::int64_t{clip.top + y} * s.width + clip.left + x) * 3;
    return {static_cast<float>(in[0]), static_cast<float>(in[1]), static_cast<float>(in[2])};
  }
  return augment::resized(frame, s.width, augment::Taps(s.height, p.resize_height, clip.top + y),
                          augment::Taps(s.width, p.resize_width, clip.left + x));
}

struct ClipSums {
  BlockSum<long long> of[3];
};

// sums[clip, block, colour] = the block's share of the crop's sum. Clip is blockIdx.y.
__global__ void __launch_bounds__(sum_threads)
    augment_sums_kernel(AugmentParams p, ClipTable clips, FrameShape s, const std::uint8_t* frames, long long* sums) {
  const auto n = static_cast<int>(blockIdx.y);
  const AugmentClip& clip = clips.of[n];
  const int picture = p.size * p.size;
  const auto stride = static_cast<int>(gridDim.x * blockDim.x);
  long long mine[3] = {};
  for (int d = 0; d < s.depth; ++d) {
    const std::uint8_t* frame = s.frame(frames, n, d);
    for (auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < picture; i += stride) {
      const Rgb v = crop_pixel(p, clip, s, frame, i / p.size, i % p.size);
      mine[0] += augment::fixed_point(v.r);
      mine[1] += augment::fixed_point(v.g);
      mine[2] += augment::fixed_point(v.b);
    }
  }
  auto& scratch = shared<ClipSums>();
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const long long sum = block_sum(mine[c], scratch.of[c]);
    if (threadIdx.x == 0) sums[(std::int64_t{n} * gridDim.x + blockIdx.x) * 3 + c] = sum;
  }
}

struct Tile {
  augment::Color color;
  Rgb coloured[tile_height + 2 * border][tile_width + 2 * border];
  Rgb across[tile_height + 2 * border][tile_width];
};

// The tile's pixel of this thread, of frame d of the clip. All threads of the block call it.
__device__ Rgb tile_pixel(const AugmentParams& p, const AugmentClip& clip, const FrameShape& s,
                          const std::uint8_t* frame, int top, int left, Tile& tile) {
  const int radius = clip.radius;
  const auto thread = static_cast<int>(threadIdx.x);
  const int width = tile_width + 2 * radius;
  for (int i = thread; i < (tile_height + 2 * radius) * width; i += tile_threads) {
    const int y = augment::mirrored(top + i / width - radius, p.size);
    const int x = augment::mirrored(left + i % width - radius, p.size);
    tile.coloured[i / width][i % width] = augment::recolored(tile.color, p, crop_pixel(p, clip, s, frame, y, x));
  }
  __syncthreads();
  const int row = thread / tile_width;
  const int column = thread % tile_width;
  Rgb result{};
  if (radius == 0) {
    result = tile.coloured[row][column];
  } else {
    for (int y = row; y < tile_height + 2 * radius; y += tile_height) {
      Rgb sum{0, 0, 0};
      for (int k = -radius; k <= radius; ++k) {
        const Rgb v = tile.coloured[y][column + radius + k];
        const float w = clip.blur[k < 0 ? -k : k];
        sum.r += w * v.r;
        sum.g += w * v.g;
        sum.b += w * v.b;
      }
      tile.across[y][column] = sum;
    }
    __syncthreads();
    for (int k = -radius; k <= radius; ++k) {
      const Rgb v = tile.across[row + radius + k][column];
      const float w = clip.blur[k < 0 ? -k : k];
      result.r += w * v.r;
      result.g += w * v.g;
      result.b += w * v.b;
    }
  }
  __syncthreads();
  return result;
}

// A tile is blockIdx.x, a frame of the result blockIdx.y, a clip blockIdx.z.
template <class T>
__global__ void __launch_bounds__(tile_threads)
    augment_kernel(AugmentParams p, ClipTable clips, FrameShape s, const std::uint8_t* frames, const long long* sums,
                   T* y) {
  auto& tile = shared<Tile>();
  const auto n = static_cast<int>(blockIdx.z);
  const AugmentClip& clip = clips.of[n];
  if (threadIdx.x == 0) {
    double mean[3];
    for (int c = 0; c < 3; ++c) {
      long long sum = 0;
      for (int b = 0; b < sum_blocks; ++b) sum += sums[(std::int64_t{n} * sum_blocks + b) * 3 + c];
      mean[c] = augment::mean_of(sum, std::int64_t{s.depth} * p.size * p.size);
    }
    tile.color = augment::color_of(clip, mean);
  }
  __syncthreads();
  const int tiles_across = static_cast<int>(ceil_div(p.size, tile_width));
  const int top = static_cast<int>(blockIdx.x) / tiles_across * tile_height;
  const int left = static_cast<int>(blockIdx.x) % tiles_across * tile_width;
  const int step = p.residual ? 2 : 1;
  const auto d = static_cast<int>(blockIdx.y);
  Rgb v = tile_pixel(p, clip, s, s.frame(frames, n, step * d + step - 1), top, left, tile);
  if (p.residual) {
    const Rgb before = tile_pixel(p, clip, s, s.frame(frames, n, step * d), top, left, tile);
    v = {v.r - before.r, v.g - before.g, v.b - before.b};
  }
  const int row = top + static_cast<int>(threadIdx.x) / tile_width;
  const int column = left + static_cast<int>(threadIdx.x) % tile_width;
  if (row >= p.size || column >= p.size) return;
  const int to = clip.flip ? p.size - 1 - column : column;
  T* out = y + (((std::int64_t{n} * gridDim.y + d) * p.size + row) * p.size + to) * 3;
  out[0] = static_cast<T>(v.r);
  out[1] = static_cast<T>(v.g);
  out[2] = static_cast<T>(v.b);
}

}  // namespace

template <>
void CudaBackend::compute(const kernel::Augment& k) {
  const FrameShape s{static_cast<int>(k.frames.shape[1]), static_cast<int>(k.frames.shape[2]),
                     static_cast<int>(k.frames.shape[3])};
  const auto depth = static_cast<unsigned>(s.depth / (k.params.residual ? 2 : 1));
  const std::int64_t clip_bytes = std::int64_t{s.depth} * s.height * s.width * 3;
  const std::int64_t clip_values = std::int64_t{depth} * k.params.size * k.params.size * 3;
  const auto tiles = static_cast<unsigned>(ceil_div(k.params.size, tile_width) * ceil_div(k.params.size, tile_height));
  const DeviceArray<long long> sums(stream(), std::int64_t{ClipTable::most} * sum_blocks * 3);
  dispatch_float(k.y.dtype, [&]<class T>(T) {
    for (std::size_t first = 0; first < k.clips.size(); first += ClipTable::most) {
      const auto count = static_cast<unsigned>(std::min<std::size_t>(ClipTable::most, k.clips.size() - first));
      ClipTable table;
      std::copy_n(k.clips.begin() + static_cast<std::ptrdiff_t>(first), count, table.of);
      const std::uint8_t* in = k.frames.as<std::uint8_t>() + static_cast<std::int64_t>(first) * clip_bytes;
      launch<augment_sums_kernel>(stream(), {dim3(sum_blocks, count), dim3(sum_threads), sizeof(ClipSums)}, k.params,
                                  table, s, in, sums.get());
      launch<augment_kernel<T>>(stream(), {dim3(tiles, depth, count), dim3(tile_threads), sizeof(Tile)}, k.params,
                                table, s, in, static_cast<const long long*>(sums.get()),
                                k.y.as<T>() + static_cast<std::int64_t>(first) * clip_values);
    }
  });
}

}  // namespace mcn::MCN_DEVICE_NAMESPACE
