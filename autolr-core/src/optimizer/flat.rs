//! What an optimiser does to vectors, wherever they live.

use std::convert::Infallible;
use std::ops::Range;

use ndarray::{Array1, Zip, s};

/// A vector of numbers that an optimiser works on: an [`Array1`], a tensor on a GPU. All vectors of one optimiser have the
/// same length `[n]`.
///
/// The operations are those that the optimisers need, and whole ones, so that a library can take its fused kernel; how
/// often one rounds is its own affair. Element i of x is xᵢ.
#[allow(
    clippy::missing_errors_doc,
    reason = "said once: each operation fails when the machinery does"
)]
pub trait Flat: Sized {
    /// What can go wrong: a device is gone, memory is short.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Zeros, as long as this.
    fn zeros_like(&self) -> Result<Self, Self::Error>;

    /// n.
    fn entries(&self) -> usize;

    /// x ← y
    fn copy(&mut self, y: &Self) -> Result<(), Self::Error>;

    /// x ← y + a z
    fn set_sum(&mut self, y: &Self, a: f64, z: &Self) -> Result<(), Self::Error>;

    /// x ← x + a y
    fn add_scaled(&mut self, a: f64, y: &Self) -> Result<(), Self::Error>;

    /// x ← a x + y
    fn scale_add(&mut self, a: f64, y: &Self) -> Result<(), Self::Error>;

    /// x ← a x + b y
    fn combine(&mut self, a: f64, b: f64, y: &Self) -> Result<(), Self::Error>;

    /// xᵢ ← a xᵢ + b yᵢ²
    fn combine_squares(&mut self, a: f64, b: f64, y: &Self) -> Result<(), Self::Error>;

    /// xᵢ ← xᵢ yᵢ
    fn multiply(&mut self, y: &Self) -> Result<(), Self::Error>;

    /// xᵢ ← xᵢ + yᵢ zᵢ
    fn add_product(&mut self, y: &Self, z: &Self) -> Result<(), Self::Error>;

    /// Moving average: x ← β x + (1 − β) y
    fn average(&mut self, beta: f64, y: &Self) -> Result<(), Self::Error>;

    /// Moving average of squares: xᵢ ← β xᵢ + (1 − β) yᵢ². `y` is work space, and holds anything afterwards.
    fn average_squares(&mut self, beta: f64, y: &mut Self) -> Result<(), Self::Error>;

    /// Adam's quotient: xᵢ ← (mᵢ / c₁) / (√(vᵢ / c₂) + ε)
    fn set_adam(
        &mut self,
        m: &Self,
        c1: f64,
        v: &Self,
        c2: f64,
        eps: f64,
    ) -> Result<(), Self::Error>;

    /// xᵢ ← sign yᵢ, which is 0 at 0
    fn set_sign(&mut self, y: &Self) -> Result<(), Self::Error>;

    /// Σ xᵢ yᵢ
    fn dot_product(&self, y: &Self) -> Result<f64, Self::Error>;

    /// Σ |xᵢ|
    fn sum_of_magnitudes(&self) -> Result<f64, Self::Error>;

    /// Σ xᵢ² over each of these parts.
    fn squared_norms(&self, parts: &[Range<usize>]) -> Result<Vec<f64>, Self::Error>;

    /// xᵢ ← aₖ xᵢ for the entries of part k, one factor a part; entries of no part stay.
    fn scale_parts(&mut self, parts: &[Range<usize>], a: &[f64]) -> Result<(), Self::Error>;
}

