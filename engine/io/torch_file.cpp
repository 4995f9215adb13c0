// From a pickle's values to tensors. libarchive reads the zip archive.
#include "engine/io/torch_file.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "engine/io/pickle.h"
#include "kernels/error.h"

namespace mcn {
namespace {

constexpr const char* prefix = "torch";
constexpr std::uint64_t max_pickle_bytes = 64 << 20;
constexpr int max_nesting = 16;
constexpr std::size_t max_entries = 200'000;
constexpr std::size_t max_name = 1000;
constexpr std::uint64_t max_sharing = 16;  // tensors have at most so many times the bytes of the file

enum class Convert : std::uint8_t { none, float16, bfloat16 };

struct StorageType {
  std::string_view global;
  std::size_t bytes;  // of an element, in the file
  DType dtype;        // of what is read
  Convert convert = Convert::none;
};
constexpr std::array storage_types{
    StorageType{"torch.FloatStorage", 4, DType::f32},
    StorageType{"torch.DoubleStorage", 8, DType::f64},
    StorageType{"torch.HalfStorage", 2, DType::f32, Convert::float16},
    StorageType{"torch.BFloat16Storage", 2, DType::f32, Convert::bfloat16},
    StorageType{"torch.IntStorage", 4, DType::i32},
    StorageType{"torch.LongStorage", 8, DType::i64},
    StorageType{"torch.ByteStorage", 1, DType::u8},
    StorageType{"torch.BoolStorage", 1, DType::u8},
};
constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";

const StorageType* find_type(std::string_view global) {
  const auto* found = std::ranges::find(storage_types, global, &StorageType::global);
  return found == storage_types.end() ? nullptr : found;
}

bool allowed(std::string_view global) {
  return global == rebuild_tensor || global == rebuild_parameter || global == "collections.OrderedDict" ||
         find_type(global) != nullptr;
}

template <class... Args>
[[noreturn]] void bad(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  fail<DataError>(prefix, "{}: {}", path, fmt::format(format, std::forward<Args>(args)...));
}

float from_float16(std::uint16_t half) {
  const int exponent = half >> 10 & 0x1F;
  const int fraction = half & 0x3FF;
  const float sign = (half & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 0x1F) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
}

float from_bfloat16(std::uint16_t half) { return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16); }

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
};

// Goes once through the members of the archive. read gives the current one's bytes.
class Zip {
 public:
  explicit Zip(const std::string& path) : path_(path), archive_(archive_read_new()) {
    if (!archive_) throw std::bad_alloc();
    archive_read_support_format_zip(archive_.get());
    constexpr std::size_t block = 1 << 16;
    if (archive_read_open_filename(archive_.get(), path.c_str(), block) != ARCHIVE_OK) refuse();
  }

  bool next() {
    const int code = archive_read_next_header(archive_.get(), &entry_);
    if (code != ARCHIVE_OK && code != ARCHIVE_EOF) refuse();
    return code == ARCHIVE_OK;
  }

  [[nodiscard]] std::string name() const {
    const char* found = archive_entry_pathname(entry_);
    return found == nullptr ? "" : found;
  }

  // The whole member, which must have exactly `expected` bytes, or at most `limit` of them.
  std::vector<std::byte> read(std::optional<std::uint64_t> expected, std::uint64_t limit) {
    std::vector<std::byte> bytes;
    constexpr std::size_t step = 1 << 20;
    for (;;) {
      const std::size_t had = bytes.size();
      bytes.resize(had + std::min<std::uint64_t>(step, limit + 1 - had));
      const auto got = archive_read_data(archive_.get(), bytes.data() + had, bytes.size() - had);
      if (got < 0) refuse();
      bytes.resize(had + static_cast<std::size_t>(got));
      if (bytes.size() > limit) bad(path_, "{} has more than {} bytes", name(), limit);
      if (got == 0) break;
    }
    if (expected && bytes.size() != *expected)
      bad(path_, "{} has {} bytes, expected {}", name(), bytes.size(), *expected);
    return bytes;
  }

 private:
  [[noreturn]] void refuse() const {
    const char* text = archive_error_string(archive_.get());
    bad(path_, "not a whole zip archive: {}", text == nullptr ? "unknown error" : text);
  }

  const std::string& path_;
  std::unique_ptr<archive, ArchiveDeleter> archive_;
  archive_entry* entry_ = nullptr;
};

