// Files of torch.save: tensors as PyTorch wrote them, and files made to harm the reader. The pickles are spelled out by
// hand, after Python's pickletools.
#include <archive.h>
#include <archive_entry.h>

#include <cstring>
#include <map>
#include <memory>

#include "engine/io/torch_file.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

using Catch::Matchers::ContainsSubstring;
using Members = std::map<std::string, std::string>;

struct WriterDeleter {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct EntryDeleter {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};

// A zip archive whose members are not compressed, as torch.save writes it.
void write_zip(const std::string& path, const Members& members) {
  const std::unique_ptr<archive, WriterDeleter> zip(archive_write_new());
  archive_write_set_format_zip(zip.get());
  REQUIRE(archive_write_set_options(zip.get(), "zip:compression=store") == ARCHIVE_OK);
  REQUIRE(archive_write_open_filename(zip.get(), path.c_str()) == ARCHIVE_OK);
  for (const auto& [name, bytes] : members) {
    const std::unique_ptr<archive_entry, EntryDeleter> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    REQUIRE(archive_write_header(zip.get(), entry.get()) == ARCHIVE_OK);
    REQUIRE(archive_write_data(zip.get(), bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size()));
  }
}

std::string text(const std::string& value) {
  const auto length = static_cast<std::uint32_t>(value.size());
  std::string bytes = "X....";
  std::memcpy(bytes.data() + 1, &length, sizeof length);
  return bytes + value;
}

std::string integer(std::int64_t value) {
  std::string bytes = "\x8a\x08........";
  std::memcpy(bytes.data() + 2, &value, sizeof value);
  return bytes;
}

std::string tuple(const std::vector<std::int64_t>& values) {
  std::string bytes = "(";
  for (const std::int64_t value : values) bytes += integer(value);
  return bytes + "t";
}

// What torch.save writes for a tensor.
std::string tensor(const std::string& storage, const std::string& key, std::int64_t elements, std::int64_t offset,
                   const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + storage + "\n" + text(key) +
         text("cpu") + integer(elements) + "tQ" + integer(offset) + tuple(shape) + tuple(strides) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

std::string dict(const Members& items) {
  std::string bytes = "}(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u";
}

std::string pickled(const std::string& value) { return "\x80\x02" + value + "."; }

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> values(const SafetensorsEntry& entry) {
  std::vector<T> found(entry.data.size() / sizeof(T));
  std::memcpy(found.data(), entry.data.data(), entry.data.size());
  return found;
}

class TorchFile {
 public:
  [[nodiscard]] SafetensorsMap read(const std::string& pickle, Members members = {}) const {
    members["archive/data.pkl"] = pickle;
    return read_members(members);
  }
  [[nodiscard]] SafetensorsMap read_members(const Members& members) const {
    const std::string path = folder_.file("weights.pt");
    write_zip(path, members);
    CHECK(is_zip_file(path));
    return read_torch_file(path);
  }
  [[nodiscard]] std::string refusal(const std::string& pickle, const Members& members = {}) const {
    try {
      (void)read(pickle, members);
    } catch (const DataError& error) {
      return error.what();
    }
    return "nothing was refused";
  }

 private:
  test::TemporaryFolder folder_;
};

// Eight floats, to be read in several ways.
const std::string eight = raw<float>({0, 1, 2, 3, 4, 5, 6, 7});

}  // namespace

TEST_CASE("a state dict of PyTorch is read by name, shape and strides") {
  const TorchFile file;
  const SafetensorsMap read = file.read(
      pickled(dict({{"whole", tensor("FloatStorage", "0", 8, 0, {2, 4}, {4, 1})},
                    {"transposed", tensor("FloatStorage", "0", 8, 0, {4, 2}, {1, 4})},
                    {"part", tensor("FloatStorage", "0", 8, 5, {2}, {2})},
                    {"scalar", tensor("LongStorage", "1", 1, 0, {}, {})},
                    {"empty", tensor("FloatStorage", "0", 8, 8, {3, 0}, {1, 1})},
                    {"epoch", integer(3)},
                    {"inner", dict({{"wrapped", "ctorch._utils\n_rebuild_parameter\n(" +
                                                    tensor("DoubleStorage", "2", 1, 0, {1}, {1}) + "\x88}tR"},
                                    {"name", text("adam")}})}})),
      {{"archive/data/0", eight}, {"archive/data/1", raw<std::int64_t>({-9})}, {"archive/data/2", raw<double>({0.1})}});
  CHECK(read.size() == 6);
  CHECK(read.at("whole").shape == Shape{2, 4});
  CHECK(values<float>(read.at("whole")) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(read.at("transposed").shape == Shape{4, 2});
  CHECK(values<float>(read.at("transposed")) == std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(values<float>(read.at("part")) == std::vector<float>{5, 7});
  CHECK(read.at("scalar").dtype == DType::i64);
  CHECK(read.at("scalar").shape == Shape{});
  CHECK(values<std::int64_t>(read.at("scalar")) == std::vector<std::int64_t>{-9});
  CHECK(read.at("empty").data.empty());
  CHECK(read.at("inner.wrapped").dtype == DType::f64);
  CHECK(values<double>(read.at("inner.wrapped")) == std::vector<double>{0.1});
}

TEST_CASE("half precision becomes float32") {
  const TorchFile file;
  const SafetensorsMap read =
      file.read(pickled(dict({{"half", tensor("HalfStorage", "0", 7, 0, {7}, {1})},
                              {"brain", tensor("BFloat16Storage", "1", 3, 0, {3}, {1})}})),
                // IEEE 754: 1, -2, 65504 (the largest), 2^-24 (the least), 2^-14 - 2^-24, infinity, 0.333251953125
                {{"archive/data/0", raw<std::uint16_t>({0x3C00, 0xC000, 0x7BFF, 0x0001, 0x03FF, 0x7C00, 0x3555})},
                 {"archive/data/1", raw<std::uint16_t>({0x3F80, 0xC000, 0x3EAB})}});
  CHECK(read.at("half").dtype == DType::f32);
  CHECK(values<float>(read.at("half")) == std::vector<float>{1, -2, 65504, 0x1p-24F, 0x3FFp-24F,
                                                             std::numeric_limits<float>::infinity(), 0.333251953125F});
  CHECK(values<float>(read.at("brain")) == std::vector<float>{1, -2, 0.333984375F});
}

TEST_CASE("a pickle that would call something is refused by the name of what it calls") {
  const TorchFile file;
  CHECK_THAT(file.refusal("\x80\x02"
                          "cposix\nsystem\n" +
                          text("touch pwned") + "\x85R."),
             ContainsSubstring("posix.system") && ContainsSubstring("nothing of it was run"));
  CHECK_THAT(file.refusal("\x80\x04" + text("builtins") + text("eval") + "\x93" + text("1") + "\x85R."),
             ContainsSubstring("builtins.eval"));
  CHECK_THAT(file.refusal(pickled(dict({{"args", "cargparse\nNamespace\n)\x81"}}))),
             ContainsSubstring("argparse.Namespace"));
  // Allowed names in other places than their own.
  CHECK_THAT(file.refusal(pickled(dict({{"x", "ctorch\nFloatStorage\n)R"}}))),
             ContainsSubstring("\"x\" is not a tensor"));
  CHECK_THAT(file.refusal(pickled(dict({{"x", "ctorch._utils\n_rebuild_tensor_v2\n)R"}}))),
             ContainsSubstring("\"x\" is not a tensor"));
}

TEST_CASE("pickles that are cut off, malformed or huge are refused") {
  const TorchFile file;
  const std::string sound = pickled(dict({{"x", tensor("FloatStorage", "0", 8, 0, {8}, {1})}}));
  const Members members{{"archive/data/0", eight}};
  REQUIRE(file.read(sound, members).size() == 1);
  for (std::size_t length = 0; length < sound.size(); ++length)
    CHECK_THAT(file.refusal(sound.substr(0, length), members), ContainsSubstring("[pickle]"));
  CHECK_THAT(file.refusal(pickled("0")), ContainsSubstring("opcode 0x30"));
  CHECK_THAT(file.refusal(pickled("t")), ContainsSubstring("there is no mark"));
  CHECK_THAT(file.refusal(pickled("h\x05")), ContainsSubstring("nothing was kept as 5"));
  CHECK_THAT(file.refusal(pickled("}(" + text("key") + "u")), ContainsSubstring("a key without a value"));
  CHECK_THAT(file.refusal(pickled("](" + text("x") + "s")), ContainsSubstring("2 values expected on the stack"));
  CHECK_THAT(file.refusal("\x80\x63"
                          "}."),
             ContainsSubstring("protocol 99"));
  CHECK_THAT(file.refusal(pickled("X\xff\xff\xff\xff")), ContainsSubstring("4294967295 more bytes expected"));
  CHECK_THAT(file.refusal(pickled(text("only text"))), ContainsSubstring("expected a dict of tensors"));
  CHECK_THAT(file.refusal(pickled(std::string(5'000'000, ')'))), ContainsSubstring("more than 4000000 values"));
}

TEST_CASE("deep nesting, circles and shared dicts end in a line") {
  const TorchFile file;
  // A million lists in each other are read: nothing recurses.
  std::string lists = "}" + text("x");
  for (int i = 0; i < 1'000'000; ++i) lists += "](";
  for (int i = 0; i < 999'999; ++i) lists += "e";
  CHECK(file.refusal(pickled(lists + "es")) == "nothing was refused");
  // A dict that holds itself, and fifty dicts that each hold the next one twice.
  CHECK_THAT(file.refusal(pickled("}q\x01" + text("self") + "h\x01s")), ContainsSubstring("nested deeper"));
  std::string bomb = "}q\x01";
  for (char i = 2; i < 52; ++i) {
    const std::string inner = std::string("h") + static_cast<char>(i - 1);
    bomb += "}q" + std::string(1, i) + text("a") + inner + "s" + text("b") + inner + "s";
  }
  const std::string refusal = file.refusal(pickled(bomb));
  CHECK((refusal.find("nested deeper") != std::string::npos || refusal.find("entries") != std::string::npos));
}

TEST_CASE("tensors that claim more than there is are refused") {
  const TorchFile file;
  const Members members{{"archive/data/0", eight}};
  const auto refusal = [&](std::int64_t elements, std::int64_t offset, const std::vector<std::int64_t>& shape,
                           const std::vector<std::int64_t>& strides) {
    return file.refusal(pickled(dict({{"x", tensor("FloatStorage", "0", elements, offset, shape, strides)}})), members);
  };
  CHECK_THAT(refusal(std::int64_t{1} << 40, 0, {8}, {1}), ContainsSubstring("claims a storage of 4398046511104 bytes"));
  CHECK_THAT(refusal(16, 0, {8}, {1}), ContainsSubstring("has 32 bytes, expected 64"));
  CHECK_THAT(refusal(8, 1, {8}, {1}), ContainsSubstring("does not fit into its storage of 8 elements"));
  CHECK_THAT(refusal(8, 0, {8}, {2}), ContainsSubstring("does not fit"));
  CHECK_THAT(refusal(8, 0, {9}, {0}), ContainsSubstring("does not fit"));
  CHECK_THAT(refusal(8, 8, {}, {}), ContainsSubstring("begins at element 8"));
  CHECK_THAT(refusal(8, -1, {8}, {1}), ContainsSubstring("impossible size"));
  CHECK_THAT(refusal(8, 0, {std::int64_t{1} << 40, std::int64_t{1} << 40}, {1, 1}), ContainsSubstring("does not fit"));
  CHECK_THAT(refusal(8, 0, {std::int64_t{1} << 40, std::int64_t{1} << 40, 0}, {1, 1, 1}),
             ContainsSubstring("too large"));
  CHECK_THAT(refusal(8, 0, {1, 1, 1, 2, 2, 2}, {8, 8, 8, 4, 2, 1}), ContainsSubstring("6 axes"));
  CHECK_THAT(refusal(8, 0, {8}, {1, 1}), ContainsSubstring("no size or strides"));
  CHECK_THAT(file.refusal(pickled(dict({{"x", tensor("FloatStorage", "7", 8, 0, {8}, {1})}})), members),
             ContainsSubstring("\"x\" lies in member 7, which is missing"));
  CHECK_THAT(file.refusal(pickled(dict({{"x", tensor("FloatStorage", "0", 8, 0, {8}, {1})},
                                        {"y", tensor("DoubleStorage", "0", 4, 0, {4}, {1})}})),
                          members),
             ContainsSubstring("differ about the storage"));
  // A thousand names for one storage.
  Members many;
  for (int i = 0; i < 1000; ++i) many[fmt::format("x{}", i)] = "h\x01";
  CHECK_THAT(file.refusal(pickled("}(" + text("first") + tensor("FloatStorage", "0", 100'000, 0, {100'000}, {1}) +
                                  "q\x01u" + "(" + dict(many).substr(2)),
                          {{"archive/data/0", std::string(400'000, 'x')}}),
             ContainsSubstring("share storages"));
}

TEST_CASE("archives that are not of torch.save are refused") {
  const TorchFile file;
  CHECK_THROWS_WITH(file.read_members({{"a/b", "c"}}), ContainsSubstring("without data.pkl"));
  CHECK_THROWS_WITH(file.read_members({{"a/data.pkl", pickled("}")}, {"b/data.pkl", pickled("}")}}),
                    ContainsSubstring("two members are called data.pkl"));
  CHECK_THAT(file.refusal(pickled("}"), {{"archive/byteorder", "big"}}), ContainsSubstring("big-endian"));
  CHECK(file.read(pickled("}"), {{"archive/byteorder", "little"}}).empty());
}

}  // namespace mcn
