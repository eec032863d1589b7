// Dynamic time warping, hard and soft, of many pairs side by side, and the gradient of its value.
//
// Each lane of a vector register holds a pair, so that a recursion that goes cell by cell fills whole
// registers. A block of pairs fills two registers, to overlap the latency of their dependent steps.
//
// The soft minimum works on exp(-r / gamma), kept as mantissa * 2^exponent. A cell then needs one
// exponential, that of its own cost, and no logarithm; and since whole exponents add without
// rounding, weights are accurate in float32 however long a path and however sharp the minimum.
//
// Within a band only its columns of each row are read, computed and written.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "band.hpp"
#include "lanes.hpp"
#include "threads.hpp"

namespace {

constexpr int REGISTERS = 2;
// Stands for an infinite cost, in units of gamma: sums of it stay finite in float32.
constexpr double FORBIDDEN = 1e30;
// Smaller entries of an alignment are set to zero: they are or become denormal numbers, with which a
// processor multiplies tens of times slower.
constexpr double NEGLIGIBLE = 1e-30;
// Rounding a float32 mantissa changes the value by 6e-8 gamma; above this, float64 is used.
constexpr double LARGE_GAMMA = 1;
// Above this size origins are recomputed for the backward pass, which takes less time than reading
// them from main memory.
constexpr int64_t CACHE_BYTES = int64_t(1) << 21;
// Where nothing is kept, costs are loaded in portions of this size, which fit the first-level cache.
constexpr int64_t PORTION_BYTES = int64_t(1) << 14;
constexpr int64_t LINE_BYTES = 64;
// Cells for each thread at least.
constexpr int64_t CELLS_PER_THREAD = int64_t(1) << 17;

enum Status { DONE = 0, OUT_OF_MEMORY = 1, BAD_LENGTH = 2 };

template <class S> struct Problem {
  const S *cost;
  const int64_t *n, *m;
  S *total;
  // Null if it is not wanted.
  S *alignment;
  int64_t pairs, rows, columns;
  double gamma;
  bool free_ends;
  // Radius of the band; negative if there is none.
  int64_t radius;
};

// Weight of each predecessor of a cell.
template <class T> struct Origin {
  Vector<T> diagonal, up, left;
};

// One cell of a block: an Item for each register.
template <class Item> struct Cell {
  Item at[REGISTERS];
};

// Computes the blocks of a problem one at a time. Numbers are stored as S and computed as T. Origins
// and alignment are computed only if traced.
template <class S, class T, bool soft, bool traced> class Worker {
  static constexpr int lanes = LANES<T>;
  using V = Vector<T>;
  typedef S Stored
      __attribute__((vector_size(lanes * sizeof(S)), aligned(alignof(S)), may_alias));

 public:
  static constexpr int PAIRS = REGISTERS * lanes;

  explicit Worker(const Problem<S> &problem)
      : problem(problem),
        rows(problem.rows),
        columns(problem.columns),
        segment(segment_rows(problem)),
        factor(soft ? T(-LOG2_E / problem.gamma) : T(-1)),
        factor_rest(soft ? T(-LOG2_E / problem.gamma - double(factor)) : T(0)),
        limit(T(std::min(FORBIDDEN * (soft ? problem.gamma : 1), double(-NEVER<T>)))),
        cells(new Cell<V>[size_t(segment * columns + lanes)]),
        origins(new Cell<Origin<T>>[size_t(traced ? segment * columns : 0)]),
        front(size_t(columns)),
        kept(size_t(traced ? ((rows - 1) / segment + 1) * columns : 0)),
        shares(size_t(traced ? columns : 0)) {}

  void run(int64_t block) {
    start(block);
    const int64_t last_segment = (rows - 1) / segment * segment;
    for (int64_t begin = 0; begin < rows; begin += segment) {
      if (traced) std::copy_n(front.data(), columns, &kept[begin / segment * columns]);
      forward(begin);
    }
    if (!traced) return;
    for (int64_t begin = last_segment; begin >= 0; begin -= segment) {
      if (begin < last_segment) {
        std::copy_n(&kept[begin / segment * columns], columns, front.data());
        forward(begin);
      }
      backward(begin);
    }
  }

 private:
  // All rows if their origins fit the cache, else the number that balances the memory for the origins
  // of a segment against that for the state between segments.
  static int64_t segment_rows(const Problem<S> &problem) {
    if (!traced) {
      const int64_t portion = PORTION_BYTES / (problem.columns * int64_t(sizeof(Cell<V>)));
      return std::min(std::max<int64_t>(1, portion), problem.rows);
    }
    const int64_t bytes = problem.rows * problem.columns * sizeof(Cell<Origin<T>>);
    return bytes <= CACHE_BYTES ? problem.rows : int64_t(std::ceil(std::sqrt(problem.rows)));
  }

  void start(int64_t block) {
    first = block * PAIRS;
    used = int(std::min<int64_t>(PAIRS, problem.pairs - first));
    for (int pair = 0; pair < PAIRS; ++pair) {
      n[pair] = problem.n[index(pair)];
      m[pair] = problem.m[index(pair)];
      last_column.at[pair / lanes][pair % lanes] = T(m[pair] - 1);
    }
    if (banded()) start_bands();
    for (auto &cell : front)
      for (auto &value : cell.at) value = {V{}, all(NEVER<T>)};
    for (auto &cell : shares)
      for (auto &share : cell.at) share = V{};
  }

  bool banded() const { return problem.radius >= 0; }

  void start_bands() {
    hull = band_of(n[0], m[0], problem.radius);
    for (int pair = 0; pair < PAIRS; ++pair) {
      bands[pair] = band_of(n[pair], m[pair], problem.radius);
      hull = {std::min(hull.low, bands[pair].low), std::max(hull.high, bands[pair].high)};
    }
    // NaN is passed down a column, so neighbouring rows of a band must have a column in common.
    if (hull.low == hull.high) --hull.low;
    uneven = std::any_of(bands, bands + PAIRS, [this](const Band &band) {
      return band.low != hull.low || band.high != hull.high;
    });
  }

  // Columns of a row that some pair may use.
  Columns needed(int64_t row) const {
    return banded() ? hull.of_row(row, columns) : Columns{0, columns};
  }

  // The last block is filled up with copies of its last pair.
  int64_t index(int pair) const { return first + std::min(pair, used - 1); }

  int64_t offset(int pair, int64_t row) const { return (index(pair) * rows + row) * columns; }

  void forward(int64_t begin) {
    const int64_t end = std::min(begin + segment, rows);
    if (!banded()) load(begin, {0, (end - begin) * columns}, cells.get());
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = (i - begin) * columns;
      if (banded()) load_band(i, &cells[at]);
      advance(i, &cells[at], traced ? &origins[at] : nullptr);
      for (int pair = 0; pair < used; ++pair)
        if (n[pair] - 1 == i) problem.total[first + pair] = total(pair);
    }
  }

