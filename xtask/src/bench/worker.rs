//! A process that measures one way of training, and waits while others do.
//!
//! It first writes one line about itself, then answers each line with a line, all JSON objects:
//!
//! ```text
//!                          ← {"libtorch": "2.11.0", "kernels": "AVX2", "threads": 1}
//! {"do": "prepare", "operation": "step", "width": 8, "batch": 32, "candidates": 7, "optimizer": "sgd"}
//!                          ← {"parameters": 176402, "value": 2.47, "first_seconds": 0.1}
//! {"do": "measure", "seconds": 0.4, "calls": 3, "longest": 4}
//!                          ← {"calls": 12, "seconds": 0.41}
//! {"do": "memory"}         ← {"step": 180006912, "probe": 180006912, …}      peaks, in bytes
//! ```
//!
//! or with `{"error": "…"}`, or with `{"unavailable": "…"}` where something cannot be compiled. It ends with its input.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

/// So many of the last lines that a worker said on standard error go into an error.
const LAST_LINES: usize = 8;

/// How long a worker may take to exit.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process at the other end of two pipes.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    child: Child,
    /// `None` once it is to exit.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    errors: Errors,
}

/// What a worker says on standard error.
#[derive(Debug)]
struct Errors {
    last: Arc<Mutex<VecDeque<String>>>,
    /// Hangs up at the end.
    end: Receiver<()>,
}

