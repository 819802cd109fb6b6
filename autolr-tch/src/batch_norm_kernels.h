// BatchNorm over channels-last memory: a matrix of `rows` pixels by `channels`, row after row.
//
// Results have the same bits with any vector width and any number of threads: sums run over fixed blocks of rows, and
// products and sums are rounded separately.

#pragma once

#include <cstdint>

namespace autolr {

// The kernels, compiled for one set of instructions.
struct BatchNormKernels {
  // Sums, and sums of squared deviations from the block's own mean, `channels` each, of a block of rows.
  void (*block_moments)(const float *x, int64_t rows, int64_t channels, float *sum, float *squares);

  // y = x · scale + shift, plus `residual` unless it is null, and no less than 0 if `relu`. `y` may be `x`.
  void (*normalize)(const float *x, const float *scale, const float *shift, const float *residual, bool relu,
                    int64_t rows, int64_t channels, float *y);

  // Sums over a block of the gradient g at the ReLU's input (`dy` itself without a ReLU): Σ g and Σ g (x − mean).
  //
  // `y` is the output where there was a residual. Without one, whether it was above 0 follows from x, and `y` is null.
  // If `d_residual` is not null, g is written there.
  void (*block_gradient_sums)(const float *dy, const float *x, const float *y, const float *mean, const float *scale,
                              const float *shift, bool relu, int64_t rows, int64_t channels, float *d_residual,
                              float *sum, float *product);

  // dx = a · g − b · (x − mean) − k, channel by channel. g is `dy`, where the ReLU passed its input on if `relu`.
  void (*input_gradient)(const float *dy, const float *x, const float *mean, const float *scale, const float *shift,
                         bool relu, const float *a, const float *b, const float *k, int64_t rows, int64_t channels,
                         float *dx);
};

namespace lanes_4 {
extern const BatchNormKernels kernels;
}
#ifdef AUTOLR_X86_64
namespace lanes_8 {
extern const BatchNormKernels kernels;
}
namespace lanes_16 {
extern const BatchNormKernels kernels;
}
#endif

}  // namespace autolr
