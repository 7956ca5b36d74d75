//! Breaks a signing network while it signs, and checks afterwards that it kept its rules.
//!
//! [`run`] starts a gateway and five nodes as processes that share nothing, makes one key whose limits are exactly what
//! it then asks for, and asks for its signatures while processes are killed, stopped, continued and restarted, at most
//! two nodes at a time. Each operation has to end signed or refused by name. At last all processes end, and the nodes'
//! ledgers are read from their files: what was signed has to be counted, and no limit exceeded.
//!
//! Which processes are broken, and after how many signatures, follows from a seed. Nothing is waited for by time: a process
//! counts as back when the gateway says that its node is ready.
//!
//! [`Processes`] and [`Session`] serve benchmarks and other tests, too.

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
