// Bands about the diagonal of a cost.

#pragma once

#include <algorithm>
#include <cstdint>

#include "threads.hpp"

namespace {

// From the first to the one after the last.
struct Columns {
  int64_t begin, end;
};

// The cells (i, j) with low <= j - i <= high.
struct Band {
  int64_t low, high;

  Columns of_row(int64_t row, int64_t columns) const {
    const int64_t begin = std::clamp<int64_t>(row + low, 0, columns);
    return {begin, std::clamp(row + high + 1, begin, columns)};
  }

  int64_t width(int64_t columns) const { return std::min(high - low + 1, columns); }
};

// That of Sakoe and Chiba, widened for clips of different length so that it takes in both ends.
inline Band band_of(int64_t n, int64_t m, int64_t radius) {
  return {std::min<int64_t>(0, m - n) - radius, std::max<int64_t>(0, m - n) + radius};
}

// Cells of bands, times a factor for each pair, with zeros around them. From the place of its first
// cell on, a pair's band is stored row by row with nothing between: less memory is touched.
template <class S>
void spread(const S *factor, const S *bands, const int64_t *n, const int64_t *m, S *cells,
            int64_t pairs, int64_t rows, int64_t columns, int64_t radius, int threads) noexcept {
  constexpr int64_t cells_per_thread = int64_t(1) << 17;
  const int64_t count = std::clamp<int64_t>(pairs * rows * columns / cells_per_thread, 1, threads);
  in_parallel(count, [&](int64_t k) {
    for (int64_t pair = pairs * k / count; pair < pairs * (k + 1) / count; ++pair) {
      const Band band = band_of(n[pair], m[pair], radius);
      for (int64_t row = 0; row < rows; ++row) {
        const auto [begin, end] = band.of_row(row, columns);
        const S *source = bands + pair * rows * columns + row * band.width(columns);
        S *target = cells + (pair * rows + row) * columns;
        std::fill_n(target, begin, S(0));
        for (int64_t j = begin; j < end; ++j) target[j] = source[j - begin] * factor[pair];
        std::fill(target + end, target + columns, S(0));
      }
    }
  });
}

}  // namespace
