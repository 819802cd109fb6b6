//! Chromium, driven through its DevTools protocol over a pipe: messages are JSON, each ended by a zero byte.
//!
//! A pipe, since that takes no web socket and no port that others could reach. Chromium reads it as file 3 and writes
//! it as file 4, which a shell arranges.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// Names the browser, where it is not on the path.
pub(crate) const BROWSER: &str = "AUTOLR_BROWSER";

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without a word to anyone, and as root in a container too; the pages are our own.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
];

/// The browser that is named, else one on the path.
pub(crate) fn find() -> anyhow::Result<Option<PathBuf>> {
    if let Some(named) = env::var_os(BROWSER).filter(|name| !name.is_empty()) {
        let named = PathBuf::from(named);
        ensure!(
            named.is_file(),
            "{BROWSER} names {}, which is not there",
            named.display()
        );
        return Ok(Some(named));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let programs = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    Ok(programs.into_iter().find(|program| program.is_file()))
}

/// A page in a browser of its own, which ends with it.
pub(crate) struct Page {
    browser: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
}

impl Page {
    /// Starts the browser, with its own files under `profile`.
    pub(crate) fn open(program: &Path, profile: &Path) -> anyhow::Result<Self> {
        let mut folder = OsString::from("--user-data-dir=");
        folder.push(profile);
        let mut browser = Command::new("sh")
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#,
            ])
            .arg(program)
            .args(FLAGS)
            .arg(folder)
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let to = browser.stdin.take().context("the browser has no input")?;
        let out = browser.stdout.take().context("the browser has no output")?;
        let (sender, from) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    break;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut page = Self {
            browser,
            to,
            from,
            session: None,
            calls: 0,
            events: Vec::new(),
        };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = page.call("Target.attachToTarget", attach)?;
        page.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(page)
    }

    /// Calls a method and waits for its result; events that come in between are kept.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to
            .write_all(&bytes)
            .with_context(|| format!("{method}: the browser has gone"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(deadline).with_context(|| method.to_owned())?;
            if message["id"] == id {
                if let Some(error) = message.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(message["result"].clone());
            }
            self.events.push(message);
        }
    }

    fn receive(&self, deadline: Instant) -> anyhow::Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.from.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow::anyhow!("no answer in {} s", PATIENCE.as_secs()),
            RecvTimeoutError::Disconnected => anyhow::anyhow!("the browser has gone"),
        })
    }

    /// Goes to a page and waits until it is there.
    pub(crate) fn go_to(&mut self, url: &str) -> anyhow::Result<()> {
        self.events.clear();
        let went = self.call("Page.navigate", json!({"url": url}))?;
        if let Some(error) = went.get("errorText") {
            bail!("{url}: {error}");
        }
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(loaded) {
            let event = self.receive(deadline).context("the page does not load")?;
            self.events.push(event);
        }
        Ok(())
    }

    /// What an expression gives, as JSON.
    pub(crate) fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", params)?;
        if let Some(details) = result.get("exceptionDetails") {
            bail!("{expression}: {details}");
        }
        Ok(result["result"]["value"].clone())
    }

    /// The events since the page was gone to.
    pub(crate) fn events(&self) -> &[Value] {
        &self.events
    }

    /// Moves the pointer to a point of the window.
    pub(crate) fn move_to(&mut self, x: f64, y: f64) -> anyhow::Result<()> {
        let params = json!({"type": "mouseMoved", "x": x, "y": y});
        self.call("Input.dispatchMouseEvent", params).map(drop)
    }

    /// Clicks on a point of the window.
    pub(crate) fn click(&mut self, x: f64, y: f64) -> anyhow::Result<()> {
        self.move_to(x, y)?;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", params)?;
        }
        Ok(())
    }

    /// Presses a key; `text` is what it types, if anything.
    pub(crate) fn press(&mut self, key: &str, text: &str) -> anyhow::Result<()> {
        let mut down = json!({"type": "keyDown", "key": key, "code": key});
        if text == " " {
            down["code"] = json!("Space");
            down["windowsVirtualKeyCode"] = json!(32);
        }
        if !text.is_empty() {
            down["text"] = json!(text);
        }
        let mut up = down.clone();
        up["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", down)?;
        self.call("Input.dispatchKeyEvent", up).map(drop)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
