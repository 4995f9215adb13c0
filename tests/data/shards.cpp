// libarchive's writer.
#include "tests/data/shards.h"

#include <archive.h>
#include <archive_entry.h>

#include <stdexcept>

namespace mcn::test {

void write_tar(const std::string& path, const std::vector<TarMember>& members, const std::string& format,
               const std::string& filter) {
  archive* a = archive_write_new();
  const auto check = [&](long code) {
    if (code < ARCHIVE_WARN) throw std::runtime_error(path + ": " + archive_error_string(a));
  };
  check(archive_write_set_format_by_name(a, format.c_str()));
  if (!filter.empty()) check(archive_write_add_filter_by_name(a, filter.c_str()));
  check(archive_write_open_filename(a, path.c_str()));
  for (const TarMember& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.name.c_str());
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_filetype(entry, member.link_to.empty() ? AE_IFREG : AE_IFLNK);
    if (!member.link_to.empty()) archive_entry_set_symlink(entry, member.link_to.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
    for (const auto& [offset, length] : member.sparse) archive_entry_sparse_add_entry(entry, offset, length);
    check(archive_write_header(a, entry));
    check(archive_write_data(a, member.content.data(), member.content.size()));
    archive_entry_free(entry);
  }
  check(archive_write_close(a));
  archive_write_free(a);
}

}  // namespace mcn::test
