//! `cargo xtask browser`: a report in headless Chromium, looked at and worked with as a reader would.
//!
//! The report is that of `harness/examples/synthetic_report.rs`: several seeds, runs that diverge, and a run whose name
//! is markup. A picture of each section, light and dark, wide and on a phone, is left in `target/browser`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::devtools::{self, BROWSER, Page};
use crate::command::run;
use crate::project::Project;

/// Width and height of a window, and whether it is a phone's.
const WIDE: (u32, u32, bool) = (1200, 900, false);
const PHONE: (u32, u32, bool) = (390, 844, true);

pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    let Some(browser) = devtools::find()? else {
        eprintln!(
            "xtask: left out: no Chromium is on the path (Debian, Ubuntu: apt install chromium), and {BROWSER} names none"
        );
        return Ok(());
    };
    let out = project.root().join("target").join("browser");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let report = out.join("report");
    fs::create_dir_all(&report)?;
    let mut example = project.cargo();
    example.args(["run", "--package", "harness", "--no-default-features"]);
    example.args(["--example", "synthetic_report", "--"]);
    run(example.arg(&report).env("LIBTORCH", "/nowhere"))?;

    let index = report.join("index.html");
    let mut page = Page::open(&browser, &out.join("profile"))?;
    let mut checks = 0;
    let mut passed = |what: &str| {
        checks += 1;
        println!("xtask: {what}");
    };
    show(&mut page, WIDE, "light")?;
    page.go_to(&url(&index))?;
    runs_nothing_of_a_name(&mut page)?;
    passed("a run's name is shown and not run");
    legend_hides_a_line(&mut page)?;
    passed("a click on the legend hides a line, the space bar shows it again");
    let points = pointer_shows_values(&mut page)?;
    passed(&format!(
        "the pointer shows the value, of {points} points tried"
    ));
    arrows_move_on(&mut page)?;
    passed("arrow keys go from point to point");
    saves_the_data(&mut page, &out)?;
    passed("the data is saved as a file");
    is_quiet(&page, &url(&index))?;
    passed("no error on the console, and no request but the page's own");
    pictures(&mut page, &index, &out)?;
    passed("light and dark differ, and at 390 px the page does not scroll sideways");
    works_without_script(&mut page, &index)?;
    passed("without the script the page is whole and its legends work");
    sabotage_is_noticed(&mut page, &index, &out)?;
    passed("what is smuggled in is stopped by the page's policy, and noticed here");
    println!(
        "xtask: {checks} checks passed; pictures are in {}",
        out.display()
    );
    Ok(())
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Sets size and colour scheme of the window.
fn show(
    page: &mut Page,
    (width, height, mobile): (u32, u32, bool),
    scheme: &str,
) -> anyhow::Result<()> {
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
    page.call("Emulation.setDeviceMetricsOverride", size)?;
    let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    page.call("Emulation.setEmulatedMedia", features).map(drop)
}

/// Complaints of the browser, and requests other than for the page itself.
fn noise(page: &Page, own: &str) -> Vec<String> {
    let mut noise = Vec::new();
    for event in page.events() {
        let params = &event["params"];
        let loud = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].contains(&text(&params["type"]))
            }
            "Log.entryAdded" => text(&params["entry"]["level"]) != "verbose",
            "Network.requestWillBeSent" => {
                let url = text(&params["request"]["url"]);
                url != own && !url.starts_with("blob:")
            }
            _ => false,
        };
        if loud {
            noise.push(event.to_string());
        }
    }
    noise
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_quiet(page: &Page, own: &str) -> anyhow::Result<()> {
    let noise = noise(page, own);
    ensure!(
        noise.is_empty(),
        "the browser complains:\n{}",
        noise.join("\n")
    );
    let events = page.events().iter();
    let requests = events.filter(|event| event["method"] == "Network.requestWillBeSent");
    ensure!(
        requests.count() > 0,
        "the browser does not even report the page's own request"
    );
    Ok(())
}

fn runs_nothing_of_a_name(page: &mut Page) -> anyhow::Result<()> {
    let found = page.evaluate(
        "({title: document.title, scripts: document.scripts.length, images: document.images.length, \
         shown: document.body.innerText.includes('<script>document.title'), \
         formula: [...document.querySelectorAll('.data pre')].some((pre) => /(^|,)\"?[=+@]/m.test(pre.textContent))})",
    )?;
    ensure!(
        text(&found["title"]).starts_with("Learning rates")
            && found["scripts"] == 1
            && found["images"] == 0,
        "a run's name was run: {found}"
    );
    ensure!(
        found["shown"] == true,
        "the run's name is not shown: {found}"
    );
    ensure!(
        found["formula"] == false,
        "a cell of the data begins as a formula does"
    );
    Ok(())
}

/// The middle of the element that an expression gives, in the window.
fn middle(page: &mut Page, element: &str) -> anyhow::Result<(f64, f64)> {
    let at = page.evaluate(&format!(
        "(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); \
         return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
    ))?;
    point(&at).with_context(|| element.to_owned())
}

