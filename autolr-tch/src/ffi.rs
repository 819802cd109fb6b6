//! The one place with `unsafe`: calls into `shim.cpp`.
#![allow(unsafe_code, reason = "calls into the C++ shim")]

use std::ffi::{CStr, c_char, c_int};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::error::{Error, Result};

/// The shim's optional tensors: null where there is none.
fn or_null(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}

/// `at::Generator`, seen from here by its address alone.
#[repr(C)]
struct CGenerator {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn autolr_free(text: *mut c_char);
    fn autolr_libtorch_version() -> *const c_char;
    fn autolr_cpu_capability() -> *mut c_char;
    fn autolr_load_cuda() -> c_int;
    fn autolr_add_scaled_out(
        out: *mut C_tensor,
        a: *const C_tensor,
        b: *const C_tensor,
        alpha: f64,
    ) -> *mut c_char;
    fn autolr_set_grad(leaf: *mut C_tensor, grad: *const C_tensor) -> *mut c_char;
    fn autolr_generator_new(seed: u64, random: *mut *mut CGenerator) -> *mut c_char;
    fn autolr_generator_free(random: *mut CGenerator);
    fn autolr_uniform(
        out: *mut C_tensor,
        low: f64,
        high: f64,
        random: *mut CGenerator,
    ) -> *mut c_char;
    fn autolr_normal(out: *mut C_tensor, std: f64, random: *mut CGenerator) -> *mut c_char;
    fn autolr_rng_state(device: i64, state: *mut *mut C_tensor) -> *mut c_char;
    fn autolr_set_rng_state(device: i64, state: *const C_tensor) -> *mut c_char;
    fn autolr_set_numerics(deterministic: c_int, tf32: c_int) -> *mut c_char;
    fn autolr_norm_act(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        residual: *const C_tensor,
        running_mean: *const C_tensor,
        running_var: *const C_tensor,
        training: c_int,
        momentum: f64,
        eps: f64,
        relu: c_int,
        y: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn autolr_keep_freed_memory();
    fn autolr_memory_start() -> *mut c_char;
    fn autolr_memory_stop(peak: *mut i64) -> *mut c_char;
}

/// The shim's convention: null, or a message that is ours to free.
fn check(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so a NUL-terminated string from `strdup`, freed once, here.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        autolr_free(message);
        text
    };
    Err(Error::Shim(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// Version of the libtorch that this was compiled against, for example `2.11.0`.
pub fn libtorch_version() -> String {
    // SAFETY: a string literal.
    unsafe { CStr::from_ptr(autolr_libtorch_version()) }
        .to_string_lossy()
        .into_owned()
}

/// The processor's instructions that libtorch's own kernels use, as it found them or as `ATEN_CPU_CAPABILITY` told it:
/// `AVX2`, `AVX512`, `DEFAULT`. Results differ between them in the last bits.
pub fn cpu_capability() -> String {
    // SAFETY: no arguments; the text is ours to free, and is copied before.
    unsafe {
        let text = autolr_cpu_capability();
        if text.is_null() {
            return "unknown".to_owned();
        }
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        autolr_free(text);
        copy
    }
}

/// Loads the CUDA half of libtorch where it lies beside the other; true if it is there.
///
/// To be called before anything else of libtorch, since an executable that runs everywhere cannot link it.
pub fn load_cuda() -> bool {
    // SAFETY: no arguments; `dlopen` is thread-safe.
    unsafe { autolr_load_cuda() != 0 }
}

/// `out = a + alpha · b` elementwise, in one kernel; `out` may be `a` or `b`.
pub(crate) fn add_scaled_out(out: &Tensor, a: &Tensor, b: &Tensor, alpha: f64) -> Result<()> {
    // libtorch refuses a finite scalar that float32 cannot hold; infinity is what it rounds to.
    let alpha = if (alpha as f32).is_infinite() {
        f64::INFINITY.copysign(alpha)
    } else {
        alpha
    };
    // SAFETY: three live tensors; the shim writes into the storage of `out` as libtorch's own out-variants do.
    check(unsafe { autolr_add_scaled_out(out.as_ptr().cast_mut(), a.as_ptr(), b.as_ptr(), alpha) })
}

/// Makes `grad` the tensor into which backward passes accumulate the gradient of `leaf`.
pub(crate) fn set_grad(leaf: &Tensor, grad: &Tensor) -> Result<()> {
    // SAFETY: two live tensors; the shim takes a reference of its own to `grad`.
    check(unsafe { autolr_set_grad(leaf.as_ptr().cast_mut(), grad.as_ptr()) })
}

/// A random generator of one's own on the CPU: the same numbers as libtorch's global one after `manual_seed`,
/// without touching that one, so that networks can be made on several threads at once.
pub(crate) struct Generator(*mut CGenerator);

impl Generator {
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let mut random = std::ptr::null_mut();
        // SAFETY: on success `random` is a new generator that is ours.
        check(unsafe { autolr_generator_new(seed, &mut random) })?;
        Ok(Self(random))
    }

    /// Fills a float tensor on the CPU with uniform draws from `low` to `high`.
    pub(crate) fn uniform(&mut self, out: &Tensor, low: f64, high: f64) -> Result<()> {
        // SAFETY: a live tensor and a live generator.
        check(unsafe { autolr_uniform(out.as_ptr().cast_mut(), low, high, self.0) })
    }

    /// Fills a float tensor on the CPU with normal draws of mean 0 and standard deviation `std`.
    pub(crate) fn normal(&mut self, out: &Tensor, std: f64) -> Result<()> {
        // SAFETY: a live tensor and a live generator.
        check(unsafe { autolr_normal(out.as_ptr().cast_mut(), std, self.0) })
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { autolr_generator_free(self.0) }
    }
}

fn device_index(device: Device) -> i64 {
    match device {
        Device::Cuda(index) => index as i64,
        _ => -1,
    }
}

/// A copy of libtorch's random state on a device.
pub fn rng_state(device: Device) -> Result<Tensor> {
    let mut state = std::ptr::null_mut();
    // SAFETY: on success `state` is a new tensor that is ours.
    unsafe {
        check(autolr_rng_state(device_index(device), &mut state))?;
        Ok(Tensor::from_ptr(state))
    }
}

/// Puts a copy of the random state back.
pub fn set_rng_state(device: Device, state: &Tensor) -> Result<()> {
    // SAFETY: a live tensor.
    check(unsafe { autolr_set_rng_state(device_index(device), state.as_ptr()) })
}

/// What [`norm_act`] makes of its input.
pub(crate) struct NormAct<'a> {
    pub(crate) weight: &'a Tensor,
    pub(crate) bias: &'a Tensor,
    /// Running mean and variance: written if `training`, else used.
    pub(crate) running: Option<(&'a Tensor, &'a Tensor)>,
    pub(crate) training: bool,
    pub(crate) momentum: f64,
    pub(crate) eps: f64,
    pub(crate) residual: Option<&'a Tensor>,
    pub(crate) relu: bool,
}

/// BatchNorm of float32 `x`, shape `[batch, channels, height, width]`, on the CPU, plus the residual, if there is one,
/// and ReLU, if asked for, as one differentiable operation. Where no gradient is recorded, `x` is overwritten.
pub(crate) fn norm_act(x: &Tensor, how: &NormAct<'_>) -> Result<Tensor> {
    let mut y = std::ptr::null_mut();
    // SAFETY: live tensors; on success `y` is a new one that is ours.
    unsafe {
        check(autolr_norm_act(
            x.as_ptr(),
            how.weight.as_ptr(),
            how.bias.as_ptr(),
            or_null(how.residual),
            or_null(how.running.map(|(mean, _)| mean)),
            or_null(how.running.map(|(_, var)| var)),
            c_int::from(how.training),
            how.momentum,
            how.eps,
            c_int::from(how.relu),
            &mut y,
        ))?;
        Ok(Tensor::from_ptr(y))
    }
}

/// Deterministic algorithms (slower on a GPU; those that do not exist warn), and TF32 in convolutions and matrix
/// products on GPUs (faster, 10 bits of mantissa).
pub fn set_numerics(deterministic: bool, tf32: bool) -> Result<()> {
    // SAFETY: plain switches.
    check(unsafe { autolr_set_numerics(c_int::from(deterministic), c_int::from(tf32)) })
}

/// Keeps freed memory in this process instead of returning it to the system. Each training step frees its tensors, and
/// the next one would have to get the same pages again, zeroed one by one: 14 % of a step of ResNet-18 at width 8. For
/// programs that train; the process keeps its peak memory until it ends.
///
/// Has an effect with glibc's allocator only.
pub fn keep_freed_memory() {
    // SAFETY: sets two numbers of the allocator.
    unsafe { autolr_keep_freed_memory() }
}

/// Runs `action` and returns its result with the peak of the memory, in bytes, that libtorch's tensors took
/// during it beyond what they had before. Work space that oneDNN and cuDNN take for themselves is not counted.
pub fn peak_memory<T>(action: impl FnOnce() -> T) -> Result<(T, u64)> {
    // SAFETY: start and stop are paired on this thread.
    check(unsafe { autolr_memory_start() })?;
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
    let mut peak = 0;
    // SAFETY: as above.
    check(unsafe { autolr_memory_stop(&mut peak) })?;
    match outcome {
        Ok(value) => Ok((value, peak.max(0) as u64)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
