// The figure of the synthetic actions: a skeleton, its pose as joint angles, and where its joints are then.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace mcn {

/// A point or direction: x forward, y up, z to the figure's right. The unit of length is the figure's height.
struct Vec3 {
  double x = 0, y = 0, z = 0;
};
inline Vec3 operator+(const Vec3& a, const Vec3& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(const Vec3& a, const Vec3& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator*(double s, const Vec3& a) { return {s * a.x, s * a.y, s * a.z}; }
inline double dot(const Vec3& a, const Vec3& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline double length(const Vec3& a) { return std::sqrt(dot(a, a)); }

/// Joint angles in radians; all zero: standing straight with hanging limbs. Index 0: right, 1: left.
struct Arm {
  double flexion = 0;    ///< forward and up
  double abduction = 0;  ///< away from the body
  double rotation = 0;   ///< turns the elbow's plane outwards: at pi/2 the forearm of an abducted arm bends upwards
  double elbow = 0;      ///< 0: straight
};
struct Leg {
  double flexion = 0;    ///< of the hip, forward
  double abduction = 0;  ///< away from the other leg
  double knee = 0;       ///< 0: straight
  double ankle = 0;      ///< toes up
};
struct Pose {
  double lift = 0;                       ///< of the lowest joint above the floor, in heights of the figure
  double yaw = 0, pitch = 0, roll = 0;   ///< of the pelvis: turn to the left, forward, to the right
  double bend = 0, lean = 0, twist = 0;  ///< of the chest on the pelvis: forward, to the right, to the left
  double nod = 0, look = 0;              ///< of the head on the chest: forward, to the left
  std::array<Arm, 2> arm;
  std::array<Leg, 2> leg;
};

/// Pose::*, Arm::* and Leg::* of all numbers of a pose, in order of declaration: applies f(a's number, b's number).
template <class F>
void for_each_angle(Pose& a, const Pose& b, const F& f) {
  for (const auto member : {&Pose::lift, &Pose::yaw, &Pose::pitch, &Pose::roll, &Pose::bend, &Pose::lean, &Pose::twist,
                            &Pose::nod, &Pose::look})
    f(a.*member, b.*member);
  for (std::size_t side = 0; side < 2; ++side) {
    for (const auto member : {&Arm::flexion, &Arm::abduction, &Arm::rotation, &Arm::elbow})
      f(a.arm[side].*member, b.arm[side].*member);
    for (const auto member : {&Leg::flexion, &Leg::abduction, &Leg::knee, &Leg::ankle})
      f(a.leg[side].*member, b.leg[side].*member);
  }
}

/// The same pose in a mirror: left and right change places.
Pose mirrored(const Pose& pose);

/// Lengths in heights of the figure.
struct Proportions {
  double torso = 0.29, neck = 0.06, head = 0.11;
  double shoulders = 0.105, hips = 0.055;  ///< half the width
  double upper_arm = 0.165, forearm = 0.15, hand = 0.055;
  double thigh = 0.245, shin = 0.245, foot = 0.12;
};

/// Joints of a side come in pairs: right, left.
enum Joint : std::uint8_t {
  pelvis,
  chest,
  skull,
  crown,
  face,  // the ends of torso, neck and head; the head's front
  shoulder_right,
  shoulder_left,
  elbow_right,
  elbow_left,
  wrist_right,
  wrist_left,
  fingers_right,
  fingers_left,
  hip_right,
  hip_left,
  knee_right,
  knee_left,
  ankle_right,
  ankle_left,
  toes_right,
  toes_left,
  joint_count
};
using Joints = std::array<Vec3, joint_count>;

/// Places of all joints (forward kinematics). The pelvis is above the origin, the lowest joint at y = lift.
Joints joints_of(const Pose& pose, const Proportions& proportions);

}  // namespace mcn
