#include "data/synth/render.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "data/synth/actions.h"

namespace mcn {
namespace {

constexpr double pi = std::numbers::pi;

/// A limb in space, its radii in heights of the figure.
struct Limb {
  Vec3 from, to;
  double r0, r1;
  Color color;
};

std::vector<Limb> limbs_of(const Joints& j, const Look& look) {
  const double b = look.build, h = look.head_build;
  const Color& sleeve = look.long_sleeves ? look.shirt : look.skin;
  const Color& leg = look.long_trousers ? look.trousers : look.skin;
  const Vec3 back = 0.55 * (0.5 * (j[skull] + j[crown]) - j[face]);
  std::vector<Limb> limbs{{j[hip_right], j[hip_left], 0.06 * b, 0.06 * b, look.trousers},
                          {j[pelvis], j[chest], 0.07 * b, 0.082 * b, look.shirt},
                          {j[shoulder_right], j[shoulder_left], 0.045 * b, 0.045 * b, look.shirt},
                          {j[chest], j[skull], 0.032 * b, 0.032 * b, look.skin},
                          {j[skull], j[crown], 0.052 * h, 0.055 * h, look.skin},
                          {j[crown] + back, 0.4 * j[crown] + 0.6 * j[skull] + back, 0.052 * h, 0.042 * h, look.hair}};
  for (std::size_t s = 0; s < 2; ++s) {
    limbs.push_back({j[shoulder_right + s], j[elbow_right + s], 0.037 * b, 0.03 * b, look.shirt});
    limbs.push_back({j[elbow_right + s], j[wrist_right + s], 0.03 * b, 0.024 * b, sleeve});
    limbs.push_back({j[wrist_right + s], j[fingers_right + s], 0.026 * b, 0.024 * b, look.skin});
    limbs.push_back({j[hip_right + s], j[knee_right + s], 0.056 * b, 0.043 * b, look.trousers});
    limbs.push_back({j[knee_right + s], j[ankle_right + s], 0.041 * b, 0.03 * b, leg});
    limbs.push_back({j[ankle_right + s], j[toes_right + s], 0.034 * b, 0.026 * b, look.shoes});
  }
  return limbs;
}

/// A pinhole camera that turns about a target.
class Camera {
 public:
  /// scale: pixels per height of the figure at the target, which is seen at (x, y).
  Camera(const Vec3& target, double azimuth, double elevation, double tilt, double distance, double scale, double x,
         double y)
      : target_(target),
        tilt_x_(std::cos(tilt)),
        tilt_y_(std::sin(tilt)),
        distance_(distance),
        scale_(scale),
        x_(x),
        y_(y) {
    const double ca = std::cos(azimuth), sa = std::sin(azimuth), ce = std::cos(elevation), se = std::sin(elevation);
    towards_ = {ce * ca, se, ce * sa};
    right_ = {sa, 0, -ca};
    up_ = {-se * ca, ce, -se * sa};
  }
  struct Seen {
    double x, y, scale, depth;  ///< scale: pixels per height of the figure there; depth: towards the camera
  };
  [[nodiscard]] Seen see(const Vec3& point) const {
    const Vec3 p = point - target_;
    const double depth = dot(p, towards_);
    const double scale = scale_ * distance_ / std::max(distance_ - depth, 0.1 * distance_);
    const double across = dot(p, right_), upwards = dot(p, up_);
    return {x_ + scale * (tilt_x_ * across - tilt_y_ * upwards), y_ - scale * (tilt_y_ * across + tilt_x_ * upwards),
            scale, depth};
  }

