//! What may describe a function, and the arguments that it then has.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use alloy_dyn_abi::DynSolType;
use alloy_json_abi::{Function, Param};

use super::text;
use crate::abi::{error::SelectorError, selector::FunctionSelector};

/// What describes a function and its arguments: Solidity text, or an ABI's [`Function`].
pub trait IntoFunction: sealed::Sealed {
    /// The description in alloy's form.
    ///
    /// # Errors
    /// [`FunctionError`] when text is no function.
    fn into_function(self) -> Result<Function, FunctionError>;
}

/// Reads a function's signature, with or without `function`, names, data locations, modifiers and `returns`.
impl IntoFunction for &str {
    fn into_function(self) -> Result<Function, FunctionError> {
        let selector = FunctionSelector::parse(self)?;
        if self.starts_with("0x") {
            return Err(FunctionError::OnlySelector { selector });
        }
        let function = text::read(self)?;
        match FunctionSelector::parse(&declaration(&function))? {
            parsed if parsed == selector => Ok(function),
            parsed => Err(FunctionError::OtherSelector { selector, parsed }),
        }
    }
}

impl IntoFunction for Function {
    fn into_function(self) -> Result<Function, FunctionError> {
        Ok(self)
    }
}

impl IntoFunction for &Function {
    fn into_function(self) -> Result<Function, FunctionError> {
        Ok(self.clone())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for alloy_json_abi::Function {}
    impl Sealed for &alloy_json_abi::Function {}
}

/// A function's arguments with their types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) params: Vec<Param>,
    pub(super) types: Vec<DynSolType>,
}

impl Parameters {
    /// The function's selector and arguments.
    pub(super) fn of(function: Function) -> Result<(FunctionSelector, Self), FunctionError> {
        let selector = FunctionSelector::parse(&declaration(&function))?;
        let types = function.inputs.iter().map(|param| {
            let ty = param.selector_type();
            DynSolType::parse(&ty).map_err(|_| FunctionError::UnknownType { ty: ty.as_ref().to_owned() })
        });
        let types = types.collect::<Result<_, _>>()?;
        Ok((selector, Self { params: function.inputs, types }))
    }

    /// As [`of`](Self::of), for a function whose selector is known from elsewhere.
    pub(super) fn with_selector(
        function: Function,
        selector: FunctionSelector,
    ) -> Result<Self, FunctionError> {
        match Self::of(function)? {
            (parsed, parameters) if parsed == selector => Ok(parameters),
            (parsed, _) => Err(FunctionError::OtherSelector { selector, parsed }),
        }
    }
}

/// The function's signature, in which `function` says what its name is the name of.
fn declaration(function: &Function) -> String {
    alloc::format!("function {}", function.signature())
}

/// Why something describes no function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// The signature is wrong; write structs as tuples, enums as `uint8`, contracts as `address`.
    #[error(transparent)]
    Signature(#[from] SelectorError),
    /// A bare selector, which says nothing of the arguments.
    #[error(
        "{selector} says nothing of the arguments; give the function's signature, or use `allow_selector`"
    )]
    OnlySelector {
        /// The selector given.
        selector: FunctionSelector,
    },
    /// An argument's name that is none in Solidity.
    #[error("{name} is not a name; names start with a letter, `_` or `$`")]
    NotAName {
        /// The name given.
        name: String,
    },
    /// A type that alloy does not know.
    #[error("{ty} is not a type of the ABI")]
    UnknownType {
        /// The type.
        ty: String,
    },
    /// Two descriptions of one function disagree.
    #[error("the selector is {selector}, and that of the arguments as read is {parsed}")]
    OtherSelector {
        /// The function's selector.
        selector: FunctionSelector,
        /// That of the arguments as read.
        parsed: FunctionSelector,
    },
}
