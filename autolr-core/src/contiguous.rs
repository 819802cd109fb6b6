//! Views as slices: the loops of this crate run over slices.

use std::ops::{Deref, DerefMut};

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

/// A view to write to in one piece; where it lies scattered, what was written is copied there at the end.
pub(crate) struct ContiguousMut<'a> {
    view: ArrayViewMut1<'a, f64>,
    copy: Option<Vec<f64>>,
}

impl<'a> ContiguousMut<'a> {
    pub(crate) fn of(mut view: ArrayViewMut1<'a, f64>) -> Self {
        let copy = view.as_slice_mut().is_none().then(|| view.to_vec());
        Self { view, copy }
    }
}

impl Deref for ContiguousMut<'_> {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        match &self.copy {
            Some(copy) => copy,
            None => self.view.as_slice().unwrap_or_default(),
        }
    }
}

impl DerefMut for ContiguousMut<'_> {
    fn deref_mut(&mut self) -> &mut [f64] {
        match &mut self.copy {
            Some(copy) => copy,
            None => self.view.as_slice_mut().unwrap_or_default(),
        }
    }
}

impl Drop for ContiguousMut<'_> {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            for (out, &value) in self.view.iter_mut().zip(copy) {
                *out = value;
            }
        }
    }
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
        ContiguousMut::of(array.slice_mut(s![..;-2])).copy_from_slice(&[9.0, 8.0, 7.0]);
        ContiguousMut::of(array.slice_mut(s![..1])).fill(-1.0);
        assert_eq!(array.to_vec(), [-1.0, 7.0, 2.0, 8.0, 4.0, 9.0]);
    }
}
