//! Equality for types that hold floats: what was cloned is equal, with a NaN loss in it too.

use std::fmt::Debug;

/// Whether two floats have the same bits, or are both NaN.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// The same of as many floats.
pub(crate) fn all_same<'a, A, B>(a: A, b: B) -> bool
where
    A: IntoIterator<Item = &'a f64, IntoIter: ExactSizeIterator>,
    B: IntoIterator<Item = &'a f64, IntoIter: ExactSizeIterator>,
{
    let (a, b) = (a.into_iter(), b.into_iter());
    a.len() == b.len() && a.zip(b).all(|(&a, &b)| same(a, b))
}

/// The same of errors and findings, which hold floats in many variants: `Debug` writes all floats apart, and every NaN
/// alike.
pub(crate) fn same_in_debug(a: &impl Debug, b: &impl Debug) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_nan_and_all_else_is_its_bits() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        assert!(same(f64::NAN, other_nan) && same(0.5, 0.5));
        assert!(!same(0.0, -0.0) && !same(f64::NAN, 0.5) && !same(0.5, 0.5 + f64::EPSILON));
        assert!(all_same(&[1.0, f64::NAN], &[1.0, f64::NAN]));
        assert!(!all_same(&[1.0], &[1.0, 2.0]) && !all_same(&[1.0, 3.0], &[1.0, 2.0]));
        assert!(same_in_debug(&Some(f64::NAN), &Some(f64::NAN)));
        assert!(!same_in_debug(&Some(0.0), &Some(-0.0)));
    }
}