  void backward(int64_t begin) {
    const int64_t end = std::min(begin + segment, rows);
    for (int64_t i = end - 1; i >= begin; --i) {
      for (int pair = 0; pair < used; ++pair)
        if (n[pair] - 1 == i) shares[m[pair] - 1].at[pair / lanes][pair % lanes] = 1;
      const int64_t at = (i - begin) * columns;
      retreat(i, &origins[at], &cells[at]);
      if (banded()) store_band(i, &cells[at]);
    }
    if (!banded()) store(begin, (end - begin) * columns);
  }

  S total(int pair) const {
    const Scaled<T> &end = front[m[pair] - 1].at[pair / lanes];
    const double mantissa = end.mantissa[pair % lanes], exponent = end.exponent[pair % lanes];
    const double value = soft ? (exponent + std::log2(mantissa)) * (-problem.gamma / LOG2_E)
                              : mantissa - exponent;
    // It went through a forbidden cell, or through costs that cannot be told from one.
    if (std::abs(value) >= double(limit) / 2) return S(std::copysign(INFINITY, value));
    return S(value);
  }

  // Replaces the front, one row of accumulated values, by the next.
  void advance(int64_t row, const Cell<V> *costs, Cell<Origin<T>> *from) {
    const auto [begin, end] = needed(row);
    Scaled<T> diagonal[REGISTERS], left[REGISTERS];
    for (int r = 0; r < REGISTERS; ++r) {
      left[r] = {V{}, all(NEVER<T>)};
      // Only the first cell has a path that begins before it.
      if (row == 0)
        diagonal[r] = {all(T(soft)), V{}};
      else
        diagonal[r] = begin > 0 ? front[begin - 1].at[r] : left[r];
    }
    for (int64_t j = begin; j < end; ++j)
      for (int r = 0; r < REGISTERS; ++r) {
        const Scaled<T> above = front[j].at[r];
        Scaled<T> up = above;
        if (problem.free_ends && j > 1) {
          const BitVector<T> open = last_column.at[r] == all(T(j));
          up = {open ? above.mantissa : V{}, open ? above.exponent : all(NEVER<T>)};
        }
        const V cost = larger(all(-limit), smaller(all(limit), costs[j].at[r]));
        Origin<T> *origin = traced ? &from[j].at[r] : nullptr;
        const Scaled<T> here = soft ? soft_step(diagonal[r], up, left[r], cost, origin)
                                    : hard_step(diagonal[r], up, left[r], cost, origin);
        front[j].at[r] = left[r] = here;
        diagonal[r] = above;
      }
  }

