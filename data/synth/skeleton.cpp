#include "data/synth/skeleton.h"

#include <algorithm>
#include <utility>

namespace mcn {
namespace {

/// A rotation, by its columns: where it takes the axes.
struct Rotation {
  Vec3 x{1, 0, 0}, y{0, 1, 0}, z{0, 0, 1};
  Vec3 operator()(const Vec3& v) const { return v.x * x + v.y * y + v.z * z; }
};
Rotation operator*(const Rotation& a, const Rotation& b) { return {a(b.x), a(b.y), a(b.z)}; }

Rotation about_x(double a) { return {{1, 0, 0}, {0, std::cos(a), std::sin(a)}, {0, -std::sin(a), std::cos(a)}}; }
Rotation about_y(double a) { return {{std::cos(a), 0, -std::sin(a)}, {0, 1, 0}, {std::sin(a), 0, std::cos(a)}}; }
Rotation about_z(double a) { return {{std::cos(a), std::sin(a), 0}, {-std::sin(a), std::cos(a), 0}, {0, 0, 1}}; }

}  // namespace

Pose mirrored(const Pose& pose) {
  Pose result = pose;
  std::swap(result.arm[0], result.arm[1]);
  std::swap(result.leg[0], result.leg[1]);
  for (const auto member : {&Pose::yaw, &Pose::roll, &Pose::lean, &Pose::twist, &Pose::look})
    result.*member = -(result.*member);
  return result;
}

Joints joints_of(const Pose& pose, const Proportions& p) {
  Joints j;
  const Rotation root = about_y(pose.yaw) * about_z(-pose.pitch) * about_x(pose.roll);
  const Rotation trunk = root * about_z(-pose.bend) * about_x(pose.lean) * about_y(pose.twist);
  const Rotation head = trunk * about_z(-pose.nod) * about_y(pose.look);
  j[chest] = j[pelvis] + trunk({0, p.torso, 0});
  j[skull] = j[chest] + head({0, p.neck, 0});
  j[crown] = j[skull] + head({0, p.head, 0});
  j[face] = j[skull] + head({p.head / 2, p.head / 2, 0});
  for (std::size_t side = 0; side < 2; ++side) {
    const double sign = side == 0 ? 1 : -1;
    const Arm& arm = pose.arm[side];
    const Rotation upper =
        trunk * about_z(arm.flexion) * about_x(-sign * arm.abduction) * about_y(-sign * arm.rotation);
    const Rotation fore = upper * about_z(arm.elbow);
    j[shoulder_right + side] = j[chest] + trunk({0, 0, sign * p.shoulders});
    j[elbow_right + side] = j[shoulder_right + side] + upper({0, -p.upper_arm, 0});
    j[wrist_right + side] = j[elbow_right + side] + fore({0, -p.forearm, 0});
    j[fingers_right + side] = j[wrist_right + side] + fore({0, -p.hand, 0});

    const Leg& leg = pose.leg[side];
    const Rotation thigh = root * about_z(leg.flexion) * about_x(-sign * leg.abduction);
    const Rotation shin = thigh * about_z(-leg.knee);
    const Rotation foot = shin * about_z(leg.ankle);
    j[hip_right + side] = j[pelvis] + root({0, 0, sign * p.hips});
    j[knee_right + side] = j[hip_right + side] + thigh({0, -p.thigh, 0});
    j[ankle_right + side] = j[knee_right + side] + shin({0, -p.shin, 0});
    j[toes_right + side] = j[ankle_right + side] + foot({p.foot, 0, 0});
  }
  const auto lowest = std::min_element(j.begin(), j.end(), [](const Vec3& a, const Vec3& b) { return a.y < b.y; });
  const double raise = pose.lift - lowest->y;
  for (Vec3& joint : j) joint.y += raise;
  return j;
}

}  // namespace mcn
