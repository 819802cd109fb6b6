//! PyTorch's wheel without the 2 GB of NVIDIA libraries that it asks for, for tests on the CPU.
//!
//! On Linux the wheel is the build for CUDA. Its `import` wants libraries to be there that nothing on the CPU calls: empty
//! ones of the same names will do, loaded before, as long as symbols are bound when they are called. For tests alone; a
//! user's PyTorch comes with its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::command::output;

/// Libraries that PyTorch 2.11.0 is linked against, beside the two that `.libtorch` has.
const EMPTY: [&str; 13] = [
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcudnn.so.9",
    "libcufft.so.12",
    "libcufile.so.0",
    "libcurand.so.10",
    "libcusolver.so.12",
    "libcusparse.so.12",
    "libcusparseLt.so.0",
    "libnccl.so.2",
    "libnvJitLink.so.13",
    "libnvrtc-builtins.so.13",
    "libnvrtc.so.13",
];

/// This one has versioned symbols, which the loader looks up at once.
const VERSIONED: &str = "libnvshmem_host.so.3";

/// Lets the Python whose packages are in `site_packages` import the PyTorch in `packages`.
pub(super) fn share(site_packages: &Path, packages: &Path, stubs: &Path) -> anyhow::Result<()> {
    let paths = format!("{}\n", packages.display());
    fs::write(site_packages.join("zz_pytorch.pth"), paths)?;
    let needed = packages.join("torch/lib/libtorch_nvshmem.so");
    if !needed.exists() {
        // A build for the CPU.
        return Ok(());
    }
    if stubs.exists() {
        fs::remove_dir_all(stubs)?;
    }
    fs::create_dir_all(stubs)?;
    for name in EMPTY {
        link(stubs, name, "", None)?;
    }
    let symbols = output(
        Command::new("readelf")
            .args(["-W", "--dyn-syms"])
            .arg(&needed),
    )
    .context("binutils is needed")?;
    let symbols = versioned(&symbols, "NVSHMEM");
    let declarations: String = symbols
        .iter()
        .map(|symbol| format!("void *{symbol};\n"))
        .collect();
    link(
        stubs,
        VERSIONED,
        &declarations,
        Some("NVSHMEM { global: *; };\n"),
    )?;
    let module = format!(
        "import ctypes, os, pathlib, sys\n\
         sys.setdlopenflags(os.RTLD_LAZY)\n\
         for stub in pathlib.Path({:?}).glob('*.so.*'):\n    \
             ctypes.CDLL(str(stub), ctypes.RTLD_GLOBAL | os.RTLD_LAZY)\n",
        stubs.display().to_string()
    );
    fs::write(site_packages.join("pytorch_on_the_cpu.py"), module)?;
    fs::write(
        site_packages.join("zz_pytorch_on_the_cpu.pth"),
        "import pytorch_on_the_cpu\n",
    )?;
    Ok(())
}

/// Links a library of these declarations.
fn link(folder: &Path, name: &str, source: &str, versions: Option<&str>) -> anyhow::Result<()> {
    let path = folder.join("stub.c");
    fs::write(&path, source)?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-nostdlib"]);
    cc.arg(format!("-Wl,-soname,{name}"));
    if let Some(versions) = versions {
        let map = folder.join("versions.map");
        fs::write(&map, versions)?;
        cc.arg(format!("-Wl,--version-script={}", map.display()));
    }
    output(cc.arg("-o").arg(folder.join(name)).arg(&path)).map(drop)
}

/// The undefined symbols of a version in what `readelf` prints.
fn versioned(symbols: &str, version: &str) -> Vec<String> {
    let suffix = format!("@{version}");
    let mut names: Vec<String> = symbols
        .split_whitespace()
        .filter_map(|word| word.strip_suffix(&suffix))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::versioned;

    #[test]
    fn symbols_of_a_version_are_read() {
        let printed = "\
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     7: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND nvshmem_malloc@NVSHMEM (9)
     8: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND memcpy@GLIBC_2.14 (2)
     9: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND nvshmem_free@NVSHMEM (9)
    12: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND nvshmem_free@NVSHMEM (9)
";
        assert_eq!(
            versioned(printed, "NVSHMEM"),
            ["nvshmem_free", "nvshmem_malloc"]
        );
        assert!(versioned("", "NVSHMEM").is_empty());
    }
}
