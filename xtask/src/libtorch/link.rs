//! The folder of links that cargo compiles and links against.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::found::{Libtorch, library};

/// What `update` did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All was right; nothing was written.
    Unchanged,
    /// The links were made, or lead elsewhere now, to the same release.
    Made,
    /// The links lead to another release than before.
    OtherRelease,
}

/// One thing that is to be in `.libtorch`.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Link(PathBuf),
    Text(String),
}

/// Has the links lead to `libtorch`; where they do already, no file is touched and nothing is rebuilt.
pub(super) fn update(home: &Path, libtorch: &Libtorch) -> anyhow::Result<Outcome> {
    let entries =
        entries(libtorch).with_context(|| format!("cannot read {}", libtorch.root.display()))?;
    if is_current(home, &entries) {
        return Ok(Outcome::Unchanged);
    }
    let before = fs::read_to_string(home.join("link/build-version")).unwrap_or_default();
    make(home, &entries).with_context(|| format!("cannot make the links in {}", home.display()))?;
    let release = before.trim().split('+').next().unwrap_or_default();
    Ok(if release.is_empty() || release == libtorch.release() {
        Outcome::Made
    } else {
        Outcome::OtherRelease
    })
}

/// The libtorch outside of `.libtorch` that the links lead to: an earlier set-up was told to use it.
pub(super) fn earlier_choice(home: &Path) -> Option<Libtorch> {
    let include = fs::read_link(home.join("link/include")).ok()?;
    let libtorch = Libtorch::open(include.parent()?).ok()?;
    let home = fs::canonicalize(home).ok()?;
    (!libtorch.root.starts_with(home)).then_some(libtorch)
}

/// All that is to be there, in the order in which it is made: the version last, so that its time is the whole's.
fn entries(libtorch: &Libtorch) -> io::Result<Vec<(PathBuf, Entry)>> {
    let to = |path: &str| Entry::Link(libtorch.root.join(path));
    let under = |path: &str| Path::new("link").join(path);
    let mut entries = vec![(under("include"), to("include"))];
    for name in ["torch_cpu", "c10"] {
        let file = library(name);
        entries.push((under(&file), to(&file)));
    }
    // The OpenMP that comes with it, under whatever name: `libgomp.so.1`, `libgomp-24e2ab19.so.1`.
    for file in fs::read_dir(libtorch.root.join("lib"))? {
        let name = file?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with("libgomp")) {
            let file = format!("lib/{name}");
            entries.push((under(&file), to(&file)));
        }
    }
    let torch = library("torch");
    entries.push(if cfg!(target_os = "macos") {
        // The linker there reads no such texts, and there is no CUDA to keep out.
        (under(&torch), to(&torch))
    } else {
        (
            under(&torch),
            Entry::Text(String::from("INPUT(-ltorch_cpu)\n")),
        )
    });
    let nvidia = libtorch.root.with_file_name("nvidia");
    if nvidia.is_dir() {
        entries.push((PathBuf::from("nvidia"), Entry::Link(nvidia)));
    }
    entries.push((
        under("build-version"),
        Entry::Text(format!("{}\n", libtorch.version)),
    ));
    Ok(entries)
}

/// Whether all of it is there, as it is to be, and nothing beside it.
fn is_current(home: &Path, entries: &[(PathBuf, Entry)]) -> bool {
    let right = entries.iter().all(|(path, entry)| {
        let path = home.join(path);
        match entry {
            Entry::Link(target) => fs::read_link(path).is_ok_and(|found| found == *target),
            Entry::Text(text) => {
                !path.is_symlink() && fs::read_to_string(path).is_ok_and(|found| found == *text)
            }
        }
    });
    let wanted: BTreeSet<PathBuf> = entries.iter().map(|(path, _)| home.join(path)).collect();
    let found = ["link", "link/lib"]
        .iter()
        .filter_map(|dir| fs::read_dir(home.join(dir)).ok())
        .flatten();
    let lib = home.join("link/lib");
    right
        && found
            .flatten()
            .all(|file| file.path() == lib || wanted.contains(&file.path()))
}

