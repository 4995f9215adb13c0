// Plain lists of "PATH LABEL" lines. The input is two with a NUL between: train.txt and val.txt.
#include "tests/fuzz/fuzz.h"

using mcn::fuzz::DataSetFolder;
using mcn::fuzz::TextFiles;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const DataSetFolder folder(mcn::DatasetFormat::list, {"a.mp4", "b/two words.avi", "b/ends in 3.avi", "3"});
  static TextFiles lists(folder, {"train.txt", "val.txt"});
  lists.write(mcn::fuzz::as_text(data, size));
  folder.check();
  return 0;
}
