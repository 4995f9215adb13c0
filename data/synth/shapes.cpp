#include "data/synth/shapes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numbers>

#include "data/synth/backdrop.h"
#include "engine/random.h"

namespace mcn {
namespace {

constexpr double pi = std::numbers::pi;

enum Motion : std::uint8_t { translate, rotate, zoom, oscillate, orbit, shear, stretch, hop };
enum Shape : std::uint8_t { disc, square, triangle, ring, cross, star, bar, crescent };

/// Distance to a polygon of n corners, alternating between radius 1 and `inner` (1: regular polygon of n corners).
double polygon_distance(double x, double y, int corners, double inner) {
  const double sector = 2 * pi / corners;
  double angle = std::atan2(x, -y);  // 0 at the top
  angle -= sector * std::floor(angle / sector);
  if (angle > sector / 2) angle = sector - angle;
  const double radius = std::hypot(x, y);
  const double px = radius * std::cos(angle), py = radius * std::sin(angle);
  // The edge from a corner at (1, 0) to the middle of the sector.
  const double mx = inner * std::cos(sector / 2), my = inner * std::sin(sector / 2);
  const double ex = mx - 1, ey = my;
  return ((px - 1) * ey - py * ex) / std::hypot(ex, ey);
}

/// Distance to a shape of about radius 1 in its own frame, in units of that radius; negative inside.
double shape_distance(int shape, double x, double y) {
  const auto box = [](double bx, double by, double w, double h) {
    return std::max(std::abs(bx) - w, std::abs(by) - h);
  };
  switch (shape) {
    case disc:
      return std::hypot(x, y) - 0.9;
    case square:
      return box(x, y, 0.78, 0.78);
    case triangle:
      return polygon_distance(x, y, 3, 0.5);
    case ring:
      return std::abs(std::hypot(x, y) - 0.72) - 0.22;
    case cross:
      return std::min(box(x, y, 0.95, 0.28), box(x, y, 0.28, 0.95));
    case star:
      return polygon_distance(x, y, 5, 0.42);
    case bar:
      return box(x, y, 1.15, 0.3);
    default:
      return std::max(std::hypot(x, y) - 0.95, 0.75 - std::hypot(x - 0.45, y));
  }
}

/// Where the object is at a time: centre and radius in pixels, and the map from its frame's axes to the picture's.
struct Pose {
  double x = 0, y = 0, radius = 1;
  double turn = 0, stretch_x = 1, stretch_y = 1, shear = 0;
};

/// Draws everything about the motion that is random and gives the pose at a frame.
std::function<Pose(int)> motion_of(int motion, double height, double width, Philox& random) {
  Pose start;
  start.radius = height * random.uniform(0.19, 0.30);
  start.x = width * random.uniform(0.3, 0.7);
  start.y = height * random.uniform(0.32, 0.68);
  start.turn = random.uniform(0, 2 * pi);
  const double direction = random.uniform(0, 2 * pi);
  const double dx = std::cos(direction), dy = std::sin(direction);
  const double sign = random.chance(0.5) ? 1 : -1;
  const double phase = random.uniform(0, 2 * pi);
  const double period = random.uniform(9, 16);  // frames
  const double pace = random.uniform(0.75, 1.3);
  const double turn_on_period = 2 * pi / period;
  // Past the edge an object comes in again on the other side, before it is out of sight.
  const auto wrapped = [](double v, double size, double margin) {
    const double span = size + 2 * margin;
    v = std::fmod(v + margin, span);
    return (v < 0 ? v + span : v) - margin;
  };
  return [=](int frame) {
    Pose p = start;
    const double t = frame;
    const double wave = std::sin(turn_on_period * t + phase);
    switch (motion) {
      case translate:
        p.x = wrapped(start.x + dx * pace * t * height * 0.045, width, start.radius * 0.6);
        p.y = wrapped(start.y + dy * pace * t * height * 0.045, height, start.radius * 0.6);
        break;
      case rotate:
        p.turn += sign * pace * t * 0.22;
        break;
      case zoom:
        p.radius *= std::exp(0.5 * wave);
        break;
      case oscillate:
        p.x += dx * wave * height * 0.22 * pace;
        p.y += dy * wave * height * 0.22 * pace;
        break;
      case orbit:
        p.x += height * 0.2 * pace * std::cos(sign * turn_on_period * t + phase);
        p.y += height * 0.2 * pace * std::sin(sign * turn_on_period * t + phase);
        break;
      case shear:
        p.shear = wave * pace;
        break;
      case stretch:
        p.stretch_x = std::exp(0.55 * wave);
        p.stretch_y = 1 / p.stretch_x;
        break;
      default: {
        const double leap = std::floor(t / period * 2 + phase);
        p.x += height * 0.25 * std::cos(direction + 2.4 * leap);
        p.y += height * 0.25 * std::sin(direction + 2.4 * leap);
      }
    }
    return p;
  };
}

/// How many kinds of motion, shape and pattern there are among so many classes: 2, 4 or 8.
int kinds_count(int classes) { return classes <= 4 ? 2 : classes <= 16 ? 4 : 8; }

/// The product in the field of 2, 4 or 8 elements (x^2 + x + 1, x^3 + x + 1), as its elements' bits.
int field_product(int a, int b, int field) {
  const int modulus = field == 8 ? 0b1011 : field == 4 ? 0b111 : 0b11;
  int result = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) result ^= a;
    a <<= 1;
    if ((a & field) != 0) a ^= modulus;
  }
  return result;
}

}  // namespace

