//! A Ledger as the owner's signer, by its Ethereum app.
//!
//! Which path it signs under, and that it is named where it cannot be had, is tested. That a device shows the hash of an
//! operation, and signs it, is not: that takes a device.

use alloy_signer::Signer;
use clap::Args;

use crate::exit::Failure;

/// Which of a Ledger's keys signs.
#[derive(Clone, Debug, Args)]
pub(crate) struct LedgerArguments {
    /// Sign with a Ledger, whose Ethereum app is open. It shows the hash alone, and signs requests for a network's keys where its
    /// settings allow blind signing: the review is at this terminal.
    #[arg(long, conflicts_with_all = ["keystore", "browser", "print"])]
    ledger: bool,
    /// Which of its accounts, from 0, as Ledger Live counts them: m/44'/60'/<NUMBER>'/0/0.
    #[arg(long, value_name = "NUMBER", requires = "ledger", default_value_t = 0)]
    ledger_index: usize,
    /// The key's derivation path, where it is another than Ledger Live's: such as m/44'/60'/0'/3.
    #[arg(long, value_name = "PATH", requires = "ledger", conflicts_with = "ledger_index")]
    ledger_path: Option<String>,
}

impl LedgerArguments {
    pub(crate) const fn is_asked_for(&self) -> bool {
        self.ledger
    }

    /// Connects to the device, and asks it for the key's address.
    ///
    /// # Errors
    /// No device, one that is locked, or in which another app is open.
    #[cfg(feature = "ledger")]
    pub(crate) async fn signer(&self, chain_id: u64) -> anyhow::Result<Box<dyn Signer + Send + Sync>> {
        use alloy_signer_ledger::LedgerSigner;

        match LedgerSigner::new(self.derivation(), Some(chain_id)).await {
            Ok(signer) => Ok(Box::new(signer)),
            Err(error) => {
                let message = format!(
                    "the Ledger gives no address: {error}; plug it in, unlock it, open its Ethereum app, and close Ledger Live; \
                     on Linux its udev rules have to be there (https://github.com/LedgerHQ/udev-rules)"
                );
                Err(Failure::remote(message).into())
            }
        }
    }

    /// # Errors
    /// This program has no support for it.
    #[cfg(not(feature = "ledger"))]
    pub(crate) async fn signer(&self, _chain_id: u64) -> anyhow::Result<Box<dyn Signer + Send + Sync>> {
        let Self { ledger_index, ledger_path, .. } = self;
        let key = ledger_path.clone().unwrap_or_else(|| format!("account {ledger_index}"));
        let message = format!(
            "this program was built without Ledgers, so that {key} of one cannot sign: build it with `cargo install --path \
             crates/cli --locked --features ledger`, or sign with --browser or --print"
        );
        Err(Failure::bad_input(message).into())
    }

    #[cfg(feature = "ledger")]
    fn derivation(&self) -> alloy_signer_ledger::HDPath {
        use alloy_signer_ledger::HDPath;

        match &self.ledger_path {
            Some(path) => HDPath::Other(path.clone()),
            None => HDPath::LedgerLive(self.ledger_index),
        }
    }
}

#[cfg(all(test, feature = "ledger"))]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_ledger_live_s_or_the_one_that_was_given() {
        let path = |ledger_index, ledger_path: Option<&str>| {
            let ledger_path = ledger_path.map(ToOwned::to_owned);
            LedgerArguments { ledger: true, ledger_index, ledger_path }.derivation().to_string()
        };
        assert_eq!(path(2, None), "m/44'/60'/2'/0/0");
        assert_eq!(path(0, Some("m/44'/60'/0'/3")), "m/44'/60'/0'/3");
    }
}
