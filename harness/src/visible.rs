//! Text that others wrote, made harmless where it is shown: in a terminal, in the report.
//!
//! Escape sequences, NUL and the like could drive a terminal; bidirectional controls make a text read as something
//! that it is not ("Trojan Source", <https://trojansource.codes>). They are shown as `\u{202e}`, not taken away: two
//! names that differ look different.

/// Whether a character does something to a text other than to be read.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator, zero-width space, left-to-right and
            // right-to-left mark. The zero-width joiners are left alone: some scripts cannot be written without them.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            // Line and paragraph separator, embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates, deprecated format characters.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, interlinear annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line, with everything that would not be seen written as an escape.
pub fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`visible`], but line feeds are left.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) && !keep(c) {
            match c {
                '\n' | '\r' | '\t' => out.extend(c.escape_default()),
                c => out.extend(c.escape_unicode()),
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// As much as an error shows of a text that was typed.
const TYPED: usize = 100;

/// A text that somebody typed or wrote into a file, as an error shows it: on one line, and not at length.
pub fn typed(text: &str) -> String {
    shortened(&visible(text), TYPED)
}

/// A text of at most `limit` characters, cut in the middle: what tells names apart, or what is wrong, may stand at
/// either end.
pub fn without_middle(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let end = limit / 2;
    let start = text.chars().take(limit.saturating_sub(1 + end));
    let start: String = start.chain(['…']).collect();
    start + &text.chars().skip(length - end).collect::<String>()
}

/// As long as a path can be: a longer word is none.
const PATH: usize = 4096;
/// As much as an error says, whatever is named in it.
const MESSAGE: usize = 8_000;

/// A message with whatever others wrote in it, harmless, and of a length that can be read.
pub fn message(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    let words = words.map(|word| match word.trim_end().len() > PATH {
        true => shortened(word.trim_end(), TYPED) + " ",
        false => word.to_owned(),
    });
    without_middle(&visible_lines(&words.collect::<String>()), MESSAGE)
}

/// The first `limit` characters of a text, and how long it is if that is not all of it.
pub fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for (text, shown) in [
            (
                "plain, ünï, 学習率, שלום, 👩\u{200d}🔬",
                "plain, ünï, 学習率, שלום, 👩\u{200d}🔬",
            ),
            ("a\0b", "a\\u{0}b"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{202e}gpj.exe\u{2069}", "\\u{202e}gpj.exe\\u{2069}"),
            ("\u{85}\u{9b}1m", "\\u{85}\\u{9b}1m"),
            (
                "\u{feff}x\u{200b}y\u{e0041}",
                "\\u{feff}x\\u{200b}y\\u{e0041}",
            ),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
        assert_eq!(visible_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
    }

    #[test]
    fn what_was_typed_is_on_one_short_line() {
        assert_eq!(typed("a\nb"), "a\\nb");
        let long = typed(&"ü".repeat(100_000));
        assert_eq!(long, format!("{}… (100000 characters)", "ü".repeat(100)));
        // A message keeps what can be a path, and its two ends.
        let path = "p".repeat(4095);
        let all = message(&format!(
            "{path}: no such file\n{}: the\u{1b} rule",
            "n".repeat(100_000)
        ));
        let cut = format!("{}… (100001 characters)", "n".repeat(100));
        assert_eq!(
            all,
            format!("{path}: no such file\n{cut} the\\u{{1b}} rule")
        );
        let long = message(&format!("begin {} end", "word ".repeat(10_000)));
        assert_eq!(long.chars().count(), MESSAGE);
        assert!(long.starts_with("begin word") && long.ends_with("word  end"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(without_middle("ünïcödé", 7), "ünïcödé");
        assert_eq!(without_middle("ünïcödés", 7), "ünï…dés");
        assert_eq!(shortened("ünï", 3), "ünï");
        assert_eq!(shortened("ünïx", 3), "ünï… (4 characters)");
        assert_eq!(shortened("", 0), "");
        assert_eq!(shortened("x", 0), "… (1 characters)");
    }
}
