// Draws the synthetic actions: shaded capsules over a background.
#pragma once

#include <vector>

#include "data/synth/look.h"
#include "data/video.h"

namespace mcn {

/// A picture in floating point, height x width pixels. Pixel (y, x) covers [x, x + 1] x [y, y + 1].
struct Canvas {
  int height = 0, width = 0;
  std::vector<Color> pixels;

  Canvas(int h, int w) : height(h), width(w), pixels(static_cast<std::size_t>(h) * static_cast<std::size_t>(w)) {}
  Color& at(int y, int x) {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
  }
};

/// A limb in the picture: all points within a radius of a segment, the radius going from r0 to r1 along it. In pixels.
struct Capsule {
  double x0 = 0, y0 = 0, r0 = 1, x1 = 0, y1 = 0, r1 = 1;
  Color color{};
};

/// Light on a capsule: towards it, right, up, towards the camera.
struct Light {
  Vec3 towards{0, 0, 1};
  double ambient = 1, diffuse = 0;
};

/// Draws over what is there, with soft edges one pixel wide.
void draw_capsule(Canvas& canvas, const Capsule& capsule, const Light& light);

/// A video of an action as RGB, a pure function of its arguments.
Frames render_action(int action, const Look& look, const Take& take, int frames, int height, int width, int fps);

/// The figure's pose at a time in seconds.
Pose pose_at(int action, const Take& take, double seconds);

}  // namespace mcn