fn make(home: &Path, entries: &[(PathBuf, Entry)]) -> io::Result<()> {
    let link = home.join("link");
    if link.symlink_metadata().is_ok_and(|link| link.is_dir()) {
        fs::remove_dir_all(&link)?;
    } else {
        remove_file(&link)?;
    }
    remove_file(&home.join("nvidia"))?;
    fs::create_dir_all(link.join("lib"))?;
    for (path, entry) in entries {
        let path = home.join(path);
        match entry {
            Entry::Link(target) => symlink(target, path)?,
            Entry::Text(text) => fs::write(path, text)?,
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::fake;
    use super::*;

    /// `.libtorch`, and a libtorch of the version outside of it.
    fn scene(version: &str) -> anyhow::Result<(tempfile::TempDir, PathBuf, Libtorch)> {
        let dir = tempfile::tempdir()?;
        let home = dir.path().join(".libtorch");
        fs::create_dir(&home)?;
        Ok((home, other(&dir, "site-packages/torch", version)?))
            .map(|(home, torch)| (dir, home, torch))
    }

    fn other(dir: &tempfile::TempDir, name: &str, version: &str) -> anyhow::Result<Libtorch> {
        let root = dir.path().join(name);
        fake(&root, version)?;
        Libtorch::open(&root)
    }

    #[test]
    fn the_links_make_a_libtorch_without_cuda() -> anyhow::Result<()> {
        let (_dir, home, torch) = scene("2.11.0+cu130")?;
        fs::write(torch.root.join("lib/libgomp.so.1"), "")?;
        assert_eq!(update(&home, &torch)?, Outcome::Made);
        let linked = Libtorch::open(&home.join("link"))?;
        assert_eq!(linked.version, "2.11.0+cu130");
        assert!(home.join("link/lib/libgomp.so.1").is_file());
        assert!(!home.join("link").join(library("torch_cuda")).exists());
        // The libraries lead back to the folder of the real ones, which becomes the rpath.
        let real = fs::canonicalize(home.join("link").join(library("torch_cpu")))?;
        assert_eq!(real, torch.root.join(library("torch_cpu")));
        Ok(())
    }

    #[test]
    fn what_is_right_is_not_touched() -> anyhow::Result<()> {
        let (_dir, home, torch) = scene("2.11.0")?;
        assert_eq!(update(&home, &torch)?, Outcome::Made);
        let time = || fs::metadata(home.join("link/build-version"))?.modified();
        let before = time()?;
        assert_eq!(update(&home, &torch)?, Outcome::Unchanged);
        assert_eq!(time()?, before);
        Ok(())
    }

    #[test]
    fn what_is_torn_or_stale_is_made_anew() -> anyhow::Result<()> {
        let (_dir, home, torch) = scene("2.11.0")?;
        let nvidia = torch.root.with_file_name("nvidia");
        update(&home, &torch)?;
        let damages: [&dyn Fn() -> io::Result<()>; 6] = [
            &|| fs::remove_file(home.join("link/build-version")),
            &|| fs::write(home.join("link/build-version"), ""),
            &|| fs::remove_file(home.join("link").join(library("c10"))),
            &|| fs::write(home.join("link/lib/libtorch_cuda.so"), ""),
            &|| fs::remove_dir_all(home.join("link")),
            &|| fs::create_dir(&nvidia),
        ];
        for (index, damage) in damages.iter().enumerate() {
            damage()?;
            assert_eq!(update(&home, &torch)?, Outcome::Made, "damage {index}");
            assert_eq!(update(&home, &torch)?, Outcome::Unchanged, "damage {index}");
        }
        assert_eq!(fs::read_link(home.join("nvidia"))?, nvidia);
        Ok(())
    }

    #[test]
    fn another_libtorch_is_linked_to_and_another_release_is_told() -> anyhow::Result<()> {
        let (dir, home, torch) = scene("2.11.0+cpu")?;
        update(&home, &torch)?;
        let cuda = other(&dir, "cuda", "2.11.0+cu130")?;
        assert_eq!(update(&home, &cuda)?, Outcome::Made);
        let newer = other(&dir, "newer", "2.13.0")?;
        assert_eq!(update(&home, &newer)?, Outcome::OtherRelease);
        assert_eq!(
            fs::read_link(home.join("link/include"))?,
            newer.root.join("include")
        );
        Ok(())
    }

    #[test]
    fn the_earlier_choice_is_what_the_links_lead_to_outside_of_the_project() -> anyhow::Result<()> {
        let (dir, home, torch) = scene("2.11.0")?;
        assert_eq!(earlier_choice(&home), None);
        update(&home, &torch)?;
        assert_eq!(earlier_choice(&home), Some(torch.clone()));
        fs::remove_dir_all(&torch.root)?;
        assert_eq!(earlier_choice(&home), None);

        update(&home, &other(&dir, ".libtorch/venv/torch", "2.11.0")?)?;
        assert_eq!(earlier_choice(&home), None);
        Ok(())
    }
}
