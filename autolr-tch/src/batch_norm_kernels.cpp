#include "batch_norm_kernels.h"

#ifndef AUTOLR_LANES
#define AUTOLR_LANES 4
#endif

// Compiled once for each set of instructions, into a namespace of its own, with vectors of AUTOLR_LANES numbers.
// Contraction of products and sums is off (see build.rs), so that all of them give the same bits.
#define CONCATENATE(A, B) A##B
#define LANES_NAMESPACE(N) CONCATENATE(lanes_, N)

namespace autolr {
namespace LANES_NAMESPACE(AUTOLR_LANES) {
namespace {

template <int LANES>
struct Lanes {
  typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
  static constexpr int64_t width = LANES;
};

template <>
struct Lanes<1> {
  typedef float Vector;
  static constexpr int64_t width = 1;
};

template <typename L>
inline typename L::Vector load(const float *from) {
  return *reinterpret_cast<const typename L::Vector *>(from);
}

template <typename L>
inline void store(float *to, typename L::Vector value) {
  *reinterpret_cast<typename L::Vector *>(to) = value;
}

// `kept` where `decider` is above 0 or NaN, else 0.
template <typename L>
inline typename L::Vector where_positive(typename L::Vector decider, typename L::Vector kept) {
  const typename L::Vector zero = {};
  return decider <= zero ? zero : kept;
}

// For all channels: a vector at a time, then one by one.
#define OVER_CHANNELS(BODY)                                                           \
  int64_t c = 0;                                                                      \
  for (; c + AUTOLR_LANES <= channels; c += AUTOLR_LANES) BODY(Lanes<AUTOLR_LANES>);  \
  if (AUTOLR_LANES > 8 && c + 8 <= channels) {                                        \
    BODY(Lanes<8>);                                                                   \
    c += 8;                                                                           \
  }                                                                                   \
  for (; c < channels; c += 1) BODY(Lanes<1>)

template <typename L>
inline void moments(const float *x, int64_t rows, int64_t channels, float *sum, float *squares) {
  using V = typename L::Vector;
  V s0 = {}, s1 = {}, s2 = {}, s3 = {};
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float *row = x + r * channels;
    s0 += load<L>(row);
    s1 += load<L>(row + channels);
    s2 += load<L>(row + 2 * channels);
    s3 += load<L>(row + 3 * channels);
  }
  for (; r < rows; r += 1) s0 += load<L>(x + r * channels);
  const V total = (s0 + s1) + (s2 + s3);
  const V mean = total / static_cast<float>(rows);
  V q0 = {}, q1 = {}, q2 = {}, q3 = {};
  for (r = 0; r + 4 <= rows; r += 4) {
    const float *row = x + r * channels;
    const V d0 = load<L>(row) - mean;
    const V d1 = load<L>(row + channels) - mean;
    const V d2 = load<L>(row + 2 * channels) - mean;
    const V d3 = load<L>(row + 3 * channels) - mean;
    q0 += d0 * d0;
    q1 += d1 * d1;
    q2 += d2 * d2;
    q3 += d3 * d3;
  }
  for (; r < rows; r += 1) {
    const V d = load<L>(x + r * channels) - mean;
    q0 += d * d;
  }
  store<L>(sum, total);
  store<L>(squares, (q0 + q1) + (q2 + q3));
}

template <typename L, bool RESIDUAL, bool RELU>
inline void affine(const float *x, const float *scale, const float *shift, const float *residual, int64_t rows,
                   int64_t channels, float *y) {
  using V = typename L::Vector;
  const V s = load<L>(scale), t = load<L>(shift);
  for (int64_t r = 0; r < rows; r += 1) {
    const int64_t at = r * channels;
    V value = load<L>(x + at) * s + t;
    if (RESIDUAL) value += load<L>(residual + at);
    if (RELU) value = where_positive<L>(value, value);
    store<L>(y + at, value);
  }
}

// How the ReLU is seen to have let something through.
enum class Relu { None, ByOutput, ByInput };

template <typename L, Relu RELU>
inline typename L::Vector behind(const float *dy, const float *y, typename L::Vector x, typename L::Vector scale,
                                 typename L::Vector shift) {
  const typename L::Vector g = load<L>(dy);
  if (RELU == Relu::ByOutput) return where_positive<L>(load<L>(y), g);
  if (RELU == Relu::ByInput) return where_positive<L>(x * scale + shift, g);
  return g;
}

template <typename L, Relu RELU, bool THROUGH>
inline void gradient_sums(const float *dy, const float *x, const float *y, const float *mean, const float *scale,
                          const float *shift, int64_t rows, int64_t channels, float *through, float *sum,
                          float *product) {
  using V = typename L::Vector;
  const V m = load<L>(mean), s = load<L>(scale), t = load<L>(shift);
  V s0 = {}, s1 = {}, p0 = {}, p1 = {};
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    const int64_t at = r * channels, next = at + channels;
    const V x0 = load<L>(x + at), x1 = load<L>(x + next);
    const V g0 = behind<L, RELU>(dy + at, y + at, x0, s, t);
    const V g1 = behind<L, RELU>(dy + next, y + next, x1, s, t);
    if (THROUGH) {
      store<L>(through + at, g0);
      store<L>(through + next, g1);
    }
    s0 += g0;
    s1 += g1;
    p0 += g0 * (x0 - m);
    p1 += g1 * (x1 - m);
  }
  for (; r < rows; r += 1) {
    const int64_t at = r * channels;
    const V x0 = load<L>(x + at);
    const V g0 = behind<L, RELU>(dy + at, y + at, x0, s, t);
    if (THROUGH) store<L>(through + at, g0);
    s0 += g0;
    p0 += g0 * (x0 - m);
  }
  store<L>(sum, s0 + s1);
  store<L>(product, p0 + p1);
}

template <typename L, Relu RELU>
inline void gradient(const float *dy, const float *x, const float *mean, const float *scale, const float *shift,
                     const float *a, const float *b, const float *c, int64_t rows, int64_t channels, float *dx) {
  using V = typename L::Vector;
  const V m = load<L>(mean), s = load<L>(scale), t = load<L>(shift);
  const V va = load<L>(a), vb = load<L>(b), vc = load<L>(c);
  for (int64_t r = 0; r < rows; r += 1) {
    const int64_t at = r * channels;
    const V value = load<L>(x + at);
    const V g = behind<L, RELU>(dy + at, dy, value, s, t);
    store<L>(dx + at, va * g - vb * (value - m) - vc);
  }
}

void block_moments(const float *x, int64_t rows, int64_t channels, float *sum, float *squares) {
#define BODY(L) moments<L>(x + c, rows, channels, sum + c, squares + c)
  OVER_CHANNELS(BODY);
#undef BODY
}

void normalize(const float *x, const float *scale, const float *shift, const float *residual, bool relu,
               int64_t rows, int64_t channels, float *y) {
#define BODY(L)                                                                                               \
  do {                                                                                                        \
    const float *added = residual ? residual + c : nullptr;                                                   \
    if (relu && residual) affine<L, true, true>(x + c, scale + c, shift + c, added, rows, channels, y + c);   \
    else if (relu) affine<L, false, true>(x + c, scale + c, shift + c, added, rows, channels, y + c);         \
    else if (residual) affine<L, true, false>(x + c, scale + c, shift + c, added, rows, channels, y + c);     \
    else affine<L, false, false>(x + c, scale + c, shift + c, added, rows, channels, y + c);                  \
  } while (false)
  OVER_CHANNELS(BODY);
#undef BODY
}

void block_gradient_sums(const float *dy, const float *x, const float *y, const float *mean, const float *scale,
                         const float *shift, bool relu, int64_t rows, int64_t channels, float *through, float *sum,
                         float *product) {
#define CALL(L, RELU, THROUGH)                                                                                \
  gradient_sums<L, RELU, THROUGH>(dy + c, x + c, y ? y + c : dy + c, mean + c, scale + c, shift + c, rows,    \
                                  channels, through ? through + c : nullptr, sum + c, product + c)
#define BODY(L)                                                  \
  do {                                                           \
    if (relu && y && through) CALL(L, Relu::ByOutput, true);     \
    else if (relu && y) CALL(L, Relu::ByOutput, false);          \
    else if (relu && through) CALL(L, Relu::ByInput, true);      \
    else if (relu) CALL(L, Relu::ByInput, false);                \
    else if (through) CALL(L, Relu::None, true);                 \
    else CALL(L, Relu::None, false);                             \
  } while (false)
  OVER_CHANNELS(BODY);
#undef BODY
#undef CALL
}

void input_gradient(const float *dy, const float *x, const float *mean, const float *scale, const float *shift,
                    bool relu, const float *a, const float *b, const float *k, int64_t rows, int64_t channels,
                    float *dx) {
#define CALL(L, RELU)                                                                                         \
  gradient<L, RELU>(dy + c, x + c, mean + c, scale + c, shift + c, a + c, b + c, k + c, rows, channels, dx + c)
#define BODY(L)                                 \
  do {                                          \
    if (relu) CALL(L, Relu::ByInput);           \
    else CALL(L, Relu::None);                   \
  } while (false)
  OVER_CHANNELS(BODY);
#undef BODY
#undef CALL
}

}  // namespace

const BatchNormKernels kernels = {block_moments, normalize, block_gradient_sums, input_gradient};

}  // namespace LANES_NAMESPACE(AUTOLR_LANES)
}  // namespace autolr
