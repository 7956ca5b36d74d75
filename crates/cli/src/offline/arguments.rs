//! Values on the command line.

use alloy_primitives::Address;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use quorate_core::json::{AddressError, parse_address};
use quorate_core::{EntryPointVersion, FunctionSelector, KnownFunction, SelectorError};

/// Reads an address, and checks its checksum.
pub(crate) fn address(text: &str) -> Result<Address, AddressError> {
    parse_address(text)
}

/// Takes a function's signature that can be read.
pub(crate) fn function(text: &str) -> Result<String, FunctionArgumentError> {
    FunctionSelector::parse(text)?;
    match text.starts_with("0x") {
        true => Err(FunctionArgumentError::OnlySelector),
        false => Ok(text.to_owned()),
    }
}

/// The functions of signatures; what is none is left out.
pub(crate) fn known_functions<'a>(
    signatures: impl IntoIterator<Item = &'a String>,
) -> Vec<KnownFunction<'a>> {
    signatures.into_iter().filter_map(|signature| KnownFunction::parse(signature).ok()).collect()
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FunctionArgumentError {
    #[error(transparent)]
    Signature(#[from] SelectorError),
    #[error("a selector says nothing of the arguments; give the function's signature")]
    OnlySelector,
}

/// Reads an entry point's version: `v0.6`, `0.6` or `v0.6.0`, and so on.
pub(super) fn entry_point_version() -> impl TypedValueParser<Value = EntryPointVersion> {
    PossibleValuesParser::new(EntryPointVersion::ALL.map(possible_value)).try_map(|text| {
        let named =
            EntryPointVersion::ALL.into_iter().find(|version| possible_value(*version).matches(&text, false));
        named.ok_or("no version of the entry point")
    })
}

fn possible_value(version: EntryPointVersion) -> PossibleValue {
    PossibleValue::new(version.name()).aliases(match version {
        EntryPointVersion::V0_6 => ["0.6", "v0.6.0"],
        EntryPointVersion::V0_7 => ["0.7", "v0.7.0"],
        EntryPointVersion::V0_8 => ["0.8", "v0.8.0"],
        EntryPointVersion::V0_9 => ["0.9", "v0.9.0"],
    })
}
