// A mutator of safetensors files that are files still: the length before the header is right, the header is JSON, and
// the checksums fit unless they are what is mutated, so that most inputs get past the first checks.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "engine/io/checksum.h"
#include "engine/io/json_text.h"

// libFuzzer's.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace mcn::fuzz {

/// A file in its parts, sound or not.
struct TensorsFile {
  nlohmann::json header;
  std::string data;
};

/// Nothing where the bytes have no such parts.
inline std::optional<TensorsFile> parts_of(std::string_view bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return {};
  std::memcpy(&length, bytes.data(), sizeof length);
  bytes.remove_prefix(sizeof length);
  if (length > bytes.size()) return {};
  nlohmann::json header = parse_json(bytes.substr(0, length));
  if (!header.is_object()) return {};
  return TensorsFile{std::move(header), std::string(bytes.substr(length))};
}

inline std::string with_length(const std::string& header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return (bytes += header) += data;
}

/// The file's bytes, with the checksums as they should be where the metadata has any. What follows from the format as
/// engine/safetensors.h says it is written once more here, since its own writer refuses what is not sound.
inline std::string bytes_of(TensorsFile file, std::size_t padding = 0) {
  constexpr const char *metadata = "__metadata__", *of_header = "xxh3.header", *of_tensors = "xxh3.tensors";
  const std::string zeros(16, '0');
  const auto found = file.header.find(metadata);
  const bool sums = found != file.header.end() && found->is_object() && found->contains(of_header);
  if (sums) {
    nlohmann::json tensors = nlohmann::json::object();
    for (const auto& [name, tensor] : file.header.items()) {
      if (name == metadata || !tensor.is_object()) continue;
      const nlohmann::json offsets = tensor.value("data_offsets", nlohmann::json());
      const auto offset = [&](std::size_t i) {
        const bool number = offsets.is_array() && offsets.size() > i && offsets[i].is_number_unsigned();
        return std::min<std::size_t>(number ? offsets[i].get<std::uint64_t>() : 0, file.data.size());
      };
      tensors[name] =
          checksum(std::string_view(file.data).substr(offset(0), std::max(offset(0), offset(1)) - offset(0)));
    }
    (*found)[of_tensors] = tensors.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    (*found)[of_header] = zeros;
  }
  std::string header = file.header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  header.append(padding, ' ');
  const std::string key = std::string("\"") + of_header + "\":\"";
  if (const std::size_t place = header.find(key + zeros); sums && place != std::string::npos)
    header.replace(place + key.size(), zeros.size(), checksum(with_length(header, {})));
  return with_length(header, file.data);
}

/// Changes one thing of a file: libFuzzer calls it up to five times for an input.
class TensorsMutator {
 public:
  /// favorite: a text of the metadata; with one, it is mostly values that change, of metadata and of tensors, since
  /// the reader knows places and shapes. Empty: everything changes alike.
  TensorsMutator(unsigned seed, std::string favorite) : random_(seed), favorite_(std::move(favorite)) {}

  std::string operator()(TensorsFile file) {
    if (favorite_.empty() || below(8) == 0)
      change(file);
    else if (below(4) != 0)
      change_metadata(file.header);
    else
      change_bytes(file);
    if (favorite_.empty() && below(8) == 0) lay_out(file);
    std::string bytes = bytes_of(file, below(4) == 0 ? below(16) : 0);
    return below(32) == 0 ? with_odd_text(bytes) : bytes;
  }

 private:
  using Json = nlohmann::json;

  std::size_t below(std::size_t n) { return random_() % n; }
  template <std::size_t N>
  const char* one_of(const std::array<const char*, N>& texts) {
    return texts[below(N)];
  }

