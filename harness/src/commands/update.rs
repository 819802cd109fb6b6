//! `autolr update`: the paper's update for training loops in any language, as JSON lines.

use std::fmt;
use std::io::{BufRead, Write};

use autolr_core::{
    AutoLr, AutoLrConfig, ConfigError, Decision, ExponentialScore, Factors, NonFinite,
    Normalization, ScaleUpdate, float_serde,
};
use clap::Args;
use ndarray::Array1;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::did_you_mean::unknown;
use crate::exit::{BadInput, ExitStatus};

const FORMAT: &str = r#"
A question is one JSON object on one line, here with the defaults of the last three:

  {"lr": 0.005,                the present rate
   "factors": [2, 1, 0.5],     what it was scaled by, or a name such as "factor_3"
   "losses": [1.1, 1.0, 1.2],  the losses that followed, one a factor
   "normalization": "z-score", or population-z-score, min-max, sum, none
   "sharpness": 1.0,           how much a low loss counts; 0: not at all
   "non_finite": "no-vote"}    what a loss does that is not finite; or propagate

The answer is one line too, with the next rate and all that led to it:

  {"lr": ..., "factor": ..., "normalized": [...], "scores": [...], "weights": [...]}

Numbers that are not finite are the strings "nan", "inf" and "-inf". Each answer is
written before the next question is read. Blank lines are passed over. The first
line that is wrong ends the program, with exit code 2."#;

/// Answer losses with learning rates: JSON lines in, JSON lines out
///
/// For training loops in any language: write the losses of the candidate rates to standard input,
/// read the next learning rate from standard output.
#[derive(Debug, Args)]
#[command(after_long_help = FORMAT.trim_start())]
pub struct UpdateArgs {}

/// Answers each line of `input` with a line on `out`, flushed before the next is read.
///
/// # Errors
/// [`BadInput`] with the number of the line, the key and the value, for the first line that is no
/// valid question; else what `input` and `out` say.
pub fn update(
    _args: &UpdateArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitStatus> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = answer(line.trim_ascii())
            .map_err(|message| BadInput(format!("line {number}: {message}")))?;
        let text = serde_json::to_string(&answer)?;
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    Ok(ExitStatus::Success)
}

/// The update, as it is written.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(with = "float_serde")]
    lr: f64,
    #[serde(with = "float_serde")]
    factor: f64,
    #[serde(with = "float_serde::array")]
    normalized: Array1<f64>,
    #[serde(with = "float_serde::array")]
    scores: Array1<f64>,
    #[serde(with = "float_serde::array")]
    weights: Array1<f64>,
}

fn answer(line: &[u8]) -> Result<Answer, String> {
    let question = Question::read(line)?;
    let mut scheduler = AutoLr::new(question.config);
    let mut decision = Decision::with_capacity(question.losses.len());
    scheduler
        .tell_into(question.losses.view(), None, &mut decision)
        .map_err(|error| format!("losses = {}: {error}", shown(&question.losses_text)))?;
    Ok(Answer {
        lr: decision.new_lr,
        factor: decision.factor,
        normalized: decision.normalized,
        scores: decision.scores,
        weights: decision.weights,
    })
}

/// A line, validated but for the number of its losses.
struct Question {
    config: AutoLrConfig,
    losses: Array1<f64>,
    losses_text: Value,
}

impl Question {
    const KEYS: [&str; 6] = [
        "lr",
        "factors",
        "losses",
        "normalization",
        "sharpness",
        "non_finite",
    ];

    fn read(line: &[u8]) -> Result<Self, String> {
        let Entries(entries) =
            serde_json::from_slice(line).map_err(|error| syntax(line, &error))?;
        for (at, (key, value)) in entries.iter().enumerate() {
            if !Self::KEYS.contains(&key.as_str()) {
                return Err(unknown("key", key, &Self::KEYS));
            }
            if let Some((_, first)) = entries[..at].iter().find(|(other, _)| other == key) {
                return Err(format!(
                    "{key} is given twice: {} and {}",
                    shown(first),
                    shown(value)
                ));
            }
        }
        let optional = |key: &str| {
            entries
                .iter()
                .find(|(given, _)| given == key)
                .map(|(_, value)| value)
        };
        let required = |key: &str| optional(key).ok_or_else(|| format!("`{key}` is missing"));

        let lr = number("lr", required("lr")?)?;
        let mut rule = ScaleUpdate::new(factors(required("factors")?)?);
        let losses_text = required("losses")?.clone();
        if let Some(value) = optional("normalization") {
            rule = rule.with_normalization(normalization(value)?);
        }
        if let Some(value) = optional("sharpness") {
            let score = ExponentialScore::new(number("sharpness", value)?);
            rule = rule.with_score(score.map_err(in_words)?);
        }
        if let Some(value) = optional("non_finite") {
            rule = rule.with_non_finite(non_finite(value)?);
        }
        Ok(Self {
            losses: losses(&losses_text)?,
            losses_text,
            config: AutoLrConfig::new(lr, rule).map_err(in_words)?,
        })
    }
}

