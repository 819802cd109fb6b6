//! The numbers behind a figure, as CSV that goes into the page.

use crate::number::plain;

/// A table of numbers and words, a row an epoch or a probe.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Data {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing there.
    None,
    /// A count.
    Count(u64),
    /// To five significant digits; `NaN`, `inf`, `-inf` where it is none.
    Number(f64),
    /// Words, which no spreadsheet takes for a formula.
    Text(String),
}

impl Data {
    /// A table without rows.
    pub(super) fn new(columns: Vec<String>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, a cell a column.
    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// The table as CSV (RFC 4180, line feeds), its heads first.
    pub(super) fn csv(&self) -> String {
        let mut text = String::new();
        line(&mut text, self.columns.iter().map(|head| sanitize(head)));
        for row in &self.rows {
            line(&mut text, row.iter().map(Value::text));
        }
        text
    }
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Count(count) => count.to_string(),
            Self::Number(number) => plain(*number),
            Self::Text(text) => sanitize(text),
        }
    }
}

/// Writes cells with their separators; the crate `csv` would want a `Result` for each of them.
fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push('\n');
}

/// Words behind an apostrophe where a spreadsheet would compute them; control characters are blanks.
///
/// Source: OWASP, CSV Injection.
fn sanitize(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let first = text.trim_start().chars().next();
    // Full-width forms count too: spreadsheets in East Asian locales read them alike.
    if first.is_some_and(|c| "=+-@＝＋－＠".contains(c)) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut data = Data::new(vec!["epoch".to_owned(), "a, \"b\"".to_owned()]);
        data.push(vec![Value::Count(0), Value::Number(0.123_456_78)]);
        data.push(vec![Value::Count(1), Value::None]);
        data.push(vec![Value::Count(2), Value::Number(f64::NAN)]);
        data.push(vec![Value::Count(3), Value::Number(f64::NEG_INFINITY)]);
        assert_eq!(
            data.csv(),
            "epoch,\"a, \"\"b\"\"\"\n0,0.12346\n1,\n2,NaN\n3,-inf\n"
        );
        let text = data.csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().get(1), Some("a, \"b\""));
        assert_eq!(reader.records().count(), 4);
    }

    /// A number may begin with a sign; words may not.
    #[test]
    fn formulas_are_words() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            " =1",
            "＝1",
            "=cmd|' /C calc'!A0",
        ] {
            let mut data = Data::new(vec![text.to_owned()]);
            data.push(vec![Value::Text(text.to_owned())]);
            for cell in data.csv().lines() {
                let cell = cell.trim_start_matches('"');
                assert!(cell.starts_with('\''), "{text:?}: {cell}");
            }
        }
        assert_eq!(sanitize("factor_5 - 1"), "factor_5 - 1");
        assert_eq!(Value::Number(-1.5).text(), "-1.5");
    }
}