  void change(TensorsFile& file) {
    switch (below(10)) {
      case 0:
        return rename(file.header);
      case 1:
        return change_shape(file);
      case 2:
        return change_offsets(file);
      case 3:
        return add_or_remove(file);
      case 4:
        if (Json* tensor = any_tensor(file.header))
          (*tensor)["dtype"] = one_of<9>({"F32", "F64", "I32", "I64", "U8", "BF16", "f32", "", "F32\n"});
        return;
      case 5:
      case 6:
      case 7:
        return change_metadata(file.header);
      default:
        return change_bytes(file);
    }
  }

  // Of the header's entries; null where there is none that is an object.
  Json* any_tensor(Json& header) {
    if (header.empty()) return nullptr;
    auto entry = header.begin();
    std::advance(entry, below(header.size()));
    return entry.key() != "__metadata__" && entry->is_object() ? &*entry : nullptr;
  }

  std::string text(std::string before) {
    before.resize(std::min<std::size_t>(before.size(), 64));
    std::size_t size = before.size();
    before.resize(size + 8);
    size = LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(before.data()), size, before.size());
    return before.substr(0, size);
  }

  void rename(Json& header) {
    Json* tensor = any_tensor(header);
    if (tensor == nullptr) return;
    auto other = header.begin();
    std::advance(other, below(header.size()));
    const std::string to = below(4) == 0 ? one_of<4>({"", "__metadata__", "bank.ids", "\n"})
                                         : (below(2) == 0 ? text(other.key()) : other.key());
    const Json value = *tensor;
    if (below(2) == 0) *tensor = *other;
    header[to] = value;
  }

  Json number(const Json& before) {
    static const std::array<Json, 22> odd{0,
                                          1,
                                          2,
                                          3,
                                          -1,
                                          255,
                                          65537,
                                          2147483648U,
                                          4294967296U,
                                          9223372036854775807,
                                          9223372036854775808U,
                                          18446744073709551615U,
                                          1e30,
                                          -1e308,
                                          1e-310,
                                          0.5,
                                          0.0,
                                          -0.0,
                                          nullptr,
                                          true,
                                          "1",
                                          Json::array({1})};
    const auto near = static_cast<std::int64_t>(below(5)) - 2;
    if (before.is_number_float() && below(2) == 0)
      return before.get<double>() * std::array{-1.0, 2.0, 0.5, 1e10, 1e-10}[below(5)];
    // Not beyond the range of its type: that would be this mutator's fault.
    if (before.is_number_integer() && below(2) == 0 && before > -1000000000000 && before < 1000000000000)
      return before.get<std::int64_t>() + near;
    return odd[below(odd.size())];
  }

  void change_shape(TensorsFile& file) {
    Json* tensor = any_tensor(file.header);
    if (tensor == nullptr || !tensor->contains("shape") || !tensor->at("shape").is_array()) return;
    Json& shape = (*tensor)["shape"];
    const std::size_t axis = below(shape.size() + 1);
    switch (below(4)) {
      case 0:
        shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), below(3));
        break;
      case 1:
        if (axis < shape.size()) shape.erase(axis);
        break;
      case 2:
        if (axis < shape.size()) std::swap(shape[axis], shape[below(shape.size())]);
        break;
      default:
        if (axis < shape.size()) shape[axis] = number(shape[axis]);
    }
    if (below(2) == 0) lay_out(file);
  }

  void change_offsets(TensorsFile& file) {
    Json* tensor = any_tensor(file.header);
    if (tensor == nullptr || !tensor->contains("data_offsets") || !tensor->at("data_offsets").is_array()) return;
    Json& offsets = (*tensor)["data_offsets"];
    if (below(4) == 0) {
      if (offsets.empty() || below(2) == 0)
        offsets.push_back(0);
      else
        offsets.erase(offsets.size() - 1);
    }
    if (!offsets.empty()) {
      Json& offset = offsets[below(offsets.size())];
      offset = below(4) == 0 ? Json(file.data.size()) : number(offset);
    }
  }

  void add_or_remove(TensorsFile& file) {
    auto entry = file.header.begin();
    if (!file.header.empty()) std::advance(entry, below(file.header.size()));
    switch (below(4)) {
      case 0:
        if (!file.header.empty()) file.header.erase(entry);
        return lay_out(file);
      case 1:
        if (!file.header.empty()) file.header.erase(entry);
        return;
      case 2:
        file.header[text("a")] = {{"dtype", "U8"}, {"shape", {0, below(3)}}, {"data_offsets", {0, 0}}};
        return;
      default:
        file.data.resize(below(2) == 0 ? file.data.size() + 1 + below(16)
                                       : file.data.size() - below(std::min<std::size_t>(file.data.size() + 1, 16)));
    }
  }

  // A value of the metadata is a text; where it is JSON, something in it is changed.
  void change_metadata(Json& header) {
    Json& metadata = header["__metadata__"];
    if (!metadata.is_object() || below(32) == 0) {
      metadata = below(2) == 0 ? Json::object() : number(0);
      return;
    }
    if (metadata.empty() || below(16) == 0) metadata[text("key")] = text("value");
    auto entry = metadata.find(favorite_);
    if (entry == metadata.end() || below(2) == 0) {
      entry = metadata.begin();
      std::advance(entry, below(metadata.size()));
    }
    if (entry.key().starts_with("xxh3.") && below(16) != 0) return change_metadata(header);
    if (below(16) == 0) {
      metadata.erase(entry);
    } else if (below(32) == 0) {
      *entry = number(0);
    } else if (entry->is_string()) {
      auto& value = entry->get_ref<std::string&>();
      Json inner = parse_json(value);
      if (inner.is_discarded() || below(16) == 0) {
        value = text(value);
      } else {
        change_value(inner);
        value = inner.dump(-1, ' ', false, Json::error_handler_t::replace);
      }
    }
  }

  void change_value(Json& value) {
    if (value.is_structured() && !value.empty() && below(16) != 0) {
      const std::size_t place = below(value.size());
      auto inner = value.begin();
      std::advance(inner, place);
      switch (below(12)) {
        case 0:
          value.erase(inner);
          return;
        case 1:
          if (value.is_object())
            value[text(inner.key())] = *inner;
          else
            value.push_back(*inner);
          return;
        default:
          return change_value(*inner);
      }
    }
    if (value.is_string() && below(2) == 0)
      value = below(3) == 0 ? one_of<8>({"sgd", "adamw", "none", "memory", "queue", "mcn", "joint", "r2plus1d_18"})
                            : text(value);
    else if (value.is_boolean() && below(2) == 0)
      value = !value.get<bool>();
    else if (value.is_array() && below(2) == 0)
      value.push_back(number(0));
    else if (below(64) == 0)
      value = Json::parse(std::string(70, '[') + std::string(70, ']'));
    else
      value = number(value);
  }

  void change_bytes(TensorsFile& file) {
    std::string& data = file.data;
    if (data.size() < 16) return;
    constexpr std::size_t element = 4;
    const std::size_t place = below(data.size() / element) * element;
    static constexpr std::array<std::uint32_t, 9> odd{0,          0x7f800000, 0xff800000, 0x7fc00000, 0x00000001,
                                                      0x7f7fffff, 0xbf800000, 0x3f800000, 0xffffffff};
    switch (below(3)) {
      case 0:
        std::memcpy(data.data() + place, &odd[below(odd.size())], element);
        return;
      case 1:
        data[place] = static_cast<char>(data[place] ^ (1 << below(8)));
        return;
      default:
        const std::size_t size = std::min<std::size_t>(data.size() - place, 64);
        LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(data.data()) + place, size, size);
    }
  }

  // Gives every tensor the bytes that its shape needs, one behind the other, where that is not much.
  void lay_out(TensorsFile& file) {
    std::string data;
    for (auto& [name, tensor] : file.header.items()) {
      if (name == "__metadata__" || !tensor.is_object()) continue;
      const Json dtype = tensor.value("dtype", Json()), shape = tensor.value("shape", Json());
      std::size_t bytes = dtype == "F64" || dtype == "I64" ? 8 : dtype == "U8" ? 1 : 4;
      if (!shape.is_array()) return;
      for (const Json& extent : shape) {
        if (!extent.is_number_unsigned() && !(extent.is_number_integer() && extent >= 0)) return;
        bytes *= extent.get<std::size_t>() <= 4096 ? extent.get<std::size_t>() : 4097;
        if (bytes > std::size_t{1} << 14) return;
      }
      const auto old = tensor.value("data_offsets", Json());
      const std::size_t from = old.is_array() && !old.empty() && old[0].is_number_unsigned()
                                   ? std::min<std::size_t>(old[0].get<std::uint64_t>(), file.data.size())
                                   : 0;
      std::string elements = file.data.substr(from, bytes);
      elements.resize(bytes);
      tensor["data_offsets"] = {data.size(), data.size() + bytes};
      data += elements;
    }
    file.data = std::move(data);
  }

  // What a JSON value cannot hold: a name that is there twice, deep nesting, a zero byte, or what the checksums notice.
  std::string with_odd_text(const std::string& bytes) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    std::string header = bytes.substr(sizeof length, length);
    const std::size_t place = below(header.size());
    switch (below(5)) {
      case 0: {
        const std::size_t quote = header.find('"', place);
        const std::size_t end = quote == std::string::npos ? quote : header.find('"', quote + 1);
        if (end == std::string::npos) break;
        header.insert(1,
                      header.substr(quote, end + 1 - quote) + R"(:{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)");
        break;
      }
      case 1:
        header.insert(place, 1 + below(200), below(2) == 0 ? '[' : '{');
        break;
      case 2:
        header[place] = '\0';
        break;
      case 3:
        header.erase(place, 1 + below(8));
        break;
      default:
        header[place] = static_cast<char>(header[place] ^ (1 << below(8)));
    }
    return with_length(header, std::string_view(bytes).substr(sizeof length + length));
  }

  std::minstd_rand random_;
  std::string favorite_;
};

