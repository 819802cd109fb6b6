//! Tables on a terminal.

use std::fmt;

use crate::visible::{visible, without_middle};

/// The longest cell: names may come from files of others.
const LONGEST: usize = 72;

/// Columns of text; all but the first are aligned to the right where they hold figures.
#[derive(Debug)]
pub(crate) struct TextTable {
    head: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// The columns: a title, and whether they hold figures.
    pub(crate) fn new(head: &[(&'static str, bool)]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }
}

/// A text on one line, harmless, and no longer than it may be.
pub(crate) fn plain(text: &str) -> String {
    without_middle(&visible(text), LONGEST)
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|cell| cell.chars().count());
            cells.chain([self.head[column].0.chars().count()]).max()
        };
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| width(column).unwrap_or_default())
            .collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| -> fmt::Result {
            let mut text = String::new();
            for ((cell, width), (_, figures)) in cells.zip(&widths).zip(&self.head) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if *figures { (&*pad, "") } else { ("", &*pad) };
                text.push_str(before);
                text.push_str(cell);
                text.push_str(after);
                text.push_str("  ");
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&mut self.head.iter().map(|(title, _)| *title))?;
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_hostile_names_are_harmless() {
        let mut table = TextTable::new(&[("run", false), ("epochs", true)]);
        table.row(["a".into(), "3".into()]);
        table.row(["x\u{1b}[2J\n\u{202e}y".into(), "1000000".into()]);
        assert_eq!(
            table.to_string(),
            "run                     epochs\n\
             a                            3\n\
             x\\u{1b}[2J\\n\\u{202e}y  1000000\n"
        );
        assert_eq!(plain(&"n".repeat(10_000)).chars().count(), LONGEST);
    }
}
