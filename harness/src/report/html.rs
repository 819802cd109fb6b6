//! Writes the report as one HTML file that needs nothing else: no script, no font, no request.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{Block, Document};
use super::table::{Cell, Column, Table, Tone};
use super::{chart::Chart, svg};

/// Forbids the page every request, should one ever creep in.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The whole page.
pub(super) fn page(document: &Document) -> String {
    let sections = document.blocks.iter().enumerate();
    let sections = sections.filter_map(|(i, block)| match block {
        Block::Section(title) => Some((i, title)),
        _ => None,
    });
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (document.title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { (document.title) }
                    nav aria-label="Contents" {
                        @for (i, title) in sections {
                            a href={ "#section-" (i) } { (title) }
                        }
                    }
                }
                main {
                    @for (i, block) in document.blocks.iter().enumerate() {
                        (write_block(block, Some(i)))
                    }
                }
            }
        }
    };
    page.into_string()
}

fn write_block(block: &Block, position: Option<usize>) -> Markup {
    html! {
        @match block {
            Block::Section(title) => h2 id=[position.map(|i| format!("section-{i}"))] { (title) },
            Block::Heading(title) => h3 { (title) },
            Block::Paragraph(text) => p { (text) },
            Block::Warning(text) => p class="warning" role="note" { (text) },
            Block::List(items) => ul { @for item in items { li { (item) } } },
            Block::Table(table) => (write_table(table)),
            Block::Figure(chart) => (write_figure(chart)),
            Block::Verbatim(text) => pre { (text) },
            Block::Details { summary, blocks } => details {
                summary { (summary) }
                @for block in blocks { (write_block(block, None)) }
            },
        }
    }
}

fn write_table(table: &Table) -> Markup {
    html! {
        figure class="table" {
            figcaption { (table.caption) }
            // Focusable, so that the keyboard can scroll it.
            div class="scroll" tabindex="0" role="region" aria-label=(table.caption) {
                table {
                    thead {
                        @if let Some(groups) = table.groups() {
                            tr class="groups" {
                                @for (name, width) in groups {
                                    @if name.is_empty() { td colspan=(width) {} }
                                    @else { th colspan=(width) scope="colgroup" { (name) } }
                                }
                            }
                        }
                        tr { @for column in &table.columns {
                            th scope="col" class=[column.numeric.then_some("n")] { (column.title) }
                        } }
                    }
                    tbody {
                        @for row in &table.rows {
                            tr { @for (i, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
                                (write_cell(cell, column, i == 0))
                            } }
                        }
                    }
                }
            }
            (write_notes(&table.notes))
        }
    }
}

fn write_cell(cell: &Cell, column: &Column, first: bool) -> Markup {
    let tone = match cell.tone {
        Tone::Plain => "",
        Tone::Strong => "strong",
        Tone::Diverged => "diverged",
        Tone::Faint => "faint",
    };
    let class = match (column.numeric, tone) {
        (false, "") => None,
        (false, tone) => Some(tone.to_owned()),
        (true, "") => Some("n".to_owned()),
        (true, tone) => Some(format!("n {tone}")),
    };
    html! {
        @if first { th scope="row" class=[class] { (cell.text) } }
        @else { td class=[class] { (cell.text) } }
    }
}

fn write_figure(chart: &Chart) -> Markup {
    html! {
        figure {
            figcaption { (chart.title) }
            div class="scroll" tabindex="0" role="region" aria-label=(chart.title) { (svg::draw(chart)) }
            (write_notes(&chart.notes))
        }
    }
}

fn write_notes(notes: &[String]) -> Markup {
    html! {
        @for note in notes {
            p class={ "note" @if note.starts_with("SYNTHETIC") { " synthetic" } } { (note) }
        }
    }
}
