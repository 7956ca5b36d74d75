//! `quorate network issuer` and `issue-token`: an operator's key, and its word for an owner whom no list names.

use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use quorate::{AdmissionToken, Owner};

use crate::clock::now;

#[derive(Debug, Args)]
pub(crate) struct IssuerArguments {
    /// The file to write, which must not exist: whoever has it can admit anybody.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// The network's descriptor.
    #[arg(long)]
    network: PathBuf,
    /// The issuer's key, as `quorate network issuer` wrote it.
    #[arg(long)]
    issuer_key: PathBuf,
    /// Who may have keys: an address, or eip155:<chain id>:<address> for a contract.
    #[arg(long)]
    owner: Owner,
    /// How many keys the owner may have at the network in all.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Until when keys may be asked for: from now in minutes, hours or days (`90m`, `12h`, `30d`), or a time in seconds
    /// since 1970. Keys that were given stay.
    #[arg(long)]
    expires: Expiry,
}

/// The end of a token, as a person writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// Seconds from now.
    In(u64),
    /// Seconds since 1970.
    At(u64),
}

#[derive(Debug, thiserror::Error)]
enum ExpiryError {
    #[error("neither a time from now, such as `90m`, `12h` or `30d`, nor one in seconds since 1970")]
    Form(#[from] ParseIntError),
    #[error("it is {at} (seconds since 1970), which is over: it is {now}")]
    Over { at: u64, now: u64 },
}

/// Writes a new issuer's key, and says what the nodes have to be told.
pub(super) fn create_issuer(IssuerArguments { out }: &IssuerArguments) -> anyhow::Result<()> {
    let issuer = quorate_node::create_issuer(out)?;
    println!("{issuer}");
    eprintln!(
        "{} keeps the secret; in each node's node.toml, under [admission]: token_issuers = [\"{issuer}\"]",
        out.display()
    );
    Ok(())
}

/// Prints a token for an owner.
pub(super) fn issue(arguments: &TokenArguments) -> anyhow::Result<()> {
    let TokenArguments { network, issuer_key, owner, keys, expires } = arguments;
    let network = super::descriptor(network)?;
    let expires = expires.from(now())?;
    let issuer = quorate_node::load_issuer(issuer_key)?;
    println!("{}", AdmissionToken::issue(&issuer, network.id(), *owner, expires, *keys).to_json());
    Ok(())
}

impl Expiry {
    /// The end in seconds since 1970, as it is `now`.
    fn from(self, now: u64) -> Result<u64, ExpiryError> {
        let at = match self {
            Self::In(seconds) => now.saturating_add(seconds),
            Self::At(at) => at,
        };
        if at > now { Ok(at) } else { Err(ExpiryError::Over { at, now }) }
    }
}

impl FromStr for Expiry {
    type Err = ExpiryError;

    fn from_str(text: &str) -> Result<Self, ExpiryError> {
        let units = [('m', 60), ('h', 3600), ('d', 24 * 3600)];
        let relative =
            units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        match relative {
            Some((number, seconds)) => Ok(Self::In(number.parse::<u64>()?.saturating_mul(seconds))),
            None => Ok(Self::At(text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_from_now_or_one_since_1970() {
        for (text, expected) in
            [("90m", 1_005_400), ("12h", 1_043_200), ("1d", 1_086_400), ("1000001", 1_000_001)]
        {
            assert_eq!(text.parse::<Expiry>().unwrap().from(1_000_000).unwrap(), expected, "{text}");
        }
        assert_eq!(format!("{}d", u64::MAX).parse::<Expiry>().unwrap().from(1).unwrap(), u64::MAX);
        for odd in ["", "d", "soon", "-1d", "1w", "1.5h", "99999999999999999999"] {
            assert!(matches!(odd.parse::<Expiry>(), Err(ExpiryError::Form(_))), "{odd}");
        }
        for over in ["0m", "1000000"] {
            let refused = over.parse::<Expiry>().unwrap().from(1_000_000);
            assert!(matches!(refused, Err(ExpiryError::Over { at: 1_000_000, .. })), "{over}");
        }
    }
}
