use std::fmt;

/// One of the things that starting a development network does, named when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The npm packages are being installed; not named when they already are.
    InstallPackages,
    /// The account contracts are being compiled; not named when they already are.
    CompileContracts,
    /// The chain is being started.
    StartChain,
    /// The contracts are being put at their canonical addresses.
    PlaceContracts,
    /// The bundler is being started.
    StartBundler,
    /// Keys and configurations of a signing network are being made.
    InitializeNetwork {
        /// Number of its nodes.
        nodes: u8,
        /// Number of nodes that sign together.
        threshold: u8,
    },
    /// The gateway and the nodes of a signing network are being started.
    StartNetwork {
        /// Number of its nodes.
        nodes: u8,
    },
    /// The nodes of a signing network are making a key ahead of need.
    MakeFreeKey,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallPackages => f.write_str("installing the npm packages"),
            Self::CompileContracts => f.write_str("compiling the account contracts"),
            Self::StartChain => f.write_str("starting the chain"),
            Self::PlaceContracts => f.write_str("putting the contracts at their addresses"),
            Self::StartBundler => f.write_str("starting the bundler"),
            Self::InitializeNetwork { nodes, threshold } => {
                write!(f, "making a signing network of {nodes} nodes, {threshold} of which sign together")
            }
            Self::StartNetwork { nodes } => write!(f, "starting a gateway and {nodes} nodes"),
            Self::MakeFreeKey => f.write_str("the nodes make a key ahead of need"),
        }
    }
}

/// Told what is going on while something starts that takes its time.
///
/// Every `Fn(Step)` is one:
///
/// ```
/// use quorate_devnet::{Progress, Step};
///
/// let progress = |step: Step| eprintln!("{step} …");
/// progress.step(Step::StartChain);
/// ```
pub trait Progress: Send + Sync {
    /// `step` begins, and the one before it is done.
    fn step(&self, step: Step);
}

impl<F: Fn(Step) + Send + Sync> Progress for F {
    fn step(&self, step: Step) {
        self(step);
    }
}

/// A [`Progress`] that tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _step: Step) {}
}