fn point(at: &Value) -> anyhow::Result<(f64, f64)> {
    let coordinate = |i: usize| at[i].as_f64().context("no coordinate");
    Ok((coordinate(0)?, coordinate(1)?))
}

const FIGURE: &str = "document.querySelector('figure:has(svg.lines)')";

fn legend_hides_a_line(page: &mut Page) -> anyhow::Result<()> {
    let shown =
        format!("getComputedStyle({FIGURE}.querySelector('svg.lines .l0')).display !== 'none'");
    let others =
        format!("getComputedStyle({FIGURE}.querySelector('svg.lines .l1')).display !== 'none'");
    ensure!(
        page.evaluate(&shown)? == true,
        "the first line is not there to begin with"
    );
    let (x, y) = middle(
        page,
        &format!("{FIGURE}.querySelector('.legend label span')"),
    )?;
    page.click(x, y)?;
    ensure!(
        page.evaluate(&shown)? == false,
        "a click on the legend does not hide the line"
    );
    ensure!(
        page.evaluate(&others)? == true,
        "a click on the legend hides another line"
    );
    page.evaluate(&format!("{FIGURE}.querySelector('.legend input').focus()"))?;
    page.press(" ", " ")?;
    ensure!(
        page.evaluate(&shown)? == true,
        "the space bar does not show the line again"
    );
    Ok(())
}

/// Moves to the first point of each line of every figure, and to a cell of each heat map that is unfolded.
fn pointer_shows_values(page: &mut Page) -> anyhow::Result<usize> {
    // The expected value is taken from the CSV, the place from the drawn path: the script has to bring them together.
    let places = page.evaluate(
        "[...document.querySelectorAll('figure:has(svg.lines)')].flatMap((figure, f) => \
           [...figure.querySelectorAll('svg.lines .ours .line')].slice(0, 3).map((path, l) => [f, l]))",
    )?;
    let places = places.as_array().context("no figures")?.clone();
    for place in &places {
        let at = page.evaluate(&format!(
            "(() => {{ const figure = document.querySelectorAll('figure:has(svg.lines)')[{}], l = {}; \
             const path = figure.querySelectorAll('svg.lines .ours .line')[l]; \
             figure.querySelector('svg.lines').scrollIntoView({{block: 'center'}}); \
             const p = path.getPointAtLength(0).matrixTransform(path.getScreenCTM()); \
             const ours = (key) => key !== '-' && figure.querySelector('.k' + key).parentElement.className !== 'paper'; \
             const columns = figure.dataset.keys.split(' ').map((key, i) => [key, i + 1]).filter(([key]) => ours(key)); \
             const rows = figure.querySelector('.data pre').textContent.split('\\n').slice(1); \
             const first = rows.map((row) => row.split(',')[columns[l][1]]).find((cell) => Number.isFinite(parseFloat(cell))); \
             return [p.x, p.y, parseFloat(first)]; }})()",
            place[0], place[1]
        ))?;
        let (x, y) = point(&at)?;
        page.move_to(x, y)?;
        let tip = page.evaluate(
            "(() => { const t = document.querySelector('.tip'); return t.hidden ? '' : t.innerText; })()",
        )?;
        let value: f64 = text(&tip)
            .rsplit(": ")
            .next()
            .and_then(|value| value.trim().parse().ok())
            .with_context(|| format!("no value at the pointer: {tip}"))?;
        let expected = at[2].as_f64().context("no value in the data")?;
        // Another line may run through the same place.
        ensure!(
            (value - expected).abs() <= 0.01 * expected.abs(),
            "{tip} at the pointer, and {expected} in the data"
        );
    }
    let (x, y) = middle(page, "document.querySelector('svg.heat.chart .cells')")?;
    page.move_to(x, y)?;
    let tip = page.evaluate("document.querySelector('.tip').innerText")?;
    ensure!(
        text(&tip).contains("factor") && text(&tip).contains("loss"),
        "no candidate at the pointer: {tip}"
    );
    page.move_to(1.0, 1.0)?;
    ensure!(
        page.evaluate("document.querySelector('.tip').hidden")? == true,
        "the value stays when the pointer has left"
    );
    Ok(places.len() + 1)
}

fn arrows_move_on(page: &mut Page) -> anyhow::Result<()> {
    page.evaluate(&format!("{FIGURE}.querySelector('svg.lines').focus()"))?;
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..3 {
        page.press("ArrowRight", "")?;
        let tip = page.evaluate("document.querySelector('.tip').innerText")?;
        ensure!(
            !seen.contains(&tip.to_string()),
            "an arrow key stays at {tip}"
        );
        seen.push(tip.to_string());
    }
    page.press("Escape", "")?;
    let hidden = page.evaluate("document.querySelector('.tip').hidden")?;
    ensure!(hidden == true, "Escape does not hide the value");
    Ok(())
}

