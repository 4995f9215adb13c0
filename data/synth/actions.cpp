#include "data/synth/actions.h"

#include <initializer_list>
#include <numbers>

namespace mcn {
namespace {

constexpr double pi = std::numbers::pi;

double wave(double t) { return std::sin(2 * pi * t); }

/// 0 at whole t, 1 half-way between.
double swell(double t) { return 0.5 - 0.5 * std::cos(2 * pi * t); }

struct Key {
  double at, value;
};

/// Through the keys (in order of `at`, within [0, 1)) with speed 0 at each, and from the last on to the first.
double through(double t, std::initializer_list<Key> keys) {
  t -= std::floor(t);
  const Key* to = keys.begin();
  while (to != keys.end() && to->at <= t) ++to;
  Key after = to == keys.end() ? *keys.begin() : *to;
  Key before = to == keys.begin() ? *(keys.end() - 1) : *(to - 1);
  if (to == keys.end()) after.at += 1;
  if (to == keys.begin()) before.at -= 1;
  const double share = (t - before.at) / (after.at - before.at);
  return before.value + (after.value - before.value) * swell(share / 2);
}

/// Standing at ease.
Pose standing() {
  Pose p;
  for (Arm& arm : p.arm) arm = {.flexion = 0.05, .abduction = 0.14, .rotation = 0, .elbow = 0.2};
  for (Leg& leg : p.leg) leg = {.flexion = 0.03, .abduction = 0.06, .knee = 0.06, .ankle = 0.03};
  return p;
}

// Both gaits: the leg swings forward with a bent knee, and the arms swing against the legs.
Pose gait(double t, double stride, double forward, double knee, double knee_swing, double arm_swing, double elbow) {
  Pose p = standing();
  for (std::size_t side = 0; side < 2; ++side) {
    const double phase = t + (side == 0 ? 0 : 0.5);
    p.leg[side].flexion = forward + stride * wave(phase);
    p.leg[side].knee = knee + knee_swing * swell(phase + 0.45) * swell(phase + 0.45);
    p.leg[side].ankle = 0.25 * wave(phase);
    p.arm[side].flexion = -arm_swing * wave(phase);
    p.arm[side].elbow = elbow - 0.2 * wave(phase);
  }
  p.twist = 0.35 * stride * wave(t);
  return p;
}

Pose walk(double t) {
  Pose p = gait(t, 0.5, 0.05, 0.1, 0.9, 0.5, 0.3);
  p.bend = 0.06;
  return p;
}

Pose run(double t) {
  Pose p = gait(t, 0.85, 0.3, 0.3, 1.7, 0.95, 1.6);
  p.pitch = 0.2;
  p.bend = 0.15;
  p.lift = 0.07 * swell(2 * t + 0.25);
  return p;
}

Pose jump(double t) {
  Pose p = standing();
  const double crouch = through(t, {{0.02, 0}, {0.24, 1}, {0.42, 0}, {0.68, 0}, {0.82, 0.8}, {0.98, 0}});
  p.lift = 0.25 * through(t, {{0.36, 0}, {0.54, 1}, {0.72, 0}});
  const double reach = through(t, {{0.05, 0}, {0.24, -0.35}, {0.5, 1}, {0.6, 1}, {0.9, 0}});
  p.bend = 0.55 * crouch;
  for (Leg& leg : p.leg) {
    leg.flexion += 1.05 * crouch;
    leg.knee += 1.6 * crouch;
    leg.ankle = 0.5 * crouch - 2 * p.lift;
  }
  for (Arm& arm : p.arm) {
    arm.flexion += 2.7 * reach;
    arm.elbow = 0.25;
  }
  return p;
}

Pose wave_hand(double t) {
  Pose p = standing();
  // The arm points outwards and forward, so that the forearm's swing is seen from all sides.
  p.arm[0] = {
      .flexion = 2, .abduction = 1.05 + 0.12 * wave(2 * t), .rotation = 0.1, .elbow = 0.95 + 0.85 * wave(2 * t)};
  p.lean = -0.05 + 0.05 * wave(2 * t);
  return p;
}

Pose kick(double t) {
  Pose p = standing();
  const double back = through(t, {{0.05, 0}, {0.28, 1}, {0.42, 0}, {0.95, 0}});
  const double front = through(t, {{0.28, 0}, {0.5, 1}, {0.58, 1}, {0.85, 0}});
  p.leg[0].flexion += 1.75 * front - 0.7 * back;
  p.leg[0].knee += 1.5 * back;
  p.leg[0].ankle = -0.3 * front;
  p.leg[1].knee += 0.25 * back;
  p.pitch = 0.2 * back - 0.25 * front;
  p.leg[1].flexion += p.pitch + 0.12 * back;
  p.bend = 0.25 * front;
  p.twist = 0.35 * front - 0.35 * back;
  p.arm[1].flexion += 0.9 * front - 0.4 * back;
  p.arm[0].flexion += 0.6 * back - 0.6 * front;
  for (Arm& arm : p.arm) arm.abduction = 0.45;
  return p;
}

Pose squat(double t) {
  Pose p = standing();
  const double down = through(t, {{0.05, 0}, {0.45, 1}, {0.55, 1}, {0.95, 0}});
  p.pitch = 0.45 * down;
  p.bend = 0.15 * down;
  for (Leg& leg : p.leg) {
    leg.flexion += 1.95 * down;
    leg.knee += 2.1 * down;
    leg.ankle += 0.6 * down;
    leg.abduction += 0.2 * down;
  }
  for (Arm& arm : p.arm) arm.flexion += 1.9 * down;
  return p;
}

Pose throw_ball(double t) {
  Pose p = standing();
  const double back = through(t, {{0.02, 0}, {0.36, 1}, {0.56, 0}, {0.98, 0}});
  const double follow = through(t, {{0.36, 0}, {0.58, 1}, {0.68, 1}, {0.95, 0}});
  p.arm[0].flexion += 3.1 * back + 0.9 * follow;
  p.arm[0].abduction += 0.25 * back - 0.3 * follow;
  p.arm[0].elbow = 0.2 + 1.7 * back;
  p.arm[1].flexion += 1.3 * back - 0.5 * follow;
  p.twist = -0.8 * back + 0.7 * follow;  // the right shoulder goes back, then forward
  p.bend = 0.6 * follow - 0.2 * back;
  p.leg[1].flexion += 0.75 * back + 0.35 * follow;
  p.leg[1].knee += 0.8 * back + 0.35 * follow;
  p.leg[0].flexion -= 0.35 * follow;
  p.leg[0].knee += 0.25 * follow + 0.2 * back;
  return p;
}

Pose turn(double t) {
  Pose p = standing();
  p.yaw = 2 * pi * t;
  for (std::size_t side = 0; side < 2; ++side) {
    const double step = swell(3 * t + (side == 0 ? 0 : 0.5));
    p.leg[side].flexion += 0.35 * step;
    p.leg[side].knee += 0.7 * step;
    p.arm[side].abduction = 0.45;
  }
  return p;
}

Pose crawl(double t) {
  Pose p = standing();
  p.pitch = 1.4;
  p.nod = -0.7;
  for (std::size_t side = 0; side < 2; ++side) {
    const double phase = t + (side == 0 ? 0 : 0.5);
    const double swing = 0.5 * wave(phase);
    p.leg[side] = {.flexion = 1.4 + swing, .abduction = 0.1, .knee = 1.5 + 0.8 * swing, .ankle = -1.2};
    p.arm[side] = {.flexion = 1.45 - 1.2 * swing, .abduction = 0.1, .elbow = 0.15 + 0.7 * swell(phase + 0.5)};
  }
  p.lean = 0.12 * wave(t);
  return p;
}

Pose clap(double t) {
  Pose p = standing();
  const double open = swell(2 * t);
  for (Arm& arm : p.arm)
    arm = {.flexion = 1.0 + 0.7 * open, .abduction = 1.05 * open - 0.22, .rotation = -0.35, .elbow = 0.55};
  return p;
}

Pose bow(double t) {
  Pose p = standing();
  const double down = through(t, {{0.05, 0}, {0.4, 1}, {0.55, 1}, {0.95, 0}});
  p.pitch = 0.85 * down;
  p.bend = 0.75 * down;
  p.nod = 0.3 * down;
  for (Leg& leg : p.leg) leg.flexion += 0.85 * down;
  for (Arm& arm : p.arm) arm.flexion -= 0.25 * down;
  return p;
}

Pose climb(double t) {
  Pose p = standing();
  p.nod = -0.35;
  for (std::size_t side = 0; side < 2; ++side) {
    const double up = swell(t + (side == 0 ? 0 : 0.5));
    p.arm[side] = {.flexion = 1.75 + 1.25 * up, .abduction = 0.1, .rotation = 0, .elbow = 1.5 - 1.25 * up};
    p.leg[side] = {.flexion = 1.45 - 1.3 * up, .abduction = 0.2, .knee = 1.75 - 1.55 * up, .ankle = 0.1};
  }
  p.roll = 0.1 * wave(t);
  return p;
}

struct Action {
  std::string_view name;
  double seconds;
  Pose (*pose)(double t);
};

// The cycles are about as long as each other, so that the tempo does not tell the action.
constexpr std::array<Action, action_count> actions{{{"Walk", 1.05, walk},
                                                    {"Jump", 1.15, jump},
                                                    {"Wave", 1.2, wave_hand},
                                                    {"Kick", 1.1, kick},
                                                    {"Squat", 1.25, squat},
                                                    {"Throw", 1.15, throw_ball},
                                                    {"Turn", 1.3, turn},
                                                    {"Crawl", 1.05, crawl},
                                                    {"Run", 0.8, run},
                                                    {"Clap", 1.1, clap},
                                                    {"Bow", 1.3, bow},
                                                    {"Climb", 1.15, climb}}};

const Action& of(int action) { return actions[static_cast<std::size_t>(action)]; }

}  // namespace

std::string_view action_name(int action) { return of(action).name; }
double action_seconds(int action) { return of(action).seconds; }
Pose action_pose(int action, double t) { return of(action).pose(t); }

}  // namespace mcn
