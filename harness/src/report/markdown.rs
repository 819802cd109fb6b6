//! Writes the report as Markdown that also reads well in a terminal: padded tables, figures drawn with letters.

use super::chart::{Chart, Line, Of};
use super::document::{Block, Document};
use super::table::{Column, Table};
use crate::text_figure::text_figure;

/// Size of a figure in characters.
const FIGURE: (usize, usize) = (72, 16);

/// The whole document. Folded blocks are left out, and a last line says where they are.
pub(super) fn text(document: &Document) -> String {
    let mut parts = vec![format!("# {}", escape(&document.title))];
    parts.extend(document.blocks.iter().filter_map(block));
    parts.join("\n\n") + "\n"
}

fn block(block: &Block) -> Option<String> {
    Some(match block {
        Block::Section(title) => format!("## {}", escape(title)),
        Block::Heading(title) => format!("### {}", escape(title)),
        Block::Paragraph(text) => escape(text),
        Block::Warning(text) => format!("> **{}**", escape(text)),
        Block::List(items) => list(items),
        Block::Table(table) => write_table(table),
        Block::Figure(chart) => write_figure(chart),
        Block::Heat(map) => format!("**{}** It is in index.html.", escape(&map.title)),
        Block::Verbatim(text) => fence(text),
        Block::Details { .. } => return None,
    })
}

fn list(items: &[String]) -> String {
    let items = items.iter().map(|item| format!("- {}", escape(item)));
    items.collect::<Vec<_>>().join("\n")
}

fn write_table(table: &Table) -> String {
    let head = |column: &Column| match column.group.as_str() {
        "" => escape(&column.title),
        group => format!("{}: {}", escape(group), escape(&column.title)),
    };
    let mut rows: Vec<Vec<String>> = vec![table.columns.iter().map(head).collect()];
    for row in &table.rows {
        rows.push(row.iter().map(|cell| escape(&cell.text)).collect());
    }
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).zip(&table.columns);
        let cells = cells.map(|((cell, width), column)| {
            if column.numeric {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().zip(&table.columns).map(|(width, column)| {
        let dashes = "-".repeat(width - 1);
        if column.numeric {
            format!("{dashes}:")
        } else {
            format!("{dashes}-")
        }
    });
    let rule = format!("| {} |", rule.collect::<Vec<_>>().join(" | "));
    let mut lines = rows.iter().map(line);
    let head = lines.next().unwrap_or_default();
    let table_lines: Vec<String> = [head, rule].into_iter().chain(lines).collect();
    let parts = [
        format!("**{}**", escape(&table.caption)),
        table_lines.join("\n"),
    ];
    join_with_notes(parts, &table.notes)
}

fn write_figure(chart: &Chart) -> String {
    let drawn = |line: &Line| -> Vec<(f64, f64)> {
        let points = line.points.iter();
        // What cannot be drawn breaks the line.
        points
            .map(|(x, y)| {
                let highest = chart.ceiling.unwrap_or(f64::INFINITY);
                (*x, chart.drawn(*y).map_or(f64::NAN, |y| y.min(highest)))
            })
            .collect()
    };
    if chart.lines.iter().any(|line| !line.joined) {
        return format!("**{}** It is in index.html.", escape(&chart.title));
    }
    let shown = shown(&chart.lines);
    let lines: Vec<(String, Vec<(f64, f64)>)> = shown
        .iter()
        .map(|line| (line.full_label(), drawn(line)))
        .collect();
    let series: Vec<(&str, &[(f64, f64)])> = lines
        .iter()
        .map(|(label, points)| (label.as_str(), points.as_slice()))
        .collect();
    let (width, height) = FIGURE;
    let figure = text_figure(&series, width, height, false, chart.log_y);
    let axes = format!(
        "Horizontal: {}. Vertical: {}.",
        chart.x_title, chart.y_title
    );
    let marks: Vec<String> = chart.marks().map(|(line, mark)| line.words(mark)).collect();
    let mut parts = vec![
        format!("**{}**", escape(&chart.title)),
        fence(&figure),
        escape(&axes),
    ];
    if shown.len() < chart.lines.len() {
        parts.push("Drawn here: the first seed of each series. All are in index.html.".to_owned());
    }
    if !marks.is_empty() {
        parts.push(list(&marks));
    }
    join_with_notes(parts, &chart.notes)
}

/// What letters can show: of several seeds the first.
fn shown(lines: &[Line]) -> Vec<&Line> {
    let mut shown: Vec<&Line> = Vec::new();
    for line in lines {
        let again = shown
            .iter()
            .any(|other| other.hue == line.hue && other.source == line.source);
        if !matches!(line.of, Of::Seed(_)) || !again {
            shown.push(line);
        }
    }
    shown
}

fn join_with_notes(parts: impl IntoIterator<Item = String>, notes: &[String]) -> String {
    let notes = notes.iter().map(|note| escape(note));
    parts
        .into_iter()
        .chain(notes)
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// A block of text as it stands; its own backticks cannot end it.
fn fence(text: &str) -> String {
    let text = text.replace('`', "'");
    format!("```text\n{}\n```", text.trim_end_matches('\n'))
}

/// Plain text such that Markdown shows it as it stands, on one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '|' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::Cell;

    #[test]
    fn tables_are_padded_and_escaped() {
        let mut table = Table::new(
            "A table",
            vec![Column::text("run"), Column::number("loss").under("ours")],
        );
        table.rows.push(vec![Cell::new("a|b"), Cell::new("1.000")]);
        table.rows.push(vec![Cell::new("<i>"), Cell::none()]);
        table.notes.push("A note.".to_owned());
        let expected = "**A table**\n\n\
            | run  | ours: loss |\n\
            | ---- | ---------: |\n\
            | a\\|b |      1.000 |\n\
            | \\<i> |          – |\n\n\
            A note.";
        assert_eq!(write_table(&table), expected);
    }

    #[test]
    fn a_fence_cannot_be_left() {
        assert_eq!(fence("a\n```\n# b\n"), "```text\na\n'''\n# b\n```");
        assert_eq!(escape("two\nlines"), "two lines");
    }
}
