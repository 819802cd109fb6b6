//! Where a run stands in a manifest, and whether it can be the run that belongs there.

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::{SectionEntry, SeriesEntry};
use crate::data::DataSetName;
use crate::experiment::{
    ExperimentFile, ExperimentName, Protocol, RunSpec, Scale, experiment_file,
};

/// A series of a manifest.
pub(super) struct Place<'a> {
    pub(super) scale: &'a str,
    pub(super) section: &'a SectionEntry,
    pub(super) series: &'a SeriesEntry,
}

impl Place<'_> {
    /// Whether a run of `spec` can stand here: not if this program runs it as another series, at whichever scale. One that
    /// it does not run at all may be of an experiment as it was.
    ///
    /// # Errors
    /// What the run is, and what the manifest says.
    pub(super) fn check(&self, spec: &RunSpec) -> Result<()> {
        let experiment = self.section.experiment;
        if let Some((scale, protocol)) = self.known() {
            let own = series_of(experiment, protocol, scale, spec)?;
            if let Some((_, label)) = own.iter().find(|(name, _)| *name == self.series.name) {
                if *label != self.series.label {
                    bail!(
                        "the manifest calls series {:?} {:?}, the experiment calls it {label:?}",
                        self.series.name,
                        self.series.label
                    );
                }
                return Ok(());
            }
        }
        for &scale in Scale::value_variants() {
            for experiment in ExperimentName::ALL {
                for protocol in Protocol::ALL {
                    if let Some((name, _)) = series_of(experiment, protocol, scale, spec)?.first() {
                        bail!(
                            "the specification of {}/{}/{name} at scale {}; in the manifest the run stands under \
                             {}/{}/{} at scale {}",
                            experiment.name(),
                            protocol.name(),
                            scale.name(),
                            self.section.experiment.name(),
                            self.section.protocol,
                            self.series.name,
                            self.scale
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a run of `spec`, which the manifest does not name, is one of this series.
    ///
    /// # Errors
    /// None in practice: the experiments are built in.
    pub(super) fn has(&self, spec: &RunSpec) -> Result<bool> {
        let Some((scale, protocol)) = self.known() else {
            return Ok(false);
        };
        let own = series_of(self.section.experiment, protocol, scale, spec)?;
        Ok(own.iter().any(|(name, _)| *name == self.series.name))
    }

    /// Scale and protocol, if they are the program's own.
    fn known(&self) -> Option<(Scale, Protocol)> {
        let mut protocols = Protocol::ALL.into_iter();
        let protocol = protocols.find(|protocol| protocol.name() == self.section.protocol)?;
        Some((Scale::named(self.scale)?, protocol))
    }
}

/// Names and labels of the series of an experiment that run as `spec`: on its device, with its seed, and with synthetic
/// data where it has those.
fn series_of(
    experiment: ExperimentName,
    protocol: Protocol,
    scale: Scale,
    spec: &RunSpec,
) -> Result<Vec<(String, String)>> {
    let file: ExperimentFile = experiment_file(experiment, protocol)?;
    let (overlay, _) = scale.overlay()?;
    let mut found = Vec::new();
    for series in &file.series {
        let mut planned = file.spec(series, &overlay)?;
        planned.training.device = spec.training.device;
        planned.training.seed = spec.training.seed;
        if spec.data.set == DataSetName::Synthetic {
            planned.data.set = DataSetName::Synthetic;
        }
        if planned == *spec {
            found.push((series.name.clone(), series.label.clone()));
        }
    }
    Ok(found)
}
