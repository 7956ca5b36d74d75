//! Which methods a bundler has beyond the standard's.

/// Which methods a bundler has beyond ERC-4337's; see [`ScriptedBundler::set_dialect`](crate::ScriptedBundler::set_dialect).
///
/// Methods of another dialect are answered as unknown (−32601).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundlerDialect {
    /// None.
    Standard,
    /// `pimlico_getUserOperationGasPrice` and `pimlico_getUserOperationStatus`.
    #[default]
    Pimlico,
    /// `rundler_maxPriorityFeePerGas`.
    Rundler,
    /// `biconomy_getGasFeeValues` and `biconomy_getUserOperationStatus`. It takes a third parameter of
    /// `eth_sendUserOperation`, and writes the `success` of receipts as text.
    Biconomy,
}
