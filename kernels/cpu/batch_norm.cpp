// Batch normalisation, forward and vjp: the statistics take one read of x, everything else is fused into one pass.
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace mcn::cpu {
namespace {

// Mean and sum of squared deviations a channel. Two passes inside a cache-resident block, blocks merged in double
// (Chan, Golub and LeVeque, 1979), because E[x^2] - mean^2 loses all digits where the mean is large.
template <class T>
void moments(CachingAllocator& allocator, const RowGroups& g, const T* x, double* mean, double* squares) {
  const std::int64_t channels = g.channels;
  const Scratch<double> partial(allocator, g.tasks * 2 * channels);
  const Scratch<double> block_sums(allocator, slot_count() * 2 * channels);
  const Scratch<T> lines(allocator, slot_count() * 2 * g.width);
  const auto count = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t rows = (std::min(g.total, end * g.width) - begin * g.width) / channels;
    return static_cast<double>(rows);
  };
  // Adds n samples of the given mean and squares to those of (mean, squares), which are `before` many.
  const auto merge = [channels](double before, double n, const double* m, const double* s, double* to_mean,
                                double* to_squares) {
    const double share = n / (before + n);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double delta = m[c] - to_mean[c];
      to_mean[c] += delta * share;
      to_squares[c] += s[c] + delta * delta * before * share;
    }
  };
  const std::int64_t task_lines = g.blocks_per_task * g.block;
  parallel_slots(g.tasks, [&](std::int64_t task, std::int64_t slot) {
    double* task_mean = partial.get() + task * 2 * channels;
    double* task_squares = task_mean + channels;
    double* block_mean = block_sums.get() + slot * 2 * channels;
    double* block_squares = block_mean + channels;
    T* sums = lines.get() + slot * 2 * g.width;
    T* wide_mean = sums + g.width;
    std::fill_n(task_mean, 2 * channels, 0.0);
    const std::int64_t first = task * task_lines;
    const std::int64_t last = std::min(g.lines, first + task_lines);
    for (std::int64_t line = first; line < last; line += g.block) {
      const std::int64_t end = std::min(last, line + g.block);
      const double n = count(line, end);
      std::fill_n(block_mean, 2 * channels, 0.0);
      sum_lines<1>(g, line, end, sums, [=](std::int64_t i, std::int64_t) { return Terms<T, 1>{{x[i]}}; });
      fold(g, sums, block_mean);
      for (std::int64_t c = 0; c < channels; ++c)
        block_mean[c] = static_cast<double>(static_cast<T>(block_mean[c] / n));
      g.widen(block_mean, wide_mean);
      const T* m = wide_mean;
      sum_lines<1>(g, line, end, sums, [=](std::int64_t i, std::int64_t w) {
        const T d = x[i] - m[w];
        return Terms<T, 1>{{d * d}};
      });
      fold(g, sums, block_squares);
      merge(count(first, line), n, block_mean, block_squares, task_mean, task_squares);
    }
  });
  std::fill_n(mean, channels, 0.0);
  std::fill_n(squares, channels, 0.0);
  for (std::int64_t task = 0; task < g.tasks; ++task) {
    const std::int64_t first = task * task_lines;
    merge(count(0, first), count(first, std::min(g.lines, first + task_lines)), partial.get() + task * 2 * channels,
          partial.get() + (task * 2 + 1) * channels, mean, squares);
  }
}

template <class T>
void forward(CachingAllocator& allocator, const BatchNormParams& params, ConstView x, ConstView gamma, ConstView beta,
             ConstView residual, View y, View mean, View rstd) {
  const RowGroups g(x.shape.rows(), x.shape.back());
  if (params.batch_statistics) {
    const Scratch<double> statistics(allocator, 2 * g.channels);
    double* squares = statistics.get() + g.channels;
    moments(allocator, g, x.as<T>(), statistics.get(), squares);
    const auto rows = static_cast<double>(x.shape.rows());
    for (std::int64_t c = 0; c < g.channels; ++c) {
      mean.as<T>()[c] = static_cast<T>(statistics[c]);
      rstd.as<T>()[c] = static_cast<T>(1.0 / std::sqrt(squares[c] / rows + params.eps));
    }
  }
  const Scratch<T> wide(allocator, 3 * g.width);
  const T* m = wide.get();
  const T* a = m + g.width;
  const T* b = a + g.width;
  std::vector<T> slope(static_cast<std::size_t>(g.channels));
  for (std::size_t c = 0; c < slope.size(); ++c) slope[c] = gamma.as<T>()[c] * rstd.as<T>()[c];
  g.widen(mean.as<T>(), wide.get());
  g.widen(slope.data(), wide.get() + g.width);
  g.widen(beta.as<T>(), wide.get() + 2 * g.width);
  const T* in = x.as<T>();
  const T* add = residual.as<T>();
  T* out = y.as<T>();
  branch(params.relu, [&](auto relu) {
    branch(add != nullptr, [&](auto adds) {
      for_each_row_element(g, [=](std::int64_t i, std::int64_t w) {
        T v = (in[i] - m[w]) * a[w] + b[w];
        if constexpr (adds) v += add[i];
        if constexpr (relu) v = v < T{0} ? T{0} : v;
        out[i] = v;
      });
    });
  });
}

