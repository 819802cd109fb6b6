//! The program `autolr`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use harness::commands::{
    compare, completions, data, doctor, export, find, plan, probe, replay, report, reproduce,
    resume, run, schedule, sensitivity, status, sweep, trace, update,
};
use harness::data::DataError;
use harness::exit::{BadInput, ExitStatus, Interrupted, TimeSpent, say};
use harness::experiment::SpecError;
use harness::visible::typed;

/// Sets a network's learning rate while it trains, and reruns the paper's experiments beside its numbers.
#[derive(Debug, Parser)]
#[command(name = "autolr", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 something failed, 2 bad input, 75 time budget spent, 130 interrupted; \
    after 75 and 130 the same command resumes. Output of --json: one object on standard output (trace: one a step)."
)]
struct Cli {
    /// Show no progress; notes and errors are still shown
    #[arg(long, short, global = true, display_order = 900)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Reproduce(reproduce::ReproduceArgs),
    Report(report::ReportArgs),
    Export(export::ExportArgs),
    Run(run::RunArgs),
    Replay(replay::ReplayArgs),
    Compare(compare::CompareArgs),
    Sweep(sweep::SweepArgs),
    Sensitivity(sensitivity::SensitivityArgs),
    Plan(plan::PlanArgs),
    Status(status::StatusArgs),
    Resume(resume::ResumeArgs),
    Retry(resume::RetryArgs),
    Find(find::FindArgs),
    Probe(probe::ProbeArgs),
    Schedule(schedule::ScheduleArgs),
    Trace(trace::TraceArgs),
    Update(update::UpdateArgs),
    Data(data::DataArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
}

/// Standard output, which says so where it cannot be written to.
struct StandardOutput<'a>(io::StdoutLock<'a>);

impl StandardOutput<'_> {
    fn named<T>(result: io::Result<T>) -> io::Result<T> {
        let name = |error: io::Error| {
            let text = format!("standard output: cannot be written: {error}");
            io::Error::new(error.kind(), text)
        };
        result.map_err(name)
    }
}

impl Write for StandardOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::named(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::named(self.0.flush())
    }
}

fn dispatch(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Reproduce(args) => reproduce::reproduce(args, out),
        Command::Report(args) => report::report(args, out),
        Command::Export(args) => export::export(args, out),
        Command::Run(args) => run::run(args, out),
        Command::Replay(args) => replay::replay(args, out),
        Command::Compare(args) => compare::compare(args, out),
        Command::Sweep(args) => sweep::sweep(args, out),
        Command::Sensitivity(args) => sensitivity::sensitivity(args, out),
        Command::Plan(args) => plan::plan(args, out),
        Command::Status(args) => status::status(args, out),
        Command::Resume(args) => resume::resume(args, out),
        Command::Retry(args) => resume::retry(args, out),
        Command::Find(args) => find::find(args, out),
        Command::Probe(args) => probe::probe(args, out),
        Command::Schedule(args) => schedule::schedule(args, out),
        Command::Trace(args) => trace::trace(args, out),
        Command::Update(args) => update::update(args, &mut io::stdin().lock(), out),
        Command::Data(args) => data::data(args, out),
        Command::Doctor(args) => doctor::doctor(args, out),
        Command::Completions(args) => completions::completions(*args, Cli::command(), out),
    }
}

/// Which exit code an error stands for.
fn status_of(error: &anyhow::Error) -> ExitStatus {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        // Whoever read our output has had enough.
        return ExitStatus::Success;
    }
    if error.chain().any(|cause| cause.is::<Interrupted>()) {
        return ExitStatus::Interrupted;
    }
    if error.chain().any(|cause| cause.is::<TimeSpent>()) {
        return ExitStatus::TimeSpent;
    }
    let to_blame = |cause: &(dyn std::error::Error + 'static)| {
        let data = cause.downcast_ref::<DataError>();
        cause.is::<BadInput>()
            || cause.is::<SpecError>()
            || data.is_some_and(DataError::is_bad_input)
    };
    if error.chain().any(to_blame) {
        return ExitStatus::BadInput;
    }
    ExitStatus::Failure
}

/// Words on the command line that clap shows in its errors, and what it makes of them.
const TYPED: [ContextKind; 5] = [
    ContextKind::InvalidSubcommand,
    ContextKind::InvalidArg,
    ContextKind::InvalidValue,
    ContextKind::TrailingArg,
    ContextKind::Suggested,
];

/// Prints the help or the version, or what is wrong with the command line.
fn explain(mut error: clap::Error, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    for kind in TYPED {
        let cut = match error.get(kind) {
            Some(ContextValue::String(text)) => ContextValue::String(typed(text)),
            Some(ContextValue::Strings(texts)) => {
                ContextValue::Strings(texts.iter().map(|text| typed(text)).collect())
            }
            Some(ContextValue::StyledStrs(texts)) => {
                let short = texts.iter().filter(|text| text.to_string().len() < 1000);
                ContextValue::StyledStrs(short.cloned().collect())
            }
            _ => continue,
        };
        error.insert(kind, cut);
    }
    let printed = error.print();
    if error.use_stderr() {
        return Ok(ExitStatus::BadInput);
    }
    printed?;
    out.flush()?;
    Ok(ExitStatus::Success)
}

fn main() -> ExitCode {
    let parsed = Cli::try_parse();
    let mut out = StandardOutput(io::stdout().lock());
    let done = match parsed {
        Ok(cli) => {
            if cli.quiet {
                harness::be_quiet();
            }
            dispatch(&cli.command, &mut out).and_then(|status| {
                out.flush()?;
                Ok(status)
            })
        }
        Err(error) => explain(error, &mut out),
    };
    let status = match done {
        Ok(status) => status,
        Err(error) => {
            let status = status_of(&error);
            if status != ExitStatus::Success {
                if io::stderr().is_terminal() && status == ExitStatus::Interrupted {
                    say("");
                }
                say(&format!("error: {error:#}"));
            }
            status
        }
    };
    status.into()
}
