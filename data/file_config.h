// How the files of a data set are read.
#pragma once

#include <string>

namespace mcn {

struct VideoOptions;

struct FileConfig {
  std::string index_folder;    ///< where indices are kept between runs; empty: nowhere
  int max_open = 64;           ///< files open at a time
  double timeout_seconds = 0;  ///< for opening a file, and for each read of it; 0: none
  int codec_threads = 1;       ///< that decode frames of one file, for fewer files at a time than cores
  bool cuda = false;           ///< VideoOptions::cuda

  [[nodiscard]] VideoOptions options() const;
};

}  // namespace mcn
