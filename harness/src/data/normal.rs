//! Normally distributed numbers with the same bits on every platform.

use rand::{Rng, RngExt};

/// A draw of mean 0 and variance 1 by the method of Box and Muller 1958: √(−2 ln(1 − u)) · cos 2πv of two uniform numbers
/// in [0, 1), ln and cos by libm. It is finite, since 1 − u is at least 2⁻⁵³.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * libm::log(1.0 - u)).sqrt() * libm::cos(std::f64::consts::TAU * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Purpose, stream};

    #[test]
    fn moments_and_tails_are_those_of_the_normal_distribution() {
        const N: usize = 40_000;
        let mut rng = stream(0, Purpose::Synthetic, 0, 0);
        let draws: Vec<f64> = (0..N).map(|_| normal(&mut rng)).collect();
        let mean = |f: fn(f64) -> f64| draws.iter().map(|&x| f(x)).sum::<f64>() / N as f64;
        // Standard errors: 1, √2, √15 and √96 over √n = 200, and 0.21/200 for the share beyond 2; five of them.
        assert!(mean(|x| x).abs() < 5.0 / 200.0);
        assert!((mean(|x| x * x) - 1.0).abs() < 5.0 * 1.42 / 200.0);
        assert!(mean(|x| x * x * x).abs() < 5.0 * 3.9 / 200.0);
        assert!((mean(|x| x * x * x * x) - 3.0).abs() < 5.0 * 9.8 / 200.0);
        let beyond = mean(|x| f64::from(u8::from(x.abs() > 2.0)));
        assert!((beyond - 0.0455).abs() < 5.0 * 0.21 / 200.0);
    }
}
