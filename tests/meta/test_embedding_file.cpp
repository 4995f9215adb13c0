// Embeddings as files: what another program reads from them.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/safetensors.h"
#include "kernels/error.h"
#include "meta/evaluate/embedding_file.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace mcn {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

/// By Python, which has its own reader of zip; empty where there is no Python.
nlohmann::json read_npz(const test::TemporaryFolder& folder, const std::string& path) {
  if (std::system("command -v python3 >/dev/null") != 0) return {};
  const std::string command =
      "python3 " MCN_SOURCE_DIR "/tests/meta/read_npz.py '" + path + "' >'" + folder.file("json") + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  return nlohmann::json::parse(content(folder.file("json")));
}

EmbeddingFile three_videos() {
  return {{2, {0.1F, -1, 1e-30F, 3, 16777216, 0.333333343F}, {1, 0, 1}},
          {"a,b.mp4", "say \"x\".mp4",
           "latin\xE9 \xC3\xA9 \xF0\x9F\x8E\xAC, not shortest \xE0\x81\x81, a surrogate \xED\xA0\x80.mp4"},
          {"run", "jump"},
          10,
          "run/last.safetensors",
          "trained"};
}

}  // namespace

TEST_CASE("an npz file is read by Python, strings and all") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("e.npz");
  EmbeddingFile file = three_videos();
  write_embedding(path, file);
  const nlohmann::json json = read_npz(folder, path);
  if (json.empty()) {
    MCN_SKIPPED("no python3");
    return;
  }
  CHECK(json.at("features").at("shape") == std::vector<int>{3, 2});
  CHECK(json.at("features").at("values").get<std::vector<float>>() == file.embedding.values);
  CHECK(json.at("labels").at("values") == std::vector<int>{1, 0, 1});
  std::vector<std::string> names;
  for (const std::string& name : file.videos) names.push_back(hex(name));
  CHECK(json.at("videos").at("values") == names);
  CHECK(json.at("classes").at("values") == std::vector<std::string>{hex("run"), hex("jump")});
  CHECK(json.at("clips").at("shape").empty());
  CHECK(json.at("clips").at("values") == std::vector<int>{10});
  CHECK(json.at("checkpoint").at("values") == std::vector<std::string>{hex("run/last.safetensors")});
  CHECK(json.at("weights").at("values") == std::vector<std::string>{hex("trained")});
  // The same features are the same bytes, at any time.
  const std::string first = content(path);
  write_embedding(path, file);
  CHECK((content(path) == first));

  file.classes.clear();
  write_embedding(path, file);
  const nlohmann::json unlabelled = read_npz(folder, path);
  CHECK_FALSE(unlabelled.contains("labels"));
  CHECK_FALSE(unlabelled.contains("classes"));
  CHECK(unlabelled.at("videos").at("values") == names);
}

TEST_CASE("a csv file quotes what it must, and gives back every number") {
  const test::TemporaryFolder folder;
  EmbeddingFile file = three_videos();
  file.videos[2] = "two\nlines.mp4";
  write_embedding(folder.file("e.csv"), file);
  CHECK(content(folder.file("e.csv")) ==
        "video,label,class,clips,checkpoint,weights,f0,f1\n"
        "\"a,b.mp4\",1,jump,10,run/last.safetensors,trained,0.1,-1\n"
        "\"say \"\"x\"\".mp4\",0,run,10,run/last.safetensors,trained,1e-30,3\n"
        "\"two\nlines.mp4\",1,jump,10,run/last.safetensors,trained,16777216,0.33333334\n");
  file.classes.clear();
  write_embedding(folder.file("u.csv"), file);
  CHECK(content(folder.file("u.csv")).starts_with("video,clips,checkpoint,weights,f0,f1\n\"a,b.mp4\",10,"));
}

TEST_CASE("a safetensors file has the names in its metadata") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("e.safetensors");
  const EmbeddingFile file = three_videos();
  write_embedding(path, file);
  const SafetensorsFile read = read_safetensors(path);
  CHECK(read.tensors.at("features").shape == Shape{3, 2});
  CHECK(read.tensors.at("labels").dtype == DType::i64);
  CHECK(nlohmann::json::parse(read.metadata.at("videos"))[1] == "say \"x\".mp4");
  CHECK(nlohmann::json::parse(read.metadata.at("classes")) == std::vector<std::string>{"run", "jump"});
  CHECK(read.metadata.at("clips") == "10");
  CHECK(read.metadata.at("checkpoint") == "run/last.safetensors");
  CHECK(read.metadata.at("weights") == "trained");
}

TEST_CASE("embeddings: other endings are refused by name, and what cannot be written leaves nothing") {
  const test::TemporaryFolder folder;
  for (const char* name : {"e.npy", "e", "e.npz.txt", ".h5"})
    CHECK_THROWS_WITH(
        check_embedding_path(folder.file(name)),
        Catch::Matchers::ContainsSubstring(std::string(name) + ": expected a name that ends in .npz, .csv"));
  CHECK_THROWS_AS(write_embedding(folder.file("none/e.npz"), three_videos()), DataError);
  CHECK(folder.count() == 0);
}

}  // namespace mcn
