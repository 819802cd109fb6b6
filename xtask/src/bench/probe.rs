//! `cargo xtask bench probe`: probes of N candidates against deep copies in PyTorch, in time and memory.

use serde_json::{Value, json};

use super::contest::{Column, Contest, Pace, Setting, ratios};
use super::machine::Machine;
use super::options::{Operation, ProbeArgs};
use super::progress::Progress;
use super::statistics::Spread;
use super::table::{markdown, number};
use super::training::ratio;
use super::way::{Programs, Way};
use super::worker;
use crate::project::Project;

const WAYS: [Way; 3] = [Way::Ours, Way::Eager, Way::ChannelsLast];

/// A guess at the seconds that a process takes to start.
const START: f64 = 4.0;

/// A setting with times and memory, the latter in the order of [`WAYS`].
#[derive(Debug)]
struct Row {
    setting: Setting,
    columns: Vec<Column>,
    memory: Vec<Value>,
}

pub(crate) fn run(project: &Project, args: &ProbeArgs) -> anyhow::Result<()> {
    super::compare(
        project,
        &args.common,
        |programs, rows| measure(programs, args, rows),
        |machine, rows| document(machine, args, rows),
        |machine, rows| page(machine, args, rows),
    )
}

fn settings(args: &ProbeArgs) -> Vec<Setting> {
    let mut settings = Vec::new();
    for &threads in &args.common.threads {
        for &width in &args.widths {
            for &batch in &args.batches {
                for &candidates in &args.candidates {
                    settings.push(Setting {
                        operation: Operation::Probe,
                        width,
                        batch,
                        threads,
                        candidates,
                        optimizer: args.common.optimizer,
                    });
                }
            }
        }
    }
    settings
}

fn measure(programs: &Programs, args: &ProbeArgs, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let settings = settings(args);
    let pace = Pace {
        turns: args.common.turns,
        seconds: args.common.seconds,
    };
    let of_memory = |setting: &Setting| {
        START * WAYS.len() as f64
            + setting.work(
                &WAYS,
                Pace {
                    turns: 2,
                    seconds: 0.0,
                },
            )
    };
    let work = settings
        .iter()
        .map(|setting| setting.work(&WAYS, pace) + of_memory(setting));
    let mut progress = Progress::new(work.sum());
    for of_same_threads in settings.chunk_by(|a, b| a.threads == b.threads) {
        let mut contest = Contest::new(programs, of_same_threads[0].threads, &WAYS);
        for setting in of_same_threads {
            let columns = contest.measure(setting, pace, &mut progress)?;
            let mut memory = Vec::new();
            for way in WAYS {
                progress.say(&format!("{}: memory of {}", setting.shown(), way.name()));
                memory.push(peaks(programs, way, setting)?);
            }
            progress.advance(of_memory(setting));
            rows.push(Row {
                setting: *setting,
                columns,
                memory,
            });
        }
    }
    Ok(())
}

/// Peaks of a fresh process: what another once had, it may have kept.
fn peaks(programs: &Programs, way: Way, setting: &Setting) -> anyhow::Result<Value> {
    let (mut process, _) = programs.start(way, setting.threads)?;
    let step = Setting {
        operation: Operation::Step,
        ..*setting
    };
    process.ask(&step.request())?;
    let answer = process.ask(&json!({"do": "memory"}))?;
    for key in ["step", "probe"] {
        worker::count(&answer, key)?;
    }
    Ok(answer)
}

/// Bytes of a peak above that of a training step.
fn above_step(memory: &Value, key: &str) -> Option<i64> {
    Some(memory[key].as_i64()? - memory["step"].as_i64()?)
}

fn document(machine: &Machine, args: &ProbeArgs, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let ratios = ratios(&row.columns);
            let columns: Vec<Value> = row
                .columns
                .iter()
                .zip(&row.memory)
                .map(|(column, memory)| {
                    let mut value = column.json(row.setting.images());
                    value["peak_bytes"] = memory.clone();
                    value["above_step_bytes"] = json!(above_step(memory, "probe"));
                    value
                })
                .collect();
            json!({
                "width": row.setting.width, "batch": row.setting.batch, "threads": row.setting.threads,
                "candidates": row.setting.candidates, "columns": columns, "ratios": ratios,
                "ratio": Spread::of(&ratios).map(Spread::json),
            })
        })
        .collect();
    json!({
        "bench": "probe", "machine": machine.json(), "optimizer": args.common.optimizer.name(),
        "turns": args.common.turns, "seconds": args.common.seconds, "settings": rows,
    })
}

