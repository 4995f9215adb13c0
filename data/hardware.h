// Decoding by a GPU's video engine, through FFmpeg's hardware acceleration. Internal to data/.
#pragma once

#include "data/ffmpeg.h"

namespace mcn {

/// Sets up a codec that is not open yet to decode on a CUDA device (NVDEC). Only codecs whose decoding is defined to
/// the bit are: 8 bits of 4:2:0 in H.264, HEVC, VP9 and AV1, where FFmpeg has the acceleration; all others, and streams
/// that the device refuses, are decoded as without it. DeviceError if there is no CUDA device that FFmpeg can open.
void decode_on_cuda(AVCodecContext& codec, const AVCodec& decoder);

/// A frame in the device's memory becomes the same frame in ordinary memory, as a software decoder would give it; any
/// other stays as it is. A negative code of FFmpeg's if that fails.
int fetch(AVFrame& frame);

}  // namespace mcn
