//! The guide to back ends shows code that is compiled: whole programs as doctests (src/lib.rs), the rest word for
//! word from the example.

use std::fs;
use std::path::Path;

use autolr_core::testkit::Finding;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}

/// The fenced blocks: what stands behind the opening fence, and the lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            blocks.push((
                kind,
                lines.by_ref().take_while(|line| *line != "```").collect(),
            ));
        }
    }
    blocks
}

#[test]
fn every_excerpt_is_in_the_example_word_for_word() {
    let (guide, example) = (
        read("docs/ADDING-A-BACKEND.md"),
        read("autolr-core/examples/custom_backend.rs"),
    );
    let example: Vec<&str> = example.lines().collect();
    let mut excerpts = 0;
    for (kind, block) in blocks(&guide) {
        match kind {
            "rust,ignore" => {
                let found = example.windows(block.len()).any(|lines| lines == block);
                assert!(found, "not in the example:\n{}", block.join("\n"));
                excerpts += 1;
            }
            // Compiled and run as a doctest: whole, with nothing hidden.
            "rust" => assert!(block.iter().any(|line| line.starts_with("fn main()"))),
            "console" => assert_eq!(block, ["cargo run -p autolr-core --example custom_backend"]),
            "toml" => {
                let shown: toml::Table = block.join("\n").parse().unwrap();
                let core = &shown["dev-dependencies"]["autolr-core"];
                assert_eq!(core["features"].as_array().unwrap().len(), 1);
                // The crate passes its arrays on.
                assert_eq!(shown["dependencies"].as_table().unwrap().len(), 1);
            }
            other => panic!("nothing checks a block of kind {other:?}"),
        }
    }
    assert!(excerpts > 5);
}

#[test]
fn every_finding_has_its_row_with_cause_and_cure() {
    let guide = read("docs/ADDING-A-BACKEND.md");
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let mut named: Vec<&str> = rows.iter().map(|row| row[1].trim_matches('`')).collect();
    assert!(
        rows.iter()
            .all(|row| row.len() == 5 && !row[2].is_empty() && !row[3].is_empty())
    );
    let mut names = Finding::NAMES.to_vec();
    named.sort_unstable();
    names.sort_unstable();
    assert_eq!(named, names);
}

#[test]
fn the_shortest_program_takes_at_most_forty_lines() {
    let guide = read("docs/ADDING-A-BACKEND.md");
    let (_, program) = blocks(&guide)
        .into_iter()
        .find(|(kind, _)| *kind == "rust")
        .unwrap();
    assert!(
        program
            .iter()
            .any(|line| line.starts_with("impl Trial for"))
    );
    assert!(program.len() <= 40, "{}", program.len());
}
