// Reader and writer of safetensors. The header comes from outside: it is read as a stream of events against the one
// grammar that it may have, so that a hostile one costs neither stack nor memory beyond its own size.
#include "engine/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "engine/atomic_file.h"
#include "engine/io/checksum.h"
#include "engine/io/json_text.h"
#include "kernels/error.h"

namespace mcn {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie in the file");

constexpr const char* prefix = "safetensors";
constexpr const char* metadata_name = "__metadata__";
constexpr const char* header_checksum_name = "xxh3.header";
constexpr const char* tensor_checksums_name = "xxh3.tensors";
constexpr std::uint64_t length_bytes = 8;
// The limit of the reference implementation.
constexpr std::uint64_t max_header_bytes = 100'000'000;
constexpr std::uint64_t max_tensor_bytes = std::numeric_limits<std::int64_t>::max();
constexpr std::array<std::pair<std::string_view, DType>, 5> dtype_names{
    {{"F32", DType::f32}, {"F64", DType::f64}, {"I32", DType::i32}, {"I64", DType::i64}, {"U8", DType::u8}}};

std::string_view file_name_of(DType dtype) {
  return std::ranges::find(dtype_names, dtype, &decltype(dtype_names)::value_type::second)->first;
}

/// A name from a file, fit for a message of one line.
std::string printable(std::string_view name) {
  constexpr std::size_t longest = 100;
  std::string text = "'";
  for (const char c : name.substr(0, longest)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > longest ? "...'" : "'");
}

/// Bytes of a dense tensor; nothing if they do not fit 63 bits. Axes of no extent count as one: their tensor is empty,
/// but the product of the others must not overflow either, since Shape::numel() goes through it.
std::optional<std::uint64_t> checked_bytes(const Shape& shape, DType dtype) {
  std::uint64_t bytes = size_of(dtype);
  bool empty = false;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto extent = static_cast<std::uint64_t>(shape[axis]);
    if (extent == 0) {
      empty = true;
    } else if (bytes > max_tensor_bytes / extent) {
      return std::nullopt;
    } else {
      bytes *= extent;
    }
  }
  return empty ? 0 : bytes;
}