  Scaled<T> soft_step(const Scaled<T> &diagonal, const Scaled<T> &up, const Scaled<T> &left,
                      V cost, Origin<T> *from) const {
    const V best = larger(larger(diagonal.exponent, up.exponent), left.exponent);
    const V by_diagonal = diagonal.mantissa * whole_power<T>(diagonal.exponent - best);
    const V by_up = up.mantissa * whole_power<T>(up.exponent - best);
    const V by_left = left.mantissa * whole_power<T>(left.exponent - best);
    const V sum = by_diagonal + by_up + by_left;
    if (traced) {
      const V inverse = T(1) / sum;
      *from = {by_diagonal * inverse, by_up * inverse, by_left * inverse};
    }
    // exp(-cost / gamma) as a whole power of 2 and the rest. The difference is a fused operation,
    // which keeps the bits that the product alone would lose.
    const V whole = (cost * factor + ROUNDER<T>) - ROUNDER<T>;
    const V rest = (cost * factor - whole) + cost * factor_rest;
    const V power = small_power<T>(larger(all(T(-1)), smaller(all(T(1)), rest)));
    return normalised<T>({sum * power, best + whole});
  }

  // The exponent is minus the accumulated cost. A cost that is NaN has to reach the last cell, which
  // it does along its row, by the second operand of a comparison, and then down the last column.
  Scaled<T> hard_step(const Scaled<T> &diagonal, const Scaled<T> &up, const Scaled<T> &left,
                      V cost, Origin<T> *from) const {
    const V best = larger(diagonal.exponent, up.exponent);
    if (traced) {
      const V none = V{}, one = all(T(1));
      const BitVector<T> from_left = left.exponent > best;
      const BitVector<T> from_up = up.exponent > diagonal.exponent;
      *from = {from_left ? none : (from_up ? none : one), from_left ? none : (from_up ? one : none),
               from_left ? one : none};
    }
    return {V{}, larger(best, left.exponent) - (cost + up.exponent * T(0))};
  }

