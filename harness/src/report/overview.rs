//! The head of the report: what was run, on what, and the results at a glance.

use std::collections::{BTreeSet, HashSet};

use super::document::Block;
use super::outcome::{Status, is_synthetic};
use super::table::{Cell, Column, Table};
use super::{Experiment, ReportInput, Section, accuracy, divergence, published};
use crate::experiment::ExperimentName;
use crate::number::{grouped, plural};
use crate::record::{Build, DataProvenance, Provenance, RunLog};

/// What was run, then the results at a glance.
pub(super) fn blocks(input: &ReportInput, experiments: &[Experiment<'_>]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut runs = input.sections.iter().flat_map(Section::runs);
    if runs.any(|(_, run)| is_synthetic(run)) {
        blocks.push(Block::Warning(
            "Synthetic data. Runs of this report were trained on data which the program drew itself, not on CIFAR. Their \
             numbers say that the machinery works, and nothing about CIFAR or the paper. Every table and figure with \
             such a run says so."
                .to_owned(),
        ));
    }
    for problem in input.problems() {
        blocks.push(Block::Warning(format!(
            "A run cannot be read, and is shown without its results. {problem}"
        )));
    }
    if !input.left_out.is_empty() {
        blocks.push(Block::Warning(format!(
            "Runs of these series lie in the folder and are not in the report's manifest, so they are not in the report: {}.",
            input.left_out.join("; ")
        )));
    }
    let program = |build: &Build| Build {
        processor: None,
        ..build.clone()
    };
    let builds = builds(input).into_iter().map(program);
    if builds.collect::<HashSet<Build>>().len() > 1 {
        blocks.push(Block::Warning(
            "The runs of this report were not all made by the same program (see revision, Cargo.lock and compiler under \
             What was run; of some it may be unknown): differences between them may come of that."
                .to_owned(),
        ));
    }
    let runs = input.sections.iter().flat_map(Section::runs);
    let logs = runs.filter_map(|(_, run)| run.log.as_ref());
    let processors: BTreeSet<String> = logs.flat_map(RunLog::processors).collect();
    if processors.len() > 1 {
        blocks.push(Block::Warning(
            "The runs of this report were not all made on the same processor (see processor under What was run; of some \
             it may be unknown). libtorch computes differently on another, and a single run then ends elsewhere: \
             differences between runs may come of that."
                .to_owned(),
        ));
    }
    blocks.push(Block::paragraph(
        "The experiments of \u{201c}Automated learning rate scheduling with in-training information\u{201d} (Yongjun Kim \
         and Youngjun Yu), run again. The protocol published is Algorithm 1 as the paper states it; released is what the \
         authors' released code does, which differs from it. The paper's curves are read off its plots and those of its \
         slides. Epochs are counted from 0.",
    ));
    if input.manifest.scale != "paper" {
        blocks.push(Block::paragraph(format!(
            "These runs are of scale {}, far smaller than the paper's (see What was run): compare rows, not our columns \
             with the paper's.",
            input.manifest.scale
        )));
    }
    blocks.push(Block::section("Results at a glance"));
    for experiment in experiments {
        match experiment.name {
            ExperimentName::Table1 => blocks.push(Block::Table(accuracy::glance(experiment))),
            ExperimentName::Divergence => {
                blocks.push(Block::heading(experiment.title()));
                blocks.push(Block::paragraph(published::DIVERGENCE));
                blocks.push(Block::List(divergence::sentences(experiment)));
            }
            ExperimentName::Fig2 | ExperimentName::Fig3 => {}
        }
    }
    blocks.push(Block::section("What was run"));
    let notes = &input.manifest.notes;
    let notes: Vec<String> = notes.iter().cloned().chain(seeds_note(input)).collect();
    if !notes.is_empty() {
        blocks.push(Block::paragraph(format!(
            "Scale {}: what it changes against the paper's sizes.",
            input.manifest.scale
        )));
        blocks.push(Block::List(notes));
    }
    blocks.push(Block::Table(facts(input)));
    blocks
}

/// What made the runs, those that went on with a run included.
fn builds(input: &ReportInput) -> Vec<&Build> {
    let runs = input.sections.iter().flat_map(Section::runs);
    let logs = runs.filter_map(|(_, run)| run.log.as_ref());
    logs.flat_map(RunLog::builds).collect()
}

/// The revisions that made the runs, as far as they are known.
fn revisions(input: &ReportInput) -> BTreeSet<String> {
    let builds = builds(input);
    let revisions = builds.iter().filter_map(|build| build.revision());
    revisions.collect()
}

/// The seeds of all runs.
fn seeds(input: &ReportInput) -> BTreeSet<u64> {
    let runs = input.sections.iter().flat_map(Section::runs);
    runs.map(|(_, run)| run.entry.seed).collect()
}

/// What the seeds are, if not the paper's alone.
fn seeds_note(input: &ReportInput) -> Option<String> {
    let all = seeds(input);
    match all.first() {
        None => None,
        Some(0) if all.len() == 1 => None,
        Some(seed) if all.len() == 1 => Some(format!("Seed {seed} instead of the paper's 0.")),
        Some(_) => {
            let series = input.sections.iter().flat_map(|section| &section.series);
            let counts: BTreeSet<usize> = series.map(|series| series.runs.len()).collect();
            let each = match (counts.first(), counts.last()) {
                (Some(least), Some(most)) if least != most => format!("{least} to {most} seeds"),
                (_, most) => plural(most.copied().unwrap_or_default(), "seed"),
            };
            Some(format!(
                "{each} each; the paper's numbers are presumably of one, 0."
            ))
        }
    }
}

/// Scale, data, device, versions, sizes and states; a row for each value that differs between runs.
fn facts(input: &ReportInput) -> Table {
    let logs = || {
        let runs = input.sections.iter().flat_map(Section::runs);
        runs.filter_map(|(_, run)| run.log.as_ref())
    };
    let mut rows: Vec<(&str, Vec<String>)> = vec![
        ("scale", vec![input.manifest.scale.clone()]),
        ("runs", vec![states(input)]),
    ];
    let mut distinct = |what, of: &dyn Fn(&Provenance) -> String| {
        let values: BTreeSet<String> = logs().map(|log| of(&log.provenance)).collect();
        rows.push((what, values.into_iter().collect()));
    };
    let seeds = seeds(input);
    distinct("data", &|p| data(&p.data));
    distinct("device", &|p| p.device.clone());
    distinct("threads", &|p| p.threads.to_string());
    distinct("trained parameters", &|p| grouped(p.parameters));
    distinct("autolr", &|p| p.autolr.clone());
    distinct("libtorch", &|p| {
        p.libtorch.clone().unwrap_or_else(|| "none".to_owned())
    });
    let builds = builds(input);
    let mut of_builds = |what, values: BTreeSet<String>| {
        if !values.is_empty() {
            rows.push((what, values.into_iter().collect()));
        }
    };
    of_builds("revision", revisions(input));
    let some = |of: fn(&Build) -> &Option<String>| -> BTreeSet<String> {
        builds
            .iter()
            .filter_map(|build| of(build).clone())
            .collect()
    };
    let locks = some(|build| &build.lock);
    let short = locks.iter().map(|lock| format!("SHA-256 {lock:.12}"));
    of_builds("Cargo.lock", short.collect());
    of_builds("compiler", some(|build| &build.rustc));
    of_builds("processor", some(|build| &build.processor));
    if seeds.len() > 1 {
        let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
        rows.insert(2, ("seeds", vec![seeds.join(", ")]));
    }
    let mut table = Table::new(
        "The runs of this report.",
        vec![Column::text("what"), Column::text("value")],
    );
    for (what, values) in rows {
        if values.is_empty() {
            table.rows.push(vec![Cell::new(what), Cell::none()]);
        }
        for value in values {
            table.rows.push(vec![Cell::new(what), Cell::new(value)]);
        }
    }
    table
}

/// `8 completed, 2 diverged, 1 not finished, 1 not begun`.
fn states(input: &ReportInput) -> String {
    let names = [
        "completed",
        "diverged",
        "not finished",
        "not begun",
        "unreadable",
    ];
    let mut counts = [0_usize; 5];
    // A run that stands in two sections is one run.
    let mut seen = BTreeSet::new();
    for (_, run) in input.sections.iter().flat_map(Section::runs) {
        if seen.insert(&run.entry.run) {
            counts[match Status::of(run) {
                Status::Completed => 0,
                Status::Diverged { .. } => 1,
                Status::NotFinished { .. } => 2,
                Status::NotBegun => 3,
                Status::Unreadable { .. } => 4,
            }] += 1;
        }
    }
    let parts = counts.iter().zip(names).filter(|(n, _)| **n > 0);
    let parts: Vec<String> = parts.map(|(n, name)| format!("{n} {name}")).collect();
    format!("{}: {}", plural(seen.len(), "run"), parts.join(", "))
}

fn data(data: &DataProvenance) -> String {
    format!(
        "{} ({}): {} images to train on, {} to validate, {} for scoring batches, {} to test; SHA-256 {}",
        data.name,
        if data.synthetic { "SYNTHETIC" } else { "real" },
        grouped(data.train),
        grouped(data.validation),
        grouped(data.scoring),
        grouped(data.test),
        data.digest.chars().take(12).collect::<String>(),
    )
}
