//! Options of `cargo xtask bench training` and `cargo xtask bench probe`.

use std::fmt;

use clap::{Args, ValueEnum, builder::RangedU64ValueParser};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// A training step: gradients to zero, forward, cross-entropy, backward, the optimiser's step
    Step,
    /// A forward pass without a gradient, BatchNorm with its running statistics
    Forward,
    /// The losses after a step at each candidate's rate
    Probe,
}

/// The optimiser, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// Without momentum, as in the paper's published protocol
    Sgd,
    /// With PyTorch's defaults
    #[value(name = "adamw")]
    AdamW,
}

/// What both commands take.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Threads of either side
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2", value_parser = up_to(1024))]
    pub(crate) threads: Vec<usize>,
    /// Turns; each measures every side once
    #[arg(long, value_name = "N", default_value = "5", value_parser = up_to(1000))]
    pub(crate) turns: usize,
    /// Seconds of a measurement, if the calls are short
    #[arg(long, default_value = "0.4", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The optimiser
    #[arg(long, value_enum, default_value = "sgd")]
    pub(crate) optimizer: Rule,
    /// Print one JSON document with every sample instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cargo xtask bench training`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainingArgs {
    /// What is measured
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "step,forward,probe"
    )]
    pub(crate) operations: Vec<Operation>,
    /// Widths of the network; the paper's is 64
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "8,16,64", value_parser = up_to(4096))]
    pub(crate) widths: Vec<usize>,
    /// Images in a batch
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true, default_value = "32,128", value_parser = up_to(65536))]
    pub(crate) batches: Vec<usize>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `cargo xtask bench probe`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProbeArgs {
    /// Numbers of candidates
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3,5,7,15,31", value_parser = up_to(1000))]
    pub(crate) candidates: Vec<usize>,
    /// Widths of the network; the paper's is 64
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "8,64", value_parser = up_to(4096))]
    pub(crate) widths: Vec<usize>,
    /// Images in a batch
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "32", value_parser = up_to(65536))]
    pub(crate) batches: Vec<usize>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Operation {
    /// Its name, on the command line and in a request.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Forward => "forward",
            Self::Probe => "probe",
        }
    }
}

impl Rule {
    /// Its name, on the command line and in a request.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::AdamW => "adamw",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "SGD",
            Self::AdamW => "AdamW",
        })
    }
}

fn up_to(limit: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=limit)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("not from 0.01 to 600".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Training {
        #[command(flatten)]
        args: TrainingArgs,
    }

    #[derive(Debug, Parser)]
    struct Probe {
        #[command(flatten)]
        args: ProbeArgs,
    }

    fn training(line: &str) -> Result<TrainingArgs, String> {
        Training::try_parse_from(line.split(' '))
            .map(|parsed| parsed.args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_it_is_what_the_documentation_says() -> Result<(), String> {
        let args = training("training")?;
        assert_eq!(
            args.operations,
            [Operation::Step, Operation::Forward, Operation::Probe]
        );
        assert_eq!(args.widths, [8, 16, 64]);
        assert_eq!(args.batches, [32, 128]);
        assert_eq!(args.common.threads, [1, 2]);
        assert_eq!(args.common.turns, 5);
        assert_eq!(args.common.optimizer, Rule::Sgd);
        assert!(!args.common.json);
        let args = Probe::try_parse_from(["probe"]).unwrap().args;
        assert_eq!(args.candidates, [3, 5, 7, 15, 31]);
        assert_eq!(args.widths, [8, 64]);
        assert_eq!(args.batches, [32]);
        Ok(())
    }

    #[test]
    fn flags_are_lists() -> Result<(), String> {
        let line = "training --widths 4 --batches 1,2,3 --threads 3 --operations probe,step";
        let args = training(&format!("{line} --turns 1 --optimizer adamw --json"))?;
        assert_eq!((args.widths, args.batches), (vec![4], vec![1, 2, 3]));
        assert_eq!(args.operations, [Operation::Probe, Operation::Step]);
        assert_eq!(args.common.threads, [3]);
        assert_eq!((args.common.turns, args.common.json), (1, true));
        assert_eq!(args.common.optimizer, Rule::AdamW);
        Ok(())
    }

    #[test]
    fn an_error_names_flag_and_value() {
        for (line, value, flag) in [
            ("--widths 8,x", "'x'", "--widths"),
            ("--widths 0", "'0'", "--widths"),
            ("--widths 8,,16", "''", "--widths"),
            ("--widths 4097", "'4097'", "--widths"),
            ("--batches -1", "'-1'", "--batches"),
            ("--batches 1.5", "'1.5'", "--batches"),
            ("--threads 1025", "'1025'", "--threads"),
            ("--turns 0", "'0'", "--turns"),
            ("--seconds NaN", "'NaN'", "--seconds"),
            ("--seconds 0", "'0'", "--seconds"),
            ("--operations backward", "'backward'", "--operations"),
            ("--optimizer adam", "'adam'", "--optimizer"),
        ] {
            let error = training(&format!("training {line}")).expect_err(line);
            assert!(error.contains(value) && error.contains(flag), "{error}");
        }
    }
}
