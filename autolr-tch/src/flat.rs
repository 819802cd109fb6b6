//! Vectors of optimisers as tensors of libtorch.

use autolr_core::optimizer::Flat;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi::add_scaled_out;

/// A float32 tensor of shape `[n]` as an optimiser's vector: each operation is libtorch's own kernel, or a few of them.
#[derive(Debug)]
pub struct FlatTensor(pub(crate) Tensor);

impl FlatTensor {
    /// Another handle to the same numbers.
    pub(crate) fn handle(&self) -> Self {
        Self(self.0.shallow_clone())
    }

    /// The tensor.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }
}

impl Flat for FlatTensor {
    type Error = Error;

    fn zeros_like(&self) -> Result<Self> {
        Ok(Self(self.0.f_zeros_like()?))
    }

    fn copy(&mut self, y: &Self) -> Result<()> {
        Ok(self.0.f_copy_(&y.0)?)
    }

    fn set_sum(&mut self, y: &Self, a: f64, z: &Self) -> Result<()> {
        add_scaled_out(&self.0, &y.0, &z.0, a)
    }

    fn add_scaled(&mut self, a: f64, y: &Self) -> Result<()> {
        add_scaled_out(&self.0, &self.0, &y.0, a)
    }

    fn scale_add(&mut self, a: f64, y: &Self) -> Result<()> {
        add_scaled_out(&self.0, &y.0, &self.0, a)
    }

    fn multiply(&mut self, y: &Self) -> Result<()> {
        let _ = self.0.f_mul_(&y.0)?;
        Ok(())
    }

    fn add_product(&mut self, y: &Self, z: &Self) -> Result<()> {
        let _ = self.0.f_addcmul_(&y.0, &z.0)?;
        Ok(())
    }

    fn average(&mut self, beta: f64, y: &Self) -> Result<()> {
        // As PyTorch does it: x + (1 − β)(y − x).
        let _ = self.0.f_lerp_(&y.0, 1.0 - beta)?;
        Ok(())
    }

    fn average_squares(&mut self, beta: f64, y: &mut Self) -> Result<()> {
        let _ = y.0.f_square_()?;
        let _ = y.0.f_mul_scalar_(1.0 - beta)?;
        self.scale_add(beta, y)
    }

    fn set_adam(&mut self, m: &Self, c1: f64, v: &Self, c2: f64, eps: f64) -> Result<()> {
        let _ = v.0.f_sqrt_out(&self.0)?;
        let _ = self.0.f_div_scalar_(c2.sqrt())?;
        let _ = self.0.f_add_scalar_(eps)?;
        let _ = m.0.f_div_out(&self.0, &self.0)?;
        let _ = self.0.f_div_scalar_(c1)?;
        Ok(())
    }

    fn set_sign(&mut self, y: &Self) -> Result<()> {
        // libtorch's sign of NaN is 0: a divergence is not to be hidden.
        let unordered = y.0.f_isnan()?;
        let _ = y.0.f_sign_out(&self.0)?;
        let _ = self.0.f_masked_fill_(&unordered, f64::NAN)?;
        Ok(())
    }

    fn dot_product(&self, y: &Self) -> Result<f64> {
        Ok(self.0.f_dot(&y.0)?.f_double_value(&[])?)
    }
}