/// What the header tells of a tensor. Offsets count from the end of the header.
struct Record {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Accepts {"name": {"dtype": text, "shape": [...], "data_offsets": [begin, end]}, ..., "__metadata__": {text: text}}.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<Record> records;
  std::map<std::string, std::string> metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override { unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(printable(text)); }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (record_.shape.rank() == Shape::max_rank) bad("tensor {} has more than {} axes", name(), Shape::max_rank);
      if (value > max_tensor_bytes) bad("tensor {}: extent {} is too large", name(), value);
      record_.shape.append(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets) {
      if (offset_count_ == 0) record_.begin = value;
      if (offset_count_ == 1) record_.end = value;
      ++offset_count_;
    } else {
      unexpected(fmt::format("{}", value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata_value) {
      metadata[field_] = value;
      place_ = Place::metadata;
    } else if (place_ == Place::dtype) {
      const auto* known = std::ranges::find(dtype_names, value, &decltype(dtype_names)::value_type::first);
      if (known == dtype_names.end())
        bad("tensor {} has dtype {}, expected F32, F64, I32, I64 or U8", name(), printable(value));
      record_.dtype = known->second;
      place_ = Place::tensor;
    } else {
      unexpected(printable(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) {
      place_ = Place::top;
    } else if (place_ == Place::tensor_value) {
      place_ = Place::tensor;
    } else if (place_ == Place::metadata_object) {
      place_ = Place::metadata;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"})
        if (!fields_.contains(field)) bad("tensor {} has no {}", name(), field);
      records.push_back(std::move(record_));
    }
    place_ = place_ == Place::top ? Place::finished : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::shape_value) {
      place_ = Place::shape;
    } else if (place_ == Place::offsets_value) {
      place_ = Place::offsets;
    } else {
      unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && offset_count_ != 2)
      bad("tensor {} has {} data_offsets, expected 2", name(), offset_count_);
    place_ = Place::tensor;
    return true;
  }

  bool key(string_t& value) override {
    if (place_ == Place::top) {
      if (!names_.insert(value).second) bad("header has {} twice", printable(value));
      fields_.clear();
      record_ = Record();
      record_.name = value;
      offset_count_ = 0;
      place_ = value == metadata_name ? Place::metadata_object : Place::tensor_value;
    } else if (place_ == Place::metadata) {
      if (!fields_.insert(value).second) bad("metadata has {} twice", printable(value));
      field_ = value;
      place_ = Place::metadata_value;
    } else {
      if (!fields_.insert(value).second) bad("tensor {} has {} twice", name(), printable(value));
      if (value == "dtype") {
        place_ = Place::dtype;
      } else if (value == "shape") {
        place_ = Place::shape_value;
      } else if (value == "data_offsets") {
        place_ = Place::offsets_value;
      } else {
        bad("tensor {} has an unknown field {}", name(), printable(value));
      }
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    bad("header is not JSON (at byte {} of the header)", position);
  }

 private:
  /// Where in the grammar the reader stands; a name ending in value, or dtype, waits for what follows a key.
  enum class Place : std::uint8_t {
    start,
    top,
    finished,
    tensor_value,
    tensor,
    dtype,
    shape_value,
    shape,
    offsets_value,
    offsets,
    metadata_object,
    metadata,
    metadata_value,
  };

  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail<DataError>(prefix, "{}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }

  [[noreturn]] void unexpected(const std::string& found) const {
    switch (place_) {
      case Place::tensor_value:
        bad("tensor {}: expected an object, found {}", name(), found);
      case Place::dtype:
        bad("tensor {}: expected text as dtype, found {}", name(), found);
      case Place::shape_value:
        bad("tensor {}: expected an array as shape, found {}", name(), found);
      case Place::shape:
        bad("tensor {}: expected an integer of at least 0 in its shape, found {}", name(), found);
      case Place::offsets_value:
        bad("tensor {}: expected an array as data_offsets, found {}", name(), found);
      case Place::offsets:
        bad("tensor {}: expected an integer of at least 0 in its data_offsets, found {}", name(), found);
      case Place::metadata_object:
        bad("expected an object as {}, found {}", metadata_name, found);
      case Place::metadata_value:
        bad("metadata {}: expected text, found {}", printable(field_), found);
      default:
        bad("header: expected an object, found {}", found);
    }
  }

  [[nodiscard]] std::string name() const { return printable(record_.name); }

  const std::string& path_;
  Place place_ = Place::start;
  Record record_;
  std::size_t offset_count_ = 0;
  std::string field_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
};

/// Sorts the records by place and checks that they cover [0, data_bytes) once, each with the bytes that it needs.
void check_layout(const std::string& path, std::vector<Record>& records, std::uint64_t data_bytes) {
  std::ranges::sort(records, {}, [](const Record& r) { return std::pair(r.begin, r.end); });
  std::uint64_t covered = 0;
  for (const Record& r : records) {
    const std::string name = printable(r.name);
    if (r.begin > r.end)
      fail<DataError>(prefix, "{}: tensor {} begins at {} and ends at {}", path, name, r.begin, r.end);
    if (r.end > data_bytes)
      fail<DataError>(prefix, "{}: tensor {} ends at byte {} of {} bytes of data (truncated file?)", path, name, r.end,
                      data_bytes);
    const std::optional<std::uint64_t> expected = checked_bytes(r.shape, r.dtype);
    if (!expected) fail<DataError>(prefix, "{}: tensor {} of shape {} is too large", path, name, r.shape.str());
    if (r.end - r.begin != *expected)
      fail<DataError>(prefix, "{}: tensor {} of shape {} and dtype {} needs {} bytes, has {}", path, name,
                      r.shape.str(), file_name_of(r.dtype), *expected, r.end - r.begin);
    if (r.begin < covered)
      fail<DataError>(prefix, "{}: tensor {} begins at byte {}, inside the tensor before it, which ends at {}", path,
                      name, r.begin, covered);
    if (r.begin > covered)
      fail<DataError>(prefix, "{}: tensor {} begins at byte {}, and bytes {} to {} belong to no tensor", path, name,
                      r.begin, covered, r.begin);
    covered = r.end;
  }
  if (covered != data_bytes)
    fail<DataError>(prefix, "{}: {} bytes after the last tensor, which ends at {} of {}", path, data_bytes - covered,
                    covered, data_bytes);
}

void read_exactly(std::ifstream& in, const std::string& path, std::span<std::byte> bytes) {
  // A stream takes char: the one cast at the border.
  errno = 0;
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (in.bad() && errno != 0) fail_by_errno(prefix, fmt::format("{}: cannot read it", path), errno);
  if (static_cast<std::size_t>(in.gcount()) != bytes.size())
    fail<DataError>(prefix, "{}: cannot read it: expected {} more bytes, got {}", path, bytes.size(), in.gcount());
}

/// Where the digits of the header's own checksum are in its text. In other strings quotes are escaped.
std::size_t place_of_checksum(const std::string& header, const std::string& digits) {
  const std::string before = fmt::format("\"{}\":\"", header_checksum_name);
  const std::size_t found = header.find(before + digits + '"');
  return found == std::string::npos ? found : found + before.size();
}

std::string checksum_of_header(std::string header, std::size_t place, std::size_t digits) {
  header.replace(place, digits, digits, '0');
  const std::uint64_t size = header.size();
  std::string bytes(length_bytes, '\0');
  std::memcpy(bytes.data(), &size, length_bytes);
  return checksum(bytes += header);
}

/// Takes the checksums out of the metadata, checks the header's, and returns those of the tensors; nothing if the file
/// has none.
std::optional<std::map<std::string, std::string>> take_checksums(const std::string& path, const std::string& header,
                                                                 HeaderReader& read) {
  const auto of_header = read.metadata.extract(header_checksum_name);
  const auto of_tensors = read.metadata.extract(tensor_checksums_name);
  if (!of_header && !of_tensors) return {};
  if (!of_header || !of_tensors)
    fail<DataError>(prefix, "{}: damaged: it has \"{}\" without \"{}\"", path,
                    of_header ? header_checksum_name : tensor_checksums_name,
                    of_header ? tensor_checksums_name : header_checksum_name);
  const std::string& digits = of_header.mapped();
  const std::size_t place = place_of_checksum(header, digits);
  if (place == std::string::npos || checksum_of_header(header, place, digits.size()) != digits)
    fail<DataError>(prefix, "{}: its header is damaged, or was changed by another program: the checksum is wrong",
                    path);
  std::map<std::string, std::string> checksums;
  try {
    parse_json(of_tensors.mapped()).get_to(checksums);
  } catch (const nlohmann::json::exception&) {
    fail<DataError>(prefix, "{}: \"{}\" is no JSON object of texts", path, tensor_checksums_name);
  }
  for (const Record& record : read.records)
    if (!checksums.contains(record.name))
      fail<DataError>(prefix, "{}: tensor {} has no checksum", path, printable(record.name));
  if (checksums.size() != read.records.size())
    fail<DataError>(prefix, "{}: {} checksums for {} tensors", path, checksums.size(), read.records.size());
  return checksums;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) fail<DataError>(prefix, "{}: no such file", path);
  if (error) fail_by_errno(prefix, fmt::format("{}: cannot read it", path), error.value());
  if (!std::filesystem::is_regular_file(status)) fail<DataError>(prefix, "{}: not a file", path);
  const std::uint64_t file_bytes = std::filesystem::file_size(path, error);
  if (error) fail_by_errno(prefix, fmt::format("{}: cannot read it", path), error.value());
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) fail_by_errno(prefix, fmt::format("{}: cannot open it", path), errno);

  if (file_bytes < length_bytes)
    fail<DataError>(prefix, "{}: {} bytes, expected at least {} (empty or truncated file?)", path, file_bytes,
                    length_bytes);
  std::uint64_t header_bytes = 0;
  read_exactly(in, path, std::as_writable_bytes(std::span(&header_bytes, 1)));
  if (header_bytes > max_header_bytes)
    fail<DataError>(prefix, "{}: header of {} bytes, at most {} are allowed (not a safetensors file?)", path,
                    header_bytes, max_header_bytes);
  if (header_bytes > file_bytes - length_bytes)
    fail<DataError>(prefix, "{}: header of {} bytes, but only {} bytes follow (truncated file?)", path, header_bytes,
                    file_bytes - length_bytes);

  std::string header(header_bytes, '\0');
  read_exactly(in, path, std::as_writable_bytes(std::span(header)));
  if (!header.starts_with('{')) fail<DataError>(prefix, "{}: header is not a JSON object", path);
  // The parser takes a zero byte for the end, and would not see what is hidden behind it.
  if (const std::size_t zero = header.find('\0'); zero != std::string::npos)
    fail<DataError>(prefix, "{}: header is not JSON (zero byte at byte {} of the header)", path, zero);
  HeaderReader reader(path);
  nlohmann::json::sax_parse(header, &reader);
  check_layout(path, reader.records, file_bytes - length_bytes - header_bytes);
  const auto checksums = take_checksums(path, header, reader);

  SafetensorsFile file;
  file.checksums = checksums.has_value();
  file.metadata = std::move(reader.metadata);
  for (Record& record : reader.records) {
    SafetensorsEntry entry{record.dtype, record.shape, std::vector<std::byte>(record.end - record.begin)};
    read_exactly(in, path, entry.data);
    if (checksums && checksums->at(record.name) != checksum(entry.data))
      fail<DataError>(prefix, "{}: tensor {} is damaged: its checksum is {}, expected {}", path, printable(record.name),
                      checksum(entry.data), printable(checksums->at(record.name)));
    file.tensors.emplace(std::move(record.name), std::move(entry));
  }
  return file;
}

void write_safetensors(const std::string& path, const SafetensorsFile& file, int keep) {
  // Widest elements first keeps every tensor aligned to its elements for readers that map the file.
  std::vector<const SafetensorsMap::value_type*> order;
  for (const auto& tensor : file.tensors) order.push_back(&tensor);
  std::ranges::stable_sort(order, std::greater{}, [](const auto* t) { return size_of(t->second.dtype); });

  nlohmann::json header = nlohmann::json::object();
  if (!file.metadata.empty()) header[metadata_name] = file.metadata;
  for (const char* name : {header_checksum_name, tensor_checksums_name})
    if (file.metadata.contains(name)) fail(prefix, "{}: no metadata may be called {}", path, name);
  nlohmann::json checksums = nlohmann::json::object();
  std::uint64_t offset = 0;
  for (const auto* tensor : order) {
    const auto& [name, entry] = *tensor;
    if (name == metadata_name) fail(prefix, "{}: no tensor may be called {}", path, name);
    const std::optional<std::uint64_t> expected = checked_bytes(entry.shape, entry.dtype);
    if (!expected || *expected != entry.data.size())
      fail(prefix, "{}: tensor {} of shape {} and dtype {} has {} bytes of data", path, printable(name),
           entry.shape.str(), name_of(entry.dtype), entry.data.size());
    nlohmann::json shape = nlohmann::json::array();
    for (int axis = 0; axis < entry.shape.rank(); ++axis) shape.push_back(entry.shape[axis]);
    header[name] = {{"dtype", file_name_of(entry.dtype)},
                    {"shape", std::move(shape)},
                    {"data_offsets", {offset, offset + *expected}}};
    offset += *expected;
    if (file.checksums) checksums[name] = checksum(entry.data);
  }

  const std::string no_digits(16, '0');
  std::string text;
  try {
    if (file.checksums) {
      header[metadata_name][tensor_checksums_name] = checksums.dump();
      header[metadata_name][header_checksum_name] = no_digits;
    }
    text = header.dump();
  } catch (const nlohmann::json::type_error&) {
    fail(prefix, "{}: a name or the metadata is not UTF-8", path);
  }
  text.resize((text.size() + length_bytes - 1) / length_bytes * length_bytes, ' ');
  if (text.size() > max_header_bytes)
    fail(prefix, "{}: header of {} bytes, at most {} are allowed", path, text.size(), max_header_bytes);

  if (file.checksums) {
    const std::size_t place = place_of_checksum(text, no_digits);
    text.replace(place, no_digits.size(), checksum_of_header(text, place, no_digits.size()));
  }

  AtomicFile out(prefix, path);
  const std::uint64_t header_bytes = text.size();
  out.write(std::as_bytes(std::span(&header_bytes, 1)));
  out.write(text);
  for (const auto* tensor : order) out.write(tensor->second.data);
  out.commit(keep);
}

}  // namespace mcn
