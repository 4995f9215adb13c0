// InfoNCE as matrix products and a softmax over rows of the N x (N + M) logits, which are recomputed by every rule.
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mcn::cpu {
namespace {

template <class T>
class InfoNce {
 public:
  InfoNce(CachingAllocator& allocator, const InfoNceInputs& in)
      : allocator_(allocator),
        in_(in),
        n_(in.anchor.shape[0]),
        c_(in.anchor.shape[1]),
        m_(in.bank ? in.bank.shape[0] : 0),
        width_(n_ + m_),
        inverse_(1.0 / in.temperature),
        anchor_(in.anchor.as<T>()),
        key_(in.key.as<T>()),
        bank_(in.bank.as<T>()) {}

  [[nodiscard]] std::int64_t n() const { return n_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] std::int64_t size() const { return n_ * width_; }

  // Products of anchors with keys and bank, not divided by the temperature; own past at minus infinity.
  void logits(T* out) const {
    products(anchor_, key_, bank_, out, false);
    if (!in_.ids || m_ == 0) return;
    const auto* ids = in_.ids.as<std::int64_t>();
    const auto* bank_ids = in_.bank_ids.as<std::int64_t>();
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t j = 0; j < m_; ++j)
        if (bank_ids[j] == ids[i]) out[i * width_ + n_ + j] = -std::numeric_limits<T>::infinity();
  }

  // Turns logits into softmax probabilities, given the log-sum-exp of each row.
  void softmax(T* logits, const T* lse) const {
    each_row([&](std::int64_t i) {
      T* row = logits + i * width_;
      for (std::int64_t j = 0; j < width_; ++j)
        row[j] = static_cast<T>(std::exp(static_cast<double>(row[j]) * inverse_ - static_cast<double>(lse[i])));
    });
  }

  // The tangent of the logits times the temperature. Zero at the bank where anchor_dot is absent.
  void logits_dot(const T* anchor_dot, const T* key_dot, T* out) const {
    std::fill_n(out, size(), T{0});
    if (anchor_dot != nullptr) products(anchor_dot, key_, bank_, out, true);
    if (key_dot != nullptr) multiply<T>(allocator_, n_, n_, c_, {anchor_, c_}, {key_dot, c_, true}, out, width_, true);
  }

  // a (n x c) += g [keys; bank]
  void times_keys(const T* g, T* a) const {
    multiply<T>(allocator_, n_, c_, n_, {g, width_}, {key_, c_}, a, c_, true);
    if (m_ > 0) multiply<T>(allocator_, n_, c_, m_, {g + n_, width_}, {bank_, c_}, a, c_, true);
  }
  // a (n x c) += g_keys b, or its transpose: g's part that belongs to the batch's keys
  void times(const T* g, bool transposed, const T* b, T* a) const {
    multiply<T>(allocator_, n_, c_, n_, {g, width_, transposed}, {b, c_}, a, c_, true);
  }

  [[nodiscard]] double inverse() const { return inverse_; }
  [[nodiscard]] const T* anchor() const { return anchor_; }

  template <class F>
  void each_row(F&& f) const {
    parallel_blocks(n_, row_grain(width_ * 16), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(i);
    });
  }

 private:
  void products(const T* a, const T* keys, const T* bank, T* out, bool accumulate) const {
    multiply<T>(allocator_, n_, n_, c_, {a, c_}, {keys, c_, true}, out, width_, accumulate);
    if (m_ > 0) multiply<T>(allocator_, n_, m_, c_, {a, c_}, {bank, c_, true}, out + n_, width_, accumulate);
  }

  CachingAllocator& allocator_;
  const InfoNceInputs& in_;
  std::int64_t n_, c_, m_, width_;
  double inverse_;
  const T *anchor_, *key_, *bank_;
};

template <class T>
double scalar(ConstView v) {
  return v ? static_cast<double>(*v.as<T>()) : 0.0;
}

}  // namespace

template <>
void CpuBackend::compute(const kernel::InfoNceForward& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const InfoNce<T> nce(allocator_, k.inputs);
    const Scratch<T> logits(allocator_, nce.size());
    nce.logits(logits.get());
    const Scratch<double> terms(allocator_, nce.n());
    nce.each_row([&](std::int64_t i) {
      const T* row = logits.get() + i * nce.width();
      T top = row[0];
      for (std::int64_t j = 1; j < nce.width(); ++j) top = top < row[j] ? row[j] : top;
      const double shift = static_cast<double>(top) * nce.inverse();
      double sum = 0;
      for (std::int64_t j = 0; j < nce.width(); ++j)
        sum += std::exp(static_cast<double>(row[j]) * nce.inverse() - shift);
      const double l = shift + std::log(sum);
      k.lse.as<T>()[i] = static_cast<T>(l);
      terms[i] = l - static_cast<double>(row[i]) * nce.inverse();
    });
    double total = 0;
    for (std::int64_t i = 0; i < nce.n(); ++i) total += terms[i];
    *k.loss.as<T>() = static_cast<T>(total / static_cast<double>(nce.n()));
  });
}

