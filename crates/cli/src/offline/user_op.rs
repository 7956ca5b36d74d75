//! `quorate user-op`: the hash of a user operation at any entry point.

use alloy_dyn_abi::{DynSolValue, JsonAbiExt as _};
use alloy_json_abi::Function;
use alloy_primitives::{Address, B256, Bytes, hex};
use clap::Subcommand;
use quorate_core::{
    AccountCall, Call, Domain, EntryPointVersion, HashError, Initialization, OperationHead,
    PackedUserOperation, UnpackError, UnpackedUserOperation, UserOperation,
};
use serde::Serialize;
use serde_json::Value;

use super::grant::review;
use super::json::parse_with;
use super::shown::Shown;
use super::{Output, arguments, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute a user operation's hash; gives {userOpHash}.
    ///
    /// Reads the operation as bundlers take it, or from v0.7 on packed as the contract takes it. A signature may be
    /// there; no hash covers it.
    Hash {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Take a user operation apart: gives {sender, calls: [{to, value, data, function, arguments}], userOpHash}.
    ///
    /// Reads the operation as `hash` does. Call data of the account that is not in its one canonical encoding is refused: the
    /// chain would read it in more than one way.
    Decode(ShownArguments),
    /// Say in words what a user operation does, from its bytes, warnings among it.
    ///
    /// Reads the operation as `hash` does; gives {items: [{severity, label, value}], lines, userOpHash, refusal}. One that grants
    /// sessions is for `quorate grant review`, which is shown them too.
    Explain(ShownArguments),
}

/// An operation that is shown: where it is to run, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ShownArguments {
    #[command(flatten)]
    pub(super) place: Place,
    /// A function's signature with the names of its arguments, which are shown then; may be given many times.
    #[arg(long = "function", value_parser = arguments::function)]
    pub(super) functions: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Where an operation is to run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Place {
    /// The version of the entry point.
    #[arg(long, default_value = "v0.6", value_parser = arguments::entry_point_version())]
    entry_point: EntryPointVersion,
    /// The chain.
    #[arg(long)]
    chain_id: u64,
    /// The entry point, where it is not at its canonical address.
    #[arg(long, value_parser = arguments::address)]
    entry_point_address: Option<Address>,
    /// The contract that an EIP-7702 account delegates to, which a packed operation does not name.
    #[arg(long, value_parser = arguments::address)]
    delegate: Option<Address>,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Hash { place, output } => {
            let operation = Operation::read(read_stdin("a user operation")?, place)?;
            let user_op_hash = operation.hash(place)?;
            output.write(&Answer { user_op_hash }, |answer| answer.user_op_hash.to_string())
        }
        Command::Decode(ShownArguments { place, functions, output }) => {
            let operation = Operation::read(read_stdin("a user operation")?, place)?;
            output.write(&Decoded::new(&operation, place, &functions)?, Decoded::text)
        }
        Command::Explain(ShownArguments { place, functions, output }) => {
            let operation = Operation::read(read_stdin("a user operation")?, place)?;
            let mut shown = Shown::default();
            let hash = review(&operation, place, &[], &functions, &mut shown);
            shown.write("userOpHash", hash, output)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    user_op_hash: B256,
}

/// An operation, taken apart.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decoded {
    sender: Address,
    calls: Vec<DecodedCall>,
    user_op_hash: B256,
}

#[derive(Serialize)]
struct DecodedCall {
    to: Address,
    /// In wei, in decimal.
    value: String,
    data: Bytes,
    /// The function's signature and its arguments, where it is one that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
}

impl Decoded {
    fn new(operation: &Operation, place: Place, functions: &[String]) -> anyhow::Result<Self> {
        let functions = functions.iter().map(|text| Function::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let calls = AccountCall::decode(operation.call_data())?;
        Ok(Self {
            sender: operation.sender(),
            calls: calls.calls().map(|call| DecodedCall::new(&call, &functions)).collect(),
            user_op_hash: operation.hash(place)?,
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![format!("account  {}", self.sender)];
        for (number, call) in (1..).zip(&self.calls) {
            lines.push(format!("call {number}   to {}, with {} wei", call.to, call.value));
            match (&call.function, &call.arguments) {
                (Some(function), Some(arguments)) => {
                    lines.push(format!("         {function}"));
                    lines.extend(arguments.iter().map(|argument| format!("           {argument}")));
                }
                _ => lines.push(format!("         {}", call.data)),
            }
        }
        lines.push(format!("hash     {}", self.user_op_hash));
        lines.join("\n")
    }
}

impl DecodedCall {
    fn new(call: &Call<'_>, functions: &[Function]) -> Self {
        let named = call.data.split_first_chunk::<4>().and_then(|(selector, arguments)| {
            let function = functions.iter().find(|function| function.selector() == *selector)?;
            let values = function.abi_decode_input(arguments).ok()?;
            Some((function.full_signature(), values.iter().map(shown_value).collect()))
        });
        let (function, arguments) = named.unzip();
        let (to, value, data) = (call.to, call.value.to_string(), call.data.to_vec().into());
        Self { to, value, data, function, arguments }
    }
}

/// A value as people write it.
fn shown_value(value: &DynSolValue) -> String {
    match value {
        DynSolValue::String(text) => format!("{text:?}"),
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::Int(number, _) => number.to_string(),
        DynSolValue::FixedBytes(word, size) => {
            hex::encode_prefixed(word.get(..*size).unwrap_or(word.as_slice()))
        }
        DynSolValue::Bytes(bytes) => hex::encode_prefixed(bytes),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => {
            format!("[{}]", values.iter().map(shown_value).collect::<Vec<_>>().join(", "))
        }
        DynSolValue::Tuple(values) => {
            format!("({})", values.iter().map(shown_value).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

impl Place {
    pub(crate) fn target(&self) -> Domain {
        let entry_point = self.entry_point_address.unwrap_or(self.entry_point.address());
        Domain { entry_point, chain_id: self.chain_id }
    }
}

/// A user operation of some entry point.
pub(crate) enum Operation {
    V0_6(UserOperation<Vec<u8>>),
    Later { operation: PackedUserOperation<Vec<u8>>, delegate: Option<Address> },
}

impl Operation {
    pub(crate) fn read(operation: Value, place: Place) -> anyhow::Result<Self> {
        if matches!(place.entry_point, EntryPointVersion::V0_6) {
            return Ok(Self::V0_6(parse_with(operation, "a user operation of v0.6")?));
        }
        if operation.get("accountGasLimits").is_some() {
            let operation = parse_with(operation, "a packed user operation")?;
            return Ok(Self::Later { operation, delegate: place.delegate });
        }
        let operation: UnpackedUserOperation<_> = parse_with(operation, "a user operation of v0.7 or later")?;
        let named = match operation.init {
            Initialization::Delegated { .. } if matches!(place.entry_point, EntryPointVersion::V0_7) => {
                return Err(HashError::DelegatedAtV0_7.into());
            }
            Initialization::Delegated { delegate, .. } => Some(delegate),
            Initialization::Deployed | Initialization::Factory { .. } => None,
        };
        Ok(Self::Later { operation: operation.pack(), delegate: named.or(place.delegate) })
    }

    fn sender(&self) -> Address {
        match self {
            Self::V0_6(operation) => operation.sender,
            Self::Later { operation, .. } => operation.sender,
        }
    }

    fn hash(&self, place: Place) -> Result<B256, HashError> {
        let Domain { entry_point, chain_id } = place.target();
        match self {
            Self::V0_6(operation) => Ok(operation.hash(entry_point, chain_id)),
            Self::Later { operation, delegate } => match place.entry_point {
                EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => {
                    Ok(operation.hash_v0_7(entry_point, chain_id))
                }
                EntryPointVersion::V0_8 => operation.hash_v0_8(entry_point, chain_id, *delegate),
                EntryPointVersion::V0_9 => operation.hash_v0_9(entry_point, chain_id, *delegate),
            },
        }
    }

    pub(crate) fn call_data(&self) -> &[u8] {
        match self {
            Self::V0_6(operation) => &operation.call_data,
            Self::Later { operation, .. } => &operation.call_data,
        }
    }

    pub(crate) fn head(&self, place: Place) -> Result<OperationHead<'_>, UnpackError> {
        Ok(match self {
            Self::V0_6(operation) => OperationHead::V0_6(operation.without_call_data()),
            Self::Later { operation, delegate } => {
                let operation = operation.unpack(place.entry_point, *delegate)?.with_call_data(());
                match place.entry_point {
                    EntryPointVersion::V0_6 | EntryPointVersion::V0_7 => OperationHead::V0_7(operation),
                    EntryPointVersion::V0_8 => OperationHead::V0_8(operation),
                    EntryPointVersion::V0_9 => OperationHead::V0_9(operation),
                }
            }
        })
    }
}
