//! The library behind the program `autolr`: data, experiments, training runs, their records and the report.

mod arguments;
pub mod commands;
pub mod data;
pub mod device;
pub mod did_you_mean;
pub mod disk;
pub mod exit;
pub mod experiment;
mod json_output;
mod lock_file;
mod number;
mod openmp;
pub mod record;
mod regular_file;
pub mod report;
mod runs;
mod shell;
pub mod statistics;
pub mod task;
pub mod text_figure;
mod text_table;
pub mod train;
mod typed_number;
pub mod visible;
pub mod workload;

pub use runs::progress::be_quiet;
