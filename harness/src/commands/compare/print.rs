//! What a comparison found, for a person.

use std::io::Write;

use anyhow::Result;
use toml::Value;

use super::result::Compared;
use super::side::{Side, Unreadable};
use crate::experiment::sweep::word;
use crate::number::{
    count, duration, hundredths, p_value, plural, signed, signed_significant, significant,
};
use crate::report::seeds::Weights;
use crate::statistics::Judged;
use crate::task::Metric;
use crate::visible::{typed, visible};

/// Prints it.
pub(super) fn print(
    a: &Side,
    b: &Side,
    compared: &Compared,
    judged: &Judged,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(out, "A  {}: {}", visible(&a.name), a.seeds())?;
    writeln!(out, "B  {}: {}", visible(&b.name), b.seeds())?;
    writeln!(out, "\nThe specifications differ in")?;
    let none = || "–".to_owned();
    let text = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(none, |value| typed(&word(value)))
    };
    let keys = &compared.differing_keys;
    let width = keys.iter().map(|key| key.key.len()).max().unwrap_or(0);
    for key in keys {
        let (a, b) = (text(&key.a), text(&key.b));
        writeln!(out, "  {:<width$}  {a} | {b}", key.key)?;
    }
    let metric = compared.metric;
    writeln!(
        out,
        "\nTest {} of the reported weights, in brackets after the last epoch",
        metric.heading()
    )?;
    // A difference of losses needs a digit more.
    let signed = |value| match metric {
        Metric::Accuracy => signed(value),
        Metric::Loss => signed_significant(value),
    };
    let plain = match metric {
        Metric::Accuracy => hundredths,
        Metric::Loss => significant,
    };
    let mut rows = vec![["seed", "A", "B", "A − B"].map(str::to_owned)];
    rows.extend(compared.pairs.iter().map(|pair| {
        [
            pair.seed.to_string(),
            pair.a.words(),
            pair.b.words(),
            pair.difference.map_or_else(none, signed),
        ]
    }));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        writeln!(out, "  {}", cells.join("  "))?;
    }
    if !compared.unpaired_seeds.is_empty() {
        let seeds: Vec<String> = compared.unpaired_seeds.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "  not paired, since only one of the two has {}",
            match &seeds[..] {
                [seed] => format!("it: seed {seed}"),
                seeds => format!("them: seeds {}", seeds.join(", ")),
            }
        )?;
    }
    writeln!(
        out,
        "\nMean ± half the 95 % interval (Student's t), over runs that completed"
    )?;
    for (name, side) in [("A", a), ("B", b)] {
        let words = |weights| side.observe(weights).words(plain);
        let (reported, last) = (words(Weights::Reported), words(Weights::Last));
        writeln!(out, "  {name}      {reported}; last epoch {last}")?;
    }
    if let (Some(mean), Some(difference)) = (compared.mean_difference, judged.comparison.difference)
    {
        let interval = compared.interval_95.map(|(low, high)| {
            let (low, high) = (signed(low), signed(high));
            format!(", 95 % interval {low} to {high}")
        });
        let interval = interval.unwrap_or_default();
        let p = match judged.comparison.test {
            Some(test) if test.exact => format!("; exact sign-flip p = {}", p_value(test.p)),
            Some(test) => format!("; sign-flip p = {} (drawn)", p_value(test.p)),
            None => "; no test, since not all runs completed".to_owned(),
        };
        writeln!(
            out,
            "  A − B  {}{interval} ({}){p}",
            signed(mean),
            plural(difference.n, "pair")
        )?;
    }
    writeln!(
        out,
        "\nCost; compute is in forward passes of an example (backward 2, validation and tests free)"
    )?;
    for (name, side) in [("A", &compared.a), ("B", &compared.b)] {
        let unknown = || "time not known of all runs".to_owned();
        let time = side.seconds.map_or_else(unknown, duration);
        let compute = match (side.compute, side.search) {
            (Some(compute), Some(search)) => {
                format!(
                    "compute {} ({} of it by probes)",
                    count(compute),
                    count(search)
                )
            }
            _ => "so far; compute unknown until all runs are finished".to_owned(),
        };
        writeln!(out, "  {name}  {} epochs, {time}, {compute}", side.epochs)?;
    }
    let (a, b) = (&compared.a, &compared.b);
    for (what, of_a, of_b) in [
        ("by the same program", &a.revisions, &b.revisions),
        ("on the same processor", &a.processors, &b.processors),
    ] {
        let values: Vec<&str> = of_a.union(of_b).map(String::as_str).collect();
        if values.len() > 1 {
            writeln!(
                out,
                "\nNot all runs were made {what}, and differences may come of that: {}",
                visible(&values.join(", "))
            )?;
        }
    }
    let unsealed = a.unsealed + b.unsealed;
    if unsealed > 0 {
        writeln!(
            out,
            "\n{} without a seal (log format 1): an edit of such a log is not noticed",
            plural(unsealed, "log")
        )?;
    }
    for Unreadable { folder, problem } in &compared.unreadable {
        let (folder, problem) = (visible(folder), visible(problem));
        writeln!(
            out,
            "\n{folder}: may be a run of these, and cannot be used: {problem}"
        )?;
    }
    writeln!(out, "\nVerdict: {}.", compared.verdict_words)?;
    Ok(())
}
