//! A table, for HTML and Markdown alike. The first column names the row.

/// A table with its caption and the notes under it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Table {
    /// What the table shows, in a sentence.
    pub(super) caption: String,
    /// What a reader has to know beside it.
    pub(super) notes: Vec<String>,
    /// The columns; the first names the row.
    pub(super) columns: Vec<Column>,
    /// The rows, a cell a column.
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// The head above neighbouring columns of the same group; empty without one.
    pub(super) group: String,
    /// The head of the column itself.
    pub(super) title: String,
    /// Whether its cells stand on the right.
    pub(super) numeric: bool,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// What it says.
    pub(super) text: String,
    /// How it looks.
    pub(super) tone: Tone,
}

/// How a cell looks; the text alone says as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As any other.
    Plain,
    /// The number that the row is about.
    Strong,
    /// A run that diverged.
    Diverged,
    /// Nothing there, or not yet.
    Faint,
}

impl Table {
    pub(super) fn new(caption: impl Into<String>, columns: Vec<Column>) -> Self {
        Self {
            caption: caption.into(),
            columns,
            ..Self::default()
        }
    }

    /// The heads over groups of neighbouring columns with their widths, if any column has one.
    pub(super) fn groups(&self) -> Option<Vec<(&str, usize)>> {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for column in &self.columns {
            match groups.last_mut() {
                Some((name, width)) if *name == column.group && !name.is_empty() => *width += 1,
                _ => groups.push((&column.group, 1)),
            }
        }
        groups
            .iter()
            .any(|(name, _)| !name.is_empty())
            .then_some(groups)
    }
}

impl Column {
    pub(super) fn text(title: impl Into<String>) -> Self {
        Self {
            group: String::new(),
            title: title.into(),
            numeric: false,
        }
    }

    pub(super) fn number(title: impl Into<String>) -> Self {
        Self {
            numeric: true,
            ..Self::text(title)
        }
    }

    #[must_use]
    pub(super) fn under(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
        }
    }

    pub(super) fn strong(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Strong,
        }
    }

    pub(super) fn diverged(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Diverged,
        }
    }

    pub(super) fn faint(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Faint,
        }
    }

    /// What stands where there is nothing.
    pub(super) fn none() -> Self {
        Self::faint("–")
    }

    /// The text, or the sign for nothing.
    pub(super) fn or_none(text: Option<String>) -> Self {
        text.map_or_else(Self::none, Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_group_share_a_head() {
        let columns = vec![
            Column::text("scheduler"),
            Column::number("test").under("published"),
            Column::number("last").under("published"),
            Column::number("test").under("released"),
        ];
        let table = Table::new("", columns);
        let groups = table.groups().unwrap();
        assert_eq!(groups, [("", 1), ("published", 2), ("released", 1)]);
        assert_eq!(
            Table::new("", vec![Column::text("a"), Column::text("b")]).groups(),
            None
        );
    }
}
