// Kinetics' CSV files. The input is two with a NUL between: train.csv and val.csv.
#include "tests/fuzz/fuzz.h"

using mcn::fuzz::DataSetFolder;
using mcn::fuzz::TextFiles;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const DataSetFolder folder(mcn::DatasetFormat::kinetics,
                                    {"x_000001_000011.mp4", "riding a bike/-y_000010_000020.mp4", "yoga/z.mkv",
                                     "riding_a_bike/x_000001_000011.mp4", "val/v_000123_000133.webm"});
  static TextFiles lists(folder, {"train.csv", "annotations/val.csv"});
  lists.write(mcn::fuzz::as_text(data, size));
  folder.check();
  return 0;
}
