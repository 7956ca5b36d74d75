//! `quorate network assemble`: the descriptor of a network whose nodes were made by their operators.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use quorate_protocol::{Fingerprint, NetworkDescriptor, NodeCard};
use url::Url;

use crate::new_file::{Readers, write_new};

#[derive(Debug, Args)]
pub(crate) struct AssembleArguments {
    /// How many nodes sign.
    #[arg(long)]
    threshold: u8,
    /// The public URL of a gateway, wss:// or ws://; once for each.
    #[arg(long = "gateway", required = true)]
    gateways: Vec<Url>,
    /// The fingerprint of a card that was compared with its operator, over another channel than the one the card came by; once
    /// for each. On a terminal those that are missing are asked for.
    #[arg(long = "confirm")]
    confirmed: Vec<Fingerprint>,
    /// The descriptor to write; it must not exist.
    #[arg(long)]
    out: PathBuf,
    /// The operators' card.json files, in the order of the nodes' indices.
    #[arg(required = true)]
    cards: Vec<PathBuf>,
}

pub(crate) fn run(arguments: AssembleArguments) -> anyhow::Result<()> {
    let AssembleArguments { threshold, gateways, confirmed, out, cards } = arguments;
    let cards = cards.into_iter().map(|file| Ok((read(&file)?, file))).collect::<anyhow::Result<Vec<_>>>()?;
    let identities = cards.iter().map(|(card, _)| *card.identity()).collect();
    let network = NetworkDescriptor::new(threshold, identities, gateways)?;
    let mut unused: BTreeSet<_> = confirmed.into_iter().collect();
    let mut unconfirmed = Vec::new();
    for (index, (card, file)) in (1..).zip(&cards) {
        println!("node {index}: {}  {}  ({})", card.fingerprint(), card.name(), file.display());
        if !unused.remove(&card.fingerprint()) {
            unconfirmed.push((index, card));
        }
    }
    if let Some(unknown) = unused.first() {
        anyhow::bail!(
            "no card has the fingerprint {unknown}: it is another card than the one its operator compared"
        );
    }
    for (index, card) in unconfirmed {
        confirm(index, card)?;
    }
    write_new(&out, &network.to_json(), Readers::Everyone)?;
    println!("network {} ({threshold} of {}) written to {}", network.id(), network.size(), out.display());
    println!("its fingerprint, which every operator compares with the others before joining:");
    println!("{}", network.fingerprint());
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<NodeCard> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    NodeCard::from_json(&text).with_context(|| format!("{} is refused", file.display()))
}

/// Asks whoever sits at the terminal for a fingerprint that was not given.
fn confirm(index: usize, card: &NodeCard) -> anyhow::Result<()> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "node {index} ({}) is not confirmed: have its operator read out the fingerprint that `quorate node init` showed, and \
         give that one with --confirm",
        card.name()
    );
    print!("node {index} ({}): has its operator read out this fingerprint? [y/N] ", card.name());
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    let is_confirmed = matches!(answer.trim(), "y" | "Y" | "yes");
    anyhow::ensure!(is_confirmed, "node {index} is not confirmed; get its card from its operator again");
    Ok(())
}
