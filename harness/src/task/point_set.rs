//! Labelled points that a classifying task trains and tests on.

use ndarray::Axis;
use sha2::{Digest, Sha256};

use super::{Part, PureExamples, StateArray, StateValues, TaskError};
use crate::data::{Points, Stream};

/// Points of both parts with their number of classes, checked to fit each other.
#[derive(Debug, Clone)]
pub struct PointSet {
    /// For a reader.
    pub(super) name: String,
    pub(super) classes: usize,
    train: Points,
    test: Points,
}

impl PointSet {
    /// # Errors
    /// [`TaskError`] if there are no classes or features, the parts have different features, a part has not one label a
    /// point, or a label is not below `classes`.
    pub(super) fn new(train: Points, test: Points, classes: usize) -> Result<Self, TaskError> {
        let features = train.features.ncols();
        for (what, size) in [("classes", classes), ("features", features)] {
            if size == 0 {
                return Err(TaskError::Zero(what));
            }
        }
        for points in [&train, &test] {
            let sizes = [
                ("features of a point", points.features.ncols(), features),
                ("labels", points.labels.len(), points.features.nrows()),
            ];
            for (what, found, expected) in sizes {
                if found != expected {
                    return Err(TaskError::Size {
                        what,
                        found,
                        expected,
                    });
                }
            }
            let mut labels = points.labels.iter().copied();
            if let Some(label) = labels.find(|&label| usize::from(label) >= classes) {
                return Err(TaskError::Label { label, classes });
            }
        }
        Ok(Self {
            name: "synthetic points".into(),
            classes,
            train,
            test,
        })
    }

    /// Features of a point.
    pub(super) fn features(&self) -> usize {
        self.train.features.ncols()
    }

    /// The points of a part.
    pub(super) fn part(&self, part: Part) -> &Points {
        match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
        }
    }
}

impl PureExamples for PointSet {
    type Batch = Points;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn count(&self, part: Part) -> usize {
        self.part(part).labels.len()
    }

    /// The points of these indices, in their order.
    fn batch(&self, part: Part, indices: &[u32], _: Option<&mut Stream>) -> Points {
        let points = self.part(part);
        let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        Points {
            features: points.features.select(Axis(0), &rows),
            labels: rows.iter().map(|&row| points.labels[row]).collect(),
        }
    }

    /// A batch of points as arrays `….features` and `….labels`.
    fn arrays(&self, name: &str, batch: &Points) -> Vec<StateArray> {
        let labels = batch.labels.iter().map(|&label| i64::from(label)).collect();
        vec![
            StateArray {
                name: format!("{name}.features"),
                shape: batch.features.shape().to_vec(),
                values: StateValues::F64(batch.features.iter().copied().collect()),
            },
            StateArray {
                name: format!("{name}.labels"),
                shape: vec![batch.labels.len()],
                values: StateValues::I64(labels),
            },
        ]
    }

    /// SHA-256 of features (float64, little-endian) and labels (bytes) of the training points, then of the test points.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for points in [&self.train, &self.test] {
            for value in &points.features {
                hash.update(value.to_le_bytes());
            }
            hash.update(&points.labels);
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn points(features: Array2<f64>, labels: &[u8]) -> Points {
        Points {
            features,
            labels: labels.to_vec(),
        }
    }

    #[test]
    fn points_that_do_not_fit_are_named() {
        let two = || points(array![[1.0, 2.0], [3.0, 4.0]], &[0, 1]);
        let message =
            |train, test, classes| PointSet::new(train, test, classes).unwrap_err().to_string();
        assert_eq!(
            message(two(), two(), 0),
            "classes = 0: it must be at least 1"
        );
        assert_eq!(
            message(points(Array2::zeros((1, 0)), &[0]), two(), 2),
            "features = 0: it must be at least 1"
        );
        assert_eq!(
            message(two(), points(array![[1.0]], &[0]), 2),
            "features of a point: 1, expected 2"
        );
        assert_eq!(
            message(two(), points(array![[1.0, 2.0]], &[]), 2),
            "labels: 0, expected 1"
        );
        assert_eq!(message(two(), two(), 1), "label 1, expected 0 to 0");
        assert!(PointSet::new(two(), two(), 2).is_ok());
    }

    #[test]
    fn a_batch_has_the_order_of_its_indices() {
        let train = points(array![[1.0], [2.0], [3.0]], &[0, 1, 2]);
        let set = PointSet::new(train, points(array![[9.0]], &[2]), 3).unwrap();
        assert_eq!(
            set.batch(Part::Train, &[2, 0, 2], None),
            points(array![[3.0], [1.0], [3.0]], &[2, 0, 2])
        );
        assert_eq!(
            set.batch(Part::Test, &[0], None),
            points(array![[9.0]], &[2])
        );
        assert_eq!(set.batch(Part::Test, &[], None).features.dim(), (0, 1));
    }

    /// SHA-256 of 00×6 f0 3f 01, 00×7 40 00 (1.0, label 1; 2.0, label 0), computed apart from this code.
    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let set =
            PointSet::new(points(array![[1.0]], &[1]), points(array![[2.0]], &[0]), 2).unwrap();
        assert_eq!(
            set.digest(),
            "1cca5520f6aee2c97fc8770a04d115f38ee204b3d19035f70e362cd0dd1dbc5f"
        );
    }
}
