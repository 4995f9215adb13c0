// WebDataset's tar shards: every video is a range of the shard that holds what libarchive reads of it. A short input
// without a NUL byte is a pattern of shards' names, too.
#include <archive.h>
#include <archive_entry.h>

#include <map>
#include <memory>

#include "tests/fuzz/fuzz.h"

namespace {

using mcn::fuzz::violated;

/// The content of every member, the last of each name.
std::map<std::string, std::string> members_of(std::string_view tar) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  std::map<std::string, std::string> members;
  archive_entry* entry = nullptr;
  if (archive_read_open_memory(reader.get(), tar.data(), tar.size()) != ARCHIVE_OK) return members;
  for (int code = 0; (code = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK || code == ARCHIVE_WARN;) {
    const char* name = archive_entry_pathname(entry);
    const auto bytes = archive_entry_size(entry);
    if (name == nullptr || bytes < 0 || bytes > static_cast<la_int64_t>(tar.size())) break;
    std::string content(static_cast<std::size_t>(bytes), '\0');
    const auto got = archive_read_data(reader.get(), content.data(), content.size());
    content.resize(static_cast<std::size_t>(std::max<la_ssize_t>(got, 0)));
    members[name] = content;
  }
  return members;
}

void check_ranges(const mcn::Dataset& dataset, const std::string& shard, std::string_view tar) {
  const auto members = members_of(tar);
  for (const auto& [source, label] : dataset.videos) {
    const auto bytes = static_cast<std::int64_t>(tar.size());
    if (source.offset < 0 || source.bytes < 0 || source.offset > bytes || source.bytes > bytes - source.offset)
      violated("a video's range is in its shard");
    const auto member = members.find(source.name.substr(shard.size() + 1));
    if (member == members.end()) violated("a video is a member of its shard");
    if (tar.substr(static_cast<std::size_t>(source.offset), static_cast<std::size_t>(source.bytes)) != member->second)
      violated("a video's range of a shard holds what the member holds");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::DataSetFolder folder(mcn::DatasetFormat::webdataset, {"val/notes.txt"});
  static mcn::fuzz::MemoryFile file(folder.file("train-0.tar"));
  const std::string_view input = mcn::fuzz::as_text(data, size);
  file.write(input);
  folder.config.train_files.clear();
  folder.check();
  mcn::fuzz::read([&] {
    const mcn::Dataset dataset = load_dataset(folder.config, mcn::Subset::train);
    check_ranges(dataset, folder.file("train-0.tar").string(), input);
  });
  constexpr std::size_t longest_pattern = 64;
  if (size <= longest_pattern && input.find('\0') == std::string_view::npos) {
    folder.config.train_files = {std::string(input)};
    folder.check();
  }
  return 0;
}
