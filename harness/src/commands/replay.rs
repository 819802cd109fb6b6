//! `autolr replay`: recorded runs gone through again, without the network that made them.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::exit::ExitStatus;
use crate::number::plural;
use crate::record::{Record, Replayed};
use crate::visible::visible;

/// Recompute recorded runs and check every rate, bit for bit
///
/// The recorded losses are told to a scheduler of the recorded specification: no network, no data, no libtorch.
/// Exit code 1 if a rate or a decision comes out otherwise.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// An events.jsonl with its spec.toml beside it, or a folder with such in it, at any depth
    #[arg(value_name = "DIR|LOG", required = true)]
    paths: Vec<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints of a record.
#[derive(Debug, Serialize)]
struct RecordResult {
    log: String,
    #[serde(flatten)]
    replayed: Option<Replayed>,
    /// Null if all came out again.
    difference: Option<String>,
    /// Whether its summary holds a hash of the log, which fits.
    sealed: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Results {
    records: Vec<RecordResult>,
    /// How many came out otherwise.
    different: usize,
    /// How many have no seal: of format 1, or not finished.
    unsealed: usize,
}

/// `autolr replay`
///
/// # Errors
/// [`crate::exit::BadInput`] if there is no record, or one cannot be read.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write) -> Result<ExitStatus> {
    let mut logs = Vec::new();
    for path in &args.paths {
        logs.extend(Record::find(path)?);
    }
    // All are read before any is gone through: bad input is found first.
    let records = logs.iter().map(|log| Record::read(log));
    let records: Vec<Record> = records.collect::<Result<_>>()?;
    let results = logs.iter().zip(&records).map(|(log, record)| {
        let outcome = record.replay();
        RecordResult {
            log: log.display().to_string(),
            replayed: outcome.as_ref().ok().copied(),
            difference: outcome.err().map(|difference| difference.to_string()),
            sealed: record.log.is_sealed(),
        }
    });
    let results: Vec<RecordResult> = results.collect();
    let different = results.iter().filter(|result| result.difference.is_some());
    let results = Results {
        different: different.count(),
        unsealed: results.iter().filter(|result| !result.sealed).count(),
        records: results,
    };
    if args.json {
        let text = serde_json::to_string(&results)?;
        writeln!(out, "{text}")?;
    } else {
        for result in &results.records {
            let log = visible(&result.log);
            match (&result.replayed, &result.difference) {
                (Some(Replayed { unchecked, .. }), _) if *unchecked > 0 => writeln!(
                    out,
                    "{log}: the rates of {} follow the loss of each step, which a log does not hold",
                    plural(*unchecked, "epoch")
                )?,
                (Some(replayed), _) => writeln!(
                    out,
                    "{log}: {} rates and {} decisions again",
                    replayed.rates, replayed.decisions
                )?,
                (None, Some(difference)) => writeln!(out, "{log}: DIFFERENT in {difference}")?,
                (None, None) => {}
            }
        }
        let count = plural(results.records.len(), "record");
        write!(out, "{count}, {} different", results.different)?;
        match results.unsealed {
            0 => writeln!(out)?,
            // Of format 1, which had none, or not finished.
            unsealed => writeln!(out, "; {unsealed} without a seal")?,
        }
    }
    Ok(if results.different == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}
