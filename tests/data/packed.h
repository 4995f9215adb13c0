// MPEG-4 in AVI as DivX 5 and Xvid wrote it, with packed B-frames: no encoder of today makes such a file.
#pragma once

#include <string>

namespace mcn::test {

struct PackConfig {
  const char* tag = "DX50";
  const char* user_data = "DivX503b1393p";  ///< the p at its end says: packed
  bool user_data_at_every_key = false;      ///< or at the first frame alone
};

/// Rewrites an MPEG-4 file with B-frames, 25 frames a second (the width of a field hangs on that): a P-VOP and the
/// B-VOP after it become one chunk, and a P-VOP that is "not coded" takes the chunk that this leaves over. Throws if
/// the source cannot be read.
void pack_b_frames(const std::string& source, const std::string& target, const PackConfig& config = {});

}  // namespace mcn::test
