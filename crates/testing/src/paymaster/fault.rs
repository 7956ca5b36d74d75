//! What a paymaster's service signs that it should not.

/// What a paymaster's service does wrong, for tests of clients; see [`ScriptedPaymaster::set_fault`].
///
/// All but [`Refuse`](Self::Refuse) are faults of signed data: the stub of ERC-7677 and the quotes are as they should
/// be, so that a client gets as far as it lets itself be led.
///
/// [`ScriptedPaymaster::set_fault`]: crate::ScriptedPaymaster::set_fault
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaymasterFault {
    /// Any request is answered with JSON-RPC error −32001 and this text.
    Refuse(String),
    /// Gas limits in the answer are twice those that were signed. An answer of ERC-7677 has none.
    HigherGas,
    /// The data charges ten times the most that the operation can cost. Data without a token is as it should be.
    HigherCharge,
    /// The data charges in another token than was asked for. Data without a token is as it should be.
    OtherToken,
    /// The data's time was over a minute ago.
    Expired,
    /// The signature is by another key.
    WrongSigner,
    /// `paymasterAndData` is `0x`.
    Empty,
    /// The data names another contract as the paymaster.
    OtherPaymaster,
}