fn page(machine: &Machine, args: &ProbeArgs, rows: &[Row]) -> String {
    format!(
        "{}; {}; turns: {}\n\nMilliseconds a probe, and how many times as fast ours is as the best of PyTorch:\n\n{}\n\
         Peak memory above that of a training step, in MiB; in the last column, what tensors of ours take above a step's, \
         in copies of the weights:\n\n{}",
        machine.shown(),
        args.common.optimizer,
        args.common.turns,
        times(rows),
        memories(rows),
    )
}

fn labels(setting: &Setting) -> Vec<String> {
    [
        setting.width,
        setting.batch,
        setting.threads,
        setting.candidates,
    ]
    .map(|number| number.to_string())
    .to_vec()
}

fn times(rows: &[Row]) -> String {
    let mut heads = vec!["width", "batch", "threads", "N"];
    heads.extend(WAYS.map(Way::name));
    heads.push("ours ÷ best (min–max)");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells = labels(&row.setting);
            let median =
                |column: &Column| column.median().map_or("–".to_owned(), |s| number(1e3 * s));
            cells.extend(row.columns.iter().map(median));
            cells.push(ratio(&row.columns));
            cells
        })
        .collect();
    markdown(&heads, 0, &rows)
}

fn memories(rows: &[Row]) -> String {
    let mut heads = vec!["width", "batch", "threads", "N"];
    heads.extend(WAYS.map(Way::name));
    heads.extend(["eager, all copies kept", "ours, tensors"]);
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let shown = |bytes: Option<i64>| match bytes {
                Some(bytes) => format!("{:.1}", bytes as f64 / f64::from(1 << 20)),
                None => "–".to_owned(),
            };
            let mut cells = labels(&row.setting);
            let probe = |memory| shown(above_step(memory, "probe"));
            cells.extend(row.memory.iter().map(probe));
            cells.push(shown(above_step(&row.memory[1], "keeping_copies")));
            let copies = row.memory[0]["tensor_copies"].as_f64();
            cells.push(copies.map_or("–".to_owned(), |copies| format!("{copies:.3}")));
            cells
        })
        .collect();
    markdown(&heads, 0, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contest::Measured;
    use crate::bench::options::Rule;

    fn row() -> Row {
        let column = |(way, seconds): (Way, f64)| Column {
            way,
            outcome: Ok(Measured {
                parameters: 10,
                first_seconds: 0.5,
                value: 2.0,
                calls: vec![3],
                seconds: vec![seconds],
            }),
        };
        let columns = [
            (Way::Ours, 0.1),
            (Way::Eager, 0.25),
            (Way::ChannelsLast, 0.2),
        ];
        let mib = |count: u64| count << 20;
        Row {
            setting: Setting {
                operation: Operation::Probe,
                width: 8,
                batch: 32,
                threads: 1,
                candidates: 7,
                optimizer: Rule::Sgd,
            },
            columns: columns.map(column).to_vec(),
            memory: vec![
                json!({"step": mib(100), "probe": mib(101), "tensor_copies": 1.0071}),
                json!({"step": mib(500), "probe": mib(502), "keeping_copies": mib(530)}),
                json!({"step": mib(500), "probe": mib(499), "keeping_copies": mib(531)}),
            ],
        }
    }

    #[test]
    fn times_are_medians_in_milliseconds() {
        assert_eq!(
            times(&[row()]),
            "| width | batch | threads |   N | ours | eager | channels-last | ours ÷ best (min–max) |\n\
             | ----: | ----: | ------: | --: | ---: | ----: | ------------: | --------------------: |\n\
             |     8 |    32 |       1 |   7 |  100 |   250 |           200 |      2.00 (2.00–2.00) |\n"
        );
    }

    #[test]
    fn memory_is_counted_from_the_step_on() {
        assert_eq!(
            memories(&[row()]),
            "| width | batch | threads |   N | ours | eager | channels-last | eager, all copies kept | ours, tensors |\n\
             | ----: | ----: | ------: | --: | ---: | ----: | ------------: | ---------------------: | ------------: |\n\
             |     8 |    32 |       1 |   7 |  1.0 |   2.0 |          -1.0 |                   30.0 |         1.007 |\n"
        );
    }
}
