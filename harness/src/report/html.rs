//! Writes the report as one HTML file that needs nothing else: no font, no request.
//!
//! A figure's numbers stand in the page once, as CSV in a folded block; the script shows them beside the pointer and
//! offers them as a file. Lines are hidden by the style sheet, from checkboxes. Without the script nothing else is
//! missing.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::chart::{Chart, Source};
use super::data::Data;
use super::document::{Block, Document};
use super::heat::{COLOURS, HeatMap, LEGEND, colour_label};
use super::table::{Cell, Column, Table, Tone};
use super::{heat_svg, svg};

const SCRIPT: &str = include_str!("script.js");

/// Forbids the page every request, and every script and style but its own two, should one ever creep in.
fn policy(style: &str) -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(style)
    )
}

/// The style sheet, with a rule for each entry that a legend of the document has: its lines are there while it is
/// checked.
fn style(document: &Document) -> String {
    fn entries(blocks: &[Block]) -> usize {
        let of = |block: &Block| match block {
            Block::Figure(chart) => chart.legend().len(),
            Block::Details { blocks, .. } => entries(blocks),
            _ => 0,
        };
        blocks.iter().map(of).max().unwrap_or(0)
    }
    let mut style = include_str!("style.css").to_owned();
    for key in 0..entries(&document.blocks) {
        style.push_str(&format!(
            "figure:has(.k{key}:not(:checked)) .l{key} {{ display: none; }}\n"
        ));
    }
    style
}

/// The whole page.
pub(super) fn page(document: &Document) -> String {
    let sections = document.blocks.iter().enumerate();
    let sections = sections.filter_map(|(i, block)| match block {
        Block::Section(title) => Some((i, title)),
        _ => None,
    });
    let style = style(document);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy(&style));
                meta name="color-scheme" content="light dark";
                title { (document.title) }
                style { (PreEscaped(&style)) }
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
                script { (PreEscaped(SCRIPT)) }
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
            Block::Heat(map) => (write_heat(map)),
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
    let (data, keys) = chart.data();
    let keys = keys
        .iter()
        .map(|key| key.map_or_else(|| "-".to_owned(), |key| key.to_string()));
    let keys = keys.collect::<Vec<_>>().join(" ");
    html! {
        figure class="plot" id=(chart.id) data-keys=(keys) {
            figcaption { (chart.title) }
            div class="legend" role="group" aria-label="Lines shown" {
                @for (i, key) in chart.legend().iter().enumerate() {
                    label class=[(key.source == Source::Paper).then_some("paper")] {
                        input type="checkbox" class={ "k" (i) } checked;
                        (svg::sample(key))
                        span { (key.text) }
                    }
                }
            }
            div class="scroll" tabindex="0" role="region" aria-label=(chart.title) { (svg::draw(chart)) }
            (write_notes(&chart.notes))
            (write_data(&data))
        }
    }
}

fn write_heat(map: &HeatMap) -> Markup {
    html! {
        figure class="plot" id=(map.id) {
            figcaption { (map.title) }
            @if map.legend { (heat_legend()) }
            div class="scroll" tabindex="0" role="region" aria-label=(map.title) { (heat_svg::draw(map)) }
            (write_notes(&map.notes))
            (write_data(&map.data))
        }
    }
}

fn heat_legend() -> Markup {
    let colours = (0..COLOURS).map(|colour| (Some(colour), colour_label(colour)));
    html! {
        div class="legend" {
            span { "above the lowest loss (nats):" }
            @for (colour, text) in colours.chain([(None, "not finite".to_owned())]) {
                span class="entry" {
                    svg class="sample heat" viewBox="0 0 16 16" aria-hidden="true" {
                        g class="cells" { path class=(heat_svg::class(colour)) stroke-width="16" d="M0 8h16" {} }
                        @if colour.is_none() { path class="broken" d="M3 3l10 10m0 -10l-10 10" {} }
                    }
                    (text)
                }
            }
            span class="entry" {
                svg class="sample heat" viewBox="0 0 16 16" aria-hidden="true" {
                    g class="halo" { path class="dot" d="M8 8h0" {} }
                    g class="dots" { path class="dot" d="M8 8h0" {} }
                }
                "chosen factor"
            }
        }
        p class="note" { (LEGEND) }
    }
}

fn write_data(data: &Data) -> Markup {
    html! {
        details class="data" {
            summary { "Data (CSV)" }
            pre tabindex="0" { (data.csv()) }
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
