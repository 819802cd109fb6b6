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

// `GROUP` vectors of `LANES` numbers each, beside each other: the channels of a row that one loop handles at once.
template <int LANES, int GROUP>
struct Lanes {
  typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
  static constexpr int64_t width = LANES;
  static constexpr int group = GROUP;
};

template <int GROUP>
struct Lanes<1, GROUP> {
  typedef float Vector;
  static constexpr int64_t width = 1;
  static constexpr int group = GROUP;
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

// For all channels: groups of vectors first, so that a row is read in long pieces, then vectors, then one by one. How
// they are grouped changes no bit: each channel is computed by itself.
#define OVER_CHANNELS(BODY)                                              \
  int64_t c = 0;                                                         \
  for (; c + 4 * AUTOLR_LANES <= channels; c += 4 * AUTOLR_LANES) {      \
    BODY(FourVectors);                                                   \
  }                                                                      \
  for (; c + AUTOLR_LANES <= channels; c += AUTOLR_LANES) {              \
    BODY(OneVector);                                                     \
  }                                                                      \
  for (; c + 8 <= channels; c += 8) BODY(EightChannels);                 \
  for (; c < channels; c += 1) BODY(OneChannel)

using FourVectors = Lanes<AUTOLR_LANES, 4>;
using OneVector = Lanes<AUTOLR_LANES, 1>;
using EightChannels = Lanes<(AUTOLR_LANES < 8 ? AUTOLR_LANES : 8), (AUTOLR_LANES < 8 ? 8 / AUTOLR_LANES : 1)>;
using OneChannel = Lanes<1, 1>;

// Statements for each vector `v` of a group, unrolled; `at` is its place in the row.
#define EACH(...)                                   \
  for (int v = 0; v < L::group; v += 1) {           \
    const int64_t at = v * L::width;                \
    __VA_ARGS__                                     \
  }

template <typename L>
inline void moments(const float *x, int64_t rows, int64_t channels, float *sum, float *squares) {
  using V = typename L::Vector;
  V s0[L::group] = {}, s1[L::group] = {}, s2[L::group] = {}, s3[L::group] = {};
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float *row = x + r * channels;
    EACH(s0[v] += load<L>(row + at);)
    EACH(s1[v] += load<L>(row + channels + at);)
    EACH(s2[v] += load<L>(row + 2 * channels + at);)
    EACH(s3[v] += load<L>(row + 3 * channels + at);)
  }
  for (; r < rows; r += 1) EACH(s0[v] += load<L>(x + r * channels + at);)
  V mean[L::group];
  EACH(const V total = (s0[v] + s1[v]) + (s2[v] + s3[v]); mean[v] = total / static_cast<float>(rows);
       store<L>(sum + at, total);)
  V q0[L::group] = {}, q1[L::group] = {}, q2[L::group] = {}, q3[L::group] = {};
  for (r = 0; r + 4 <= rows; r += 4) {
    const float *row = x + r * channels;
    EACH(const V d = load<L>(row + at) - mean[v]; q0[v] += d * d;)
    EACH(const V d = load<L>(row + channels + at) - mean[v]; q1[v] += d * d;)
    EACH(const V d = load<L>(row + 2 * channels + at) - mean[v]; q2[v] += d * d;)
    EACH(const V d = load<L>(row + 3 * channels + at) - mean[v]; q3[v] += d * d;)
  }
  for (; r < rows; r += 1) EACH(const V d = load<L>(x + r * channels + at) - mean[v]; q0[v] += d * d;)
  EACH(store<L>(squares + at, (q0[v] + q1[v]) + (q2[v] + q3[v]));)
}

template <typename L, bool RESIDUAL, bool RELU>
inline void affine(const float *x, const float *scale, const float *shift, const float *residual, int64_t rows,
                   int64_t channels, float *y) {
  using V = typename L::Vector;
  V s[L::group], t[L::group];
  EACH(s[v] = load<L>(scale + at); t[v] = load<L>(shift + at);)
  for (int64_t r = 0; r < rows; r += 1) {
    const int64_t row = r * channels;
    EACH(V value = load<L>(x + row + at) * s[v] + t[v]; if (RESIDUAL) value += load<L>(residual + row + at);
         if (RELU) value = where_positive<L>(value, value); store<L>(y + row + at, value);)
  }
}

