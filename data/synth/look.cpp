#include "data/synth/look.h"

#include <numbers>

namespace mcn {
namespace {

constexpr double pi = std::numbers::pi;

// What a random stream is for; part of its number.
enum Purpose : std::uint8_t { look_of_group = 31, take_of_video };

Proportions random_body(Philox& random) {
  Proportions p;
  const double legs = random.uniform(0.9, 1.1), width = random.uniform(0.85, 1.2);
  for (double* leg : {&p.thigh, &p.shin}) *leg *= legs;
  p.torso *= 2 - legs;
  for (double* across : {&p.shoulders, &p.hips}) *across *= width;
  const double arms = random.uniform(0.92, 1.12);
  for (double* arm : {&p.upper_arm, &p.forearm}) *arm *= arms;
  p.head *= random.uniform(0.85, 1.3);
  return p;
}

Color random_skin(Philox& random) {
  const double tone = random.uniform(0.35, 1);
  return {static_cast<float>(242 * tone * random.uniform(0.93, 1.05)),
          static_cast<float>(200 * tone * random.uniform(0.93, 1.05)),
          static_cast<float>(166 * tone * random.uniform(0.93, 1.05))};
}

Distractor random_distractor(Philox& random) {
  Distractor d;
  d.x = random.uniform(-0.6, 0.6);
  d.y = random.uniform(-0.45, 0.45);
  d.in_front = random.chance(0.25);
  d.radius = d.in_front ? random.uniform(0.025, 0.05) : random.uniform(0.04, 0.13);
  d.swing_x = random.uniform(-0.35, 0.35);
  d.swing_y = random.uniform(-0.2, 0.2);
  d.hertz = random.uniform(0.2, 1);
  d.phase = random.uniform(0, 2 * pi);
  d.round = random.chance(0.5);
  d.color = random_color(random);
  return d;
}

}  // namespace

Look look_of(std::uint64_t seed, int subset, int group) {
  Philox random(seed, hash_stream(look_of_group, subset, group));
  Look l;
  l.azimuth = random.uniform(0, 2 * pi);
  l.elevation = random.uniform(-0.05, 0.6);
  l.tilt = random.uniform(-0.1, 0.1);
  l.distance = random.uniform(2.5, 7);
  l.size = random.uniform(0.62, 0.85);
  l.body = random_body(random);
  l.build = random.uniform(0.85, 1.35);
  l.head_build = random.uniform(0.9, 1.15);
  l.long_sleeves = random.chance(0.5);
  l.long_trousers = random.chance(0.7);

  l.wall = static_cast<int>(random.below(8));
  l.floor = static_cast<int>(random.below(8));
  if (random.chance(0.6)) l.horizon = random.uniform(0.45, 0.85);
  for (const std::size_t i : {0U, 2U}) {
    l.paint[i] = random_color(random);
    l.paint[i + 1] = contrasting(random, l.paint[i], random.uniform(0, 60));
  }
  l.falloff = random.uniform(0, 0.5);
  l.falloff_angle = random.uniform(0, 2 * pi);
  l.grain = random.uniform(0, 14);
  l.key = random();

  l.skin = random_skin(random);
  for (Color* cloth : {&l.shirt, &l.trousers}) *cloth = contrasting(random, l.paint[0], 55);
  for (Color* rest : {&l.hair, &l.shoes}) *rest = random_color(random);
  // From above rather than from below, and from the camera's side.
  const Vec3 light{random.normal(), std::abs(random.normal()) + 0.3, std::abs(random.normal()) + 0.2};
  l.light = (1 / length(light)) * light;
  l.ambient = random.uniform(0.4, 0.75);
  l.diffuse = random.uniform(0.35, 0.7);
  l.shadow = random.uniform(0, 0.5);
  for (auto count = random.below(4); count > 0; --count) l.distractors.push_back(random_distractor(random));
  return l;
}

Take take_of(std::uint64_t seed, int subset, int place) {
  Philox random(seed, hash_stream(take_of_video, subset, place));
  Take t;
  t.phase = random.uniform();
  t.speed = std::exp(random.uniform(-0.3, 0.3));
  t.mirrored = random.chance(0.5);
  t.amplitude = random.uniform(0.85, 1.15);
  for_each_angle(t.habit, t.habit, [&](double& angle, double) { angle = 0.05 * random.normal(); });
  t.habit.lift = 0;
  t.azimuth = random.uniform(-0.7, 0.7);
  t.elevation = random.uniform(-0.1, 0.1);
  t.size = random.uniform(0.9, 1.1);
  t.x = random.uniform(-0.16, 0.16);
  t.y = random.uniform(-0.06, 0.06);
  t.exposure = random.uniform(0.85, 1.15);
  t.pan_x = random.uniform(-0.04, 0.04);
  t.pan_y = random.uniform(-0.02, 0.02);
  t.zoom = random.uniform(-0.04, 0.04);
  t.orbit = random.uniform(-0.15, 0.15);
  t.hertz = random.uniform(0.2, 0.8);
  t.camera_phase = random.uniform(0, 2 * pi);
  return t;
}

}  // namespace mcn
