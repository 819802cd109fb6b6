//! The folders of runs: which folder is one, where they are found, and what the manifests beside them call them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::sweep::SweepManifest;
use crate::disk::is_passing;
use crate::exit::{BadInput, say};
use crate::experiment::{ExperimentFile, RunSpec, check_named, is_digest, own_name};
use crate::regular_file;
use crate::report::Manifest;

/// The specification of a run's folder.
///
/// # Errors
/// [`BadInput`] that names the file if it cannot be read, is no specification of one run, or is not the one that the
/// folder is named after.
pub(crate) fn read_spec(dir: &Path) -> Result<RunSpec> {
    let path = dir.join("spec.toml");
    regular_file::check_folder(dir)
        .map_err(|error| BadInput(format!("{}: {error}", dir.display())))?;
    let file = ExperimentFile::load_from_folder(&path)?;
    let series = file.find(None)?;
    let spec = file.spec(series, &toml::Table::new())?;
    check_named(dir, &spec)?;
    Ok(spec)
}

pub(crate) fn folder_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Whether a folder is a run's: it has a digest for a name, whatever became of what was in it, or a log. Not one that
/// holds runs and nothing of a run itself, whatever its name, nor one that [`is_not_begun`].
pub(crate) fn is_run(dir: &Path) -> bool {
    if dir.join("events.jsonl").exists() {
        return true;
    }
    is_digest(&own_name(dir)) && !holds_runs(dir) && !is_not_begun(dir)
}

/// Whether a folder holds runs, or a folder of runs, and nothing that a run itself leaves.
fn holds_runs(dir: &Path) -> bool {
    let own = [
        "spec.toml",
        "events.jsonl",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
    ];
    if own
        .iter()
        .any(|name| dir.join(name).symlink_metadata().is_ok())
    {
        return false;
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        (name == "runs" || is_digest(&name)) && entry.path().is_dir()
    })
}

/// Whether the process of a run ended before it wrote the specification: the folder has its lock or its `failed.json`, and
/// nothing else.
pub(crate) fn is_not_begun(dir: &Path) -> bool {
    if !is_digest(&own_name(dir)) || dir.is_symlink() {
        return false;
    }
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    let names: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| !is_passing(name))
        .collect();
    // An empty folder is no such run: its files were taken away.
    let before = ["lock", "lock.held", "failed.json"];
    !names.is_empty()
        && names
            .iter()
            .all(|name| before.iter().any(|one| name == one))
}

/// A run's folder, and its name where a manifest gives it one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundRun {
    pub(crate) dir: PathBuf,
    pub(crate) name: Option<String>,
}

/// A folder that the user named: if that is a link, the one that it leads to. Links within it are not followed.
pub(crate) fn named_folder(dir: &Path) -> PathBuf {
    regular_file::named(dir)
}

/// How deep runs are looked for: `.` finds those in `report/runs/`.
const DEPTH: usize = 3;

/// A folder in which no runs were looked for.
#[derive(Debug)]
pub(crate) struct PassedOver {
    dir: PathBuf,
    why: String,
}

/// The runs in `dir`, which may be a run's folder itself, a folder of runs, or one above. In a manifest's order where
/// there is one, else by name. A link to a folder is not followed, and a folder may be unreadable; both are said on
/// standard error.
///
/// # Errors
/// [`BadInput`] if the folder cannot be read or holds no run.
pub(crate) fn find_runs(dir: &Path) -> Result<Vec<FoundRun>, BadInput> {
    let mut passed_over = Vec::new();
    let found = find_runs_quietly(dir, &mut passed_over);
    for PassedOver { dir, why } in passed_over {
        say(&format!("note: {}: {why}", dir.display()));
    }
    found
}

/// The same, without a word; `passed_over` are the folders that were not looked into.
///
/// # Errors
/// As [`find_runs`].
pub(crate) fn find_runs_quietly(
    dir: &Path,
    passed_over: &mut Vec<PassedOver>,
) -> Result<Vec<FoundRun>, BadInput> {
    let mut found = Vec::new();
    let dir = &named_folder(dir);
    if is_run(dir) || is_not_begun(dir) {
        let (_, mut names) = above(dir)
            .as_deref()
            .map(manifest_beside)
            .unwrap_or_default();
        let name = names.remove(&folder_name(dir));
        found.push(FoundRun {
            dir: dir.to_owned(),
            name,
        });
        return Ok(found);
    }
    let entries = std::fs::read_dir(dir)
        .map_err(|error| BadInput(format!("{}: cannot be read: {error}", dir.display())))?;
    drop(entries);
    descend(dir, DEPTH, &mut found, passed_over);
    if found.is_empty() {
        return Err(BadInput(format!("{}: no run is there", dir.display())));
    }
    Ok(found)
}

fn descend(dir: &Path, depth: usize, found: &mut Vec<FoundRun>, passed_over: &mut Vec<PassedOver>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            let why = format!("cannot be read, so that its runs are left out: {error}");
            let dir = dir.to_owned();
            passed_over.push(PassedOver { dir, why });
            return;
        }
    };
    // Asked of the entry too: in a folder that can be listed and not entered, the paths tell nothing.
    let is_folder = |entry: &std::fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) || entry.path().is_dir()
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = folder_name(&entry.path());
            // A file in the place of a run's folder is not passed over.
            (is_folder(entry) || is_digest(&name)) && !name.starts_with('.')
        })
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    let (order, mut names) = manifest_beside(dir);
    let place = |path: &PathBuf| {
        let name = folder_name(path);
        order.iter().position(|other| *other == name)
    };
    // Runs of no manifest come last.
    folders.sort_by_key(|path| place(path).unwrap_or(usize::MAX));
    for folder in folders {
        if is_run(&folder) || is_not_begun(&folder) {
            let name = names.remove(&folder_name(&folder));
            // A link is refused when the run is read.
            found.push(FoundRun { dir: folder, name });
        } else if folder.is_symlink() {
            let why =
                "a link, which is not followed: name it, or the folder that it leads to".to_owned();
            passed_over.push(PassedOver { dir: folder, why });
        } else if depth > 1 {
            descend(&folder, depth - 1, found, passed_over);
        }
    }
}

/// The folder that `path` lies in; of `.` too.
fn above(path: &Path) -> Option<PathBuf> {
    Some(std::path::absolute(path).ok()?.parent()?.to_owned())
}

/// The runs that a manifest beside the folder `runs` tells of, in its order, and what it calls them.
fn manifest_beside(runs: &Path) -> (Vec<String>, HashMap<String, String>) {
    let Some(dir) = above(runs) else {
        return Default::default();
    };
    let dir = dir.as_path();
    let mut order = Vec::new();
    let mut names = HashMap::new();
    let mut add = |run: String, name: String| {
        names.entry(run).or_insert_with_key(|run| {
            order.push(run.clone());
            name
        });
    };
    if let Some(sweep) = SweepManifest::read(dir).ok().flatten() {
        for (run, name) in sweep.named(runs) {
            add(run, name);
        }
    }
    let manifest = Manifest::read(dir).ok().flatten();
    for section in manifest.into_iter().flat_map(|manifest| manifest.sections) {
        let experiment = section.experiment.name();
        for series in section.series {
            let name = format!("{experiment}/{}/{}", section.protocol, series.name);
            let several = series.runs.len() > 1;
            for entry in series.runs {
                add(
                    entry.run,
                    if several {
                        format!("{name}/seed-{}", entry.seed)
                    } else {
                        name.clone()
                    },
                );
            }
        }
    }
    (order, names)
}