/// The body of LLVMFuzzerCustomMutator. start: what stands for an input that is no file. favorite: TensorsMutator's.
inline std::size_t mutate_tensors(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                                  const std::string& start, const std::string& favorite) {
  std::minstd_rand random(seed);
  random.discard(8);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  // What a reader refuses leads on to little that it takes: where its form is known, every other input starts anew.
  if (!favorite.empty() && random() % 2 == 0) bytes = start;
  std::optional<TensorsFile> file = parts_of(bytes);
  if (file && random() % 32 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string mutated = file ? TensorsMutator(static_cast<unsigned>(random()), favorite)(std::move(*file)) : start;
  // One that has grown too long starts anew.
  if (mutated.size() > max_size) mutated = start;
  if (mutated.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, mutated.data(), mutated.size());
  return mutated.size();
}

/// The body of LLVMFuzzerCustomCrossOver: the first file with some of the metadata and of the bytes of the second.
inline std::size_t cross_tensors(std::string_view first, std::string_view second, std::uint8_t* out,
                                 std::size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  random.discard(8);
  std::optional<TensorsFile> file = parts_of(first);
  const std::optional<TensorsFile> other = parts_of(second);
  std::string crossed(first);
  if (file && other) {
    const auto metadata = other->header.value("__metadata__", nlohmann::json());
    if (metadata.is_object() && file->header.value("__metadata__", nlohmann::json()).is_object())
      for (const auto& [key, value] : metadata.items())
        if (random() % 2 == 0) file->header["__metadata__"][key] = value;
    const std::size_t size = std::min(file->data.size(), other->data.size());
    if (size > 0 && random() % 2 == 0) {
      const std::size_t from = random() % size;
      file->data.replace(from, size - from, other->data, from, size - from);
    }
    crossed = bytes_of(std::move(*file));
  }
  if (crossed.size() > max_size) return 0;
  std::memcpy(out, crossed.data(), crossed.size());
  return crossed.size();
}

}  // namespace mcn::fuzz
