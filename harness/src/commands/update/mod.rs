//! `autolr update`: the closed loop for training loops in any language, as JSON lines.

mod answer;
mod input;
mod read;
mod schema;

use std::io::{BufRead, ErrorKind, Write};

use clap::Args;

use crate::exit::{BadInput, ExitStatus};
use crate::regular_file::read_line;
use answer::Answer;
use input::Line;

const FORMAT: &str = r#"
A line in is one JSON object, a line out is one too. Nothing is kept between two lines: the
state S of the scheduler comes out with each answer and goes in with the next question, and
into the training's checkpoint.

  {"start": {"lr": 0.005, "factors": "factor_5"}}    the beginning, with the settings
     {"state": S, "lr": ..., "lrs": [...], "due": true}
  {"ask": S}                                         which rates are to be tried?
     {"state": S, "lr": ..., "lrs": [...], "due": true, "candidates": [...], "group": null}
  {"tell": S, "losses": [...]}                       their losses, one a candidate
     {"state": S, "lr": ..., "lrs": [...], "due": true, "decision": {...}}
  {"skip": S}                                        an epoch or step ends, nothing is decided
     {"state": S, "lr": ..., "lrs": [...], "due": true}

Train at `lr` (`lrs`: one a parameter group); where `due`, end the epoch or step with ask and
tell, else with skip. "config" beside a state refuses one that was saved under other settings;
"cost": {"forwards": 5, "backwards": 1} beside the losses goes into the decision. An answer
with "probe_again" has further candidates, whose losses are to be told. docs/PIPE.md explains
all of it, --schema prints it.

Any other scheduler is run by method, event and resume:

  {"method": {"kind": "cosine", "lr": 0.5, "t_max": 4, "unit": "step"}}
                                           the beginning, with the settings
  {"event": {"kind": "step"}, "state": S}   what happened; the next rate comes back
  {"resume": S}                            after a restart: what it waits for

A single update needs no state, here with the defaults of the last three:

  {"lr": 0.005,                the present rate
   "factors": [2, 1, 0.5],     what it was scaled by, or a name such as "factor_3"
   "losses": [1.1, 1.0, 1.2],  the losses that followed, one a factor
   "normalization": "z-score", or min-max, rank, … (docs/PIPE.md)
   "sharpness": 1.0,           how much a low loss counts; 0: not at all
   "non_finite": "no-vote"}    what a loss does that is not finite; or propagate

The answer is one line too, with the next rate and all that led to it:

  {"lr": ..., "factor": ..., "normalized": [...], "scores": [...], "weights": [...]}

Numbers that are not finite are the strings "nan", "inf" and "-inf". Each answer is
written before the next line is read. Blank lines are passed over. The first
line that is wrong ends the program, with exit code 2."#;

/// Run the scheduler for a training loop in any language, over JSON lines
///
/// Start it as a child process, write the losses of the candidate rates to its standard input, read
/// the next learning rate from its standard output.
#[derive(Debug, Default, Args)]
#[command(after_long_help = FORMAT.trim_start())]
pub struct UpdateArgs {
    /// Print the JSON Schema of the lines in and out, and read nothing
    #[arg(long)]
    schema: bool,
}

/// What some programs write before the first line of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a line may have: two million numbers, for a million candidates.
const LINE_BYTES: u64 = 64 << 20;

/// Answers each line of `input` with a line on `out`, flushed before the next is read.
///
/// # Errors
/// [`BadInput`] with the number of the line, the key and the value, for the first line that is no
/// valid question; else what `input` and `out` say.
pub fn update(
    args: &UpdateArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitStatus> {
    if args.schema {
        let text = serde_json::to_string_pretty(&schema::schema())?;
        writeln!(out, "{text}")?;
        return Ok(ExitStatus::Success);
    }
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        match read_line(input, &mut line, LINE_BYTES) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(BadInput(format!("line {number}: {error}")).into());
            }
            Err(error) => return Err(error.into()),
        }
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if number == 1 => rest,
            _ => &line[..],
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = Line::read(line.trim_ascii())
            .and_then(Answer::to)
            .map_err(|message| BadInput(format!("line {number}: {message}")))?;
        let text = serde_json::to_string(&answer)?;
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A pipe that passes nothing on before it is flushed.
    #[derive(Default)]
    struct Pipe {
        held: Vec<u8>,
        passed: Vec<u8>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.held.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.passed.append(&mut self.held);
            Ok(())
        }
    }

    #[test]
    fn every_answer_is_flushed() -> anyhow::Result<()> {
        let question = r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.0, 1.0]}"#;
        let mut out = Pipe::default();
        let input = format!("{question}\n{question}\n{{}}\n");
        let error = update(&UpdateArgs::default(), &mut input.as_bytes(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "line 3: `lr` is missing");
        assert!(error.is::<BadInput>());
        assert_eq!(out.passed.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert!(out.held.is_empty());
        Ok(())
    }

    #[test]
    fn a_byte_order_mark_stands_at_the_very_beginning() -> anyhow::Result<()> {
        let question = r#"{"lr": 0.1, "factors": [2, 1], "losses": [1.0, 1.0]}"#;
        let answers = |input: &str| {
            let mut out = Vec::new();
            update(&UpdateArgs::default(), &mut input.as_bytes(), &mut out)?;
            anyhow::Ok(out)
        };
        let plain = answers(&format!("{question}\n"))?;
        assert_eq!(answers(&format!("\u{feff}{question}\n"))?, plain);
        assert_eq!(answers(&format!("\u{feff}\r\n{question}\n"))?, plain);
        let error = answers(&format!("{question}\n\u{feff}{question}")).unwrap_err();
        assert!(
            error.to_string().starts_with("line 2: not a JSON object"),
            "{error}"
        );
        Ok(())
    }
}
