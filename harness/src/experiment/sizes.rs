//! How many images a run has, from the data sets' known sizes: nothing is loaded.

use super::{RunSpec, SpecError};
use crate::data::{DataError, DataSetName, Split, SplitSpec, cifar};
use crate::number;

/// How many images a run trains on, validates on, draws its scoring batches from, and tests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Images to train on.
    pub train: usize,
    /// Images to validate on.
    pub validation: usize,
    /// Images the scoring batches are drawn from.
    pub scoring: usize,
    /// Images to test on.
    pub test: usize,
}

/// The sizes of a specification's parts, from the data sets' known sizes: nothing is loaded.
///
/// # Errors
/// [`SpecError`] that names the key if a part would be empty, or smaller than a batch.
pub fn sizes(spec: &RunSpec) -> Result<Sizes, SpecError> {
    let data = &spec.data;
    let (images, test) = match data.set.cifar() {
        Some(set) => {
            let records =
                |files: &[cifar::OfficialFile]| files.iter().map(|file| file.records).sum();
            (records(set.train_files()), records(set.test_files()))
        }
        None => drawn_sizes(spec),
    };
    let subset = check_subset("data.train_images", data.train_images, images, data.set)?;
    let test = check_subset("data.test_images", data.test_images, test, data.set)?;
    let split = Split::draw(
        &SplitSpec {
            images,
            subset: Some(subset),
            validation_fraction: data.validation_fraction,
            kind: data.split,
        },
        spec.training.seed,
    )
    .map_err(|error| split_error(&error))?;
    check_batches(spec, &split, test)?;
    Ok(Sizes {
        train: split.train.len(),
        validation: split.validation.len(),
        scoring: split.scoring.len(),
        test,
    })
}

/// What is wrong with a split, at its key.
pub(crate) fn split_error(error: &DataError) -> SpecError {
    match error {
        DataError::Split {
            what,
            value,
            reason,
        } => SpecError::set(format!("data.{what}"), number::exact(*value), reason),
        other => SpecError::whole(other.to_string()),
    }
}

/// Optimiser steps of an epoch.
///
/// # Errors
/// As [`sizes`].
pub fn steps_per_epoch(spec: &RunSpec) -> Result<u64, SpecError> {
    let (n, size) = (sizes(spec)?.train, spec.training.batch_size);
    let steps = if spec.data.drop_last {
        n / size
    } else {
        n.div_ceil(size)
    };
    Ok(steps as u64)
}

/// Optimiser steps of the whole run, if it does not diverge.
///
/// # Errors
/// As [`sizes`].
pub fn run_steps(spec: &RunSpec) -> Result<u64, SpecError> {
    let of_epoch = steps_per_epoch(spec)?;
    let steps = of_epoch.saturating_mul(spec.training.epochs);
    let budget = spec.training.budget.map(|budget| budget.steps(of_epoch));
    Ok(budget.map_or(steps, |budget| budget.min(steps)))
}

/// Epochs that a run comes to, the last one in part if its budget ends it; those of the specification where the sizes do
/// not fit.
pub fn planned_epochs(spec: &RunSpec) -> u64 {
    let epochs = || {
        let steps = run_steps(spec).ok()?;
        Some(steps.div_ceil(steps_per_epoch(spec).ok()?.max(1)))
    };
    match spec.training.budget {
        None => spec.training.epochs,
        Some(_) => epochs().unwrap_or(spec.training.epochs),
    }
}

/// Training and test examples of a set that is drawn: those asked for, else the set's own.
pub(crate) fn drawn_sizes(spec: &RunSpec) -> (usize, usize) {
    let data = &spec.data;
    let (train, test) = data.set.definition().examples;
    (
        data.train_images.unwrap_or(train),
        data.test_images.unwrap_or(test),
    )
}

/// Checks, before any training, that every batch of a specification can be drawn.
pub(crate) fn check_batches(spec: &RunSpec, split: &Split, test: usize) -> Result<(), SpecError> {
    let training = ("training.batch_size", spec.training.batch_size);
    let probe = ("probe.batch_size", spec.probe.batch_size);
    for ((key, size), pool, what) in [
        (training, split.train.len(), "training"),
        (training, split.validation.len(), "validation"),
        (training, test, "test"),
        (probe, split.scoring.len(), "scoring"),
    ] {
        if size > pool {
            let rule = format!("there are only {pool} {what} images");
            return Err(SpecError::set(key, size, rule));
        }
    }
    Ok(())
}

/// Checks that a data set has as many images as a specification asks for.
pub(crate) fn check_subset(
    key: &str,
    wanted: Option<usize>,
    found: usize,
    set: DataSetName,
) -> Result<usize, SpecError> {
    match wanted {
        Some(wanted) if wanted > found => {
            let rule = format!("{set} has {found} images there");
            Err(SpecError::set(key, wanted, rule))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(found),
    }
}
