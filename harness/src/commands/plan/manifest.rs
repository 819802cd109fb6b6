//! `manifest.json` in a report's folder.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::{Plan, place};
use crate::disk::{merge_whole, write_whole};
use crate::report::{Manifest, SectionEntry, SeriesEntry};

impl Plan {
    /// Adds the runs to those that `manifest.json` in `dir` holds, for the report.
    ///
    /// What is there of the same scale stays: sections that are not of this plan, and in those that are the seeds that
    /// are not, as long as they are of the same specification. Other runs stay where they are on the disk, and are in the
    /// report no longer, which is said on standard error. The manifest of another scale is put aside, and taken up again
    /// when that scale is asked for. With `only`, nothing is added to.
    ///
    /// # Errors
    /// [`crate::exit::BadInput`] if what is there is no manifest; if the disk fails.
    pub(crate) fn write_manifest(&self, dir: &Path, only: bool) -> Result<()> {
        let of_scale = |scale: &str| dir.join(format!("manifest.{scale}.json"));
        let (now, own) = (&self.manifest, of_scale(&self.manifest.scale));
        let before = Manifest::read(dir)?;
        let aside = before.as_ref().filter(|before| before.scale != now.scale);
        if let Some(other) = aside {
            eprintln!(
                "{}: the report there is of scale {} so far, and will be of scale {}; the other is kept in \
                 manifest.{}.json, and gone on with when its scale is asked for again",
                dir.display(),
                other.scale,
                now.scale,
                other.scale
            );
        }
        let earlier = || -> Result<Option<Manifest>> {
            Ok(match Manifest::read(dir)? {
                _ if only => None,
                Some(before) if before.scale == now.scale => Some(before),
                _ => Manifest::read_file(&own)?,
            })
        };
        if let Some(earlier) = earlier()? {
            self.say_what_goes(dir, &earlier)?;
        }
        merge_whole(&dir.join(Manifest::FILE), || {
            let before = Manifest::read(dir)?;
            if let Some(other) = before.as_ref().filter(|before| before.scale != now.scale) {
                let text = serde_json::to_string_pretty(other)? + "\n";
                write_whole(&of_scale(&other.scale), text.as_bytes())?;
            }
            let merged = match earlier()? {
                Some(earlier) => self.added_to(&earlier)?,
                None => now.clone(),
            };
            if before.as_ref() == Some(&merged) {
                return Ok(None);
            }
            Ok(Some(serde_json::to_string_pretty(&merged)? + "\n"))
        })
    }

    /// Says which runs are in the report no longer.
    fn say_what_goes(&self, dir: &Path, before: &Manifest) -> Result<()> {
        let places = |manifest: &Manifest| -> BTreeSet<(String, u64, String)> {
            let sections = manifest.sections.iter();
            let series = sections.flat_map(|section| {
                let series = section.series.iter();
                series.map(move |series| (section, series))
            });
            let runs = series.flat_map(|(section, series)| {
                let place = place(section.experiment, &section.protocol, &series.name);
                let runs = series.runs.iter();
                runs.map(move |run| (place.clone(), run.seed, run.run.clone()))
            });
            runs.collect()
        };
        let stays = places(&self.added_to(before)?);
        for (place, seed, run) in places(before).difference(&stays) {
            eprintln!(
                "{}: {place}, seed {seed}: the run there so far is of another specification (device, data or the \
                 experiment differ), and is in the report no longer; it stays in runs/{run}",
                dir.display()
            );
        }
        Ok(())
    }

    /// This plan's manifest with what `before` holds beyond it.
    fn added_to(&self, before: &Manifest) -> Result<Manifest> {
        let mut merged = self.manifest.clone();
        for old in &before.sections {
            let same = |section: &&mut SectionEntry| {
                section.experiment == old.experiment && section.protocol == old.protocol
            };
            let Some(section) = merged.sections.iter_mut().find(same) else {
                merged.sections.push(old.clone());
                continue;
            };
            for series in &mut section.series {
                let place = place(old.experiment, &old.protocol, &series.name);
                if let Some(old) = old.series.iter().find(|old| old.name == series.name) {
                    self.add_seeds(&place, series, old)?;
                }
            }
        }
        merged
            .sections
            .sort_by(|a, b| (a.experiment, &a.protocol).cmp(&(b.experiment, &b.protocol)));
        Ok(merged)
    }

    /// Adds the seeds of `old` that `series` has not, and whose runs are of its specification.
    fn add_seeds(&self, place: &str, series: &mut SeriesEntry, old: &SeriesEntry) -> Result<()> {
        let Some(spec) = self.series.get(place) else {
            return Ok(());
        };
        let mut spec = spec.clone();
        for run in &old.runs {
            if series.runs.iter().any(|new| new.seed == run.seed) {
                continue;
            }
            spec.training.seed = run.seed;
            if spec.run_name()? == run.run {
                series.runs.push(run.clone());
            }
        }
        series.runs.sort_by_key(|run| run.seed);
        Ok(())
    }
}
