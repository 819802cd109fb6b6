// BatchNorm, the residual sum and ReLU in one operation on the CPU, with fewer passes over memory than
// libtorch's three operations.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "batch_norm_kernels.h"
#include "guarded.h"

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const autolr::BatchNormKernels &kernels() {
#ifdef AUTOLR_X86_64
  // The instructions that libtorch's own kernels use, which ATEN_CPU_CAPABILITY can limit.
  static const autolr::BatchNormKernels &chosen = [] () -> const autolr::BatchNormKernels & {
    const auto capability = at::get_cpu_capability();
    if (capability == "AVX512") return autolr::lanes_16::kernels;
    if (capability == "AVX2") return autolr::lanes_8::kernels;
    return autolr::lanes_4::kernels;
  }();
  return chosen;
#else
  return autolr::lanes_4::kernels;
#endif
}

// A tensor of shape [batch, channels, height, width] in channels-last memory, as a matrix of pixels by channels.
struct Matrix {
  int64_t rows, channels, block;
  explicit Matrix(const Tensor &x) : rows(x.numel() / x.size(1)), channels(x.size(1)) {
    // As many rows as stay in the first-level cache.
    block = std::max<int64_t>(16, 4096 / channels);
  }
  int64_t blocks() const { return (rows + block - 1) / block; }

  // Runs `body(block, first row, rows)` for all blocks, on several threads if there are.
  template <typename F>
  void for_each_block(const F &body) const {
    // Smaller pieces are not worth waking a thread.
    const int64_t grain = std::max<int64_t>(1, 16384 / (block * channels));
    at::parallel_for(0, blocks(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += 1) body(i, i * block, std::min(block, rows - i * block));
    });
  }
};

