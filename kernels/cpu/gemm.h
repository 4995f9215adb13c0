// The matrix product that everything dense in this folder is made of: rows of A are given by pointers, so that a
// convolution needs no copy of its patches (an "indirect" convolution), and the reduction runs over taps of such rows.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace mcn::cpu {

/// A division of the columns of B into panels of at most tile_vectors vectors, and of the reduction into blocks that
/// stay in cache: a block is either several whole taps, or a part of one tap.
template <class T>
class PanelLayout {
 public:
  static constexpr int width = Simd<T>::width;

  struct Panel {
    std::int64_t column;  ///< first column
    std::int64_t padded;  ///< first column in packed memory, whose panels are whole vectors
    int vectors;
    int last;  ///< columns of the last vector that exist
  };
  struct Block {
    std::int64_t tap, taps, begin, length;
    std::int64_t row;  ///< reduction steps before this block
  };

  /// B has `taps` matrices of `length` rows and `columns` columns.
  PanelLayout(std::int64_t taps, std::int64_t length, std::int64_t columns);

  [[nodiscard]] const std::vector<Panel>& panels() const { return panels_; }
  [[nodiscard]] const std::vector<Block>& blocks() const { return blocks_; }
  [[nodiscard]] std::int64_t taps() const { return taps_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  /// Elements of packed B.
  [[nodiscard]] std::int64_t packed_size() const { return taps_ * length_ * padded_columns_; }
  [[nodiscard]] std::int64_t offset(const Block& block, const Panel& panel) const {
    return block.row * padded_columns_ + block.taps * block.length * panel.padded;
  }

  /// Packs B, whose element (tap, k, column) is source[tap_offsets[tap] + k row_stride + column column_stride], one of
  /// the strides being 1. Runs over threads.
  void pack(const T* source, const std::int64_t* tap_offsets, std::int64_t row_stride, std::int64_t column_stride,
            T* packed) const;

 private:
  std::int64_t taps_, length_, columns_, padded_columns_;
  std::vector<Panel> panels_;
  std::vector<Block> blocks_;
};

/// c[m][column] (+)= sum over taps and k of rows[tap * row_stride + m][k] * B(tap, k, column), for m < `count` and the
/// columns of panels [panel_begin, panel_end). Tables hold a multiple of tile_rows pointers a tap; those past `count`
/// must be readable rows. One thread.
template <class T>
void multiply_block(const PanelLayout<T>& layout, const T* packed, const T* const* rows, std::int64_t row_stride,
                    T* const* c, std::int64_t count, std::int64_t panel_begin, std::int64_t panel_end, bool accumulate);

/// How the output of a product of `rows` x `columns` is divided into tasks; depends on the shape alone.
struct TaskGrid {
  std::int64_t row_block;  ///< rows of a task, a multiple of tile_rows
  std::int64_t row_blocks;
  std::int64_t panel_block;  ///< panels of a task
  std::int64_t panel_blocks;
  [[nodiscard]] std::int64_t tasks() const { return row_blocks * panel_blocks; }
};
TaskGrid divide(std::int64_t rows, std::int64_t reduction, std::int64_t columns, std::int64_t panels);

extern template class PanelLayout<float>;
extern template class PanelLayout<double>;

}  // namespace mcn::cpu
