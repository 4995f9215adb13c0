// One writer for each format.
#include "meta/evaluate/embedding_file.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/atomic_file.h"
#include "engine/npy.h"
#include "engine/safetensors.h"
#include "kernels/error.h"

namespace mcn {
namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Code points of UTF-8; a byte that is none of it becomes U+DC00 plus itself, as in Python's names of files.
std::u32string code_points(const std::string& text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t j) { return static_cast<unsigned char>(text[j]); };
    const unsigned char lead = at(i);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    char32_t code = length == 1 ? lead : lead & (0x7FU >> length);
    bool good = lead < 0x80 || (lead >= 0xC2 && lead <= 0xF4 && i + length <= text.size());
    for (std::size_t j = 1; good && j < length; ++j) {
      good = (at(i + j) & 0xC0U) == 0x80;
      code = code << 6 | (at(i + j) & 0x3FU);
    }
    good = good && code >= smallest[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    out += good ? code : char32_t{0xDC00} + lead;
    i += good ? length : 1;
  }
  return out;
}

// A .npy file of strings; a scalar if `scalar`.
std::string strings_npy(const std::vector<std::string>& texts, bool scalar) {
  std::vector<std::u32string> decoded;
  std::size_t longest = 1;
  for (const std::string& text : texts) {
    decoded.push_back(code_points(text));
    longest = std::max(longest, decoded.back().size());
  }
  std::string data;
  for (std::u32string& text : decoded) {
    text.resize(longest, U'\0');
    data.append(reinterpret_cast<const char*>(text.data()), longest * sizeof(char32_t));
  }
  const Shape shape = scalar ? Shape{} : Shape{static_cast<std::int64_t>(texts.size())};
  return npy_header(fmt::format("<U{}", longest), shape) + data;
}

// A zip without compression. libarchive knows when it needs zip64.
class ZipWriter {
 public:
  explicit ZipWriter(const std::string& path)
      : path_(path), file_("npz", path), archive_(archive_write_new()), entry_(archive_entry_new()) {
    if (archive_ == nullptr || entry_ == nullptr) throw std::bad_alloc();
    check(archive_write_set_format_zip(archive_.get()));
    check(archive_write_zip_set_compression_store(archive_.get()));
    // Nothing behind the directory.
    check(archive_write_set_bytes_in_last_block(archive_.get(), 1));
    check(archive_write_open(archive_.get(), this, nullptr, write_some, nullptr));
  }
  void add(const std::string& name, const std::string& bytes) {
    archive_entry* entry = archive_entry_clear(entry_.get());
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    // The first time that a zip can hold, so that the same features are the same bytes.
    archive_entry_set_mtime(entry, 315532800, 0);
    check(archive_write_header(archive_.get(), entry));
    for (std::size_t done = 0; done < bytes.size();) {
      const la_ssize_t now = archive_write_data(archive_.get(), bytes.data() + done, bytes.size() - done);
      if (now <= 0) check(ARCHIVE_FATAL);
      done += static_cast<std::size_t>(now);
    }
  }
  void commit() {
    check(archive_write_close(archive_.get()));
    file_.commit();
  }

 private:
  // What libarchive calls must not throw.
  static la_ssize_t write_some(archive*, void* self, const void* data, std::size_t size) {
    auto& writer = *static_cast<ZipWriter*>(self);
    try {
      writer.file_.write(std::as_bytes(std::span(static_cast<const char*>(data), size)));
      return static_cast<la_ssize_t>(size);
    } catch (...) {
      writer.error_ = std::current_exception();
      return -1;
    }
  }
  void check(int code) const {
    if (error_) std::rethrow_exception(error_);
    if (code >= ARCHIVE_WARN) return;
    const char* reason = archive_error_string(archive_.get());
    fail<DataError>("npz", "{}: cannot write it: {}", path_, reason != nullptr ? reason : "unknown reason");
  }

