//! In which line of a TOML text each key stands.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::typed_number;
use crate::visible::typed;

/// The line of a mistake, if it is known, and what is wrong there.
pub(super) type Mistake = (Option<usize>, String);

/// The lines of a text's keys and list entries, by their path: `scheduler.factors[2]`, `series[0].name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    of: BTreeMap<String, usize>,
    last: usize,
}

/// The number of the line, from 1, in which the byte at `offset` stands.
fn number(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

impl Lines {
    /// Reads a text.
    ///
    /// # Errors
    /// The first mistake.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let table = DeTable::parse(text).map_err(|error| syntax_error(text, &error))?;
        let mut of = BTreeMap::new();
        collect(text, "", table.get_ref(), &mut of)?;
        Ok(Self {
            of,
            last: text.lines().count().max(1),
        })
    }

    /// The line of a key.
    pub(super) fn exact(&self, path: &str) -> Option<usize> {
        self.of.get(path).copied()
    }

    /// The line of a key, or of the innermost table or list around it that there is.
    pub(super) fn nearest(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.exact(path) {
                return Some(line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The last line of the text.
    pub(super) fn last(&self) -> usize {
        self.last
    }
}

fn collect(
    text: &str,
    path: &str,
    table: &DeTable<'_>,
    of: &mut BTreeMap<String, usize>,
) -> Result<(), Mistake> {
    for (key, value) in table {
        let path = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        of.insert(path.clone(), number(text, key.span().start));
        collect_value(text, &path, value, of)?;
    }
    Ok(())
}

fn collect_value(
    text: &str,
    path: &str,
    value: &Spanned<DeValue<'_>>,
    of: &mut BTreeMap<String, usize>,
) -> Result<(), Mistake> {
    // Numbers are read only when they are used, and the errors then know no line.
    let unread = |number_text: &str| {
        let line = number(text, value.span().start);
        let (path, number_text) = (typed(path), typed(number_text));
        let message = format!("{path} = {number_text}: no number that fits into 64 bits");
        Err((Some(line), message))
    };
    match value.get_ref() {
        DeValue::Table(table) => collect(text, path, table, of)?,
        DeValue::Integer(integer) => {
            if i64::from_str_radix(integer.as_str(), integer.radix()).is_err() {
                return unread(&text[value.span()]);
            }
        }
        DeValue::Float(float) => {
            let read: Result<f64, _> = float.as_str().parse();
            let infinite = float.as_str().ends_with("inf");
            if !read.is_ok_and(|read| infinite || !read.is_infinite()) {
                return unread(&text[value.span()]);
            }
        }
        DeValue::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                of.insert(path.clone(), number(text, value.span().start));
                collect_value(text, &path, value, of)?;
            }
        }
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
    Ok(())
}

/// TOML's message without what it expected of itself.
fn plain(message: &str) -> String {
    if message.starts_with("string values must be quoted") {
        // Said of everything that is no value.
        return "no value: a number, true, false, a text in quotes or a list is needed".to_owned();
    }
    let end = message.find(", expected nothing").unwrap_or(message.len());
    message[..end].to_owned()
}

/// TOML's message, with the text of its line.
fn syntax_error(text: &str, error: &toml::de::Error) -> Mistake {
    let Some(span) = error.span() else {
        return (None, error.message().to_owned());
    };
    // A span may begin at the end of the text, or of the line before.
    let start = span.start.min(text.len());
    let number = number(text, start);
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    // What is typed there, as far as it could be a number.
    let other = |c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c));
    let (before, after) = text.split_at_checked(start).unwrap_or_default();
    let word: String = [before.rsplit(other).next(), after.split(other).next()]
        .into_iter()
        .flatten()
        .collect();
    let said = match typed_number::meant(&word) {
        Some(meant) => format!("no number: write {meant}"),
        None => typed(&plain(error.message())),
    };
    let message = match line {
        "" => said,
        line => format!("`{}`: {said}", typed(line)),
    };
    (Some(number), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title = \"x\"\n\
        [a]\n\
        b = 1\n\
        c = [\n  1,\n  2,\n]\n\
        d = { e = 3 }\n\
        [a.f]\n\
        g.h = 4\n\
        [[series]]\n\
        name = \"one\"\n\
        [[series]]\n\
        name = \"two\"\n\
        [series.a]\n\
        b = 5\n";

    #[test]
    fn every_key_has_its_line() {
        let lines = Lines::parse(TEXT).unwrap();
        for (path, line) in [
            ("title", 1),
            ("a", 2),
            ("a.b", 3),
            ("a.c", 4),
            ("a.c[0]", 5),
            ("a.c[1]", 6),
            ("a.d.e", 8),
            ("a.f", 9),
            ("a.f.g.h", 10),
            ("series[0]", 11),
            ("series[0].name", 12),
            ("series[1].name", 14),
            ("series[1].a.b", 16),
        ] {
            assert_eq!(lines.exact(path), Some(line), "{path}");
        }
        assert_eq!(lines.last(), 16);
        assert_eq!(lines.exact("a.x"), None);
        assert_eq!(lines.nearest("a.x"), Some(2));
        assert_eq!(lines.nearest("a.c[7]"), Some(4));
        assert_eq!(lines.nearest("series[1].a.x[3].y"), Some(15));
        assert_eq!(lines.nearest("x"), None);
        assert_eq!(lines.nearest(""), None);
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, line, message) in [
            ("a = 1\nb = = 2\n", 2, "`b = = 2`: extra `=`"),
            ("a = 1\na = 2\n", 2, "`a = 2`: duplicate key"),
            ("a = [1,\n", 1, ""),
            ("a = 1\n\n[b", 3, "`[b`"),
            ("a", 1, "`a`"),
            ("a = 1\nb = 1e999", 2, "b = 1e999: no number"),
            (
                "a = [1,\n0x8000000000000000]",
                2,
                "a[1] = 0x8000000000000000: no number",
            ),
            ("\u{0}", 1, ""),
        ] {
            let (found, said) = Lines::parse(text).unwrap_err();
            assert_eq!(found, Some(line), "{text:?}: {said}");
            assert!(said.starts_with(message), "{text:?}: {said}");
        }
    }
}