Tensor channels_last(const Tensor &x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

// Mean and variance (biased) of each channel: those of the blocks, combined in order in double precision.
void moments(const Matrix &m, const float *x, double *mean, double *variance) {
  const int64_t channels = m.channels;
  std::vector<float> parts(2 * m.blocks() * channels);
  m.for_each_block([&](int64_t i, int64_t row, int64_t rows) {
    float *part = parts.data() + 2 * i * channels;
    kernels().block_moments(x + row * channels, rows, channels, part, part + channels);
  });
  std::fill(mean, mean + channels, 0.0);
  std::fill(variance, variance + channels, 0.0);
  double count = 0.0;
  for (int64_t i = 0; i < m.blocks(); i += 1) {
    const float *sum = parts.data() + 2 * i * channels, *squares = sum + channels;
    const double rows = static_cast<double>(std::min(m.block, m.rows - i * m.block));
    const double all = count + rows;
    for (int64_t c = 0; c < channels; c += 1) {
      const double difference = sum[c] / rows - mean[c];
      mean[c] += difference * (rows / all);
      variance[c] += squares[c] + difference * difference * (count * rows / all);
    }
    count = all;
  }
  for (int64_t c = 0; c < channels; c += 1) variance[c] /= count;
}

// The kernels see pointers only: what does not fit is refused here.
void check(const Tensor &x, const std::vector<Tensor> &of_channels, const Tensor &residual) {
  const auto floats = [](const Tensor &tensor) { return tensor.is_cpu() && tensor.scalar_type() == at::kFloat; };
  TORCH_CHECK(x.dim() == 4 && x.numel() > 0 && floats(x), "BatchNorm: the input has shape ", x.sizes(),
              ", not float32 [batch, channels, height, width] with at least one image");
  for (const Tensor &tensor : of_channels) {
    TORCH_CHECK(!tensor.defined() || (floats(tensor) && tensor.is_contiguous() && tensor.numel() == x.size(1)),
                "BatchNorm: weights or statistics do not fit ", x.size(1), " channels");
  }
  TORCH_CHECK(!residual.defined() || (floats(residual) && residual.sizes() == x.sizes()),
              "BatchNorm: the residual does not fit the input, of shape ", x.sizes());
}

// What a forward pass computes, and saves for the backward pass.
struct Forward {
  Tensor y;
  // In channels-last memory.
  Tensor x;
  // Mean, 1/σ, scale and shift of each channel, shape [4, channels].
  Tensor statistics;
};

Forward compute(const Tensor &input, const Tensor &weight, const Tensor &bias, const Tensor &residual,
                const Tensor &running_mean, const Tensor &running_var, bool training, double momentum, double eps,
                bool relu, bool in_place) {
  check(input, {weight, bias, running_mean, running_var}, residual);
  const Tensor x = channels_last(input);
  const Matrix m(x);
  const int64_t channels = m.channels;
  const float *gamma = weight.const_data_ptr<float>(), *beta = bias.const_data_ptr<float>();
  const Tensor statistics = at::empty({4, channels}, x.options());
  float *mean = statistics.mutable_data_ptr<float>(), *inverse = mean + channels;
  float *scale = inverse + channels, *shift = scale + channels;
  std::vector<double> exact(2 * channels);
  double *exact_mean = exact.data(), *variance = exact_mean + channels;
  if (training) {
    moments(m, x.const_data_ptr<float>(), exact_mean, variance);
  } else {
    const float *means = running_mean.const_data_ptr<float>(), *variances = running_var.const_data_ptr<float>();
    std::copy(means, means + channels, exact_mean);
    std::copy(variances, variances + channels, variance);
  }
  for (int64_t c = 0; c < channels; c += 1) {
    mean[c] = static_cast<float>(exact_mean[c]);
    inverse[c] = static_cast<float>(1.0 / std::sqrt(variance[c] + eps));
    scale[c] = inverse[c] * gamma[c];
    shift[c] = beta[c] - mean[c] * scale[c];
  }
  if (training && running_mean.defined()) {
    float *means = running_mean.mutable_data_ptr<float>(), *variances = running_var.mutable_data_ptr<float>();
    const double unbiased = static_cast<double>(m.rows) / static_cast<double>(m.rows - 1);
    for (int64_t c = 0; c < channels; c += 1) {
      means[c] = static_cast<float>(momentum * exact_mean[c] + (1.0 - momentum) * means[c]);
      variances[c] = static_cast<float>(momentum * variance[c] * unbiased + (1.0 - momentum) * variances[c]);
    }
    running_mean.unsafeGetTensorImpl()->bump_version();
    running_var.unsafeGetTensorImpl()->bump_version();
  }
  const Tensor y = in_place ? x : at::empty_like(x);
  // It is written through pointers: without this, autograd would not notice.
  if (in_place) y.unsafeGetTensorImpl()->bump_version();
  const Tensor added = residual.defined() ? channels_last(residual) : residual;
  const float *from = x.const_data_ptr<float>(), *plus = added.defined() ? added.const_data_ptr<float>() : nullptr;
  float *to = y.mutable_data_ptr<float>();
  m.for_each_block([&](int64_t, int64_t row, int64_t rows) {
    const int64_t at = row * channels;
    kernels().normalize(from + at, scale, shift, plus ? plus + at : nullptr, relu, rows, channels, to + at);
  });
  return {y, x, statistics};
}

struct NormAct : torch::autograd::Function<NormAct> {
  static Tensor forward(AutogradContext *ctx, const Tensor &input, const Tensor &weight, const Tensor &bias,
                        const std::optional<Tensor> &added, const std::optional<Tensor> &running_mean,
                        const std::optional<Tensor> &running_var, bool training, double momentum, double eps,
                        bool relu) {
    const Tensor residual = added.value_or(Tensor());
    const Forward done = compute(input, weight, bias, residual, running_mean.value_or(Tensor()),
                                 running_var.value_or(Tensor()), training, momentum, eps, relu, /*in_place=*/false);
    // The ReLU's mask follows from x, unless a residual was added.
    const Tensor y = relu && residual.defined() ? done.y : Tensor();
    ctx->save_for_backward({done.x, done.statistics, weight, y});
    ctx->saved_data["training"] = training;
    ctx->saved_data["relu"] = relu;
    ctx->saved_data["residual"] = residual.defined();
    return done.y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &statistics = saved[1], &weight = saved[2], &y = saved[3];
    const bool training = ctx->saved_data["training"].toBool(), relu = ctx->saved_data["relu"].toBool();
    const bool residual = ctx->saved_data["residual"].toBool();
    TORCH_CHECK(!at::GradMode::is_enabled(), "BatchNorm has no second derivative on the CPU");
    if (!grads[0].defined()) return variable_list(10);
    const Tensor dy = channels_last(grads[0]);
    const Matrix m(x);
    const int64_t channels = m.channels;
    const float *mean = statistics.const_data_ptr<float>(), *inverse = mean + channels;
    const float *scale = inverse + channels, *shift = scale + channels;
    const float *from = x.const_data_ptr<float>(), *out = y.defined() ? y.const_data_ptr<float>() : nullptr;

    // Without a ReLU it is the gradient itself.
    Tensor d_residual;
    if (residual) d_residual = relu ? at::empty_like(x) : dy;
    float *written = residual && relu ? d_residual.mutable_data_ptr<float>() : nullptr;
    const float *gradient = dy.const_data_ptr<float>();
    std::vector<float> parts(2 * m.blocks() * channels);
    m.for_each_block([&](int64_t i, int64_t row, int64_t rows) {
      const int64_t at = row * channels;
      float *part = parts.data() + 2 * i * channels;
      kernels().block_gradient_sums(gradient + at, from + at, out ? out + at : nullptr, mean, scale, shift, relu, rows,
                                    channels, written ? written + at : nullptr, part, part + channels);
    });
    std::vector<double> sums(2 * channels, 0.0);
    for (int64_t i = 0; i < m.blocks(); i += 1) {
      for (int64_t c = 0; c < 2 * channels; c += 1) sums[c] += parts[2 * i * channels + c];
    }

    const Tensor d_weight = at::empty_like(weight), d_bias = at::empty_like(weight);
    float *to_weight = d_weight.mutable_data_ptr<float>(), *to_bias = d_bias.mutable_data_ptr<float>();
    // dx = a g − b (x − mean) − k.
    std::vector<float> factors(3 * channels);
    float *a = factors.data(), *b = a + channels, *k = b + channels;
    for (int64_t c = 0; c < channels; c += 1) {
      const double sum = sums[c], product = sums[channels + c];
      to_bias[c] = static_cast<float>(sum);
      to_weight[c] = static_cast<float>(product * inverse[c]);
      a[c] = scale[c];
      const double share = training ? scale[c] / static_cast<double>(m.rows) : 0.0;
      b[c] = static_cast<float>(share * product * inverse[c] * inverse[c]);
      k[c] = static_cast<float>(share * sum);
    }
    Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = at::empty_like(x);
      float *to = dx.mutable_data_ptr<float>();
      // With the mask of the ReLU applied, where that was written above.
      const float *masked = written ? written : gradient;
      m.for_each_block([&](int64_t, int64_t row, int64_t rows) {
        const int64_t at = row * channels;
        kernels().input_gradient(masked + at, from + at, mean, scale, shift, relu && !written, a, b, k, rows, channels,
                                 to + at);
      });
    }
    variable_list found = {dx, d_weight, d_bias, d_residual};
    // Nothing for the other six arguments.
    found.resize(10);
    return found;
  }
};

std::optional<Tensor> of(const Tensor *tensor) { return tensor ? std::make_optional(*tensor) : std::nullopt; }

}  // namespace

extern "C" {

// BatchNorm of float32 `x`, shape [batch, channels, height, width], on the CPU; plus `residual`, unless it is null; and
// ReLU, if asked for. Running statistics may be null in training. Where no gradient is recorded, `x` is overwritten.
char *autolr_norm_act(const Tensor *x, const Tensor *weight, const Tensor *bias, const Tensor *residual,
                      const Tensor *running_mean, const Tensor *running_var, int training, double momentum, double eps,
                      int relu, Tensor **y) {
  return guarded([&] {
    const auto plus = of(residual), mean = of(running_mean), var = of(running_var);
    if (at::GradMode::is_enabled()) {
      *y = new Tensor(
          NormAct::apply(*x, *weight, *bias, plus, mean, var, training != 0, momentum, eps, relu != 0));
    } else {
      *y = new Tensor(
          compute(*x, *weight, *bias, plus.value_or(Tensor()), mean.value_or(Tensor()), var.value_or(Tensor()),
                  training != 0, momentum, eps, relu != 0, /*in_place=*/true).y);
    }
  });
}

}  // extern "C"