 private:
  Vec3 target_, towards_, right_, up_;
  double tilt_x_, tilt_y_, distance_, scale_, x_, y_;
};

/// Where wall and floor are seen, with a margin on all sides for the camera to move.
Canvas draw_background(const Look& look, int height, int width, int margin) {
  Philox random(look.key);
  const Backdrop wall(look.wall, height, random), floor(look.floor, height, random);
  Canvas canvas(height + 2 * margin, width + 2 * margin);
  const double fx = std::cos(look.falloff_angle), fy = std::sin(look.falloff_angle);
  for (int y = 0; y < canvas.height; ++y) {
    const double py = y + 0.5 - margin;
    const auto below = static_cast<float>(coverage(look.horizon * height - py));
    for (int x = 0; x < canvas.width; ++x) {
      const double px = x + 0.5 - margin;
      // The floor's pattern is seen at a slant.
      const auto share = static_cast<float>(below < 0.5F ? wall.at(px, py) : floor.at(px, 2.5 * py));
      const std::size_t paint = below < 0.5F ? 0 : 2;
      const double across = (fx * (px - 0.5 * width) + fy * (py - 0.5 * height)) / height;
      const auto gain = static_cast<float>(1 - look.falloff * std::clamp(0.5 + across, 0.0, 1.0));
      const auto grain = static_cast<float>(look.grain * random.normal());
      for (std::size_t c = 0; c < 3; ++c)
        canvas.at(y, x)[c] = gain * std::lerp(look.paint[paint][c], look.paint[paint + 1][c], share) + grain;
    }
  }
  return canvas;
}

/// The part of the background that the camera sees: shifted and scaled about the middle, bilinear.
void show_background(Canvas& canvas, Canvas& background, double shift_x, double shift_y, double zoom) {
  for (int y = 0; y < canvas.height; ++y) {
    const double v = std::clamp(0.5 * background.height + (y + 0.5 - 0.5 * canvas.height) / zoom - shift_y - 0.5, 0.0,
                                background.height - 1.001);
    const auto row = static_cast<int>(v);
    const auto down = static_cast<float>(v - row);
    for (int x = 0; x < canvas.width; ++x) {
      const double u = std::clamp(0.5 * background.width + (x + 0.5 - 0.5 * canvas.width) / zoom - shift_x - 0.5, 0.0,
                                  background.width - 1.001);
      const auto column = static_cast<int>(u);
      const auto along = static_cast<float>(u - column);
      const Color &a = background.at(row, column), &b = background.at(row, column + 1);
      const Color &c = background.at(row + 1, column), &d = background.at(row + 1, column + 1);
      for (std::size_t k = 0; k < 3; ++k) {
        const float above = a[k] + along * (b[k] - a[k]), below = c[k] + along * (d[k] - c[k]);
        canvas.at(y, x)[k] = above + down * (below - above);
      }
    }
  }
}

/// A span of pixels that holds [from, to], within the picture.
std::pair<int, int> span_of(double from, double to, int size) {
  return {static_cast<int>(std::clamp(std::floor(from), 0.0, double(size))),
          static_cast<int>(std::clamp(std::ceil(to), 0.0, double(size)))};
}

void draw_distractor(Canvas& canvas, const Distractor& d, double seconds, double shift_x, double shift_y) {
  const double swing = std::sin(2 * pi * d.hertz * seconds + d.phase);
  const double x = 0.5 * canvas.width + canvas.height * (d.x + d.swing_x * swing) + shift_x;
  const double y = 0.5 * canvas.height + canvas.height * (d.y + d.swing_y * swing) + shift_y;
  const double r = d.radius * canvas.height;
  const auto [top, bottom] = span_of(y - r - 1, y + r + 1, canvas.height);
  const auto [left, right] = span_of(x - r - 1, x + r + 1, canvas.width);
  for (int py = top; py < bottom; ++py)
    for (int px = left; px < right; ++px) {
      const double dx = px + 0.5 - x, dy = py + 0.5 - y;
      const double distance = d.round ? std::hypot(dx, dy) : std::max(std::abs(dx), std::abs(dy));
      const auto share = static_cast<float>(coverage(distance - r));
      for (std::size_t c = 0; c < 3; ++c) canvas.at(py, px)[c] += share * (d.color[c] - canvas.at(py, px)[c]);
    }
}

/// A soft dark ellipse on the floor below the figure, fainter the higher it is.
void draw_shadow(Canvas& canvas, const Camera& camera, const Vec3& above, double lift, double elevation,
                 double darkness) {
  const Camera::Seen middle = camera.see({above.x, 0, above.z});
  const double rx = 0.3 * middle.scale, ry = std::max(rx * std::sin(elevation), 0.12 * rx);
  const double strength = darkness / (1 + 4 * lift);
  const auto [top, bottom] = span_of(middle.y - 2 * ry, middle.y + 2 * ry, canvas.height);
  const auto [left, right] = span_of(middle.x - 2 * rx, middle.x + 2 * rx, canvas.width);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) {
      const double u = (x + 0.5 - middle.x) / rx, v = (y + 0.5 - middle.y) / ry;
      const double fade = std::max(0.0, 1 - 0.25 * (u * u + v * v));
      for (float& channel : canvas.at(y, x)) channel *= static_cast<float>(1 - strength * fade * fade);
    }
}

}  // namespace

