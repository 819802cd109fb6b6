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

/// Compiles `src/*.cpp` against the headers of the same libtorch that torch-sys uses.
fn build_shim(lib: &Path) {
    for file in [
        "batch_norm.cpp",
        "batch_norm_kernels.cpp",
        "batch_norm_kernels.h",
        "guarded.h",
        "shim.cpp",
    ] {
        println!("cargo::rerun-if-changed=src/{file}");
    }
    let x86_64 = env::var_os("CARGO_CFG_TARGET_ARCH").is_some_and(|arch| arch == "x86_64");
    let compiler = || {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").flag_if_supported("-w");
        if x86_64 {
            build.define("AUTOLR_X86_64", None);
        }
        build
    };

    // Without debug information: with it, the objects that see libtorch's headers are a hundred times as large.
    let include = lib.with_file_name("include");
    let mut shim = compiler();
    shim.include(include.join("torch/csrc/api/include"))
        .include(include)
        .debug(false)
        .files(["src/shim.cpp", "src/batch_norm.cpp"]);
    // `at::parallel_for` is a template and uses one thread without OpenMP, which has to be libtorch's own: two in a process
    // get in each other's way.
    if shim.get_compiler().is_like_gnu() && lib.join("libgomp.so.1").exists() {
        shim.flag("-fopenmp");
        println!("cargo::rustc-link-lib=gomp");
    } else {
        println!(
            "cargo::warning=BatchNorm will use one thread: more take g++ and a libtorch with libgomp.so.1"
        );
    }
    shim.compile("autolr_shim");

    // The same file for each set of instructions that libtorch has kernels for, as wide as its vectors.
    let sets: &[(u32, &[&str])] = match x86_64 {
        true => &[(4, &[]), (8, &["-mavx2"]), (16, &["-mavx512f"])],
        false => &[(4, &[])],
    };
    for (lanes, flags) in sets {
        let mut kernels = compiler();
        kernels
            .opt_level(3)
            // A product and a sum in one instruction round once, not twice: other bits.
            .flag_if_supported("-ffp-contract=off")
            .define("AUTOLR_LANES", lanes.to_string().as_str())
            .file("src/batch_norm_kernels.cpp");
        for flag in *flags {
            kernels.flag(flag);
        }
        kernels.compile(&format!("autolr_kernels_{lanes}"));
    }
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