// A tensor as the pickle describes it. Offset and strides count elements.
struct Description {
  const StorageType* type = nullptr;
  std::string key;
  std::uint64_t storage_elements = 0;
  std::uint64_t offset = 0;
  Shape shape;
  std::vector<std::uint64_t> strides;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    std::error_code error;
    file_bytes_ = std::filesystem::file_size(path, error);
    if (error) bad(path_, "cannot read it: {}", error.message());
  }

  SafetensorsMap run() {
    find_pickle();
    describe_all();
    SafetensorsMap tensors;
    Zip zip(path_);
    while (zip.next()) {
      const std::string name = zip.name();
      if (!name.starts_with(folder_ + "data/")) continue;
      const auto used = users_.find(name.substr(folder_.size() + 5));
      if (used == users_.end()) continue;
      const Description& first = *used->second.front().second;
      const std::vector<std::byte> storage = zip.read(first.storage_elements * first.type->bytes, file_bytes_);
      for (const auto& [tensor, description] : used->second) tensors[*tensor] = gather(*description, storage);
    }
    for (const auto& [name, description] : descriptions_)
      if (!tensors.contains(name)) bad(path_, "\"{}\" lies in member {}, which is missing", name, description.key);
    return tensors;
  }

 private:
  void find_pickle() {
    Zip zip(path_);
    constexpr std::string_view pickle_name = "data.pkl";
    bool found = false;
    while (zip.next()) {
      const std::string name = zip.name();
      if (name.ends_with("/byteorder")) {
        const std::vector<std::byte> order = zip.read({}, 16);
        if (std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) != "little")
          bad(path_, "its numbers are big-endian, expected little");
      }
      if (!name.ends_with(pickle_name)) continue;
      if (found) bad(path_, "two members are called {}", pickle_name);
      found = true;
      folder_ = name.substr(0, name.size() - pickle_name.size());
      pickle_ = pickle::parse(zip.read({}, max_pickle_bytes), path_, allowed);
    }
    if (!found) bad(path_, "a zip archive without data.pkl: not a file of torch.save");
  }

  // Walks nested dicts. An object may be reached in many ways, and even from itself.
  void describe_all() {
    struct Place {
      pickle::Ref ref;
      std::string name;
      int depth;
    };
    std::vector<Place> open{{pickle_.root, "", 0}};
    std::size_t entries = 0;
    while (!open.empty()) {
      const Place place = std::move(open.back());
      open.pop_back();
      if (const auto* dict = pickle_.get<pickle::Dict>(place.ref)) {
        if (place.depth == max_nesting) bad(path_, "dicts nested deeper than {}", max_nesting);
        for (const auto& [key, value] : dict->items) {
          std::string name;
          if (const auto* text = pickle_.get<std::string>(key)) name = *text;
          if (const auto* number = pickle_.get<std::int64_t>(key)) name = std::to_string(*number);
          if (place.name.size() + name.size() > max_name) bad(path_, "a name of more than {} bytes", max_name);
          if (++entries > max_entries) bad(path_, "more than {} entries in its dicts", max_entries);
          open.push_back({value, place.depth == 0 ? name : place.name + "." + name, place.depth + 1});
        }
      } else if (pickle_.get<pickle::Call>(place.ref) != nullptr) {
        if (!descriptions_.emplace(place.name, describe(place.name, place.ref)).second)
          bad(path_, "\"{}\" is there twice", place.name);
      } else if (place.depth == 0) {
        bad(path_, "expected a dict of tensors");
      }
    }
    check_storages();
  }

  Description describe(const std::string& name, pickle::Ref ref) {
    constexpr int most_wrappers = 4;  // a parameter is a tensor in a call
    for (int i = 0; i < most_wrappers; ++i) {
      const auto* call = pickle_.get<pickle::Call>(ref);
      if (call == nullptr) break;
      const auto& function = std::get<pickle::Global>(pickle_[call->function]).name;
      const auto& arguments = std::get<pickle::Tuple>(pickle_[call->arguments]).items;
      if (function == rebuild_tensor && arguments.size() >= 4) return describe_tensor(name, arguments);
      if (function != rebuild_parameter || arguments.empty()) break;
      ref = arguments[0];
    }
    bad(path_, "\"{}\" is not a tensor", name);
  }

  Description describe_tensor(const std::string& name, const std::vector<pickle::Ref>& arguments) {
    const auto* persistent = pickle_.get<pickle::PersistentId>(arguments[0]);
    const auto* id = persistent == nullptr ? nullptr : pickle_.get<pickle::Tuple>(persistent->id);
    if (id == nullptr || id->items.size() < 5) bad(path_, "\"{}\" has no storage", name);
    const auto* type = pickle_.get<pickle::Global>(id->items[1]);
    const auto* key = pickle_.get<std::string>(id->items[2]);
    Description d;
    if (type != nullptr) d.type = find_type(type->name);
    if (d.type == nullptr || key == nullptr) bad(path_, "\"{}\" has a storage of an unknown kind", name);
    d.key = *key;
    d.storage_elements = count(name, id->items[4]);
    d.offset = count(name, arguments[1]);
    const auto* sizes = pickle_.get<pickle::Tuple>(arguments[2]);
    const auto* strides = pickle_.get<pickle::Tuple>(arguments[3]);
    if (sizes == nullptr || strides == nullptr || sizes->items.size() != strides->items.size())
      bad(path_, "\"{}\" has no size or strides", name);
    if (sizes->items.size() > Shape::max_rank)
      bad(path_, "\"{}\" has {} axes, expected at most {}", name, sizes->items.size(), Shape::max_rank);
    for (const pickle::Ref size : sizes->items) d.shape.append(static_cast<std::int64_t>(count(name, size)));
    for (const pickle::Ref stride : strides->items) d.strides.push_back(count(name, stride));
    check_extent(name, d);
    return d;
  }

  // Counts have 48 bits at most, so that products of two of them can be checked in 128.
  std::uint64_t count(const std::string& name, pickle::Ref ref) const {
    const auto* value = pickle_.get<std::int64_t>(ref);
    if (value == nullptr || *value < 0 || *value >> 48 != 0) bad(path_, "\"{}\" has an impossible size", name);
    return static_cast<std::uint64_t>(*value);
  }

  // Every element lies in the storage, and no element stands for two.
  void check_extent(const std::string& name, const Description& d) const {
    unsigned __int128 elements = 1;
    unsigned __int128 last = d.offset;
    bool empty = false;
    for (int axis = 0; axis < d.shape.rank(); ++axis) empty = empty || d.shape[axis] == 0;
    for (int axis = 0; axis < d.shape.rank(); ++axis) {
      const auto extent = static_cast<std::uint64_t>(d.shape[axis]);
      if (empty) {  // Shape::numel() multiplies the other extents, too
        elements *= std::max<std::uint64_t>(extent, 1);
        if (elements >> 62 != 0) bad(path_, "\"{}\" of shape {} is too large", name, d.shape.str());
        continue;
      }
      elements *= extent;
      last += static_cast<unsigned __int128>(extent - 1) * d.strides[static_cast<std::size_t>(axis)];
      if (elements > d.storage_elements || last >= d.storage_elements)
        bad(path_, "\"{}\" of shape {} does not fit into its storage of {} elements", name, d.shape.str(),
            d.storage_elements);
    }
    if (!empty && last >= d.storage_elements)
      bad(path_, "\"{}\" begins at element {} of a storage of {}", name, d.offset, d.storage_elements);
  }

  // Tensors that share a storage agree about it; together storages have no more bytes than the file, since torch.save
  // does not compress.
  void check_storages() {
    std::uint64_t total = 0;
    std::uint64_t gathered = 0;
    for (const auto& [name, d] : descriptions_) {
      auto& users = users_[d.key];
      if (users.empty()) {
        if (d.storage_elements * d.type->bytes > file_bytes_ - total)
          bad(path_, "\"{}\" claims a storage of {} bytes, in a file of {}", name, d.storage_elements * d.type->bytes,
              file_bytes_);
        total += d.storage_elements * d.type->bytes;
      } else if (users.front().second->type != d.type || users.front().second->storage_elements != d.storage_elements) {
        bad(path_, "\"{}\" and \"{}\" differ about the storage that they share", name, *users.front().first);
      }
      users.emplace_back(&name, &d);
      gathered += static_cast<std::uint64_t>(d.shape.numel()) * size_of(d.type->dtype);
      if (gathered > max_sharing * file_bytes_)
        bad(path_, "its tensors share storages and need more than {} times the file's {} bytes", max_sharing,
            file_bytes_);
    }
  }

  static SafetensorsEntry gather(const Description& d, std::span<const std::byte> storage) {
    SafetensorsEntry entry{d.type->dtype, d.shape, {}};
    const auto elements = static_cast<std::uint64_t>(d.shape.numel());
    const std::size_t width = size_of(entry.dtype);
    entry.data.resize(elements * width);
    std::array<std::int64_t, Shape::max_rank> at{};
    for (std::uint64_t i = 0; i < elements; ++i) {
      std::uint64_t from = d.offset;
      for (int axis = 0; axis < d.shape.rank(); ++axis) {
        const auto a = static_cast<std::size_t>(axis);
        from += static_cast<std::uint64_t>(at[a]) * d.strides[a];
      }
      copy_element(*d.type, storage.data() + from * d.type->bytes, entry.data.data() + i * width);
      for (int axis = d.shape.rank() - 1; axis >= 0; --axis) {
        const auto a = static_cast<std::size_t>(axis);
        if (++at[a] < d.shape[axis]) break;
        at[a] = 0;
      }
    }
    return entry;
  }

  static void copy_element(const StorageType& type, const std::byte* from, std::byte* to) {
    if (type.convert == Convert::none) {
      std::memcpy(to, from, type.bytes);
      return;
    }
    std::uint16_t half = 0;
    std::memcpy(&half, from, sizeof half);
    const float value = type.convert == Convert::float16 ? from_float16(half) : from_bfloat16(half);
    std::memcpy(to, &value, sizeof value);
  }

  const std::string& path_;
  std::uint64_t file_bytes_ = 0;
  std::string folder_;
  pickle::Pickle pickle_;
  std::map<std::string, Description> descriptions_;
  std::map<std::string, std::vector<std::pair<const std::string*, const Description*>>> users_;  // of a storage, by key
};

}  // namespace

bool is_zip_file(const std::string& path) {
  std::array<char, 4> start{};
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), start.size());
  return in.gcount() == 4 && std::string_view(start.data(), 4) == "PK\x03\x04";
}

SafetensorsMap read_torch_file(const std::string& path) { return Reader(path).run(); }

}  // namespace mcn
