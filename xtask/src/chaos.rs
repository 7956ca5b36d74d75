//! `cargo xtask chaos`: breaks the processes of a signing network while it signs, for longer than the tests do.

use std::time::SystemTime;

use crate::command::{cargo, cargo_command, execute, fresh_folder, target_directory};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many operations are signed.
    #[arg(long, default_value_t = 1000)]
    signatures: u32,
    /// How many times a process is killed; half as often one is stopped for a while.
    #[arg(long, default_value_t = 60)]
    kills: u32,
    /// What all random choices follow from; another one each time if it is not given.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the programs in the release profile. The network's files and logs stay in the target folder until the next run.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    cargo(&["build", "--release", "--package", "quorate-cli"])?;
    let folder = fresh_folder("chaos")?;
    let seed = arguments.seed.unwrap_or_else(now);
    let mut chaos = cargo_command(&["run", "--quiet", "--release", "--package", "quorate-chaos", "--"]);
    chaos.arg("--program").arg(target_directory().join("release/quorate")).arg("--folder").arg(folder);
    for (name, number) in
        [("--signatures", arguments.signatures.into()), ("--kills", arguments.kills.into()), ("--seed", seed)]
    {
        chaos.arg(name).arg(u64::to_string(&number));
    }
    execute(&mut chaos)
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
