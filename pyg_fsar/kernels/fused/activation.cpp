// Products of clips that activated each other, pair by pair, and their gradient.
//
// Writing the activated clips of all pairs to main memory and reading them back would take most of the
// time. Here a thread computes those of one pair in the cache and keeps only their products; the
// backward pass computes them again.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "dropout.hpp"
#include "products.hpp"
#include "threads.hpp"

namespace {

// Bytes of the partial sums of all threads together.
constexpr int64_t SHARED_BYTES = int64_t(1) << 27;

struct Sizes {
  int64_t queries, support, frames, joints, mixed, channels;
  int64_t frame() const { return joints * channels; }
  int64_t clip() const { return frames * frame(); }
  int64_t weights() const { return joints * mixed; }  // of a frame
  int64_t values() const { return mixed * channels; }
};

// One direction: its inputs, or its gradients in the same places.
template <class T> struct Direction {
  T *joints, *weights, *values, *bias, *gain, *shift;
};

template <class T> struct Problem {
  Sizes size;
  bool own_values;
  uint64_t seed;
  double p;
  T eps;
  Direction<T> direction[2];

  // The parts of a direction's tensors that one pair of clips sees.
  Direction<T> at(const Direction<T> &d, int which, int64_t q, int64_t s) const {
    const int64_t own = which ? s : q, other = which ? q : s;
    const int64_t others = which ? size.queries : size.support;
    Direction<T> part = d;
    part.joints += own * size.clip();
    part.weights += (own * others + other) * size.frames * size.weights();
    part.values += (own_values ? own : other) * size.frames * size.values();
    return part;
  }

  // Dropout of what is added to a joint, and of the weights of a frame.
  Dropout<T> of_joint(int which, int64_t q, int64_t s, int64_t joint) const {
    return {seed, pair(which, q, s) * size.frames * size.joints + joint, p};
  }
  Dropout<T> of_weights(int which, int64_t q, int64_t s, int64_t t) const {
    return {~seed, pair(which, q, s) * size.frames + t, p};
  }
  uint64_t pair(int which, int64_t q, int64_t s) const {
    return (which * size.queries + q) * size.support + s;
  }
};

// Weights of a frame with dropout; their buffer is padded to whole vectors.
template <class T>
void dropped(T *to, const T *from, int64_t count, const Dropout<T> &dropout) {
  std::memmove(to, from, count * sizeof(T));
  for (int64_t k = 0; k < count; k += LANES<T>)
    store<T>(to + k, dropout(load<T>(to + k), uint32_t(k)));
}

template <class T> int64_t padded(int64_t count) { return count + LANES<T>; }

// Normalised joints [T, V, C] of one clip of a pair, and 1 / deviation of each.
template <class T>
void activate(const Problem<T> &problem, int which, int64_t q, int64_t s, T *normal, T *inverse,
              T *weights) {
  const Sizes &size = problem.size;
  const Direction<T> d = problem.at(problem.direction[which], which, q, s);
  const int64_t C = size.channels;
  for (int64_t t = 0; t < size.frames; ++t) {
    dropped<T>(weights, d.weights + t * size.weights(), size.weights(),
               problem.of_weights(which, q, s, t));
    multiply<T>(normal + t * size.frame(), weights, size.mixed, 1, d.values + t * size.values(),
                size.joints, size.mixed, C);
  }
  for (int64_t joint = 0; joint < size.frames * size.joints; ++joint) {
    T *row = normal + joint * C;
    const T *before = d.joints + joint * C;
    const Dropout<T> dropout = problem.of_joint(which, q, s, joint);
    Vector<T> total{};
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const Vector<T> z =
          load<T>(before + c) + dropout(load<T>(row + c) + load<T>(d.bias + c), uint32_t(c));
      total += z;
      store<T>(row + c, z);
    }
    const T mean = sum<T>(total) / T(C);
    Vector<T> squares{};
    for (int64_t c = 0; c < C; c += LANES<T>) {
      const Vector<T> z = load<T>(row + c) - mean;
      squares += z * z;
      store<T>(row + c, z);
    }
    const T factor = 1 / std::sqrt(sum<T>(squares) / T(C) + problem.eps);
    for (int64_t c = 0; c < C; c += LANES<T>) store<T>(row + c, load<T>(row + c) * factor);
    inverse[joint] = factor;
  }
}

template <class T> void scale_and_shift(const Problem<T> &problem, int which, T *normal) {
  const int64_t C = problem.size.channels;
  const Direction<T> &d = problem.direction[which];
  for (int64_t joint = 0; joint < problem.size.frames * problem.size.joints; ++joint)
    for (int64_t c = 0; c < C; c += LANES<T>) {
      T *at = normal + joint * C + c;
      store<T>(at, load<T>(at) * load<T>(d.gain + c) + load<T>(d.shift + c));
    }
}