fn saves_the_data(page: &mut Page, out: &Path) -> anyhow::Result<()> {
    let folder = out.join("saved");
    fs::create_dir_all(&folder)?;
    let behaviour = json!({"behavior": "allow", "downloadPath": folder});
    page.call("Page.setDownloadBehavior", behaviour)?;
    let (x, y) = middle(page, &format!("{FIGURE}.querySelector('.data summary')"))?;
    page.click(x, y)?;
    // The button is made when the block is unfolded.
    let button = format!("{FIGURE}.querySelector('.data button')");
    wait("the button", || {
        page.evaluate(&format!("{button} !== null"))
            .map(|there| there == true)
    })?;
    let (x, y) = middle(page, &button)?;
    page.click(x, y)?;
    let expected = page.evaluate(&format!(
        "[{FIGURE}.id, {FIGURE}.querySelector('.data pre').textContent]"
    ))?;
    let file = folder.join(format!("{}.csv", text(&expected[0])));
    wait("the file", || {
        Ok(fs::read_to_string(&file).is_ok_and(|saved| saved == text(&expected[1])))
    })
}

fn wait(what: &str, mut ready: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !ready()? {
        ensure!(
            begun.elapsed() < Duration::from_secs(15),
            "{what} does not come"
        );
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A picture of each section at each size and in each colour scheme; looks at colours and widths on the way.
fn pictures(page: &mut Page, index: &Path, out: &Path) -> anyhow::Result<()> {
    let mut backs = Vec::new();
    for (size, device) in [(WIDE, "wide"), (PHONE, "phone")] {
        for scheme in ["light", "dark"] {
            show(page, size, scheme)?;
            page.go_to(&url(index))?;
            backs.push(page.evaluate("getComputedStyle(document.body).backgroundColor")?);
            let widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")?;
            ensure!(
                widths[0].as_f64() <= widths[1].as_f64(),
                "at {} px the page is {} px wide",
                widths[1],
                widths[0]
            );
            let sections = page.evaluate(
                "(() => { const tops = [...document.querySelectorAll('h2')].map((h) => [h.innerText, h.getBoundingClientRect().top + scrollY]); \
                 const end = document.documentElement.scrollHeight; \
                 return [['Top', 0], ...tops].map(([name, top], i, all) => [name, top, (all[i + 1] ?? ['', end])[1] - top]); })()",
            )?;
            for section in sections.as_array().context("no sections")? {
                let clip = json!({"x": 0, "y": section[1], "width": size.0, "height": section[2], "scale": 1});
                let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
                let picture = page.call("Page.captureScreenshot", params)?;
                let picture = BASE64_STANDARD.decode(text(&picture["data"]))?;
                fs::write(
                    picture_path(out, text(&section[0]), device, scheme),
                    picture,
                )?;
            }
        }
    }
    ensure!(
        backs[0] != backs[1] && backs[2] != backs[3],
        "light and dark look the same: {backs:?}"
    );
    show(page, WIDE, "light")
}

fn picture_path(out: &Path, section: &str, device: &str, scheme: &str) -> PathBuf {
    let slug: String = section
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(30)
        .collect();
    out.join(format!("{}-{device}-{scheme}.png", slug.trim_matches('-')))
}

fn works_without_script(page: &mut Page, index: &Path) -> anyhow::Result<()> {
    page.call(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    )?;
    page.go_to(&url(index))?;
    ensure!(
        page.evaluate("document.querySelector('.tip') === null")? == true,
        "the script runs although scripts are off"
    );
    let shown =
        format!("getComputedStyle({FIGURE}.querySelector('svg.lines .l0')).display !== 'none'");
    let (x, y) = middle(
        page,
        &format!("{FIGURE}.querySelector('.legend label span')"),
    )?;
    page.click(x, y)?;
    ensure!(
        page.evaluate(&shown)? == false,
        "without the script the legend does not work"
    );
    page.call(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": false}),
    )
    .map(drop)
}

/// Markup that asks for a picture, runs a script and throws, put into the page as if escaping had failed.
fn sabotage_is_noticed(page: &mut Page, index: &Path, out: &Path) -> anyhow::Result<()> {
    let html = fs::read_to_string(index)?;
    let smuggled = "<main><script>document.title = 'run'</script><img src=\"http://127.0.0.1:9/x.png\" onerror=\"document.title = 'run'\">";
    let sabotaged = html.replacen("<main>", smuggled, 1);
    ensure!(
        sabotaged != html,
        "there is no <main> to smuggle anything into"
    );
    let path = out.join("sabotaged.html");
    fs::write(&path, sabotaged)?;
    page.go_to(&url(&path))?;
    let title = page.evaluate("document.title")?;
    ensure!(title != "run", "the page's policy lets a script in");
    let noise = noise(page, &url(&path));
    ensure!(
        noise.len() >= 2,
        "a script and a picture that are stopped go unnoticed: {noise:?}"
    );
    let sent = |event: &Value| {
        event["method"] == "Network.responseReceived"
            && text(&event["params"]["response"]["url"]).starts_with("http")
    };
    ensure!(!page.events().iter().any(sent), "the picture was asked for");
    Ok(())
}
