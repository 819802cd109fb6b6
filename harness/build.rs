//! Writes the folder of libtorch into `autolr` (with the feature `tch`), so that it needs no `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // autolr-tch tells its direct dependents where the libraries lie.
    if let Ok(folder) = std::env::var("DEP_AUTOLR_SHIM_RPATH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os != "macos") {
            // RUNPATH instead of RPATH: LD_LIBRARY_PATH comes before it, so that another libtorch can be named at start.
            println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags");
        }
    }
}
