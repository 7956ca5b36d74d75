//! A paymaster service, as a devnet has one: two contracts, tokens to pay with, and an HTTP server that signs.

mod biconomy;
mod contracts;
mod erc7677;
mod error;
mod operation;
mod service;
mod signing;
mod sponsor;
mod tokens;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use url::Url;

pub(crate) use contracts::{PaymasterContracts, mint};
pub(crate) use sponsor::Sponsor;

use service::Server;

/// What the paymaster service does wrong, for tests of clients; see [`PaymasterService::set_fault`].
///
/// Faults of the signed data do not touch the stub of ERC-7677 and the quotes, so that a client gets as far as it
/// lets itself be led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaymasterFault {
    /// Every request is answered with an error.
    Refuse,
    /// Every answer comes that much later.
    Slow(Duration),
    /// Gas limits in the answer are twice those that were signed. An answer of ERC-7677 has none.
    HigherGas,
    /// The signed data charges in another token than was asked for. Data without a token is as it should be.
    OtherToken,
    /// The signed data has expired.
    Expired,
    /// The signature is by another key.
    WrongSigner,
    /// `paymasterAndData` is `0x`.
    Empty,
    /// The signed data names another contract as the paymaster.
    OtherPaymaster,
}

/// The paymaster service of a [`Devnet`](crate::Devnet).
///
/// An HTTP server on 127.0.0.1 answers JSON-RPC in two dialects at one URL: `pm_sponsorUserOperation` and
/// `pm_getFeeQuoteOrData` as Biconomy's, `pm_getPaymasterStubData` and `pm_getPaymasterData` as ERC-7677 has them. It
/// sponsors whatever it is asked to, and takes either token of the devnet at a fixed rate, except at EntryPoint v0.7.
///
/// The bundler of the devnet does not check ERC-7562's rules on storage and stake, so that these paymasters pass
/// there says nothing about whether they keep them.
#[derive(Debug)]
pub struct PaymasterService {
    // Dropped first, as it uses the other.
    server: Server,
    sponsor: Arc<Sponsor>,
}

impl PaymasterService {
    /// Starts the server, which runs until this is dropped.
    pub(crate) fn start(sponsor: Sponsor) -> io::Result<Self> {
        let sponsor = Arc::new(sponsor);
        let server = Server::start(sponsor.clone())?;
        Ok(Self { server, sponsor })
    }

    /// Where it answers.
    pub fn url(&self) -> &Url {
        self.server.url()
    }

    /// The address whose balance in the verifying paymaster pays for sponsored operations.
    pub fn paymaster_id(&self) -> Address {
        self.sponsor.contracts().paymaster_id
    }

    /// Makes the service err from the next request on, or no longer.
    pub fn set_fault(&self, fault: Option<PaymasterFault>) {
        self.sponsor.set_fault(fault);
    }

    pub(crate) fn contracts(&self) -> &PaymasterContracts {
        self.sponsor.contracts()
    }
}