  // One row of the alignment, of which each cell passes its gradient back to its predecessors.
  void retreat(int64_t row, const Cell<Origin<T>> *from, Cell<V> *here) {
    const auto [begin, end] = needed(row);
    V diagonal[REGISTERS] = {}, left[REGISTERS] = {};
    for (int64_t j = end - 1; j >= begin; --j)
      for (int r = 0; r < REGISTERS; ++r) {
        const V sum = shares[j].at[r] + left[r];
        const V share = sum < T(NEGLIGIBLE) ? V{} : sum;
        here[j].at[r] = share;
        shares[j].at[r] = from[j].at[r].up * share + diagonal[r];
        diagonal[r] = from[j].at[r].diagonal * share;
        left[r] = from[j].at[r].left * share;
      }
    if (begin > 0)
      for (int r = 0; r < REGISTERS; ++r) shares[begin - 1].at[r] = diagonal[r];
  }

  // Costs of the given columns, counted from the start of a row and running on into the next rows;
  // and up to a tile more, which is never used.
  void load(int64_t row, Columns part, Cell<V> *into) {
    for (int r = 0; r < REGISTERS; ++r) {
      const int64_t there = problem.pairs * rows * columns - offset(r * lanes + lanes - 1, row);
      for (int64_t c = part.begin; c < part.end; c += lanes) {
        V tile[lanes];
        for (int k = 0; k < lanes; ++k) {
          const S *source = problem.cost + offset(r * lanes + k, row) + c;
          S rest[lanes] = {};
          if (there - c < lanes) {
            std::copy_n(source, there - c, rest);
            source = rest;
          }
          tile[k] = __builtin_convertvector(*(const Stored *)source, V);
        }
        transpose<T>(tile);
        for (int k = 0; k < lanes; ++k) into[c + k].at[r] = tile[k];
      }
    }
  }

  // One row, with infinity where a pair's band is narrower than the block's.
  void load_band(int64_t row, Cell<V> *into) {
    const Columns part = hull.of_row(row, columns);
    load(row, part, into);
    // Hardware prefetching follows whole rows, but not parts of the rows of many pairs.
    if (row + 1 < rows)
      for (int pair = 0; pair < used; ++pair)
        for (int64_t j = part.begin; j < part.end; j += LINE_BYTES / int64_t(sizeof(S)))
          __builtin_prefetch(problem.cost + offset(pair, row + 1) + j);
    if (!uneven) return;
    for (int pair = 0; pair < PAIRS; ++pair) {
      const Columns own = bands[pair].of_row(row, columns);
      const auto forbid = [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) into[j].at[pair / lanes][pair % lanes] = INFINITY;
      };
      forbid(part.begin, own.begin);
      forbid(own.end, part.end);
    }
  }

  void store(int64_t row, int64_t count) {
    for (int r = 0; r < REGISTERS; ++r)
      for (int64_t c = 0; c < count; c += lanes) {
        V tile[lanes];
        for (int k = 0; k < lanes; ++k) tile[k] = cells[c + k].at[r];
        transpose<T>(tile);
        for (int k = 0; k < lanes && r * lanes + k < used; ++k) {
          S *target = problem.alignment + offset(r * lanes + k, row) + c;
          const Stored numbers = __builtin_convertvector(tile[k], Stored);
          if (count - c < lanes)
            for (int l = 0; l < count - c; ++l) target[l] = numbers[l];
          else
            *(Stored *)target = numbers;
        }
      }
  }

  // One row of each pair's band, where spread() finds it.
  void store_band(int64_t row, const Cell<V> *from) {
    for (int pair = 0; pair < used; ++pair) {
      const Columns own = bands[pair].of_row(row, columns);
      S *target = problem.alignment + offset(pair, 0) + row * bands[pair].width(columns);
      for (int64_t j = own.begin; j < own.end; ++j)
        *target++ = S(from[j].at[pair / lanes][pair % lanes]);
    }
  }

  const Problem<S> &problem;
  const int64_t rows, columns, segment;
  // Times the cost it is an exponent; in two parts, for precision.
  const T factor, factor_rest, limit;
  int64_t first = 0;
  int used = 0;
  int64_t n[PAIRS], m[PAIRS];
  // If there are any: that of each pair, what takes in all of them, and whether that is more.
  Band bands[PAIRS], hull;
  bool uneven = false;
  Cell<V> last_column;
  // Of a segment: its costs, then its alignment. Not set to zero, which would touch what a band
  // leaves alone.
  std::unique_ptr<Cell<V>[]> cells;
  std::unique_ptr<Cell<Origin<T>>[]> origins;
  // The last row so far, and what it was before each segment.
  std::vector<Cell<Scaled<T>>> front, kept;
  // Gradient that the row below passes back.
  std::vector<Cell<V>> shares;
};

