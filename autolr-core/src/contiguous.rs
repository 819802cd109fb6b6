//! Views as slices: the loops of this crate run over slices.

use std::ops::Deref;

use ndarray::{ArrayView1, ArrayViewMut1};

/// The values of a view in one piece: borrowed where they lie so, else copied.
pub(crate) enum Contiguous<'a> {
    Borrowed(&'a [f64]),
    Copied(Vec<f64>),
}

impl<'a> Contiguous<'a> {
    pub(crate) fn of(view: ArrayView1<'a, f64>) -> Self {
        match view.to_slice() {
            Some(slice) => Self::Borrowed(slice),
            None => Self::Copied(view.to_vec()),
        }
    }
}

impl Deref for Contiguous<'_> {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        match self {
            Self::Borrowed(slice) => slice,
            Self::Copied(values) => values,
        }
    }
}

/// Lets `write` write to a view in one piece; where it lies scattered, to a copy, which is put back at the end.
pub(crate) fn with_slice_mut<R>(
    mut view: ArrayViewMut1<'_, f64>,
    write: impl FnOnce(&mut [f64]) -> R,
) -> R {
    if let Some(slice) = view.as_slice_mut() {
        return write(slice);
    }
    let mut copy = view.to_vec();
    let result = write(&mut copy);
    for (out, value) in view.iter_mut().zip(copy) {
        *out = value;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, s};

    #[test]
    fn scattered_views_are_read_and_written() {
        let mut array = Array1::from_iter((0..6).map(f64::from));
        assert_eq!(*Contiguous::of(array.slice(s![..;-2])), [5.0, 3.0, 1.0]);
        assert_eq!(*Contiguous::of(array.slice(s![1..3])), [1.0, 2.0]);
        with_slice_mut(array.slice_mut(s![..;-2]), |slice| {
            assert_eq!(slice, [5.0, 3.0, 1.0]);
            slice.copy_from_slice(&[9.0, 8.0, 7.0]);
        });
        with_slice_mut(array.slice_mut(s![..1]), |slice| slice.fill(-1.0));
        assert_eq!(array.to_vec(), [-1.0, 7.0, 2.0, 8.0, 4.0, 9.0]);
    }
}