  struct Free {
    void operator()(archive* a) const { archive_write_free(a); }
    void operator()(archive_entry* e) const { archive_entry_free(e); }
  };
  std::string path_;
  AtomicFile file_;
  std::exception_ptr error_;
  std::unique_ptr<archive, Free> archive_;
  std::unique_ptr<archive_entry, Free> entry_;
};

void write_npz(const std::string& path, const EmbeddingFile& file) {
  const Embedding& e = file.embedding;
  ZipWriter zip(path);
  zip.add("features.npy", npy_header("<f4", {e.rows(), e.features}) + bytes_of(e.values));
  zip.add("videos.npy", strings_npy(file.videos, false));
  if (!file.classes.empty()) {
    zip.add("labels.npy", npy_header("<i8", {e.rows()}) + bytes_of(e.labels));
    zip.add("classes.npy", strings_npy(file.classes, false));
  }
  zip.add("clips.npy", npy_header("<i8", {}) + bytes_of(std::vector<std::int64_t>{file.clips}));
  zip.add("checkpoint.npy", strings_npy({file.checkpoint}, true));
  zip.add("weights.npy", strings_npy({file.weights}, true));
  zip.commit();
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void write_csv(const std::string& path, const EmbeddingFile& file) {
  const Embedding& e = file.embedding;
  const bool labelled = !file.classes.empty();
  std::string text = labelled ? "video,label,class" : "video";
  text += ",clips,checkpoint,weights";
  for (std::int64_t f = 0; f < e.features; ++f) fmt::format_to(std::back_inserter(text), ",f{}", f);
  text += "\n";
  AtomicFile out("csv", path);
  for (std::int64_t i = 0; i < e.rows(); ++i) {
    const auto row = static_cast<std::size_t>(i);
    text += csv_field(file.videos[row]);
    if (labelled) {
      const auto label = static_cast<std::size_t>(e.labels[row]);
      fmt::format_to(std::back_inserter(text), ",{},{}", label, csv_field(file.classes.at(label)));
    }
    fmt::format_to(std::back_inserter(text), ",{},{},{}", file.clips, csv_field(file.checkpoint), file.weights);
    // The fewest digits that give back the very number.
    for (std::int64_t f = 0; f < e.features; ++f) fmt::format_to(std::back_inserter(text), ",{}", e.row(i)[f]);
    text += "\n";
    out.write(text);
    text.clear();
  }
  out.write(text);
  out.commit();
}

void write_tensors(const std::string& path, const EmbeddingFile& file) {
  const Embedding& e = file.embedding;
  const auto data = [](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  // A name need not be UTF-8.
  const auto list = [](const std::vector<std::string>& texts) {
    return nlohmann::json(texts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  SafetensorsFile out;
  out.tensors["features"] = {DType::f32, {e.rows(), e.features}, data(e.values)};
  out.metadata = {{"videos", list(file.videos)},
                  {"clips", std::to_string(file.clips)},
                  {"checkpoint", nlohmann::json::parse(list({file.checkpoint}))[0].get<std::string>()},
                  {"weights", file.weights}};
  if (!file.classes.empty()) {
    out.tensors["labels"] = {DType::i64, {e.rows()}, data(e.labels)};
    out.metadata["classes"] = list(file.classes);
  }
  write_safetensors(path, out);
}

struct Format {
  const char* suffix;
  void (*write)(const std::string& path, const EmbeddingFile& file);
};
constexpr std::array formats{Format{".npz", write_npz}, Format{".csv", write_csv},
                             Format{".safetensors", write_tensors}};

const Format& format_of(const std::string& path) {
  for (const Format& format : formats)
    if (path.ends_with(format.suffix)) return format;
  fail("embed", "{}: expected a name that ends in .npz, .csv or .safetensors", path);
}

}  // namespace

void check_embedding_path(const std::string& path) { format_of(path); }

void write_embedding(const std::string& path, const EmbeddingFile& file) { format_of(path).write(path, file); }

}  // namespace mcn