// How it is seen whether the ReLU passed its input on.
enum class Relu { None, ByOutput, ByInput };

// The gradient at the ReLU's input, from that at its output.
template <typename L, Relu RELU>
inline typename L::Vector masked(const float *dy, const float *y, typename L::Vector x, typename L::Vector scale,
                                 typename L::Vector shift) {
  const typename L::Vector g = load<L>(dy);
  if (RELU == Relu::ByOutput) return where_positive<L>(load<L>(y), g);
  if (RELU == Relu::ByInput) return where_positive<L>(x * scale + shift, g);
  return g;
}

template <typename L, Relu RELU, bool RESIDUAL>
inline void gradient_sums(const float *dy, const float *x, const float *y, const float *mean, const float *scale,
                          const float *shift, int64_t rows, int64_t channels, float *d_residual, float *sum,
                          float *product) {
  using V = typename L::Vector;
  V m[L::group], s[L::group], t[L::group];
  EACH(m[v] = load<L>(mean + at); s[v] = load<L>(scale + at); t[v] = load<L>(shift + at);)
  V sums[2][L::group] = {}, products[2][L::group] = {};
  for (int64_t r = 0; r < rows; r += 2) {
    for (int64_t k = 0; k < 2 && r + k < rows; k += 1) {
      const int64_t row = (r + k) * channels;
      EACH(const V value = load<L>(x + row + at);
           const V g = masked<L, RELU>(dy + row + at, y + row + at, value, s[v], t[v]);
           if (RESIDUAL) store<L>(d_residual + row + at, g); sums[k][v] += g; products[k][v] += g * (value - m[v]);)
    }
  }
  EACH(store<L>(sum + at, sums[0][v] + sums[1][v]); store<L>(product + at, products[0][v] + products[1][v]);)
}

template <typename L, Relu RELU>
inline void gradient(const float *dy, const float *x, const float *mean, const float *scale, const float *shift,
                     const float *a, const float *b, const float *k, int64_t rows, int64_t channels, float *dx) {
  using V = typename L::Vector;
  V m[L::group], s[L::group], t[L::group], va[L::group], vb[L::group], vk[L::group];
  EACH(m[v] = load<L>(mean + at); s[v] = load<L>(scale + at); t[v] = load<L>(shift + at); va[v] = load<L>(a + at);
       vb[v] = load<L>(b + at); vk[v] = load<L>(k + at);)
  for (int64_t r = 0; r < rows; r += 1) {
    const int64_t row = r * channels;
    EACH(const V value = load<L>(x + row + at);
         const V g = masked<L, RELU>(dy + row + at, dy, value, s[v], t[v]);
         store<L>(dx + row + at, va[v] * g - vb[v] * (value - m[v]) - vk[v]);)
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
                         const float *shift, bool relu, int64_t rows, int64_t channels, float *d_residual, float *sum,
                         float *product) {
#define CALL(L, RELU, RESIDUAL)                                                                                \
  gradient_sums<L, RELU, RESIDUAL>(dy + c, x + c, y ? y + c : dy + c, mean + c, scale + c, shift + c, rows,    \
                                  channels, d_residual ? d_residual + c : nullptr, sum + c, product + c)
#define BODY(L)                                                  \
  do {                                                           \
    if (relu && y && d_residual) CALL(L, Relu::ByOutput, true);     \
    else if (relu && y) CALL(L, Relu::ByOutput, false);          \
    else if (relu && d_residual) CALL(L, Relu::ByInput, true);      \
    else if (relu) CALL(L, Relu::ByInput, false);                \
    else if (d_residual) CALL(L, Relu::None, true);                 \
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