SceneKinds class_kinds(int label, int classes) {
  // An orthogonal array of strength 2: rows (a, a + b, a + w b) over a finite field agree in at most one place.
  const int field = kinds_count(classes);
  const int a = label % field, b = label / field;
  return {a, a ^ b, field == 2 ? b : a ^ field_product(2, b, field)};
}

SceneKinds video_kinds(int label, int classes, double correlation, std::uint64_t seed, std::uint64_t stream) {
  SceneKinds kinds = class_kinds(label, classes);
  Philox random(seed, stream);
  const int field = kinds_count(classes);
  for (int* kind : {&kinds.shape, &kinds.pattern}) {
    const bool follows = random.chance(correlation);
    const auto any = static_cast<int>(random.below(field));
    if (!follows) *kind = any;
  }
  return kinds;
}

Frames render_scene(const SceneKinds& kinds, int frames, int height, int width, std::uint64_t seed,
                    std::uint64_t stream) {
  Philox random(seed, stream);
  const Color back = random_color(random);
  const Color back2 = contrasting(random, back, random.uniform(25, 80));
  // The object's two halves, so that the turn of a disc is seen.
  const Color front = contrasting(random, back, 60);
  const Color front2 = contrasting(random, front, 50);
  const double halves_angle = random.uniform(0, 2 * pi);
  const Backdrop background(kinds.pattern, height, random);
  // Light that falls off across the picture and the grain of a camera: as strong in a plain video as in a patterned
  // one, so that the mere amount of texture does not tell the pattern.
  const double light_angle = random.uniform(0, 2 * pi);
  const double light = random.uniform(0, 0.5);
  const double grain = random.uniform(0, 22);
  const auto pose = motion_of(kinds.motion, height, width, random);

  const auto w = static_cast<std::size_t>(width);
  const std::size_t pixels = static_cast<std::size_t>(height) * w;
  std::vector<Color> still(pixels);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const auto share = static_cast<float>(background.at(x + 0.5, y + 0.5));
      const double across = (x * std::cos(light_angle) + y * std::sin(light_angle)) / height;
      const auto gain = static_cast<float>(1 - light * std::clamp(0.5 + 0.5 * across, 0.0, 1.0));
      const auto offset = static_cast<float>(grain * random.normal());
      for (std::size_t c = 0; c < 3; ++c)
        still[static_cast<std::size_t>(y) * w + static_cast<std::size_t>(x)][c] =
            gain * std::lerp(back[c], back2[c], share) + offset;
    }

  Frames result{frames, height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(frames) * pixels * 3)};
  const auto byte = [](float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5F, 0.0F, 255.0F)); };
  for (int f = 0; f < frames; ++f) {
    std::uint8_t* out = result.rgb.data() + static_cast<std::size_t>(f) * pixels * 3;
    for (const Color& c : still)
      for (const float v : c) *out++ = byte(v);
    const Pose p = pose(f);
    const double cos = std::cos(p.turn), sin = std::sin(p.turn);
    const double reach = p.radius * 1.3 * (1 + std::abs(p.shear)) * std::max(p.stretch_x, p.stretch_y) + 2;
    const auto bound = [](double v, int size) { return std::clamp(static_cast<int>(std::floor(v)), 0, size); };
    const double narrow = std::min(p.stretch_x, p.stretch_y);
    for (int y = bound(p.y - reach, height); y < bound(p.y + reach, height); ++y) {
      for (int x = bound(p.x - reach, width); x < bound(p.x + reach, width); ++x) {
        // Back from the picture into the object's own frame.
        double u = (x + 0.5 - p.x) / p.radius, v = (y + 0.5 - p.y) / p.radius;
        u -= p.shear * v;
        u /= p.stretch_x;
        v /= p.stretch_y;
        const double ou = u * cos + v * sin, ov = v * cos - u * sin;
        const double inside = coverage(shape_distance(kinds.shape, ou, ov) * p.radius * narrow);
        if (inside <= 0) continue;
        const double half = coverage((ou * std::cos(halves_angle) + ov * std::sin(halves_angle)) * p.radius * narrow);
        const std::size_t at = static_cast<std::size_t>(y) * w + static_cast<std::size_t>(x);
        for (std::size_t c = 0; c < 3; ++c) {
          const float object = std::lerp(front[c], front2[c], static_cast<float>(half));
          result.rgb[(static_cast<std::size_t>(f) * pixels + at) * 3 + c] =
              byte(std::lerp(still[at][c], object, static_cast<float>(inside)));
        }
      }
    }
  }
  return result;
}

std::string class_name(SceneKinds kinds) {
  constexpr std::array motions{"Translate", "Rotate", "Zoom", "Oscillate", "Orbit", "Shear", "Stretch", "Hop"};
  constexpr std::array shapes{"Disc", "Square", "Triangle", "Ring", "Cross", "Star", "Bar", "Crescent"};
  constexpr std::array patterns{"Stripes", "Checker", "Grid", "Rings", "Dots", "Noise", "Gradient", "Plain"};
  return std::string(motions[static_cast<std::size_t>(kinds.motion)]) + shapes[static_cast<std::size_t>(kinds.shape)] +
         "On" + patterns[static_cast<std::size_t>(kinds.pattern)];
}

}  // namespace mcn
