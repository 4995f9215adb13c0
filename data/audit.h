// What is wrong with a data set's files, found by looking at all of them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace mcn {

/// missing: listed and not on disk. corrupt: cannot be opened or decoded, damaged, or cut off. stuck: took longer than
/// it may. too_short: fewer frames than a clip. duplicate: the same bytes as another, or listed twice. mislabelled:
/// listed under another class than its folder's. wrong_index: the index that a cache keeps of it says otherwise than
/// the file.
enum class AuditFault : std::uint8_t { missing, corrupt, stuck, too_short, duplicate, mislabelled, wrong_index };
inline constexpr std::array all_audit_faults{AuditFault::missing,    AuditFault::corrupt,   AuditFault::stuck,
                                             AuditFault::too_short,  AuditFault::duplicate, AuditFault::mislabelled,
                                             AuditFault::wrong_index};
const char* name_of(AuditFault fault);

struct AuditConfig {
  DatasetConfig dataset;
  std::vector<Subset> subsets{Subset::train, Subset::test};
  int frames = 16;             ///< of a clip
  bool decode = false;         ///< every frame of every video; else the first clip of each
  int threads = 2;             ///< change nothing of the report
  std::string index_folder;    ///< of a cache whose indices are compared with the files; empty: none
  double timeout_seconds = 0;  ///< for looking into a file, and for comparing it with others; 0: none
};

struct AuditFinding {
  AuditFault fault = AuditFault::missing;
  Subset subset = Subset::train;
  std::string video, detail;
};

struct AuditReport {
  DatasetFormat format = DatasetFormat::automatic;
  std::int64_t listed = 0;   ///< videos that the lists name, a video named twice once
  std::int64_t checked = 0;  ///< of these, opened
  std::int64_t bytes = 0;    ///< of those that are there
  std::int64_t frames = 0;   ///< that were decoded
  /// Video files (webdataset: shards) below the root that no list names, whatever `subsets` says; nothing wrong in
  /// itself.
  std::int64_t unlisted = 0;
  std::vector<AuditFinding> findings;  ///< by fault, then in the lists' order

  [[nodiscard]] std::int64_t count(AuditFault fault) const;
  [[nodiscard]] bool clean() const { return findings.empty(); }
};

/// DataError for lists that cannot be read or are malformed, as load_dataset; what is wrong with single videos is in
/// the report. progress(done, total) is called from the caller's thread, also ten times a second while a file takes its
/// time, and may throw to stop; the files under way are waited for then. SystemError where a file cannot be looked at
/// for the system's sake: that is no finding.
AuditReport audit(const AuditConfig& config, const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace mcn
