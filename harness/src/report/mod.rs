//! The report: tables beside the paper's numbers, figures over the paper's curves, as HTML and Markdown.
//!
//! Everything goes one way: the runs' logs ([`ReportInput`]) become a document of headings, tables and charts, and the
//! document is written twice. Nothing is computed from the logs where HTML or Markdown is written.

mod accuracy;
mod appendix;
mod axis;
mod chart;
mod compared;
mod cost;
mod curves;
mod data;
mod divergence;
mod document;
mod double_descent;
mod folder;
mod frame;
mod group;
mod heat;
mod heat_svg;
mod horizontal;
mod html;
mod input;
mod loss_table;
mod markdown;
pub(crate) mod multiples;
mod outcome;
mod overview;
mod place;
mod probes;
pub mod published;
mod rates;
mod sanitize;
pub(crate) mod seeds;
mod spread;
mod svg;
mod table;
mod tensorboard;
mod trade_off;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::disk::write_whole;
use crate::experiment::ExperimentName;

use document::{Block, Document};
pub use double_descent::{DOUBLE_DESCENT_RULE, DescentVerdict, Swings, double_descent};
pub use folder::FolderReport;
use group::Group;
pub use input::{Manifest, ReportInput, Run, RunEntry, Section, SectionEntry, Series, SeriesEntry};

pub use tensorboard::write_tensorboard;

/// A report, written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One HTML file that needs nothing else.
    pub html: String,
    /// The same tables and figures for a terminal, without the appendix.
    pub markdown: String,
}

/// Renders the report: a pure function of its input.
pub fn render(input: &ReportInput) -> Rendered {
    render_document(&document(input))
}

fn render_document(document: &Document) -> Rendered {
    Rendered {
        html: html::page(document),
        markdown: markdown::text(document),
    }
}

/// The results of a report's folder alone, as Markdown for a terminal.
///
/// # Errors
/// If the manifest cannot be read.
pub fn results(dir: &Path) -> Result<String> {
    let input = ReportInput::read(dir)?;
    let mut blocks = Vec::new();
    for experiment in &Experiment::all(&input) {
        match experiment.name {
            ExperimentName::Table1 => blocks.push(Block::Table(accuracy::glance(experiment))),
            ExperimentName::Fig2 | ExperimentName::Fig3 => {
                blocks.push(Block::Table(loss_table::table(experiment)));
            }
            ExperimentName::Divergence => {
                blocks.push(Block::heading(experiment.title()));
                blocks.push(Block::List(divergence::sentences(experiment)));
            }
        }
    }
    let title = format!("Results at scale {}", input.manifest.scale);
    Ok(markdown::text(&Document { title, blocks }))
}

/// Reads the runs of a report's folder and writes `index.html` and `report.md` beside them; each appears whole or not
/// at all. Returns the path of `index.html`.
///
/// # Errors
/// If the manifest or a log cannot be read, or the folder cannot be written to.
pub fn write(dir: &Path) -> Result<PathBuf> {
    write_rendered(&render(&ReportInput::read(dir)?), dir)
}

fn write_rendered(rendered: &Rendered, dir: &Path) -> Result<PathBuf> {
    write_whole(&dir.join("report.md"), rendered.markdown.as_bytes())?;
    let index = dir.join("index.html");
    write_whole(&index, rendered.html.as_bytes())?;
    Ok(index)
}

/// How much one run says.
const ONE_RUN: &str = "One run each (n = 1), here as presumably in the paper: differences between rows may be chance, \
    and none is claimed to be significant.";

/// An experiment with its sections, one a protocol.
#[derive(Debug, Clone)]
struct Experiment<'a> {
    name: ExperimentName,
    /// Each with its number in the manifest.
    sections: Vec<(usize, &'a Section)>,
}

impl<'a> Experiment<'a> {
    /// The experiments of a report that have sections, in the paper's order.
    fn all(input: &'a ReportInput) -> Vec<Self> {
        use ExperimentName::{Divergence, Fig2, Fig3, Table1};
        let sections = |name| -> Vec<_> {
            let sections = input.sections.iter().enumerate();
            sections
                .filter(|(_, section)| section.entry.experiment == name)
                .collect()
        };
        [Table1, Fig2, Fig3, Divergence]
            .into_iter()
            .map(|name| Self {
                name,
                sections: sections(name),
            })
            .filter(|experiment| !experiment.sections.is_empty())
            .collect()
    }

