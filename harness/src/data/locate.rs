//! Where the data sets lie.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::name::Cifar;

/// The environment variable that names the data folder.
pub const DATA_VARIABLE: &str = "AUTOLR_DATA";

/// Why a folder is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named on the command line.
    Argument,
    /// Named by `AUTOLR_DATA`.
    Environment,
    /// `data/` of the project that the current folder belongs to.
    Project,
    /// `data/` in the current folder, which belongs to no project.
    CurrentFolder,
}

impl Origin {
    /// The reason in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Argument => "named on the command line",
            Self::Environment => "named by AUTOLR_DATA",
            Self::Project => "the project's data folder",
            Self::CurrentFolder => "data in the current folder",
        }
    }
}

/// The one folder that data is looked for in and fetched to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The folder; it need not exist.
    pub folder: PathBuf,
    /// Why that one.
    pub origin: Origin,
}

impl Location {
    /// The data folder: `argument` if given, else the value of `AUTOLR_DATA` if set and not empty,
    /// else `data/` beside the workspace manifest of the project that `current` lies in, else
    /// `data/` in `current`.
    ///
    /// The first that is given is the only one looked into: data that the user pointed away from is
    /// not used.
    pub fn choose(argument: Option<&Path>, variable: Option<&OsStr>, current: &Path) -> Self {
        if let Some(folder) = argument {
            return Self {
                folder: folder.into(),
                origin: Origin::Argument,
            };
        }
        if let Some(folder) = variable.filter(|value| !value.is_empty()) {
            return Self {
                folder: folder.into(),
                origin: Origin::Environment,
            };
        }
        let is_project = |folder: &&Path| {
            folder.join("Cargo.toml").is_file() && folder.join("autolr-core").is_dir()
        };
        match current.ancestors().find(is_project) {
            Some(project) => Self {
                folder: project.join("data"),
                origin: Origin::Project,
            },
            None => Self {
                folder: current.join("data"),
                origin: Origin::CurrentFolder,
            },
        }
    }

    /// [`Self::choose`] with this process's environment and current folder.
    ///
    /// # Errors
    /// [`DataError::Io`] if the current folder cannot be determined.
    pub fn from_process(argument: Option<&Path>) -> Result<Self, DataError> {
        let current = std::env::current_dir()
            .map_err(DataError::io(".", "cannot tell the current folder"))?;
        Ok(Self::choose(
            argument,
            std::env::var_os(DATA_VARIABLE).as_deref(),
            &current,
        ))
    }

    /// The folder, if it holds at least one of the data set's files; [`crate::data::cifar::load`]
    /// then checks them all.
    ///
    /// # Errors
    /// [`DataError::NotFound`] if it holds none, [`DataError::Io`] if that cannot be told. A data
    /// set that is incomplete or corrupt is found: the error comes from loading it.
    pub fn find(&self, set: Cifar) -> Result<&Path, DataError> {
        for file in set.files() {
            let path = self.folder.join(set.folder()).join(file.name);
            match fs::metadata(&path) {
                Ok(_) => return Ok(&self.folder),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(DataError::io(path, "cannot read")(error)),
            }
        }
        Err(DataError::NotFound {
            set,
            folder: self.folder.clone(),
            origin: self.origin.describe(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("autolr-core/src")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        // A member's own manifest is not the project's.
        fs::write(folder.path().join("autolr-core/Cargo.toml"), "").unwrap();
        folder
    }

    #[test]
    fn the_first_that_is_given_wins() {
        let project = project();
        let inside = project.path().join("autolr-core/src");
        let (argument, variable) = (Path::new("/from/argument"), OsStr::new("/from/variable"));
        let choose = |argument, variable| {
            let location = Location::choose(argument, variable, &inside);
            (location.folder, location.origin)
        };
        assert_eq!(
            choose(Some(argument), Some(variable)),
            (argument.into(), Origin::Argument)
        );
        assert_eq!(
            choose(None, Some(variable)),
            (variable.into(), Origin::Environment)
        );
        let data = project.path().join("data");
        assert_eq!(choose(None, None), (data.clone(), Origin::Project));
        assert_eq!(choose(None, Some(OsStr::new(""))), (data, Origin::Project));
    }

    #[test]
    fn outside_a_project_the_current_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::choose(None, None, folder.path());
        assert_eq!(
            location,
            Location {
                folder: folder.path().join("data"),
                origin: Origin::CurrentFolder
            }
        );
    }

    #[test]
    fn absent_data_is_told_from_incomplete_data() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::choose(None, Some(folder.path().as_os_str()), folder.path());
        let error = location.find(Cifar::Cifar10).unwrap_err();
        assert!(error.is_not_found());
        let message = error.to_string();
        for part in [
            folder.path().to_str().unwrap(),
            "named by AUTOLR_DATA",
            "autolr data fetch cifar10",
        ] {
            assert!(message.contains(part), "{message}");
        }

        let files = folder.path().join("cifar-10-batches-bin");
        fs::create_dir(&files).unwrap();
        assert!(location.find(Cifar::Cifar10).unwrap_err().is_not_found());
        fs::write(files.join("data_batch_3.bin"), b"too short").unwrap();
        let found = location.find(Cifar::Cifar10).unwrap();
        assert!(
            !crate::data::cifar::load(Cifar::Cifar10, found)
                .unwrap_err()
                .is_not_found()
        );
        assert!(location.find(Cifar::Cifar100).unwrap_err().is_not_found());
    }

    #[test]
    fn a_folder_that_is_a_file_holds_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let location = Location::choose(Some(file.path()), None, Path::new("/"));
        assert!(location.find(Cifar::Cifar10).unwrap_err().is_not_found());
    }
}