template <class T>
void forward_pair(const Problem<T> &problem, int64_t q, int64_t s, T *const *out, T *work) {
  const Sizes &size = problem.size;
  const int64_t pair = q * size.support + s, F = size.frames;
  T *side[2] = {work, work + size.clip()}, *inverse = work + 2 * size.clip();
  T *weights = inverse + F * size.joints;
  for (int which = 0; which < 2; ++which) {
    activate<T>(problem, which, q, s, side[which], inverse, weights);
    scale_and_shift<T>(problem, which, side[which]);
    for (int64_t t = 0; t < F; ++t) {
      T *frame = side[which] + t * size.frame(), square;
      dots<T>(&square, frame, frame, 1, 1, size.frame());
      out[1 + which][pair * F + t] = std::sqrt(square);
    }
  }
  dots<T>(out[0] + pair * F * F, side[0], side[1], F, F, size.frame());
}

// Gradient of one direction, given those of the products, and both normalised clips.
template <class T>
void backward_direction(const Problem<T> &problem, const Direction<T> *grads, int which, int64_t q,
                        int64_t s, const T *grad_inner, const T *grad_norm, const T *norm,
                        T *const *normal, const T *inverse, T *weights, T *work) {
  const Sizes &size = problem.size;
  const int64_t C = size.channels, F = size.frames;
  const Direction<T> d = problem.at(problem.direction[which], which, q, s);
  const Direction<T> g = problem.at(grads[which], which, q, s);
  const Direction<T> &other = problem.direction[1 - which];
  // The gradient of x' is a mix of the frames of y', before their scale and shift ...
  const int64_t row_step = which ? 1 : F, column_step = which ? F : 1;
  multiply<T>(work, grad_inner, row_step, column_step, normal[1 - which], F, F, size.frame());
  for (int64_t t = 0; t < F; ++t) {
    T all = 0;
    for (int64_t k = 0; k < F; ++k) all += grad_inner[t * row_step + k * column_step];
    // ... and of its own, through the norm.
    const T own = norm[t] > 0 ? grad_norm[t] / norm[t] : T(0);
    T *frame = work + t * size.frame();
    for (int64_t v = 0; v < size.joints; ++v) {
      const int64_t joint = t * size.joints + v;
      T *row = frame + v * C;
      const T *hat = normal[which] + joint * C;
      Vector<T> first{}, second{};
      for (int64_t c = 0; c < C; c += LANES<T>) {
        const Vector<T> h = load<T>(hat + c), gain = load<T>(d.gain + c);
        const Vector<T> grad = load<T>(row + c) * load<T>(other.gain + c) +
                               all * load<T>(other.shift + c) +
                               own * (h * gain + load<T>(d.shift + c));
        store<T>(g.gain + c, load<T>(g.gain + c) + grad * h);
        store<T>(g.shift + c, load<T>(g.shift + c) + grad);
        const Vector<T> scaled = grad * gain;
        first += scaled;
        second += scaled * h;
        store<T>(row + c, scaled);
      }
      const T mean = sum<T>(first) / T(C), slope = sum<T>(second) / T(C);
      const Dropout<T> dropout = problem.of_joint(which, q, s, joint);
      T *joints = g.joints + joint * C;
      for (int64_t c = 0; c < C; c += LANES<T>) {
        const Vector<T> z = (load<T>(row + c) - mean - load<T>(hat + c) * slope) * inverse[joint];
        const Vector<T> added = dropout(z, uint32_t(c));
        store<T>(joints + c, load<T>(joints + c) + z);
        store<T>(g.bias + c, load<T>(g.bias + c) + added);
        store<T>(row + c, added);
      }
    }
    const int64_t from = t * size.weights(), values = t * size.values();
    const Dropout<T> dropout = problem.of_weights(which, q, s, t);
    dropped<T>(weights, d.weights + from, size.weights(), dropout);
    multiply<T>(g.values + values, weights, 1, size.mixed, frame, size.mixed, size.joints, C, true);
    dots<T>(weights, frame, d.values + values, size.joints, size.mixed, C);
    dropped<T>(weights, weights, size.weights(), dropout);
    std::memcpy(g.weights + from, weights, size.weights() * sizeof(T));
  }
}

template <class T>
void backward_pair(const Problem<T> &problem, const Direction<T> *grads, int64_t q, int64_t s,
                   T *const *in, T *work) {
  const Sizes &size = problem.size;
  const int64_t pair = q * size.support + s, F = size.frames;
  T *normal[2] = {work, work + size.clip()}, *rest = work + 2 * size.clip();
  T *inverse[2] = {rest, rest + F * size.joints}, *weights = rest + 2 * F * size.joints;
  for (int which = 0; which < 2; ++which)
    activate<T>(problem, which, q, s, normal[which], inverse[which], weights);
  for (int which = 0; which < 2; ++which)
    backward_direction<T>(problem, grads, which, q, s, in[0] + pair * F * F,
                          in[1 + which] + pair * F, in[3 + which] + pair * F, normal,
                          inverse[which], weights, weights + padded<T>(size.weights()));
}