macro_rules! flat_array {
    ($float:ident) => {
        /// Each operation rounds as it is written, element by element; sums go from the first term to the last.
        impl Flat for Array1<$float> {
            type Error = Infallible;

            fn zeros_like(&self) -> Result<Self, Infallible> {
                Ok(Self::zeros(self.len()))
            }

            fn entries(&self) -> usize {
                self.len()
            }

            fn copy(&mut self, y: &Self) -> Result<(), Infallible> {
                self.assign(y);
                Ok(())
            }

            fn set_sum(&mut self, y: &Self, a: f64, z: &Self) -> Result<(), Infallible> {
                let a = a as $float;
                Zip::from(self)
                    .and(y)
                    .and(z)
                    .for_each(|x, &y, &z| *x = y + a * z);
                Ok(())
            }

            fn add_scaled(&mut self, a: f64, y: &Self) -> Result<(), Infallible> {
                let a = a as $float;
                Zip::from(self).and(y).for_each(|x, &y| *x += a * y);
                Ok(())
            }

            fn scale_add(&mut self, a: f64, y: &Self) -> Result<(), Infallible> {
                let a = a as $float;
                Zip::from(self).and(y).for_each(|x, &y| *x = a * *x + y);
                Ok(())
            }

            fn combine(&mut self, a: f64, b: f64, y: &Self) -> Result<(), Infallible> {
                let (a, b) = (a as $float, b as $float);
                Zip::from(self).and(y).for_each(|x, &y| *x = a * *x + b * y);
                Ok(())
            }

            fn combine_squares(&mut self, a: f64, b: f64, y: &Self) -> Result<(), Infallible> {
                let (a, b) = (a as $float, b as $float);
                Zip::from(self)
                    .and(y)
                    .for_each(|x, &y| *x = a * *x + b * y * y);
                Ok(())
            }

            fn multiply(&mut self, y: &Self) -> Result<(), Infallible> {
                Zip::from(self).and(y).for_each(|x, &y| *x *= y);
                Ok(())
            }

            fn add_product(&mut self, y: &Self, z: &Self) -> Result<(), Infallible> {
                Zip::from(self)
                    .and(y)
                    .and(z)
                    .for_each(|x, &y, &z| *x += y * z);
                Ok(())
            }

            fn average(&mut self, beta: f64, y: &Self) -> Result<(), Infallible> {
                let (beta, rest) = (beta as $float, (1.0 - beta) as $float);
                Zip::from(self)
                    .and(y)
                    .for_each(|x, &y| *x = beta * *x + rest * y);
                Ok(())
            }

            fn average_squares(&mut self, beta: f64, y: &mut Self) -> Result<(), Infallible> {
                let (beta, rest) = (beta as $float, (1.0 - beta) as $float);
                Zip::from(self)
                    .and(&*y)
                    .for_each(|x, &y| *x = beta * *x + rest * y * y);
                Ok(())
            }

            fn set_adam(
                &mut self,
                m: &Self,
                c1: f64,
                v: &Self,
                c2: f64,
                eps: f64,
            ) -> Result<(), Infallible> {
                let (c1, c2, eps) = (c1 as $float, c2 as $float, eps as $float);
                Zip::from(self)
                    .and(m)
                    .and(v)
                    .for_each(|x, &m, &v| *x = (m / c1) / ((v / c2).sqrt() + eps));
                Ok(())
            }

            fn set_sign(&mut self, y: &Self) -> Result<(), Infallible> {
                // NaN stays: a divergence is not to be hidden.
                let sign = |y: $float| {
                    if y == 0.0 || y.is_nan() {
                        y
                    } else {
                        y.signum()
                    }
                };
                Zip::from(self).and(y).for_each(|x, &y| *x = sign(y));
                Ok(())
            }

            fn dot_product(&self, y: &Self) -> Result<f64, Infallible> {
                Ok(self
                    .iter()
                    .zip(y)
                    .fold(0.0, |sum, (&x, &y)| sum + f64::from(x) * f64::from(y)))
            }

            fn sum_of_magnitudes(&self) -> Result<f64, Infallible> {
                Ok(self.iter().fold(0.0, |sum, &x| sum + f64::from(x.abs())))
            }

            fn squared_norms(&self, parts: &[Range<usize>]) -> Result<Vec<f64>, Infallible> {
                let of = |part: &Range<usize>| {
                    let part = self.slice(s![part.clone()]);
                    part.iter()
                        .fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x))
                };
                Ok(parts.iter().map(of).collect())
            }

            fn scale_parts(&mut self, parts: &[Range<usize>], a: &[f64]) -> Result<(), Infallible> {
                for (part, &a) in parts.iter().zip(a) {
                    let a = a as $float;
                    self.slice_mut(s![part.clone()]).mapv_inplace(|x| a * x);
                }
                Ok(())
            }
        }
    };
}

flat_array!(f32);
flat_array!(f64);
