//! The fixtures are the ones that their manifest lists: a value that tests compare with does not change unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

fn collect(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("__pycache__") {
                collect(&path, root, found);
            }
        } else if !path.ends_with("MANIFEST") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let digest = hex::encode(Sha256::digest(fs::read(&path).unwrap()));
            found.insert(format!("./{}", name.replace('\\', "/")), digest);
        }
    }
}

#[test]
fn the_manifest_lists_every_fixture_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut found = BTreeMap::new();
    collect(&root, &root, &mut found);
    let manifest = fs::read_to_string(root.join("MANIFEST")).unwrap();
    let listed: BTreeMap<String, String> = manifest
        .lines()
        .map(|line| {
            let (digest, name) = line.split_once("  ").unwrap();
            (name.to_owned(), digest.to_owned())
        })
        .collect();
    assert!(listed.len() > 5);
    let names = found.keys().chain(listed.keys());
    let different = names.filter(|name| found.get(*name) != listed.get(*name));
    let different: BTreeSet<&String> = different.collect();
    assert!(
        different.is_empty(),
        "not as fixtures/MANIFEST says: {different:?}"
    );
}
