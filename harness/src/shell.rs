//! Words of a shell.

use std::path::Path;

/// A path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_quoted_path_is_one_word_of_the_shell() {
        for path in [
            "/plain/path",
            "/with space",
            "/it's",
            "/$(rm)`x`;\n&\"",
            "-",
        ] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), path);
        }
    }
}
