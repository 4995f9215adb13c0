// The scenes of `mcn synth --scene shapes`: an object with soft edges moves over a still pattern.
#pragma once

#include <cstdint>
#include <string>

#include "data/video.h"

namespace mcn {

/// What a video shows. Kinds are numbers below 8; their names are in the class's name.
struct SceneKinds {
  int motion = 0, shape = 0, pattern = 0;
};

/// The bundle of a class, of 2 to 64: each kind is shared by several classes, and any two classes have at most one kind
/// in common.
SceneKinds class_kinds(int label, int classes);

/// What a video shows: the bundle of its class, but for shape and pattern, each with probability 1 - correlation, any
/// kind.
SceneKinds video_kinds(int label, int classes, double correlation, std::uint64_t seed, std::uint64_t stream);

/// "OrbitStarOnStripes": unique among a data set's classes.
std::string class_name(SceneKinds kinds);

/// Frames of a scene as RGB, a pure function of its arguments.
Frames render_scene(const SceneKinds& kinds, int frames, int height, int width, std::uint64_t seed,
                    std::uint64_t stream);

}  // namespace mcn
