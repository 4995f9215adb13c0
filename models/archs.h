// The architectures that models/backbone.cpp lists.
#pragma once

#include "models/backbone.h"

namespace mcn {

/// R(2+1)D and R3D (Tran et al., "A closer look at spatiotemporal convolutions", CVPR 2018), with torchvision's
/// parameter names, midplanes and initialization.
struct VideoResNetKind {
  bool factored;       ///< (2+1)D convolutions; else full 3-D ones
  int blocks_a_stage;  ///< torchvision's networks have 2
};
std::shared_ptr<const Backbone> make_video_resnet(const BackboneConfig& config, const VideoResNetKind& kind);

/// S3D (Xie et al., "Rethinking spatiotemporal feature learning", ECCV 2018), with torchvision's parameter names. A
/// clip that is smaller than a pooling window, which torchvision refuses, cuts the window.
std::shared_ptr<const Backbone> make_s3d(const BackboneConfig& config);

}  // namespace mcn
