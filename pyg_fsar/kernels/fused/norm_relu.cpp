// Batch normalisation, dropout, a residual and a rectifier in one: relu(dropout(norm(x)) + residual).
//
// Each alone would read and write all of its input, and memory bandwidth limits them. This reads x
// twice, once for its statistics, and twice in the backward pass. The dropout mask follows from a
// seed, so it is not kept.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <vector>

#include "dropout.hpp"
#include "lanes.hpp"
#include "threads.hpp"

namespace {

// Entries for each thread at least.
constexpr int64_t WORTH_A_THREAD = int64_t(1) << 17;
// Rows that are added in the precision of the input, before their sum is added in float64.
constexpr int64_t BLOCK = 64;

template <class T> struct Problem {
  int64_t rows, channels;
  uint64_t seed;
  double p, eps;
  int64_t threads;

  Dropout<T> dropout(int64_t row) const { return {seed, uint64_t(row), p}; }
  int64_t first_row(int64_t thread) const { return rows * thread / threads; }
};

// For each channel two sums over all rows. The body adds a row to both.
template <class T, class Body>
std::vector<double> sums(const Problem<T> &problem, const Body &body) {
  const int64_t C = problem.channels;
  std::vector<double> all(size_t(problem.threads * 2 * C));
  std::vector<T> blocks(all.size());
  in_parallel(problem.threads, [&](int64_t thread) {
    double *own = &all[thread * 2 * C];
    T *block = &blocks[thread * 2 * C];
    const int64_t end = problem.first_row(thread + 1);
    for (int64_t row = problem.first_row(thread); row < end;) {
      const int64_t stop = std::min(row + BLOCK, end);
      std::fill_n(block, 2 * C, T(0));
      for (; row < stop; ++row) body(row, block, block + C);
      for (int64_t c = 0; c < 2 * C; ++c) own[c] += block[c];
    }
  });
  for (int64_t k = 2 * C; k < int64_t(all.size()); ++k) all[k % (2 * C)] += all[k];
  all.resize(2 * C);
  return all;
}

template <class T, class Body> void for_rows(const Problem<T> &problem, const Body &body) {
  in_parallel(problem.threads, [&](int64_t thread) {
    const int64_t end = problem.first_row(thread + 1);
    for (int64_t row = problem.first_row(thread); row < end; ++row) body(row);
  });
}

template <class T> void forward(const Problem<T> &problem, T *const *arrays) {
  const T *x = arrays[0], *residual = arrays[1], *weight = arrays[2], *bias = arrays[3];
  T *y = arrays[4], *mean = arrays[5], *variance = arrays[6];
  const int64_t C = problem.channels;
  // Differences from the first row: their squares keep digits that those of x itself would lose.
  const auto totals = sums<T>(problem, [&](int64_t row, T *first, T *second) {
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const Vector<T> d = load<T>(x + row * C + c) - load<T>(x + c);
      store<T>(first + c, load<T>(first + c) + d);
      store<T>(second + c, load<T>(second + c) + d * d);
    }
  });
  std::vector<T> slope(C), offset(C);
  for (int64_t c = 0; c < C; ++c) {
    const double shift = totals[c] / problem.rows;
    const double spread = std::max(0., totals[C + c] / problem.rows - shift * shift);
    const double inverse = weight[c] / std::sqrt(spread + problem.eps);
    mean[c] = T(x[c] + shift);
    variance[c] = T(spread);
    slope[c] = T(inverse);
    offset[c] = T(bias[c] - (x[c] + shift) * inverse);
  }
  for_rows<T>(problem, [&](int64_t row) {
    const Dropout<T> dropout = problem.dropout(row);
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const int64_t at = row * C + c;
      Vector<T> value = load<T>(x + at) * load<T>(&slope[c]) + load<T>(&offset[c]);
      value = dropout(value, uint32_t(c));
      if (residual) value += load<T>(residual + at);
      store<T>(y + at, value < 0 ? Vector<T>{} : value);
    }
  });
}

template <class T> void backward(const Problem<T> &problem, T *const *arrays) {
  const T *grad = arrays[0], *x = arrays[1], *y = arrays[2], *weight = arrays[3];
  const T *mean = arrays[4], *variance = arrays[5];
  T *grad_x = arrays[6], *grad_residual = arrays[7], *grad_weight = arrays[8];
  T *grad_bias = arrays[9];
  const int64_t C = problem.channels;
  const auto totals = sums<T>(problem, [&](int64_t row, T *first, T *second) {
    const Dropout<T> dropout = problem.dropout(row);
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const int64_t at = row * C + c;
      const Vector<T> g = load<T>(y + at) <= 0 ? Vector<T>{} : load<T>(grad + at);
      if (grad_residual) store<T>(grad_residual + at, g);
      const Vector<T> d = dropout(g, uint32_t(c));
      store<T>(first + c, load<T>(first + c) + d);
      store<T>(second + c, load<T>(second + c) + d * (load<T>(x + at) - load<T>(mean + c)));
    }
  });
  std::vector<T> of_grad(C), of_x(C), offset(C);
  for (int64_t c = 0; c < C; ++c) {
    const double inverse = 1 / std::sqrt(double(variance[c]) + problem.eps);
    grad_bias[c] = T(totals[c]);
    grad_weight[c] = T(totals[C + c] * inverse);
    const double slope = -weight[c] * inverse * inverse * inverse * totals[C + c] / problem.rows;
    of_grad[c] = T(weight[c] * inverse);
    of_x[c] = T(slope);
    offset[c] = T(-weight[c] * inverse * totals[c] / problem.rows - slope * mean[c]);
  }
  for_rows<T>(problem, [&](int64_t row) {
    const Dropout<T> dropout = problem.dropout(row);
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const int64_t at = row * C + c;
      Vector<T> g;
      if (grad_residual)
        g = load<T>(grad_residual + at);
      else
        g = load<T>(y + at) <= 0 ? Vector<T>{} : load<T>(grad + at);
      store<T>(grad_x + at, dropout(g, uint32_t(c)) * load<T>(&of_grad[c]) +
                                load<T>(x + at) * load<T>(&of_x[c]) + load<T>(&offset[c]));
    }
  });
}

template <class T> using Pass = void (*)(const Problem<T> &, T *const *);

template <class T>
int run(Pass<T> pass, void *const *arrays, const int64_t *sizes, const double *options) noexcept {
  const int64_t rows = sizes[0], channels = sizes[1];
  const int64_t worth = std::max<int64_t>(1, rows * channels / WORTH_A_THREAD);
  const int64_t threads = std::min(sizes[3], worth);
  try {
    pass({rows, channels, uint64_t(sizes[2]), options[0], options[1], threads},
         (T *const *)arrays);
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}

}  // namespace

extern "C" {
int norm_relu_lanes(int bytes) { return REGISTER_BYTES / bytes; }

#define EXPORT(NAME, T)                                                                           \
  int norm_relu_forward_##NAME(void *const *arrays, const int64_t *sizes, const double *options) {\
    return run<T>(forward<T>, arrays, sizes, options);                                            \
  }                                                                                               \
  int norm_relu_backward_##NAME(void *const *arrays, const int64_t *sizes,                        \
                                const double *options) {                                          \
    return run<T>(backward<T>, arrays, sizes, options);                                           \
  }
EXPORT(float32, float)
EXPORT(float64, double)
}
