//! Builds the C++ shim, and writes the folder of libtorch into the executables, so that they need no
//! `LD_LIBRARY_PATH`.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // torch-sys tells its direct dependents where the libraries lie.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        write_rpath(Path::new(&lib));
        build_shim(Path::new(&lib));
    }
}

/// Compiles `src/shim.cpp` against the headers of the same libtorch that torch-sys uses.
fn build_shim(lib: &Path) {
    println!("cargo::rerun-if-changed=src/shim.cpp");
    let include = lib.with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag_if_supported("-w")
        .include(include.join("torch/csrc/api/include"))
        .include(include)
        .file("src/shim.cpp")
        .compile("autolr_shim");
}

/// Links against the folder that the libraries really lie in: the set-up links to them one by one, without those
/// for CUDA, and `libtorch_cuda.so` is to be found at run time where there is one.
fn write_rpath(lib: &Path) {
    let macos = env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os == "macos");
    let library = lib.join(if macos {
        "libtorch_cpu.dylib"
    } else {
        "libtorch_cpu.so"
    });
    let library = fs::canonicalize(&library).unwrap_or(library);
    let folder = library
        .parent()
        .map_or_else(|| lib.to_owned(), PathBuf::from);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    // For the executables of dependents, whose own build scripts have to say it again.
    println!("cargo::metadata=rpath={}", folder.display());
    if !macos {
        // RUNPATH instead of RPATH: LD_LIBRARY_PATH comes before it, so that another libtorch can be named at start.
        println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags");
    }
    // `cargo xtask setup` writes this file anew whenever it links to another libtorch.
    let version = lib.with_file_name("build-version");
    if version.exists() {
        println!("cargo::rerun-if-changed={}", version.display());
    }
}
