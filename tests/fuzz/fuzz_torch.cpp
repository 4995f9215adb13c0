// Files of torch.save: the input is the pickle in an archive with two storages, or, if it begins like one, the archive.
#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "engine/io/torch_file.h"
#include "tests/fuzz/fuzz.h"

namespace {

void write_archive(const std::string& path, std::initializer_list<std::pair<const char*, std::string_view>> members) {
  const std::unique_ptr<archive, int (*)(archive*)> zip(archive_write_new(), archive_write_free);
  archive_write_set_format_zip(zip.get());
  archive_write_set_options(zip.get(), "zip:compression=store");
  if (archive_write_open_filename(zip.get(), path.c_str()) != ARCHIVE_OK) mcn::fuzz::violated("an archive can be made");
  for (const auto& [name, bytes] : members) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), name);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_write_header(zip.get(), entry.get());
    archive_write_data(zip.get(), bytes.data(), bytes.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static mcn::fuzz::MemoryFile file;
  const std::string_view input = mcn::fuzz::as_text(data, size);
  if (input.starts_with("PK")) {
    file.write(input);
  } else {
    static const std::string storage(64, 'x');
    file.write("");
    write_archive(file.path(), {{"a/data.pkl", input}, {"a/data/0", storage}, {"a/data/1", storage}});
  }
  mcn::fuzz::read([&] {
    for (const auto& [name, entry] : mcn::read_torch_file(file.path()))
      if (entry.data.size() != static_cast<std::size_t>(entry.shape.numel()) * mcn::size_of(entry.dtype))
        mcn::fuzz::violated("a tensor has the bytes of its shape");
  });
  return 0;
}
