// Embeddings as files: NumPy's .npz, .csv and .safetensors.
#pragma once

#include <string>
#include <vector>

#include "meta/evaluate/embedding.h"

namespace mcn {

/// Features of videos, and what tells where they are from.
struct EmbeddingFile {
  Embedding embedding;
  std::vector<std::string> videos;   ///< name of each row's
  std::vector<std::string> classes;  ///< by label; empty: the videos have no labels
  int clips = 0;                     ///< a video
  std::string checkpoint;            ///< the file of the network
  std::string weights;               ///< "trained" or "random"
};

/// UsageError unless the path ends in .npz, .csv or .safetensors.
void check_embedding_path(const std::string& path);

/// Writes the file whole or not at all. What it holds, by the end of its name (labels and classes only if there are
/// any):
///   .npz          features (videos x features, <f4), labels (<i8), and, as strings, videos, classes, checkpoint,
///                 weights; clips (<i8). A byte of a name that is not UTF-8 becomes what os.fsencode turns back.
///   .csv          a header, then a line for each video: video, label, class, clips, checkpoint, weights, f0, f1, ...
///                 (RFC 4180)
///   .safetensors  features (F32), labels (I64); in the metadata clips, checkpoint and weights, and as JSON lists
///                 videos and classes
/// DataError if it cannot be written; UsageError as check_embedding_path.
void write_embedding(const std::string& path, const EmbeddingFile& file);

}  // namespace mcn
