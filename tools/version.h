// What `mcn --version` prints: which source, compiler, libraries and devices this is.
#pragma once

#include <string>

namespace mcn {

/// The commit that was built, with ", changed" where tracked files differ from it; "unknown commit" outside of git.
/// Defined in a file that the build writes (tools/packaging/commit.cmake).
extern const char* const build_commit;

/// Several lines, the first "mcn VERSION (COMMIT)"; no line break at the end.
std::string version_text();

}  // namespace mcn