template <class W, class S> void run(const Problem<S> &problem, int threads) {
  const int64_t blocks = (problem.pairs + W::PAIRS - 1) / W::PAIRS;
  const int64_t worth = blocks * W::PAIRS * problem.rows * problem.columns / CELLS_PER_THREAD;
  const int64_t count = std::max<int64_t>(1, std::min({int64_t(threads), blocks, worth}));
  std::vector<W> workers;
  workers.reserve(size_t(count));
  for (int64_t k = 0; k < count; ++k) workers.emplace_back(problem);
  std::atomic<int64_t> next{0};
  in_parallel(count, [&](int64_t k) {
    const FlushDenormals guard;
    for (int64_t block; (block = next++) < blocks;) workers[size_t(k)].run(block);
  });
}

template <class S, bool traced> void solve(const Problem<S> &problem, int threads) {
  if (problem.gamma > LARGE_GAMMA)
    run<Worker<S, double, true, traced>>(problem, threads);
  else if (problem.gamma > 0)
    run<Worker<S, S, true, traced>>(problem, threads);
  else  // Sums are compared, and a rounded one could change the path.
    run<Worker<S, double, false, traced>>(problem, threads);
}

template <class S> int warp(const Problem<S> &problem, int threads) noexcept {
  for (int64_t pair = 0; pair < problem.pairs; ++pair)
    if (problem.n[pair] < 1 || problem.n[pair] > problem.rows || problem.m[pair] < 1 ||
        problem.m[pair] > problem.columns)
      return BAD_LENGTH;
  try {
    problem.alignment ? solve<S, true>(problem, threads) : solve<S, false>(problem, threads);
  } catch (const std::bad_alloc &) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

}  // namespace

extern "C" int warp_float32(const float *cost, const int64_t *n, const int64_t *m, float *total,
                            float *alignment, int64_t pairs, int64_t rows, int64_t columns,
                            double gamma, int free_ends, int64_t radius, int threads) {
  return warp<float>(
      {cost, n, m, total, alignment, pairs, rows, columns, gamma, bool(free_ends), radius}, threads);
}

extern "C" int warp_float64(const double *cost, const int64_t *n, const int64_t *m, double *total,
                            double *alignment, int64_t pairs, int64_t rows, int64_t columns,
                            double gamma, int free_ends, int64_t radius, int threads) {
  return warp<double>(
      {cost, n, m, total, alignment, pairs, rows, columns, gamma, bool(free_ends), radius}, threads);
}

extern "C" void spread_float32(const float *grad, const float *weights, const int64_t *n,
                               const int64_t *m, float *cells, int64_t pairs, int64_t rows,
                               int64_t columns, int64_t radius, int threads) {
  spread(grad, weights, n, m, cells, pairs, rows, columns, radius, threads);
}

extern "C" void spread_float64(const double *grad, const double *weights, const int64_t *n,
                               const int64_t *m, double *cells, int64_t pairs, int64_t rows,
                               int64_t columns, int64_t radius, int threads) {
  spread(grad, weights, n, m, cells, pairs, rows, columns, radius, threads);
}
