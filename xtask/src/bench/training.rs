//! `cargo xtask bench training`: training steps, forward passes and probes against PyTorch on the same cores.

use serde_json::{Value, json};

use super::contest::{Column, Contest, Pace, Setting, ratios};
use super::machine::Machine;
use super::options::TrainingArgs;
use super::progress::Progress;
use super::statistics::Spread;
use super::table::{markdown, number};
use super::way::{Programs, Way};
use crate::project::Project;

const WAYS: [Way; 5] = [
    Way::Ours,
    Way::Eager,
    Way::ChannelsLast,
    Way::Compiled,
    Way::CompiledChannelsLast,
];

/// The probe's; `cargo xtask bench probe` has others.
const CANDIDATES: usize = 7;

/// A setting with what came of it.
type Row = (Setting, Vec<Column>);

pub(crate) fn run(project: &Project, args: &TrainingArgs) -> anyhow::Result<()> {
    super::compare(
        project,
        &args.common,
        |programs, rows| measure(programs, args, rows),
        |machine, rows| document(machine, args, rows),
        |machine, rows| page(machine, args, rows),
    )
}

fn settings(args: &TrainingArgs) -> Vec<Setting> {
    let mut settings = Vec::new();
    for &threads in &args.common.threads {
        for &operation in &args.operations {
            for &width in &args.widths {
                for &batch in &args.batches {
                    settings.push(Setting {
                        operation,
                        width,
                        batch,
                        threads,
                        candidates: CANDIDATES,
                        optimizer: args.common.optimizer,
                    });
                }
            }
        }
    }
    settings
}

fn measure(programs: &Programs, args: &TrainingArgs, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let settings = settings(args);
    let pace = Pace {
        turns: args.common.turns,
        seconds: args.common.seconds,
    };
    let work = settings.iter().map(|setting| setting.work(&WAYS, pace));
    let mut progress = Progress::new(work.sum());
    for of_same_threads in settings.chunk_by(|a, b| a.threads == b.threads) {
        let mut contest = Contest::new(programs, of_same_threads[0].threads, &WAYS);
        for setting in of_same_threads {
            let columns = contest.measure(setting, pace, &mut progress)?;
            rows.push((*setting, columns));
        }
    }
    Ok(())
}

fn document(machine: &Machine, args: &TrainingArgs, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(setting, columns)| {
            let ratios = ratios(columns);
            let columns: Vec<Value> = columns
                .iter()
                .map(|column| column.json(setting.images()))
                .collect();
            json!({
                "operation": setting.operation.name(), "width": setting.width, "batch": setting.batch,
                "threads": setting.threads, "columns": columns, "ratios": ratios,
                "ratio": Spread::of(&ratios).map(Spread::json),
            })
        })
        .collect();
    json!({
        "bench": "training", "machine": machine.json(), "optimizer": args.common.optimizer.name(),
        "turns": args.common.turns, "seconds": args.common.seconds, "candidates": CANDIDATES, "settings": rows,
    })
}

fn page(machine: &Machine, args: &TrainingArgs, rows: &[Row]) -> String {
    format!(
        "{}; {}; turns: {}\n\nImages a second, and how many times as fast ours is as the best of PyTorch:\n\n{}\n\
         Seconds before the measurement, mostly compiling:\n\n{}{}",
        machine.shown(),
        args.common.optimizer,
        args.common.turns,
        speeds(rows),
        compiling(rows),
        unavailable(rows.iter().flat_map(|(_, columns)| columns)),
    )
}

fn labels(setting: &Setting) -> Vec<String> {
    let numbers = [setting.width, setting.batch, setting.threads];
    let mut labels = vec![setting.operation.name().to_owned()];
    labels.extend(numbers.map(|number| number.to_string()));
    labels
}

fn speeds(rows: &[Row]) -> String {
    let mut heads = vec!["operation", "width", "batch", "threads"];
    heads.extend(WAYS.map(Way::name));
    heads.push("ours ÷ best (min–max)");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(setting, columns)| {
            let mut cells = labels(setting);
            let images = setting.images();
            cells.extend(columns.iter().map(|column| match column.median() {
                Some(seconds) => number(images / seconds),
                None => "failed".to_owned(),
            }));
            cells.push(ratio(columns));
            cells
        })
        .collect();
    markdown(&heads, 1, &rows)
}

fn compiling(rows: &[Row]) -> String {
    let mut heads = vec!["operation", "width", "batch", "threads"];
    heads.extend(WAYS.map(Way::name));
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(setting, columns)| {
            let mut cells = labels(setting);
            cells.extend(columns.iter().map(|column| match &column.outcome {
                Ok(measured) => number(measured.first_seconds),
                Err(_) => "failed".to_owned(),
            }));
            cells
        })
        .collect();
    markdown(&heads, 1, &rows)
}

/// Ours ÷ the best of PyTorch: median, smallest and largest over the turns.
pub(crate) fn ratio(columns: &[Column]) -> String {
    let Some(Spread { median, min, max }) = Spread::of(&ratios(columns)) else {
        return "–".to_owned();
    };
    format!("{median:.2} ({min:.2}–{max:.2})")
}

/// Why there are no figures of some ways: each reason once.
pub(crate) fn unavailable<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for column in columns {
        if let Err(reason) = &column.outcome {
            let line = format!("\nNo figures of {reason}\n");
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contest::Measured;
    use crate::bench::options::{Operation, Rule};

    fn row() -> Row {
        let setting = Setting {
            operation: Operation::Step,
            width: 8,
            batch: 32,
            threads: 2,
            candidates: CANDIDATES,
            optimizer: Rule::Sgd,
        };
        let column = |(way, outcome): (Way, Result<[f64; 3], &str>)| Column {
            way,
            outcome: outcome
                .map(|seconds| Measured {
                    parameters: 10,
                    first_seconds: 0.5,
                    value: 2.0,
                    calls: vec![3; 3],
                    seconds: seconds.to_vec(),
                })
                .map_err(str::to_owned),
        };
        let columns = [
            (Way::Ours, Ok([0.1, 0.1, 0.2])),
            (Way::Eager, Ok([0.2, 0.2, 0.2])),
            (Way::ChannelsLast, Ok([0.16, 0.3, 0.3])),
            (Way::Compiled, Err("compiled, threads 2: no compiler")),
            (
                Way::CompiledChannelsLast,
                Err("both, threads 2: no compiler"),
            ),
        ];
        (setting, columns.map(column).to_vec())
    }

    #[test]
    fn a_row_has_speeds_and_ratio() {
        assert_eq!(
            speeds(&[row()]),
            "| operation | width | batch | threads | ours | eager | channels-last | compiled | compiled, channels-last | ours ÷ best (min–max) |\n\
             | --------- | ----: | ----: | ------: | ---: | ----: | ------------: | -------: | ----------------------: | --------------------: |\n\
             | step      |     8 |    32 |       2 |  320 |   160 |           107 |   failed |                  failed |      1.60 (1.00–2.00) |\n"
        );
    }

    #[test]
    fn what_failed_is_said_once_a_way() {
        let rows = [row(), row()];
        assert_eq!(
            unavailable(rows.iter().flat_map(|(_, columns)| columns)),
            "\nNo figures of compiled, threads 2: no compiler\n\nNo figures of both, threads 2: no compiler\n"
        );
        assert!(compiling(&rows).contains("|  0.50 |"));
    }

    #[test]
    fn the_probe_counts_an_image_once_for_each_candidate() {
        let (mut setting, _) = row();
        assert_eq!(setting.images(), 32.0);
        setting.operation = Operation::Probe;
        assert_eq!(setting.images(), 224.0);
    }
}
