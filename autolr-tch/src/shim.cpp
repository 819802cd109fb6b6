// What the Rust bindings of libtorch lack: an addition with a scale into a given tensor, a gradient buffer of one's
// own, generators and the random state, deterministic and TF32 switches, what becomes of freed memory, and a count of
// the memory that tensors take.
//
// Every function returns null, or an error message that the caller frees with autolr_free.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/version.h>

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

// __GLIBC__ is defined by the headers above.
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "guarded.h"

namespace {

at::Generator generator(int64_t device) {
  return device < 0 ? at::globalContext().defaultGenerator(at::Device(at::kCPU))
                    : at::globalContext().defaultGenerator(at::Device(at::kCUDA, device));
}

// Counts bytes as the allocators report them to a profiler.
class MemoryCount final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void *, int64_t bytes, size_t, size_t, c10::Device) override {
    std::lock_guard<std::mutex> lock(mutex_);
    current_ += bytes;
    if (current_ > peak_) peak_ = current_;
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t peak() {
    std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }

 private:
  std::mutex mutex_;
  int64_t current_ = 0;
  int64_t peak_ = 0;
};

}  // namespace

extern "C" {

void autolr_free(char *text) { std::free(text); }

const char *autolr_libtorch_version() { return TORCH_VERSION; }

// The instructions that libtorch's own kernels use here, such as AVX2; the caller frees it.
char *autolr_cpu_capability() { return strdup(at::get_cpu_capability().c_str()); }

// Loads the CUDA half of libtorch, which a lean executable does not link. 1 if it is there.
int autolr_load_cuda() {
#ifdef _WIN32
  return 0;
#else
  return dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
#endif
}

// out = a + alpha * b, in one kernel.
char *autolr_add_scaled_out(at::Tensor *out, const at::Tensor *a, const at::Tensor *b, double alpha) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::add_out(*out, *a, *b, alpha);
  });
}

// Makes `grad` the buffer into which backward passes accumulate the gradient of the leaf.
char *autolr_set_grad(at::Tensor *leaf, const at::Tensor *grad) {
  return guarded([&] { leaf->mutable_grad() = *grad; });
}

// A generator of one's own on the CPU, seeded as torch.manual_seed seeds the global one.
char *autolr_generator_new(uint64_t seed, at::Generator **random) {
  return guarded([&] { *random = new at::Generator(at::detail::createCPUGenerator(seed)); });
}

void autolr_generator_free(at::Generator *random) { delete random; }

// Fills a tensor with draws from the uniform distribution on [low, high).
char *autolr_uniform(at::Tensor *out, double low, double high, at::Generator *random) {
  return guarded([&] {
    at::NoGradGuard guard;
    out->uniform_(low, high, *random);
  });
}

// Fills a tensor with draws from the normal distribution of mean 0 and this standard deviation.
char *autolr_normal(at::Tensor *out, double std, at::Generator *random) {
  return guarded([&] {
    at::NoGradGuard guard;
    out->normal_(0.0, std, *random);
  });
}

// A copy of the random state of the CPU (device < 0) or of a GPU.
char *autolr_rng_state(int64_t device, at::Tensor **state) {
  return guarded([&] {
    auto random = generator(device);
    std::lock_guard<std::mutex> lock(random.mutex());
    *state = new at::Tensor(random.get_state());
  });
}

char *autolr_set_rng_state(int64_t device, const at::Tensor *state) {
  return guarded([&] {
    auto random = generator(device);
    std::lock_guard<std::mutex> lock(random.mutex());
    random.set_state(*state);
  });
}

char *autolr_set_numerics(int deterministic, int tf32) {
  return guarded([&] {
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(deterministic != 0, /*warn_only=*/true);
    context.setDeterministicCuDNN(deterministic != 0);
    context.setBenchmarkCuDNN(deterministic == 0);
    context.setAllowTF32CuDNN(tf32 != 0);
    context.setAllowTF32CuBLAS(tf32 != 0);
  });
}

// Keeps freed memory in the process, so that the next step can reuse the pages of its tensors. For glibc's allocator.
void autolr_keep_freed_memory() {
#ifdef __GLIBC__
  // Before glibc 2.35 the limit is 32 MiB.
  if (mallopt(M_MMAP_THRESHOLD, 1 << 30) == 0) mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

// Counts the memory of tensors on this thread, and on those that work for it, until autolr_memory_stop.
char *autolr_memory_start() {
  return guarded([] {
    c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, std::make_shared<MemoryCount>());
  });
}

char *autolr_memory_stop(int64_t *peak) {
  return guarded([&] {
    auto info = c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
    *peak = static_cast<MemoryCount *>(info.get())->peak();
  });
}

}  // extern "C"