template <>
void CpuBackend::compute(const kernel::InfoNceVjp& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const InfoNce<T> nce(allocator_, k.inputs);
    const Scratch<T> g(allocator_, nce.size());
    nce.logits(g.get());
    nce.softmax(g.get(), k.lse.as<T>());
    const double weight = scalar<T>(k.loss_bar) * nce.inverse() / static_cast<double>(nce.n());
    nce.each_row([&](std::int64_t i) {
      T* row = g.get() + i * nce.width();
      for (std::int64_t j = 0; j < nce.width(); ++j)
        row[j] = static_cast<T>(weight * (static_cast<double>(row[j]) - (i == j ? 1.0 : 0.0)));
    });
    std::fill_n(k.anchor_bar.as<T>(), k.anchor_bar.numel(), T{0});
    std::fill_n(k.key_bar.as<T>(), k.key_bar.numel(), T{0});
    nce.times_keys(g.get(), k.anchor_bar.as<T>());
    nce.times(g.get(), true, nce.anchor(), k.key_bar.as<T>());
  });
}

template <>
void CpuBackend::compute(const kernel::InfoNceJvp& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const InfoNce<T> nce(allocator_, k.inputs);
    const Scratch<T> p(allocator_, nce.size());
    const Scratch<T> dot(allocator_, nce.size());
    nce.logits(p.get());
    nce.softmax(p.get(), k.lse.as<T>());
    nce.logits_dot(k.anchor_dot.as<T>(), k.key_dot.as<T>(), dot.get());
    const Scratch<double> terms(allocator_, nce.n());
    nce.each_row([&](std::int64_t i) {
      const T* pi = p.get() + i * nce.width();
      const T* di = dot.get() + i * nce.width();
      double sum = 0;
      for (std::int64_t j = 0; j < nce.width(); ++j) sum += static_cast<double>(pi[j]) * static_cast<double>(di[j]);
      k.lse_dot.as<T>()[i] = static_cast<T>(sum * nce.inverse());
      terms[i] = (sum - static_cast<double>(di[i])) * nce.inverse();
    });
    double total = 0;
    for (std::int64_t i = 0; i < nce.n(); ++i) total += terms[i];
    *k.loss_dot.as<T>() = static_cast<T>(total / static_cast<double>(nce.n()));
  });
}

template <>
void CpuBackend::compute(const kernel::InfoNceVjpDot& k) {
  dispatch_float(k.inputs.anchor.dtype, [&]<class T>(T) {
    const InfoNce<T> nce(allocator_, k.inputs);
    const Scratch<T> g(allocator_, nce.size());
    const Scratch<T> g_dot(allocator_, nce.size());
    nce.logits(g.get());
    nce.softmax(g.get(), k.lse.as<T>());
    nce.logits_dot(k.anchor_dot.as<T>(), k.key_dot.as<T>(), g_dot.get());
    const double weight = scalar<T>(k.loss_bar) * nce.inverse() / static_cast<double>(nce.n());
    const double weight_dot = scalar<T>(k.loss_bar_dot) * nce.inverse() / static_cast<double>(nce.n());
    nce.each_row([&](std::int64_t i) {
      T* gi = g.get() + i * nce.width();
      T* di = g_dot.get() + i * nce.width();
      const double l_dot = k.lse_dot ? static_cast<double>(k.lse_dot.as<T>()[i]) : 0.0;
      for (std::int64_t j = 0; j < nce.width(); ++j) {
        const auto p = static_cast<double>(gi[j]);
        const double p_dot = p * (static_cast<double>(di[j]) * nce.inverse() - l_dot);
        const double excess = p - (i == j ? 1.0 : 0.0);
        gi[j] = static_cast<T>(weight * excess);
        di[j] = static_cast<T>(weight_dot * excess + weight * p_dot);
      }
    });
    T* a = k.anchor_bar_dot.as<T>();
    T* key = k.key_bar_dot.as<T>();
    std::fill_n(a, k.anchor_bar_dot.numel(), T{0});
    std::fill_n(key, k.key_bar_dot.numel(), T{0});
    nce.times_keys(g_dot.get(), a);
    nce.times(g_dot.get(), true, nce.anchor(), key);
    if (k.key_dot) nce.times(g.get(), false, k.key_dot.as<T>(), a);
    if (k.anchor_dot) nce.times(g.get(), true, k.anchor_dot.as<T>(), key);
  });
}

}  // namespace mcn::cpu