    fn title(&self) -> &'static str {
        match self.name {
            ExperimentName::Table1 => "Table 1: schedulers, CIFAR-10",
            ExperimentName::Fig2 => "Figure 2: number of factors, CIFAR-100",
            ExperimentName::Fig3 => "Figure 3: size of the scoring batch, CIFAR-10",
            ExperimentName::Divergence => "Divergence: initial learning rate 1",
        }
    }

    /// Every series of every section, with its protocol.
    fn every_series(&self) -> impl Iterator<Item = (&'a str, &'a Series)> {
        self.sections.iter().flat_map(|(_, section)| {
            let protocol = section.entry.protocol.as_str();
            section.series.iter().map(move |series| (protocol, series))
        })
    }

    /// Every run, in its place.
    fn runs(&self) -> impl Iterator<Item = Placed<'a>> {
        self.every_series()
            .flat_map(|(protocol, series)| Placed::all(protocol, series))
    }

    /// Every series once: name, and what a reader sees; in the order in which they are to be shown.
    fn series(&self) -> Vec<(&'a str, &'a str)> {
        let mut series: Vec<(&str, &str)> = Vec::new();
        for (_, one) in self.every_series() {
            if !series.iter().any(|(name, _)| *name == one.entry.name) {
                series.push((&one.entry.name, &one.entry.label));
            }
        }
        series
    }

    /// A series under a protocol.
    fn find(&self, protocol: &str, name: &str) -> Option<&'a Series> {
        self.every_series()
            .find(|(of, series)| *of == protocol && series.entry.name == name)
            .map(|(_, series)| series)
    }

    /// The runs of a series, protocol by protocol.
    fn runs_of(&self, name: &str) -> Vec<Placed<'a>> {
        let protocols = self.protocols().into_iter();
        protocols
            .filter_map(|protocol| Some((protocol, self.find(protocol, name)?)))
            .flat_map(|(protocol, series)| Placed::all(protocol, series))
            .collect()
    }

    /// Whether any series is run with several seeds.
    fn several_seeds(&self) -> bool {
        self.every_series().any(|(_, series)| series.runs.len() > 1)
    }

    /// What stands under a table of results: how much its rows say.
    fn sample_note(&self) -> String {
        if self.several_seeds() {
            "A row a run: differences between rows may be chance, and none is claimed to be significant.".to_owned()
        } else {
            ONE_RUN.to_owned()
        }
    }

    /// The protocols, in the manifest's order.
    fn protocols(&self) -> Vec<&'a str> {
        let protocols = self
            .sections
            .iter()
            .map(|(_, section)| section.entry.protocol.as_str());
        let mut once: Vec<&str> = Vec::new();
        for protocol in protocols {
            if !once.contains(&protocol) {
                once.push(protocol);
            }
        }
        once
    }
}

/// A run with what it belongs to.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    protocol: &'a str,
    series: &'a Series,
    run: &'a Run,
}

impl<'a> Placed<'a> {
    fn all(protocol: &'a str, series: &'a Series) -> impl Iterator<Item = Self> {
        let runs = series.runs.iter();
        runs.map(move |run| Self {
            protocol,
            series,
            run,
        })
    }

    /// The series' label, with the seed where there are several.
    fn label(&self) -> String {
        self.series.label(self.run)
    }
}

fn document(input: &ReportInput) -> Document {
    let experiments = Experiment::all(input);
    let mut blocks = overview::blocks(input, &experiments);
    for experiment in &experiments {
        blocks.push(Block::section(experiment.title()));
        match experiment.name {
            ExperimentName::Table1 => {
                blocks.extend(accuracy::tables(experiment).into_iter().map(Block::Table));
                blocks.extend(compared::table(experiment).map(Block::Table));
            }
            ExperimentName::Fig2 => {
                blocks.push(Block::Table(loss_table::table(experiment)));
                blocks.push(Block::Table(rates::table(experiment)));
            }
            ExperimentName::Fig3 => blocks.push(Block::Table(loss_table::table(experiment))),
            ExperimentName::Divergence => {
                blocks.push(Block::paragraph(published::DIVERGENCE));
                blocks.push(Block::Table(divergence::table(experiment)));
            }
        }
        for (number, section) in &experiment.sections {
            blocks.push(Block::heading(format!(
                "Protocol: {}",
                section.entry.protocol
            )));
            blocks.push(Block::paragraph(&section.entry.description));
            let group = Group::of(section);
            blocks.extend(curves::figures(*number, &group));
            blocks.extend(probes::heat_maps(*number, &group));
            blocks.extend(trade_off::figure(*number, section));
        }
        blocks.push(Block::heading("What it cost"));
        blocks.push(Block::Table(cost::table(experiment)));
    }
    blocks.extend(appendix::blocks(&experiments));
    Document {
        title: format!(
            "Learning rates from in-training losses: the paper's experiments, scale {}",
            input.manifest.scale
        ),
        blocks,
    }
}
