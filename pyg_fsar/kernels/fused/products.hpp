// Products of small matrices that are in the cache, in blocks that stay in vector registers.
//
// Rows of a matrix lie one after the other, and have as many columns as fill whole registers.

#pragma once

#include <cstdint>

#include "lanes.hpp"

namespace {

// Block of a product that is accumulated in registers.
constexpr int ROWS = 5, VECTORS = REGISTER_BYTES == 64 ? 4 : 2, DOTS = VECTORS;

// C [R, N vectors] = A B with A [R, depth] anywhere, B [depth, ...] in rows; added to C if asked.
template <class T, int R, int N>
inline void block(T *c, int64_t c_row, const T *a, int64_t a_row, int64_t a_column, const T *b,
                  int64_t b_row, int64_t depth, bool add) {
  Vector<T> total[R][N];
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < N; ++j)
      total[i][j] = add ? load<T>(c + i * c_row + j * LANES<T>) : Vector<T>{};
  for (int64_t k = 0; k < depth; ++k) {
    Vector<T> row[N];
    for (int j = 0; j < N; ++j) row[j] = load<T>(b + k * b_row + j * LANES<T>);
    for (int i = 0; i < R; ++i) {
      const T factor = a[i * a_row + k * a_column];
      for (int j = 0; j < N; ++j) total[i][j] += factor * row[j];
    }
  }
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < N; ++j) store<T>(c + i * c_row + j * LANES<T>, total[i][j]);
}

template <class T, int N>
inline void stripe(T *c, int64_t c_row, const T *a, int64_t a_row, int64_t a_column, const T *b,
                   int64_t b_row, int64_t rows, int64_t depth, bool add) {
  int64_t i = 0;
  for (; i + ROWS <= rows; i += ROWS)
    block<T, ROWS, N>(c + i * c_row, c_row, a + i * a_row, a_row, a_column, b, b_row, depth, add);
  for (; i < rows; ++i)
    block<T, 1, N>(c + i * c_row, c_row, a + i * a_row, a_row, a_column, b, b_row, depth, add);
}

// C [rows, columns] = A B, or C + A B; columns are whole vectors.
template <class T>
void multiply(T *c, const T *a, int64_t a_row, int64_t a_column, const T *b, int64_t rows,
              int64_t depth, int64_t columns, bool add = false) {
  int64_t j = 0;
  for (; j + VECTORS * LANES<T> <= columns; j += VECTORS * LANES<T>)
    stripe<T, VECTORS>(c + j, columns, a, a_row, a_column, b + j, columns, rows, depth, add);
  for (; j < columns; j += LANES<T>)
    stripe<T, 1>(c + j, columns, a, a_row, a_column, b + j, columns, rows, depth, add);
}

template <class T, int R, int N>
inline void dot_block(T *c, int64_t c_row, const T *a, const T *b, int64_t depth) {
  Vector<T> total[R][N] = {};
  for (int64_t k = 0; k < depth; k += LANES<T>) {
    Vector<T> other[N];
    for (int j = 0; j < N; ++j) other[j] = load<T>(b + j * depth + k);
    for (int i = 0; i < R; ++i) {
      const Vector<T> one = load<T>(a + i * depth + k);
      for (int j = 0; j < N; ++j) total[i][j] += one * other[j];
    }
  }
  for (int i = 0; i < R; ++i)
    for (int j = 0; j < N; ++j) c[i * c_row + j] = sum<T>(total[i][j]);
}

template <class T, int R>
inline void dot_rows(T *c, const T *a, const T *b, int64_t columns, int64_t depth) {
  int64_t j = 0;
  for (; j + DOTS <= columns; j += DOTS)
    dot_block<T, R, DOTS>(c + j, columns, a, b + j * depth, depth);
  for (; j < columns; ++j) dot_block<T, R, 1>(c + j, columns, a, b + j * depth, depth);
}

// C [rows, columns] = A B^T with A [rows, depth], B [columns, depth]; depth is whole vectors.
template <class T>
void dots(T *c, const T *a, const T *b, int64_t rows, int64_t columns, int64_t depth) {
  int64_t i = 0;
  for (; i + DOTS <= rows; i += DOTS)
    dot_rows<T, DOTS>(c + i * columns, a + i * depth, b, columns, depth);
  for (; i < rows; ++i) dot_rows<T, 1>(c + i * columns, a + i * depth, b, columns, depth);
}

}  // namespace
