// The synthetic actions: skeleton, curves of the joints, looks, and the drawing of capsules.
#include <numbers>
#include <set>

#include "data/synth/actions.h"
#include "data/synth/render.h"
#include "tests/catch.h"

namespace mcn {
namespace {

using Catch::Approx;
constexpr double pi = std::numbers::pi;

double distance(const Vec3& a, const Vec3& b) { return length(a - b); }

void check_place(const Vec3& v, double x, double y, double z) {
  CHECK(v.x == Approx(x).margin(1e-12));
  CHECK(v.y == Approx(y).margin(1e-12));
  CHECK(v.z == Approx(z).margin(1e-12));
}

TEST_CASE("a skeleton's joints are where the lengths and angles put them", "[actions]") {
  const Proportions p{.torso = 3,
                      .neck = 0.5,
                      .head = 1,
                      .shoulders = 1,
                      .hips = 0.6,
                      .upper_arm = 1.5,
                      .forearm = 1.25,
                      .hand = 0.25,
                      .thigh = 2.5,
                      .shin = 2,
                      .foot = 1.1};
  Pose pose;
  {
    INFO("standing");
    const Joints j = joints_of(pose, p);
    check_place(j[pelvis], 0, 4.5, 0);
    check_place(j[chest], 0, 7.5, 0);
    check_place(j[crown], 0, 9, 0);
    check_place(j[face], 0.5, 8.5, 0);
    check_place(j[fingers_left], 0, 4.5, -1);
    check_place(j[knee_right], 0, 2, 0.6);
    check_place(j[toes_right], 1.1, 0, 0.6);
  }
  {
    INFO("right arm forward with the forearm up, left arm out, right thigh forward");
    pose.arm[0].flexion = pi / 2;
    pose.arm[0].elbow = pi / 2;
    pose.arm[1].abduction = pi / 2;
    pose.leg[0].flexion = pi / 2;
    pose.leg[0].knee = pi / 2;
    pose.lift = 0.25;
    const Joints j = joints_of(pose, p);
    check_place(j[pelvis], 0, 4.75, 0);  // on the left leg, a quarter above the floor
    check_place(j[elbow_right], 1.5, 7.75, 1);
    check_place(j[wrist_right], 1.5, 9, 1);
    check_place(j[fingers_left], 0, 7.75, -4);
    check_place(j[knee_right], 2.5, 4.75, 0.6);
    check_place(j[ankle_right], 2.5, 2.75, 0.6);
    check_place(j[ankle_left], 0, 0.25, -0.6);
    // The forearm of an abducted arm whose elbow is turned outwards bends upwards.
    pose.arm[1].rotation = pi / 2;
    pose.arm[1].elbow = pi / 2;
    check_place(joints_of(pose, p)[wrist_left], 0, 9, -2.5);
  }
  {
    INFO("on all fours, the trunk level");
    pose = {};
    pose.pitch = pi / 2;
    for (Arm& arm : pose.arm) arm.flexion = pi / 2;
    for (Leg& leg : pose.leg) leg = {.flexion = pi / 2, .abduction = 0, .knee = pi / 2, .ankle = -pi / 2};
    const Joints j = joints_of(pose, p);
    check_place(j[pelvis], 0, 3, 0);
    check_place(j[chest], 3, 3, 0);
    check_place(j[fingers_right], 3, 0, 1);
    check_place(j[knee_right], 0, 0.5, 0.6);
    check_place(j[ankle_right], -2, 0.5, 0.6);
    check_place(j[toes_right], -3.1, 0.5, 0.6);
  }
  {
    INFO("turned to the left, bent forward");
    pose = {};
    pose.yaw = pi / 2;
    pose.bend = pi / 2;
    const Joints j = joints_of(pose, p);
    check_place(j[chest], 0, 4.5, -3);
    check_place(j[shoulder_right], 1, 4.5, -3);
    check_place(j[hip_left], -0.6, 4.5, 0);
  }
  {
    INFO("leaning to the right, then twisted to the left");
    pose = {};
    pose.lean = pi / 2;
    check_place(joints_of(pose, p)[chest], 0, 4.5, 3);
    pose.lean = 0;
    pose.twist = pi / 2;
    check_place(joints_of(pose, p)[shoulder_right], 1, 7.5, 0);
  }
}

TEST_CASE("every action is a closed curve without jumps that moves bones of one length", "[actions]") {
  const Proportions p;
  struct Bone {
    int from, to;
    double length;
  };
  std::vector<Bone> bones{{pelvis, chest, p.torso}, {chest, skull, p.neck}, {skull, crown, p.head}};
  for (const int s : {0, 1}) {
    for (const Bone& b : std::vector<Bone>{{chest, shoulder_right, p.shoulders},
                                           {shoulder_right, elbow_right, p.upper_arm},
                                           {elbow_right, wrist_right, p.forearm},
                                           {wrist_right, fingers_right, p.hand},
                                           {pelvis, hip_right, p.hips},
                                           {hip_right, knee_right, p.thigh},
                                           {knee_right, ankle_right, p.shin},
                                           {ankle_right, toes_right, p.foot}})
      bones.push_back({b.from < shoulder_right ? b.from : b.from + s, b.to + s, b.length});
  }
  constexpr int steps = 4000;
  std::set<std::string_view> names;
  for (int action = 0; action < action_count; ++action) {
    INFO(action_name(action));
    names.insert(action_name(action));
    CHECK(action_seconds(action) > 0.5);
    CHECK(action_seconds(action) < 1.5);
    Joints before = joints_of(action_pose(action, -1.0 / steps), p);
    const Joints first = joints_of(action_pose(action, 0), p);
    double fastest = 0, farthest = 0;
    for (int i = 0; i <= steps; ++i) {
      const double t = double(i) / steps;
      const Pose pose = action_pose(action, t);
      const Joints j = joints_of(pose, p);
      for (const Bone& b : bones)
        REQUIRE(distance(j[static_cast<std::size_t>(b.from)], j[static_cast<std::size_t>(b.to)]) ==
                Approx(b.length).margin(1e-12));
      double lowest = 1;
      for (std::size_t k = 0; k < joint_count; ++k) {
        lowest = std::min(lowest, j[k].y);
        fastest = std::max(fastest, distance(j[k], before[k]) * steps);
        farthest = std::max(farthest, distance(j[k], first[k]));
      }
      REQUIRE(lowest == Approx(pose.lift).margin(1e-12));
      REQUIRE(pose.lift >= 0);
      before = j;
    }
    for (std::size_t k = 0; k < joint_count; ++k) CHECK(distance(before[k], first[k]) < 1e-9);
    // In heights a cycle: a jump of a joint by two thirds of a percent within a step would be a speed of 26.
    CHECK(fastest < 20);
    CHECK(farthest > 0.15);
  }
  CHECK(names.size() == action_count);
}

TEST_CASE("a pose in a mirror has its joints there", "[actions]") {
  Pose pose;
  double angle = 0.1;
  for_each_angle(pose, pose, [&](double& a, double) { a = angle += 0.07; });
  const Joints j = joints_of(pose, {}), m = joints_of(mirrored(pose), {});
  for (const int middle : {pelvis, chest, skull, crown, face}) {
    const Vec3& v = j[static_cast<std::size_t>(middle)];
    check_place(m[static_cast<std::size_t>(middle)], v.x, v.y, -v.z);
  }
  for (std::size_t k = shoulder_right; k < joint_count; k += 2) {
    check_place(m[k], j[k + 1].x, j[k + 1].y, -j[k + 1].z);
    check_place(m[k + 1], j[k].x, j[k].y, -j[k].z);
  }
}

/// Sum and center of what a white capsule covers of a black canvas, flat light.
struct Covered {
  double area = 0, x = 0, y = 0;
};
Covered covered(const Capsule& capsule, int height = 60, int width = 80) {
  Canvas canvas(height, width);
  draw_capsule(canvas, capsule, {});
  Covered c;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double share = canvas.at(y, x)[0];
      c.area += share;
      c.x += share * (x + 0.5);
      c.y += share * (y + 0.5);
    }
  c.x /= c.area;
  c.y /= c.area;
  return c;
}

TEST_CASE("a capsule covers its area, at its place", "[actions]") {
  const Color white{1, 1, 1};
  // A rectangle and two half discs: 2 r l + pi r^2.
  const Covered level = covered({20, 30, 6, 50, 30, 6, white});
  CHECK(level.area == Approx(2 * 6 * 30 + pi * 36).epsilon(0.005));
  CHECK(level.x == Approx(35).margin(0.01));
  CHECK(level.y == Approx(30).margin(0.01));
  const Covered slanted = covered({20.3, 15.2, 4, 44.3, 47.2, 4, white});  // 24, 32: of length 40
  CHECK(slanted.area == Approx(2 * 4 * 40 + pi * 16).epsilon(0.005));
  CHECK(slanted.x == Approx(32.3).margin(0.05));
  CHECK(slanted.y == Approx(31.2).margin(0.05));
  const Covered disc = covered({25, 20, 7, 25, 20, 7, white});
  CHECK(disc.area == Approx(pi * 49).epsilon(0.005));
  // Half of it is outside, or all.
  CHECK(covered({0, 30, 8, 0, 30, 8, white}).area == Approx(pi * 32).epsilon(0.01));
  Canvas canvas(10, 10);
  draw_capsule(canvas, {-50, -50, 5, 200, -50, 5, white}, {});
  for (const Color& pixel : canvas.pixels) CHECK(pixel[0] == 0);
}

TEST_CASE("light falls on a capsule from its side", "[actions]") {
  Canvas canvas(41, 41);
  const Capsule ball{20.5, 20.5, 15, 20.5, 20.5, 15, {100, 200, 50}};
  draw_capsule(canvas, ball, {.towards = {0.6, 0, 0.8}, .ambient = 0.25, .diffuse = 0.5});
  // In the middle the normal is (0, 0, 1): 0.25 + 0.5 * 0.8. At 0.6 radii to the right it is the light's direction, to
  // the left (-0.6, 0, 0.8): -0.36 + 0.64; at 0.6 radii above, (0, 0.6, 0.8): 0.64.
  CHECK(canvas.at(20, 20)[0] == Approx(65));
  CHECK(canvas.at(20, 20)[1] == Approx(130));
  CHECK(canvas.at(20, 29)[0] == Approx(75));
  CHECK(canvas.at(20, 11)[0] == Approx(39));
  CHECK(canvas.at(11, 20)[0] == Approx(57));
  CHECK(canvas.at(29, 20)[2] == Approx(28.5));
  draw_capsule(canvas, ball, {.towards = {0, 1, 0}, .ambient = 0.25, .diffuse = 0.5});
  CHECK(canvas.at(11, 20)[0] == Approx(55));
  CHECK(canvas.at(29, 20)[0] == Approx(25));  // away from the light
}

/// Pixels that two videos of the same size have in common in a frame.
double equal_share(const Frames& a, const Frames& b, int frame) {
  const auto x = a.frame(frame), y = b.frame(frame);
  int equal = 0;
  for (std::size_t i = 0; i < x.size(); ++i) equal += std::abs(x[i] - y[i]) <= 1 ? 1 : 0;
  return equal / double(x.size());
}

TEST_CASE("an action is seen, a look is the same for every action", "[actions]") {
  constexpr int frames = 6, height = 48, width = 64, fps = 6;
  const Look look = look_of(1, 0, 5);
  const Take take = take_of(1, 0, 20);
  std::vector<Frames> videos;
  for (int action = 0; action < action_count; ++action)
    videos.push_back(render_action(action, look, take, frames, height, width, fps));
  for (int a = 0; a < action_count; ++a) {
    INFO(action_name(a));
    CHECK(videos[static_cast<std::size_t>(a)].count == frames);
    for (int b = 0; b < a; ++b) {
      double equal = 0;
      for (int f = 0; f < frames; ++f)
        equal += equal_share(videos[static_cast<std::size_t>(a)], videos[static_cast<std::size_t>(b)], f) / frames;
      CHECK(equal > 0.6);   // background, distractors and the camera's motion
      CHECK(equal < 0.99);  // the figure
    }
  }
  const Frames& walk = videos[0];
  CHECK(render_action(0, look, take, frames, height, width, fps).rgb == walk.rgb);
  CHECK(equal_share(walk, render_action(0, look_of(1, 0, 6), take, frames, height, width, fps), 0) < 0.5);
  CHECK(equal_share(walk, render_action(0, look_of(1, 1, 5), take, frames, height, width, fps), 0) < 0.5);
  CHECK(equal_share(walk, render_action(0, look_of(2, 0, 5), take, frames, height, width, fps), 0) < 0.5);
  CHECK(render_action(0, look, take_of(1, 0, 21), frames, height, width, fps).rgb != walk.rgb);
  // Phase and speed: a whole cycle later at speed 1 the pose is the same.
  Take even;
  even.phase = 0.3;
  Take quick = even;
  quick.speed = 2;
  const Joints now = joints_of(pose_at(2, even, 0.2), look.body);
  const Joints later = joints_of(pose_at(2, even, 0.2 + action_seconds(2)), look.body);
  const Joints twice = joints_of(pose_at(2, quick, 0.1), look.body);
  for (std::size_t k = 0; k < joint_count; ++k) {
    CHECK(distance(now[k], later[k]) < 1e-9);
    CHECK(distance(now[k], twice[k]) < 1e-9);
  }
}

TEST_CASE("the figure is in the picture whatever it does", "[actions]") {
  // A plain background and a figure in one color, so that its pixels can be counted.
  for (int place = 0; place < 12; ++place) {
    Look look = look_of(3, 0, place);
    look.wall = look.floor = plain;
    look.paint.fill({0, 0, 0});
    look.grain = look.shadow = 0;
    look.distractors.clear();
    look.ambient = 1;
    look.diffuse = 0;
    for (Color* part : {&look.skin, &look.hair, &look.shirt, &look.trousers, &look.shoes}) *part = {200, 200, 200};
    for (int action = 0; action < action_count; ++action) {
      INFO(action_name(action) << " " << place);
      const Frames video = render_action(action, look, take_of(3, 0, place), 8, 64, 86, 8);
      double x = 0, y = 0, area = 0;
      for (int f = 0; f < 8; ++f)
        for (int i = 0; i < 64 * 86; ++i) {
          const double share = video.frame(f)[static_cast<std::size_t>(i) * 3];
          area += share;
          x += share * (i % 86 + 0.5);
          y += share * (i / 86 + 0.5);
        }
      CHECK(x / area == Approx(43).margin(18));
      CHECK(y / area == Approx(32).margin(10));
      // On average; it is 170 or more that is lit, of 255 times 64 x 86.
      CHECK(area / 8 / 170 > 120);
      CHECK(area / 8 / 170 < 1400);
    }
  }
}

}  // namespace
}  // namespace mcn