template <class T>
void vjp(CachingAllocator& allocator, const BatchNormParams& params, const BatchNormSaved& saved, ConstView y_bar,
         const BatchNormGradients& out) {
  const RowGroups g(y_bar.shape.rows(), y_bar.shape.back());
  const auto rows = static_cast<double>(y_bar.shape.rows());
  const std::int64_t channels = g.channels;
  const Scratch<T> wide(allocator, 4 * g.width);
  const T* m = wide.get();
  g.widen(saved.mean.as<T>(), wide.get());
  const T* x = saved.x.as<T>();
  const T* y = saved.y.as<T>();
  const T* yb = y_bar.as<T>();
  const T* gamma = saved.gamma.as<T>();
  const T* rstd = saved.rstd.as<T>();

  std::vector<double> sums(static_cast<std::size_t>(2 * channels));
  if (out.gamma || out.beta || (out.x && params.batch_statistics)) {
    branch(params.relu, [&](auto relu) {
      sum_channels<2, T>(allocator, g, sums.data(), [=](std::int64_t i, std::int64_t w) {
        const T xc = x[i] - m[w];
        T gi = yb[i];
        if constexpr (relu) gi = masked(y[i], gi);
        return Terms<T, 2>{{gi, gi * xc}};
      });
    });
  }
  std::vector<T> a(static_cast<std::size_t>(channels)), b(a), e(a);
  for (std::size_t c = 0; c < a.size(); ++c) {
    const auto r = static_cast<double>(rstd[c]);
    const double sum_g = sums[c];
    const double sum_gh = sums[c + a.size()] * r;
    if (out.gamma) out.gamma.as<T>()[c] = static_cast<T>(sum_gh);
    if (out.beta) out.beta.as<T>()[c] = static_cast<T>(sum_g);
    const double slope = static_cast<double>(gamma[c]) * r;
    a[c] = static_cast<T>(slope);
    if (params.batch_statistics) {
      b[c] = static_cast<T>(-sum_g / rows);
      e[c] = static_cast<T>(-r * sum_gh / rows);
    }
  }
  if (!out.x && !out.residual) return;
  const T* slope = m + g.width;
  const T* shift = slope + g.width;
  const T* pull = shift + g.width;
  g.widen(a.data(), wide.get() + g.width);
  g.widen(b.data(), wide.get() + 2 * g.width);
  g.widen(e.data(), wide.get() + 3 * g.width);
  T* xb = out.x.as<T>();
  T* rb = out.residual.as<T>();
  branch(params.relu, [&](auto relu) {
    branch(xb != nullptr, [&](auto wants_x) {
      branch(rb != nullptr, [&](auto wants_residual) {
        for_each_row_element(g, [=](std::int64_t i, std::int64_t w) {
          T gi = yb[i];
          if constexpr (relu) gi = masked(y[i], gi);
          if constexpr (wants_residual) rb[i] = gi;
          if constexpr (wants_x) xb[i] = slope[w] * (gi + shift[w] + (x[i] - m[w]) * pull[w]);
        });
      });
    });
  });
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::BatchNormForward& k) {
  dispatch_float(k.x.dtype, [&]<class T>(T) {
    forward<T>(allocator_, k.params, k.x, k.gamma, k.beta, k.residual, k.y, k.mean, k.rstd);
  });
}

template <>
void CpuBackend::compute(const kernel::BatchNormVjp& k) {
  dispatch_float(k.y_bar.dtype, [&]<class T>(T) { vjp<T>(allocator_, k.params, k.saved, k.y_bar, k.bars); });
}

}  // namespace mcn::cpu