fn in_words(error: ConfigError) -> String {
    error.to_string()
}

fn number(key: &str, value: &Value) -> Result<f64, String> {
    value
        .as_f64()
        .ok_or_else(|| format!("{key} = {}: must be a number", shown(value)))
}

fn factors(value: &Value) -> Result<Factors, String> {
    let factors = match value {
        Value::String(name) => Factors::named(name),
        Value::Array(entries) => Factors::new(
            entries
                .iter()
                .enumerate()
                .map(|(index, entry)| number(&format!("factors[{index}]"), entry))
                .collect::<Result<Vec<f64>, _>>()?,
        ),
        _ => {
            return Err(format!(
                "factors = {}: must be a list of numbers, or a name such as factor_5",
                shown(value)
            ));
        }
    };
    factors.map_err(in_words)
}

fn losses(value: &Value) -> Result<Array1<f64>, String> {
    let Value::Array(entries) = value else {
        return Err(format!(
            "losses = {}: must be a list of numbers",
            shown(value)
        ));
    };
    let loss = |(index, entry): (usize, &Value)| match float_serde::Float::deserialize(entry) {
        Ok(float_serde::Float(loss)) => Ok(loss),
        Err(_) => {
            let entry = shown(entry);
            Err(format!(
                r#"losses[{index}] = {entry}: must be a number, "nan", "inf" or "-inf""#
            ))
        }
    };
    entries.iter().enumerate().map(loss).collect()
}

fn normalization(value: &Value) -> Result<Normalization, String> {
    let names = Normalization::ALL.map(Normalization::name);
    let known = |name: &str| {
        Normalization::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
    };
    let name = text("normalization", value, &names)?;
    known(name).ok_or_else(|| unknown("normalization", name, &names))
}

fn non_finite(value: &Value) -> Result<NonFinite, String> {
    let names = ["no-vote", "propagate"];
    match text("non_finite", value, &names)? {
        "no-vote" => Ok(NonFinite::NoVote),
        "propagate" => Ok(NonFinite::Propagate),
        name => Err(unknown("non_finite", name, &names)),
    }
}

fn text<'a>(key: &str, value: &'a Value, names: &[&str]) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| {
        format!(
            "{key} = {}: must be one of {}",
            shown(value),
            names.join(", ")
        )
    })
}

/// `value` as it was written, cut where it is long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What is wrong with a line that is no JSON object, and where.
fn syntax(line: &[u8], error: &serde_json::Error) -> String {
    let message = error.to_string();
    // serde_json counts lines within the text that it was given, which is one line.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let column = match error.column() {
        0 => String::new(),
        column => format!(" (column {column})"),
    };
    let has = |word: &[u8]| {
        line.windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word))
    };
    let hint = if has(b"nan") || has(b"inf") {
        r#"; a number that is not finite is written "nan", "inf" or "-inf", with the quotes"#
    } else {
        ""
    };
    format!("not a JSON object{column}: {message}{hint}")
}

/// The entries of a JSON object in their order, keys that are given twice included.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
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
        let error = update(&UpdateArgs {}, &mut input.as_bytes(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "line 3: `lr` is missing");
        assert!(error.is::<BadInput>());
        assert_eq!(out.passed.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert!(out.held.is_empty());
        Ok(())
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(
            shown(&Value::from("é".repeat(58))),
            format!("\"{}\"", "é".repeat(58))
        );
        assert_eq!(
            shown(&Value::from("é".repeat(99))),
            format!("\"{}…", "é".repeat(59))
        );
    }
}