void draw_capsule(Canvas& canvas, const Capsule& c, const Light& light) {
  const double reach = std::max(c.r0, c.r1) + 1;
  const auto [top, bottom] = span_of(std::min(c.y0, c.y1) - reach, std::max(c.y0, c.y1) + reach, canvas.height);
  const auto [left, right] = span_of(std::min(c.x0, c.x1) - reach, std::max(c.x0, c.x1) + reach, canvas.width);
  const double ax = c.x1 - c.x0, ay = c.y1 - c.y0;
  const double square = std::max(ax * ax + ay * ay, 1e-9);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) {
      const double px = x + 0.5 - c.x0, py = y + 0.5 - c.y0;
      const double along = std::clamp((px * ax + py * ay) / square, 0.0, 1.0);
      const double dx = px - along * ax, dy = py - along * ay;
      const double radius = c.r0 + along * (c.r1 - c.r0);
      const double distance = std::sqrt(dx * dx + dy * dy);
      const auto share = static_cast<float>(coverage(distance - radius));
      if (share <= 0) continue;
      // The normal of a sphere there; the picture's y points down.
      const double nx = dx / radius, ny = -dy / radius;
      const double nz = std::sqrt(std::max(0.0, 1 - nx * nx - ny * ny));
      const double facing = std::max(0.0, nx * light.towards.x + ny * light.towards.y + nz * light.towards.z);
      const auto gain = static_cast<float>(light.ambient + light.diffuse * facing);
      for (std::size_t k = 0; k < 3; ++k) canvas.at(y, x)[k] += share * (gain * c.color[k] - canvas.at(y, x)[k]);
    }
}

Pose pose_at(int action, const Take& take, double seconds) {
  Pose pose = action_pose(action, take.phase + seconds * take.speed / action_seconds(action));
  for (double* angle : {&pose.bend, &pose.lean, &pose.twist}) *angle *= take.amplitude;
  for (Arm& arm : pose.arm) {
    arm.flexion *= take.amplitude;
    arm.elbow *= take.amplitude;
  }
  for (Leg& leg : pose.leg) {
    leg.flexion *= take.amplitude;
    leg.knee *= take.amplitude;
  }
  for_each_angle(pose, take.habit, [](double& angle, double habit) { angle += habit; });
  return take.mirrored ? mirrored(pose) : pose;
}

Frames render_action(int action, const Look& look, const Take& take, int frames, int height, int width, int fps) {
  // The camera looks at the middle of the whole motion, so that the place in the picture does not tell the action.
  std::vector<std::pair<Pose, Joints>> motion;
  Vec3 middle;
  for (int f = 0; f < frames; ++f) {
    const Pose pose = pose_at(action, take, double(f) / fps);
    motion.emplace_back(pose, joints_of(pose, look.body));
    for (const Vec3& joint : motion.back().second) middle = middle + joint;
  }
  middle = (1.0 / (frames * joint_count)) * middle;

  const int margin = height / 6;
  Canvas background = draw_background(look, height, width, margin);
  const Light light{look.light, look.ambient, look.diffuse};
  Canvas canvas(height, width);
  Frames result{frames, height, width, {}};
  result.rgb.reserve(static_cast<std::size_t>(frames) * result.frame_bytes());
  for (int f = 0; f < frames; ++f) {
    const double seconds = double(f) / fps;
    const double swing = std::sin(2 * pi * take.hertz * seconds + take.camera_phase);
    const double sway = std::cos(2 * pi * take.hertz * seconds + take.camera_phase);
    const double shift_x = take.pan_x * swing * height, shift_y = take.pan_y * sway * height;
    const double zoom = std::exp(take.zoom * sway);
    const double elevation = look.elevation + take.elevation;
    const Camera camera(middle, look.azimuth + take.azimuth + take.orbit * swing, elevation, look.tilt, look.distance,
                        look.size * take.size * zoom * height, 0.5 * width + take.x * height + shift_x,
                        0.5 * height + take.y * height + shift_y);
    show_background(canvas, background, shift_x, shift_y, zoom);
    for (const Distractor& d : look.distractors)
      if (!d.in_front) draw_distractor(canvas, d, seconds, shift_x, shift_y);
    const auto& [pose, joints] = motion[static_cast<std::size_t>(f)];
    draw_shadow(canvas, camera, joints[pelvis], pose.lift, elevation, look.shadow);

    std::vector<std::pair<double, Capsule>> capsules;
    for (const Limb& limb : limbs_of(joints, look)) {
      const Camera::Seen a = camera.see(limb.from), b = camera.see(limb.to);
      capsules.push_back({a.depth + b.depth, {a.x, a.y, limb.r0 * a.scale, b.x, b.y, limb.r1 * b.scale, limb.color}});
    }
    std::stable_sort(capsules.begin(), capsules.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [depth, capsule] : capsules) draw_capsule(canvas, capsule, light);

    for (const Distractor& d : look.distractors)
      if (d.in_front) draw_distractor(canvas, d, seconds, shift_x, shift_y);
    for (const Color& pixel : canvas.pixels)
      for (const float channel : pixel)
        result.rgb.push_back(
            static_cast<std::uint8_t>(std::clamp(static_cast<float>(take.exposure) * channel + 0.5F, 0.0F, 255.0F)));
  }
  return result;
}

}  // namespace mcn