impl Worker {
    /// Starts a process. What it says about itself is its first [`Worker::answer`].
    pub(crate) fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name}: cannot start {}", command.get_program().display()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(answers), Some(errors)) = pipes else {
            bail!("{name}: no pipes");
        };
        Ok(Self {
            name: name.to_owned(),
            child,
            requests: Some(requests),
            answers: BufReader::new(answers),
            errors: Errors::of(errors),
        })
    }

    /// Asks for something, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let sent = self
            .requests
            .as_mut()
            .context("told to end")
            .and_then(|pipe| Ok(writeln!(pipe, "{request}")?));
        match sent {
            Ok(()) => self.answer(),
            // Nobody reads: why, the process knows best.
            Err(_) => Err(self.ended()),
        }
    }

    /// The next line. That something is unavailable is an error as any other.
    pub(crate) fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.with_context(|| format!("{}: no text", self.name))? == 0 {
            return Err(self.ended());
        }
        read_answer(&line).with_context(|| self.name.clone())
    }

    /// An error that says how the process ended.
    fn ended(&mut self) -> anyhow::Error {
        // Its output is closed, so it ends, or will never do what it is asked.
        self.end();
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let mut text = format!("{}: the process ended ({status})", self.name);
        let last = self.errors.last();
        if !last.is_empty() {
            text += "; the last that it said:";
            for line in last {
                text += &format!("\n  {line}");
            }
        }
        anyhow!(text)
    }

    /// Tells the process to end, and sees to it.
    fn end(&mut self) {
        self.requests = None;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        // One that has ended meanwhile needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

impl Errors {
    fn of(pipe: impl std::io::Read + Send + 'static) -> Self {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (ends, end) = mpsc::channel();
        let lines = Arc::clone(&last);
        thread::spawn(move || {
            let _ends = ends;
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_back(text);
                if lines.len() > LAST_LINES {
                    lines.pop_front();
                }
                line.clear();
            }
        });
        Self { last, end }
    }

    /// The last lines, after the end of the process; a child of its own may hold the pipe open longer.
    fn last(&self) -> Vec<String> {
        let _ = self.end.recv_timeout(Duration::from_secs(1));
        let lines = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// An answer as it stands on its line.
fn read_answer(line: &str) -> anyhow::Result<Value> {
    let shown = || line.trim_end().chars().take(200).collect::<String>();
    let answer: Value = serde_json::from_str(line)
        .with_context(|| format!("the answer is no JSON: {}", shown()))?;
    for key in ["error", "unavailable"] {
        if let Some(text) = answer.get(key) {
            bail!("{}", text.as_str().unwrap_or("it does not say why"));
        }
    }
    if !answer.is_object() {
        bail!("the answer is no object: {}", shown());
    }
    Ok(answer)
}

/// A number of an answer.
pub(crate) fn number(answer: &Value, key: &str) -> anyhow::Result<f64> {
    answer[key]
        .as_f64()
        .with_context(|| format!("an answer without the number {key}: {answer}"))
}

/// A whole number of an answer, at least 1.
pub(crate) fn count(answer: &Value, key: &str) -> anyhow::Result<u64> {
    answer[key]
        .as_u64()
        .filter(|&count| count > 0)
        .with_context(|| format!("an answer without the count {key}: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shell(script: &str) -> Worker {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Worker::start("theirs", command).unwrap()
    }

    #[test]
    fn a_worker_answers_line_by_line() -> anyhow::Result<()> {
        let mut worker =
            shell(r#"echo '{"threads": 2}'; while read -r line; do echo "$line"; done"#);
        assert_eq!(worker.answer()?, json!({"threads": 2}));
        for request in [json!({"do": "measure"}), json!({"seconds": 0.25})] {
            assert_eq!(worker.ask(&request)?, request);
        }
        Ok(())
    }

    #[test]
    fn one_that_dies_is_named_with_its_last_words() {
        let mut worker =
            shell("for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; read -r line; exit 3");
        let error = worker.ask(&json!({"do": "memory"})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "theirs: the process ended (exit status: 3); the last that it said:\n  line 2\n  line 3\n  line 4\n  \
             line 5\n  line 6\n  line 7\n  line 8\n  line 9"
        );
        // It stays dead.
        let error = worker.ask(&json!({})).unwrap_err().to_string();
        assert!(
            error.starts_with("theirs: the process ended (exit status: 3)"),
            "{error}"
        );
    }

    #[test]
    fn one_that_says_nothing_before_it_dies_is_named() {
        let error = shell("kill -9 $$").answer().unwrap_err().to_string();
        assert_eq!(error, "theirs: the process ended (signal: 9 (SIGKILL))");
    }

    #[test]
    fn one_that_cannot_start_is_named() {
        let error = Worker::start("ours", Command::new("/nowhere/worker")).unwrap_err();
        assert_eq!(error.to_string(), "ours: cannot start /nowhere/worker");
    }

    #[test]
    fn a_bad_answer_is_shown() {
        let error = |line: &str| format!("{:#}", read_answer(line).unwrap_err());
        assert!(error("Hello\n").starts_with("the answer is no JSON: Hello: "));
        assert!(
            error("{\"seconds\": NaN}").starts_with("the answer is no JSON: {\"seconds\": NaN}: ")
        );
        assert_eq!(error("3\n"), "the answer is no object: 3");
        assert_eq!(error("{\"error\": \"no memory\"}"), "no memory");
        assert_eq!(error("{\"unavailable\": \"no compiler\"}"), "no compiler");
        let mut worker = shell("echo oops; read -r line");
        let error = format!("{:#}", worker.answer().unwrap_err());
        assert!(
            error.starts_with("theirs: the answer is no JSON: oops"),
            "{error}"
        );
    }

    #[test]
    fn a_number_that_is_missing_is_named() -> anyhow::Result<()> {
        let answer = json!({"calls": 3, "seconds": null});
        assert_eq!(number(&answer, "calls")?, 3.0);
        assert_eq!(count(&answer, "calls")?, 3);
        for bad in [json!({"calls": 0}), json!({"calls": 1.5}), json!({})] {
            let error = count(&bad, "calls").unwrap_err().to_string();
            assert_eq!(error, format!("an answer without the count calls: {bad}"));
        }
        for key in ["seconds", "peak"] {
            let error = number(&answer, key).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("an answer without the number {key}: {answer}")
            );
        }
        Ok(())
    }
}