template <class T> Problem<T> read(const int64_t *sizes, const double *options, void *const *in) {
  Problem<T> problem{{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]},
                     sizes[6] != 0, uint64_t(sizes[7]), options[0], T(options[1]), {}};
  std::memcpy(problem.direction, in, sizeof problem.direction);
  return problem;
}

// Runs a body for every query on several threads; the body gets the thread's number and query.
template <class Body> void for_queries(int64_t queries, int64_t threads, const Body &body) {
  std::atomic<int64_t> next{0};
  in_parallel(threads, [&](int64_t thread) {
    for (int64_t q; (q = next++) < queries;) body(thread, q);
  });
}

template <class T>
void forward(const int64_t *sizes, const double *options, void *const *in, void *const *out,
             int64_t threads) {
  const Problem<T> problem = read<T>(sizes, options, in);
  const Sizes &size = problem.size;
  const int64_t room =
      2 * size.clip() + size.frames * size.joints + padded<T>(size.weights());
  std::vector<T> work(threads * room);
  for_queries(size.queries, threads, [&](int64_t thread, int64_t q) {
    for (int64_t s = 0; s < size.support; ++s)
      forward_pair<T>(problem, q, s, (T *const *)out, work.data() + thread * room);
  });
}

template <class T>
void backward(const int64_t *sizes, const double *options, void *const *in, void *const *out,
              int64_t threads) {
  const Problem<T> problem = read<T>(sizes, options, in);
  T *const *products = (T *const *)in + 12;
  Direction<T> grads[2];
  std::memcpy(grads, out, sizeof grads);
  const Sizes &size = problem.size;
  const int64_t C = size.channels, clips = size.support * size.clip();
  const int64_t values = size.support * size.frames * size.mixed * C;
  // What the queries share is summed up by each thread for itself.
  const int64_t shared = clips + values + 6 * C;
  threads = std::clamp<int64_t>(SHARED_BYTES / (shared * sizeof(T)), 1, threads);
  const int64_t room =
      3 * size.clip() + 2 * size.frames * size.joints + padded<T>(size.weights());
  std::vector<T> work(threads * room), sums(threads * shared);
  const int support_values = problem.own_values ? 1 : 0;
  for_queries(size.queries, threads, [&](int64_t thread, int64_t q) {
    T *own = sums.data() + thread * shared;
    Direction<T> mine[2] = {grads[0], grads[1]};
    mine[1].joints = own;
    mine[support_values].values = own + clips;
    for (int which = 0; which < 2; ++which) {
      T *parameters = own + clips + values + 3 * which * C;
      mine[which].bias = parameters;
      mine[which].gain = parameters + C;
      mine[which].shift = parameters + 2 * C;
    }
    for (int64_t s = 0; s < size.support; ++s)
      backward_pair<T>(problem, mine, q, s, products, work.data() + thread * room);
  });
  const auto gather = [&](T *to, int64_t from, int64_t count) {
    for (int64_t thread = 0; thread < threads; ++thread)
      for (int64_t k = 0; k < count; ++k) to[k] += sums[thread * shared + from + k];
  };
  gather(grads[1].joints, 0, clips);
  gather(grads[support_values].values, clips, values);
  for (int which = 0; which < 2; ++which) {
    const int64_t from = clips + values + 3 * which * C;
    gather(grads[which].bias, from, C);
    gather(grads[which].gain, from + C, C);
    gather(grads[which].shift, from + 2 * C, C);
  }
}

}  // namespace

extern "C" {
int activation_lanes(int bytes) { return REGISTER_BYTES / bytes; }

#define EXPORT(NAME, TYPE)                                                                        \
  int activation_forward_##NAME(const int64_t *sizes, const double *options, void *const *in,     \
                                void *const *out, int64_t threads) {                              \
    try {                                                                                         \
      forward<TYPE>(sizes, options, in, out, threads);                                            \
    } catch (const std::bad_alloc &) {                                                            \
      return 1;                                                                                   \
    }                                                                                             \
    return 0;                                                                                     \
  }                                                                                               \
  int activation_backward_##NAME(const int64_t *sizes, const double *options, void *const *in,    \
                                 void *const *out, int64_t threads) {                             \
    try {                                                                                         \
      backward<TYPE>(sizes, options, in, out, threads);                                           \
    } catch (const std::bad_alloc &) {                                                            \
      return 1;                                                                                   \
    }                                                                                             \
    return 0;                                                                                     \
  }
EXPORT(float32, float)
EXPORT(float64, double)
}
