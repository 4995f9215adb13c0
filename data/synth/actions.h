// What the synthetic figures do: a table of actions, each a closed curve of poses.
#pragma once

#include <string_view>

#include "data/synth/skeleton.h"

namespace mcn {

/// Actions are numbers below action_count; the classes of a data set are the first of them.
inline constexpr int action_count = 12;

/// "Walk": the name of the class.
std::string_view action_name(int action);

/// How long one cycle takes at speed 1.
double action_seconds(int action);

/// The pose at a time in cycles: continuous, and the same at t and t + 1. Where an action has a side, it is the right.
Pose action_pose(int action, double t);

}  // namespace mcn
