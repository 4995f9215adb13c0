// Tar files of tests.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mcn::test {

struct TarMember {
  std::string name, content;
  std::string link_to{};                                        ///< not empty: a symbolic link
  std::vector<std::pair<std::int64_t, std::int64_t>> sparse{};  ///< offsets and lengths that are stored
};

/// format: ustar, pax or gnutar; filter: none if empty, or gzip, xz ... As libarchive names them.
void write_tar(const std::string& path, const std::vector<TarMember>& members, const std::string& format = "pax",
               const std::string& filter = "");

}  // namespace mcn::test
