//! `quorate completions` and `quorate man`: what a shell and a manual know of the program, from its own arguments.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The folder to write the pages to, such as ~/.local/share/man/man1.
    folder: PathBuf,
}

pub(crate) fn completions(CompletionsArguments { shell }: CompletionsArguments, mut program: clap::Command) {
    clap_complete::generate(shell, &mut program, "quorate", &mut std::io::stdout());
}

pub(crate) fn man(ManArguments { folder }: ManArguments, program: clap::Command) -> anyhow::Result<()> {
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    clap_mangen::generate_to(program, &folder)
        .with_context(|| format!("{} cannot be written to", folder.display()))
}
