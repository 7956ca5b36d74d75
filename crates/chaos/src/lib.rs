#![doc = include_str!("../README.md")]

mod count;
mod crash;
mod error;
mod operations;
mod plan;
mod points;
mod processes;
mod run;
mod session;

pub use count::Violation;
pub use crash::crash_everywhere;
pub use error::ChaosError;
pub use operations::Counts;
pub use points::End;
pub use processes::{Part, Processes, Size};
pub use run::{Report, Settings, run};
pub use session::Session;
