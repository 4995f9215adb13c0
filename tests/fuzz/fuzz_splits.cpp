// Official split files. The input is three texts with a NUL between: UCF101's classInd.txt, trainlist01.txt and
// testlist01.txt, or HMDB51's lists of three classes.
#include "tests/fuzz/fuzz.h"

using mcn::fuzz::DataSetFolder;
using mcn::fuzz::TextFiles;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const DataSetFolder ucf101(
      mcn::DatasetFormat::ucf101,
      {"Archery/v_Archery_g01_c01.avi", "Archery/v Archery 7.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"});
  static TextFiles ucf101_lists(
      ucf101, {"ucfTrainTestlist/classInd.txt", "ucfTrainTestlist/trainlist01.txt", "ucfTrainTestlist/testlist01.txt"});
  static const DataSetFolder hmdb51(mcn::DatasetFormat::hmdb51,
                                    {"clap/#20_clap_u_nm_np1_fr_goo_0.avi", "clap/a 2.avi", "fall/fall/b.avi",
                                     "hmdb51_org/fall_floor/c.avi", "hmdb51_org/fall_floor/d.avi"});
  static TextFiles hmdb51_lists(
      hmdb51, {"testTrainMulti_7030_splits/clap_test_split1.txt", "testTrainMulti_7030_splits/fall_test_split1.txt",
               "testTrainMulti_7030_splits/fall_floor_test_split1.txt"});
  ucf101_lists.write(mcn::fuzz::as_text(data, size));
  ucf101.check();
  hmdb51_lists.write(mcn::fuzz::as_text(data, size));
  hmdb51.check();
  return 0;
}
