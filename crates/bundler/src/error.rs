use alloy_primitives::{B256, Bytes, hex};
use quorate_transport::TransportError;

/// Why a bundler gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundlerError {
    /// The bundler, or the entry point that it asked, rejects the operation.
    #[error("the bundler rejects the operation ({code}): {message}{}", revert_suffix(revert_reason.as_deref(), message))]
    Rejected {
        /// The JSON-RPC error code; ERC-4337's are −32500 to −32507 and −32521.
        code: i64,
        /// The bundler's own words.
        message: String,
        /// The entry point's code, such as `AA23`, where the message holds one.
        entry_point_code: Option<String>,
        /// Why the account or a module reverted, where the error says so.
        revert_reason: Option<String>,
    },
    /// The bundler took the operation under another hash than the one computed here.
    #[error(
        "the bundler names the operation {named}, but it hashes to {computed}: it is for another chain or entry point"
    )]
    OtherHash {
        /// The bundler's hash.
        named: B256,
        /// Our hash.
        computed: B256,
    },
    /// The request did not come through.
    #[error(transparent)]
    Transport(TransportError),
}

fn revert_suffix(reason: Option<&str>, message: &str) -> String {
    reason.filter(|reason| !message.contains(reason)).map(|reason| format!(" ({reason})")).unwrap_or_default()
}

impl BundlerError {
    /// Why the account or a module reverted, in the contract's own words.
    pub fn revert_reason(&self) -> Option<&str> {
        match self {
            Self::Rejected { revert_reason, .. } => revert_reason.as_deref(),
            _ => None,
        }
    }
}

impl From<TransportError> for BundlerError {
    fn from(error: TransportError) -> Self {
        let Some(rpc) = error.rpc() else { return Self::Transport(error) };
        let data = rpc.data.as_ref().and_then(|data| data.as_str()).unwrap_or_default();
        Self::Rejected {
            code: rpc.code,
            message: rpc.message.clone(),
            entry_point_code: entry_point_code(&rpc.message),
            revert_reason: reason_in_data(data).or_else(|| reason_in_text(&rpc.message)),
        }
    }
}

/// `AA` and two digits, as the entry point's own errors begin.
fn entry_point_code(message: &str) -> Option<String> {
    let codes = message.match_indices("AA").filter_map(|(at, _)| message.get(at..at + 4));
    codes.into_iter().find(|code| code.bytes().skip(2).all(|byte| byte.is_ascii_digit())).map(str::to_owned)
}

/// The text after `reverted:`, as entry points and bundlers write it.
fn reason_in_text(message: &str) -> Option<String> {
    let (_, reason) = message.split_once("reverted: ")?;
    let reason = reason.trim().trim_end_matches(['"', '\'']);
    (!reason.is_empty() && !reason.starts_with("0x")).then(|| reason.to_owned())
}

/// The text of Solidity's `Error(string)`, wherever it stands in revert data.
fn reason_in_data(data: &str) -> Option<String> {
    const ERROR_STRING: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    let bytes: Bytes = hex::decode(data).ok()?.into();
    let at = bytes.windows(4).position(|window| window == ERROR_STRING)? + 4;
    let length = bytes.get(at + 32..at + 64)?;
    let length = usize::from_be_bytes(length.get(24..)?.try_into().ok()?);
    let text = bytes.get(at + 64..(at + 64).checked_add(length)?)?;
    String::from_utf8(text.to_vec()).ok()
}
