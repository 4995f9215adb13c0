// What is random in the synthetic actions and does not depend on the action.
#pragma once

#include <cstdint>
#include <vector>

#include "data/synth/backdrop.h"
#include "data/synth/skeleton.h"

namespace mcn {

/// A thing that moves about in the picture beside the figure. Places in picture heights from the middle.
struct Distractor {
  double x = 0, y = 0, radius = 0;
  double swing_x = 0, swing_y = 0, hertz = 0, phase = 0;  ///< of its oscillation
  bool round = true, in_front = false;
  Color color{};
};

/// What the videos of a group share, whatever their action: camera, body, clothes, light, background.
struct Look {
  // Camera; angles in radians, distance in heights of the figure, size: the figure's share of the picture's height.
  double azimuth = 0, elevation = 0, tilt = 0, distance = 5, size = 0.75;
  Proportions body{};
  double build = 1;  ///< thickness of the limbs
  double head_build = 1;
  bool long_sleeves = true, long_trousers = true;
  Color skin{}, hair{}, shirt{}, trousers{}, shoes{};
  Vec3 light{};  ///< towards it, of length 1, in the camera's frame: right, up, towards the camera
  double ambient = 0.5, diffuse = 0.5;
  double shadow = 0.4;           ///< darkness of the one on the floor
  int wall = 0, floor = 0;       ///< patterns
  double horizon = 2;            ///< where the floor begins, in picture heights from the top; beyond 1: nowhere
  std::array<Color, 4> paint{};  ///< two of the wall, two of the floor
  double falloff = 0, falloff_angle = 0, grain = 0;
  std::uint64_t key = 0;  ///< of the patterns and the grain
  std::vector<Distractor> distractors{};
};

/// What one video of a group has for itself, whatever its action.
struct Take {
  double phase = 0;  ///< in cycles
  double speed = 1;
  bool mirrored = false;
  double amplitude = 1;                         ///< scales the angles of trunk and limbs
  Pose habit;                                   ///< added to the angles
  double azimuth = 0, elevation = 0, size = 1;  ///< on top of the look's; size is a factor
  double x = 0, y = 0;                          ///< of the figure, in picture heights from the middle
  double exposure = 1;
  // The camera's motion: swings of the pan (picture heights), the zoom (a factor's logarithm) and the azimuth.
  double pan_x = 0, pan_y = 0, zoom = 0, orbit = 0, hertz = 0, camera_phase = 0;
};

/// Pure functions of their arguments. subset 0: train, 1: test; place: a video's number among those of its class.
Look look_of(std::uint64_t seed, int subset, int group);
Take take_of(std::uint64_t seed, int subset, int place);

}  // namespace mcn
