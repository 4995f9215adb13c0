// UCF101's split files. The input is three texts with a NUL between: classInd.txt, trainlist01.txt, testlist01.txt.
#include <filesystem>
#include <fstream>

#include "data/dataset.h"
#include "tests/fuzz/fuzz.h"
#include "tests/temporary_folder.h"

namespace {

class Layout {
 public:
  Layout() {
    std::filesystem::create_directories(folder_.file("ucfTrainTestlist"));
    for (const char* name : {"Archery/v_Archery_g01_c01.avi", "Archery/v Archery 7.avi",
                             "HandstandPushups/v_HandStandPushups_g01_c01.avi"}) {
      std::filesystem::create_directories(std::filesystem::path(folder_.file(name)).parent_path());
      std::ofstream(folder_.file(name)) << "x";
    }
  }
  void write(const char* name, std::string_view text) const {
    std::ofstream(folder_.file(std::string("ucfTrainTestlist/") + name), std::ios::binary) << text;
  }
  [[nodiscard]] std::string root() const { return folder_.file(""); }

 private:
  mcn::test::TemporaryFolder folder_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Layout layout;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"classInd.txt", "trainlist01.txt", "testlist01.txt"}) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    layout.write(name, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (const mcn::Subset subset : {mcn::Subset::train, mcn::Subset::test})
    mcn::fuzz::read([&] {
      const mcn::Dataset dataset = mcn::load_ucf101(layout.root(), 1, subset);
      for (const mcn::VideoEntry& video : dataset.videos)
        if (video.label < 0 || video.label >= static_cast<std::int64_t>(dataset.classes.size()))
          mcn::fuzz::violated("a label is the index of a class");
    });
  return 0;
}
