//! The report before it is HTML or Markdown: a title and blocks.

use super::chart::Chart;
use super::heat::HeatMap;
use super::table::Table;

/// The whole report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// Plain text.
    pub(super) title: String,
    /// In reading order.
    pub(super) blocks: Vec<Block>,
}

/// One piece of the report; all text is plain and escaped where it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    /// A section's title, level 2.
    Section(String),
    /// A title within a section, level 3.
    Heading(String),
    /// A paragraph.
    Paragraph(String),
    /// A paragraph that no reader may miss.
    Warning(String),
    /// Short sentences.
    List(Vec<String>),
    /// A table.
    Table(Table),
    /// A figure.
    Figure(Chart),
    /// A heat map of probe losses.
    Heat(HeatMap),
    /// Text as it stands, such as a specification.
    Verbatim(String),
    /// Blocks folded away under a line; Markdown for a terminal leaves them out.
    Details {
        /// The line.
        summary: String,
        /// What is folded away.
        blocks: Vec<Block>,
    },
}

impl Block {
    pub(super) fn section(text: impl Into<String>) -> Self {
        Self::Section(text.into())
    }

    pub(super) fn heading(text: impl Into<String>) -> Self {
        Self::Heading(text.into())
    }

    pub(super) fn paragraph(text: impl Into<String>) -> Self {
        Self::Paragraph(text.into())
    }
}
