//! Vectors of optimisers as tensors of libtorch.

use std::ops::Range;

use autolr_core::optimizer::Flat;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::ffi::add_scaled_out;

/// A float32 tensor of shape `[n]` as an optimiser's vector: each operation is libtorch's own kernel, or a few of them.
#[derive(Debug)]
pub struct FlatTensor(pub(crate) Tensor);

impl FlatTensor {
    /// Of a float32 tensor of shape `[n]`.
    pub fn new(tensor: Tensor) -> Self {
        Self(tensor)
    }

    /// Another handle to the same numbers.
    pub(crate) fn handle(&self) -> Self {
        Self(self.0.shallow_clone())
    }

    /// The tensor.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// A view of some of its entries.
    fn part(&self, part: &Range<usize>) -> Result<Tensor> {
        let (start, length) = (part.start as i64, part.len() as i64);
        Ok(self.0.f_narrow(0, start, length)?)
    }
}

impl Flat for FlatTensor {
    type Error = Error;

    fn zeros_like(&self) -> Result<Self> {
        Ok(Self(self.0.f_zeros_like()?))
    }

    fn entries(&self) -> usize {
        self.0.numel()
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

    fn combine(&mut self, a: f64, b: f64, y: &Self) -> Result<()> {
        let _ = self.0.f_mul_scalar_(a)?;
        self.add_scaled(b, y)
    }

    fn combine_squares(&mut self, a: f64, b: f64, y: &Self) -> Result<()> {
        self.combine(a, b, &Self(y.0.f_square()?))
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

    fn sum_of_magnitudes(&self) -> Result<f64> {
        Ok(self.0.f_abs()?.f_sum(Kind::Float)?.f_double_value(&[])?)
    }

    fn squared_norms(&self, parts: &[Range<usize>]) -> Result<Vec<f64>> {
        let mut norms = Vec::with_capacity(parts.len());
        for part in parts {
            let part = self.part(part)?;
            norms.push(part.f_dot(&part)?);
        }
        if norms.is_empty() {
            return Ok(Vec::new());
        }
        // The device is waited for once.
        let norms = Tensor::f_stack(&norms, 0)?.f_to_kind(Kind::Double)?;
        Ok(Vec::try_from(norms.f_to(tch::Device::Cpu)?)?)
    }

    fn scale_parts(&mut self, parts: &[Range<usize>], a: &[f64]) -> Result<()> {
        for (part, &a) in parts.iter().zip(a) {
            let _ = self.part(part)?.f_mul_scalar_(a)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use autolr_core::optimizer::Flat;
    use ndarray::Array1;
    use tch::Tensor;

    use super::FlatTensor;

    const X: [f32; 4] = [0.5, -2.0, 3.0, 0.0];
    const Y: [f32; 4] = [1.5, 0.25, -1.0, 0.0];
    const Z: [f32; 4] = [0.1, 4.0, 2.0, 1.0];

    /// The same operation on a tensor and on an array; x, y and z start alike.
    macro_rules! both {
        (|$x:ident, $y:ident, $z:ident| $operation:expr) => {{
            #[allow(
                unused_mut,
                unused_variables,
                reason = "not all operations take all three"
            )]
            let tensor = {
                let [mut $x, mut $y, $z] = [X, Y, Z].map(|v| FlatTensor(Tensor::from_slice(&v)));
                $operation.unwrap();
                Vec::<f32>::try_from(&$x.0).unwrap()
            };
            #[allow(
                unused_mut,
                unused_variables,
                reason = "not all operations take all three"
            )]
            let array = {
                let [mut $x, mut $y, $z] = [X, Y, Z].map(|v| Array1::from(v.to_vec()));
                $operation.unwrap();
                $x.to_vec()
            };
            for (a, b) in tensor.iter().zip(&array) {
                approx::assert_relative_eq!(a, b, max_relative = 4.0 * f32::EPSILON);
            }
            array
        }};
    }

    #[test]
    fn operations_are_those_of_arrays() {
        let results = [
            both!(|x, y, z| x.copy(&y)),
            both!(|x, y, z| x.set_sum(&y, -0.5, &z)),
            both!(|x, y, z| x.add_scaled(0.3, &y)),
            both!(|x, y, z| x.scale_add(0.9, &y)),
            both!(|x, y, z| x.multiply(&y)),
            both!(|x, y, z| x.add_product(&y, &z)),
            both!(|x, y, z| x.average(0.9, &y)),
            both!(|x, y, z| x.average_squares(0.99, &mut y)),
            both!(|x, y, z| x.set_adam(&y, 0.1, &z, 0.01, 1e-8)),
            both!(|x, y, z| x.set_sign(&y)),
            both!(|x, y, z| x.combine(0.9, -0.3, &y)),
            both!(|x, y, z| x.combine_squares(0.9, 0.1, &y)),
            both!(|x, y, z| x.scale_parts(&[0..1, 2..4], &[2.0, 0.5])),
        ];
        for (index, result) in results.iter().enumerate() {
            assert_ne!(result, &X, "operation {index} did nothing");
        }
    }

    #[test]
    fn sums_are_those_of_arrays() {
        let (tensor, array) = (FlatTensor(Tensor::from_slice(&X)), Array1::from(X.to_vec()));
        assert_eq!(tensor.entries(), 4);
        assert_eq!(tensor.sum_of_magnitudes().unwrap(), 5.5);
        assert_eq!(array.sum_of_magnitudes().unwrap(), 5.5);
        for parts in [vec![], vec![0..3, 3..4], vec![0..1, 1..4]] {
            let norms = tensor.squared_norms(&parts).unwrap();
            assert_eq!(norms, array.squared_norms(&parts).unwrap());
            assert_eq!(norms.len(), parts.len());
        }
        assert_eq!(tensor.squared_norms(&[1..3, 3..4]).unwrap()[0], 13.0);
    }

    #[test]
    fn a_sign_is_zero_at_zero_and_keeps_nan() {
        let y = FlatTensor(Tensor::from_slice(&[-3.0_f32, 0.0, f32::NAN]));
        let mut x = y.zeros_like().unwrap();
        x.set_sign(&y).unwrap();
        let x = Vec::<f32>::try_from(&x.0).unwrap();
        assert_eq!(x[..2], [-1.0, 0.0]);
        assert!(x[2].is_nan());
        let dot = y.dot_product(&y.zeros_like().unwrap());
        assert!(dot.unwrap().is_nan());
    }
}
