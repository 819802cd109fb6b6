//! The commands of `autolr`, one file each. What several of them need lies elsewhere: no command imports another.

pub mod compare;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod export;
pub mod find;
pub mod plan;
pub mod probe;
pub mod replay;
pub mod report;
pub mod reproduce;
pub mod resume;
pub mod run;
pub mod schedule;
pub mod sensitivity;
pub mod status;
pub mod sweep;
pub mod trace;
pub mod update;
