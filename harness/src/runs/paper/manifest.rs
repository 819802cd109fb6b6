//! `manifest.json` in a report's folder.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::{Plan, place};
use crate::disk::write_whole;
use crate::exit::{BadInput, say};
use crate::experiment::SPEC_BYTES;
use crate::regular_file::{self, Links};
use crate::report::{Manifest, RunEntry, SectionEntry, SeriesEntry};
use crate::runs::merge::merge_whole;

impl Plan {
    /// Adds the runs to those that `manifest.json` in `dir` holds, for the report.
    ///
    /// What is there of the same scale stays: sections that are not of this plan, and in those that are the seeds that
    /// are not, as long as they are of the same specification. Other runs stay where they are on the disk, and are in the
    /// report no longer, which is said on standard error; the manifest with them is kept beside the new one, under a name
    /// of its own. The manifest of another scale is put aside, and taken up again when that scale is asked for. With
    /// `only`, nothing is added to.
    ///
    /// # Errors
    /// As [`Plan::check_manifest`]; if the disk fails.
    pub(crate) fn write_manifest(&self, dir: &Path, only: bool) -> Result<()> {
        let of_scale = |scale: &str| dir.join(format!("manifest.{scale}.json"));
        let now = &self.manifest;
        let before = Manifest::read(dir)?;
        let aside = before.as_ref().filter(|before| before.scale != now.scale);
        if let Some(other) = aside {
            say(&format!(
                "{}: the report there is of scale {} so far, and will be of scale {}; the other is kept in \
                 manifest.{}.json, and resumed when its scale is asked for again",
                dir.display(),
                other.scale,
                now.scale,
                other.scale
            ));
        }
        let earlier = || self.earlier(dir);
        let merged = |earlier: &Manifest| {
            if only {
                Ok(now.clone())
            } else {
                self.added_to(earlier)
            }
        };
        if let Some(earlier) = earlier()? {
            say_what_goes(dir, &earlier, &merged(&earlier)?, only)?;
        }
        merge_whole(&dir.join(Manifest::FILE), || {
            let before = Manifest::read(dir)?;
            if let Some(other) = before.as_ref().filter(|before| before.scale != now.scale) {
                let text = serde_json::to_string_pretty(other)? + "\n";
                write_whole(&of_scale(&other.scale), text.as_bytes())?;
            }
            let merged = match earlier()? {
                Some(earlier) => {
                    let merged = merged(&earlier)?;
                    if !gone(&earlier, &merged).is_empty() {
                        let (name, text) = kept(&earlier)?;
                        write_whole(&dir.join(name), text.as_bytes())?;
                    }
                    merged
                }
                None => now.clone(),
            };
            if before.as_ref() == Some(&merged) {
                return Ok(None);
            }
            Ok(Some(serde_json::to_string_pretty(&merged)? + "\n"))
        })
    }

    /// The manifest in `dir` of this plan's scale: the present one, or the one that was put aside.
    fn earlier(&self, dir: &Path) -> Result<Option<Manifest>> {
        let scale = &self.manifest.scale;
        Ok(match Manifest::read(dir)? {
            Some(before) if before.scale == *scale => Some(before),
            _ => Manifest::read_file(&dir.join(format!("manifest.{scale}.json")))?,
        })
    }

    /// Whether the runs can be added to the report in `dir`: to be called before anything is written.
    ///
    /// # Errors
    /// [`BadInput`] if what is there is no manifest, or if synthetic data stand in for a data set on which runs of the
    /// report were trained, unless `only` asks for a report without them.
    pub(crate) fn check_manifest(&self, dir: &Path, only: bool) -> Result<()> {
        // Read even if not needed, so that one that cannot be is found before anything is written.
        let Some(before) = self.earlier(dir)? else {
            return Ok(());
        };
        if only {
            return Ok(());
        }
        for (place, run) in places(&before) {
            let (Some(set), Some(spec)) = (self.missing.get(&place), self.series.get(&place))
            else {
                continue;
            };
            let mut real = spec.clone();
            real.data.set = *set;
            real.training.seed = run.seed;
            // Of another specification by now, or on another device: its own says what it was trained on.
            let path = dir.join("runs").join(&run.run).join("spec.toml");
            let its_own = regular_file::read_text(&path, Links::Refuse, SPEC_BYTES).ok();
            let its_own = its_own.and_then(|text| text.parse::<toml::Table>().ok());
            let its_own = its_own
                .as_ref()
                .and_then(|spec| spec.get("data")?.get("set")?.as_str());
            if its_own == Some(set.key()) || real.run_name()? == run.run {
                return Err(BadInput(format!(
                    "{}: the report there has runs on {} ({place}, seed {}), which is not found now, and synthetic data \
                     would take their place: name the data's folder (--data), get it (autolr data fetch {}), or report \
                     elsewhere (--out)",
                    dir.display(),
                    set.title(),
                    run.seed,
                    set.key()
                ))
                .into());
            }
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

/// The runs of a manifest, with the places where they stand.
fn places(manifest: &Manifest) -> BTreeSet<(String, RunEntry)> {
    let sections = manifest.sections.iter();
    let series = sections.flat_map(|section| {
        let series = section.series.iter();
        series.map(move |series| (section, series))
    });
    let runs = series.flat_map(|(section, series)| {
        let place = place(section.experiment, &section.protocol, &series.name);
        let runs = series.runs.iter();
        runs.map(move |run| (place.clone(), run.clone()))
    });
    runs.collect()
}

/// What stands in `before` and no longer in `after`.
fn gone(before: &Manifest, after: &Manifest) -> Vec<(String, RunEntry)> {
    let stays = places(after);
    let runs = places(before).into_iter();
    runs.filter(|run| !stays.contains(run)).collect()
}

/// The name under which a manifest is kept whose runs leave the report, and its text.
fn kept(before: &Manifest) -> Result<(String, String)> {
    let text = serde_json::to_string_pretty(before)? + "\n";
    let digest = hex::encode(Sha256::digest(&text));
    Ok((format!("manifest.before-{digest:.8}.json"), text))
}

/// Says which runs are in the report no longer, and how they come back.
fn say_what_goes(dir: &Path, before: &Manifest, after: &Manifest, only: bool) -> Result<()> {
    let gone = gone(before, after);
    if gone.is_empty() {
        return Ok(());
    }
    if !only {
        for (place, RunEntry { seed, run }) in &gone {
            say(&format!(
                "{}: {place}, seed {seed}: the run there so far is of another specification (device, data or the \
                 experiment differ), and is in the report no longer; it stays in runs/{run}",
                dir.display()
            ));
        }
    }
    say(&format!(
        "{}: {} in the report no longer; copy {} over {} and call `autolr report` to have the report so far again",
        dir.display(),
        match gone.len() {
            1 => "1 entry is".to_owned(),
            n => format!("{n} entries are"),
        },
        kept(before)?.0,
        Manifest::FILE
    ));
    Ok(())
}
