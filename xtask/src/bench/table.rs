//! Tables that can be read in a terminal and put into a Markdown file.

/// A table of Markdown, its columns as wide as their longest cell; the first `labels` columns are text.
pub(crate) fn markdown(heads: &[&str], labels: usize, rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(String::as_str)
                .chain([heads[column], "---"])
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let line = |cells: &[&str]| {
        let mut text = String::from("|");
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            text += &match column < labels {
                true => format!(" {cell:<width$} |"),
                false => format!(" {cell:>width$} |"),
            };
        }
        text + "\n"
    };
    let mut text = line(heads);
    text += "|";
    for (column, &width) in widths.iter().enumerate() {
        text += &match column < labels {
            true => format!(" {} |", "-".repeat(width)),
            false => format!(" {}: |", "-".repeat(width - 1)),
        };
    }
    text += "\n";
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        text += &line(&cells);
    }
    text
}

/// A number with three digits that count, and all those before the point.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["step", "1234", "1.20×"]), row(["forward", "5", "–"])];
        assert_eq!(
            markdown(&["operation", "ours", "ratio"], 1, &rows),
            "| operation | ours | ratio |\n\
             | --------- | ---: | ----: |\n\
             | step      | 1234 | 1.20× |\n\
             | forward   |    5 |     – |\n"
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (1234.5, "1234"),
            (99.96, "100"),
            (99.94, "99.9"),
            (9.996, "10.0"),
            (1.234, "1.23"),
            (0.0, "0.00"),
            (-12.34, "-12.3"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
