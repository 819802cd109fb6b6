//! Which properties a source file holds, read from its `proptest!` blocks.

/// The properties of a file, by the names of their functions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    /// Those that run as many cases as `PROPTEST_CASES` says.
    pub(crate) counted: Vec<String>,
    /// Those in a block that sets its own number of cases.
    pub(crate) of_their_own: Vec<String>,
}

impl Properties {
    /// Reads a source file as rustfmt lays it out: a block ends with a brace below the line that begins it.
    pub(crate) fn read(source: &str) -> Self {
        let mut found = Self::default();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let begin = line.trim_start();
            if !["proptest! {", "proptest::proptest! {"].contains(&begin) {
                continue;
            }
            let end = format!("{}}}", &line[..line.len() - begin.len()]);
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            let names = tests(&block);
            let config = block
                .iter()
                .any(|line| line.contains("with_cases(") || line.contains("cases:"));
            match config {
                false => found.counted.extend(names),
                true => found.of_their_own.extend(names),
            }
        }
        found
    }

    /// Takes another file's in.
    pub(crate) fn extend(&mut self, other: Self) {
        self.counted.extend(other.counted);
        self.of_their_own.extend(other.of_their_own);
    }
}

/// The functions marked `#[test]`.
fn tests(block: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in block.iter().map(|line| line.trim()) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or(rest);
            if std::mem::take(&mut marked) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
use proptest::prelude::*;

proptest! {
    /// One.
    #[test]
    fn one(x in 0..3) {
        if x == 1 {
            fn helper() {}
        }
    }

    #[test]
    #[allow(clippy::eq_op)]
    fn two((a, b) in pair(), c in 0..3) {}
}

#[test]
fn no_property() {}

mod inner {
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3))]
        #[test]
        fn slow(x in 0..3) {}
    }
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 9, ..ProptestConfig::default() })]
    #[test]
    fn three(x in 0..3) {}
}
";

    #[test]
    fn properties_are_the_tests_in_the_blocks() {
        let found = Properties::read(SOURCE);
        assert_eq!(found.counted, ["one", "two", "three"]);
        assert_eq!(found.of_their_own, ["slow"]);
        assert_eq!(
            Properties::read("#[test]\nfn a() {}\n"),
            Properties::default()
        );
    }
}
