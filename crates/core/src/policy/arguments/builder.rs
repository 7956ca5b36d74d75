//! Rules by the arguments of a function that alloy knows.

use alloc::{string::ToString as _, vec::Vec};

use alloy_json_abi::Function;
use alloy_primitives::{B256, U256};
use alloy_sol_types::{JsonAbiExt, SolCall, SolValue};

use super::{
    argument::{ArgIndex, ArgumentError, ArgumentWord},
    function::{FunctionError, IntoFunction, Parameters},
};
use crate::{
    abi::selector::FunctionSelector,
    policy::{
        Rule,
        builder::{ContractPolicy, PolicyBuilder, PolicyError},
        condition::Condition,
    },
};

impl ContractPolicy {
    /// Allows calls of the function `C`, which `alloy_sol_types::sol!` declares, and knows its arguments by position.
    pub fn allow<C: SolCall>(self) -> PolicyBuilder<Arguments> {
        let function = C::SIGNATURE.into_function();
        self.declared::<C>(function)
    }

    /// As [`allow`](Self::allow), for a function under `#[sol(abi)]`, whose arguments have names as well.
    pub fn allow_abi<C: SolCall + JsonAbiExt<Abi = Function>>(self) -> PolicyBuilder<Arguments> {
        self.declared::<C>(Ok(C::abi()))
    }

    /// Allows calls of a function that text or an ABI describes.
    ///
    /// ```
    /// use quorate_core::{Address, Condition, Policy, U256};
    ///
    /// let policy = Policy::on(Address::repeat_byte(0xaa))
    ///     .allow_fn("fill((address maker, uint256 amount) order, bytes proof, bytes4 tag)")?
    ///     .arg("order.amount", Condition::LessThanOrEqual, U256::from(1_000))
    ///     .arg("tag", Condition::Equal, *b"good")
    ///     .build()?;
    /// // The tuple has two words and the bytes have one, which points to them.
    /// assert_eq!(policy.rules().iter().map(|rule| rule.offset()).collect::<Vec<_>>(), [32, 96]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FunctionError`] when it is no function.
    pub fn allow_fn(self, function: impl IntoFunction) -> Result<PolicyBuilder<Arguments>, FunctionError> {
        let (selector, parameters) = Parameters::of(function.into_function()?)?;
        Ok(self.builder(selector, Arguments(Some(parameters))))
    }

    /// A function whose arguments are read from a description, which has to agree with `C`.
    fn declared<C: SolCall>(self, function: Result<Function, FunctionError>) -> PolicyBuilder<Arguments> {
        let selector = FunctionSelector::new(C::SELECTOR);
        match function.and_then(|function| Parameters::with_selector(function, selector)) {
            Ok(parameters) => self.builder(selector, Arguments(Some(parameters))),
            Err(error) => {
                let mut builder = self.builder(selector, Arguments(None));
                builder.report(PolicyError::Function { function: C::SIGNATURE.into(), error });
                builder
            }
        }
    }
}

/// The function's arguments are known. Nothing is known of them if the function was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments(Option<Parameters>);

impl PolicyBuilder<Arguments> {
    /// Demands that an argument compares with `value` as `condition` says.
    ///
    /// `index` is the argument's position, counted from 0, or its name. Components of static tuples and elements of
    /// static arrays are named as Solidity does, `"order.amount"` and `"ids[0]"`; a position may stand for any name,
    /// `"1.0"`.
    ///
    /// The argument has to be one word: a number, a boolean, an address or `bytesN`. The value has its type, except
    /// that [`U256`] stands for any `uintN` in whose range it is. The chain compares unsigned words, so anything but
    /// `uintN` is compared for [`Equal`](Condition::Equal) or [`NotEqual`](Condition::NotEqual) alone; published
    /// versions of the validation module differ in the latter.
    ///
    /// What is wrong is reported by [`build`](Self::build).
    pub fn arg(mut self, index: impl ArgIndex, condition: Condition, value: impl SolValue) -> Self {
        let path = index.to_path();
        let value = Value { ty: value.sol_name(), encoded: value.abi_encode() };
        let Some(parameters) = &self.function.0 else {
            return self;
        };
        let errors = match parameters.rule(&path, condition, &value) {
            Ok(rule) => Vec::from_iter(self.push_rule(rule).err().map(ArgumentError::from)),
            Err(errors) => errors,
        };
        for error in errors {
            self.report(PolicyError::Argument { argument: path.clone(), error });
        }
        self
    }

    /// Where the argument that `index` points at stands, and its type; `index` as for [`arg`](Self::arg).
    ///
    /// ```
    /// use quorate_core::{Address, Policy};
    ///
    /// let fill = Policy::on(Address::repeat_byte(0xaa)).allow_fn("fill((address, int24 tick) order)")?;
    /// let tick = fill.argument("order.tick")?;
    /// assert_eq!((tick.offset(), tick.ty().to_string()), (32, "int24".into()));
    /// assert!(fill.argument("order").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ArgumentError`] where nothing stands there, or something that is not one word in the head.
    pub fn argument(&self, index: impl ArgIndex) -> Result<ArgumentWord<'_>, ArgumentError> {
        let parameters = self.function.0.as_ref().ok_or(ArgumentError::Nameless)?;
        parameters.locate(&index.to_path())
    }
}

/// A value of any type of the ABI.
struct Value {
    ty: &'static str,
    encoded: Vec<u8>,
}

impl Parameters {
    fn rule(&self, path: &str, condition: Condition, value: &Value) -> Result<Rule, Vec<ArgumentError>> {
        let word = self.locate(path).map_err(|error| Vec::from([error]))?;
        let ordered = !matches!(condition, Condition::Equal | Condition::NotEqual);
        let unordered = (ordered && word.uint_bits().is_none())
            .then(|| ArgumentError::NotOrdered { ty: word.type_name().to_string(), condition });
        match (value.as_word(&word.type_name(), word.uint_bits()), unordered) {
            (Ok(reference), None) => Ok(Rule::new(word.offset(), condition, reference)),
            (reference, unordered) => Err(reference.err().into_iter().chain(unordered).collect()),
        }
    }
}

impl Value {
    /// The word that the argument is if it has this value. `bytesN` are padded on the right, all else on the left.
    fn as_word(&self, ty: &str, uint_bits: Option<usize>) -> Result<B256, ArgumentError> {
        let same = self.ty == ty || (self.ty == "uint256" && uint_bits.is_some());
        match B256::try_from(self.encoded.as_slice()) {
            Ok(word) if same => {
                let value = U256::from_be_bytes(word.0);
                match uint_bits {
                    Some(bits) if value.bit_len() > bits => Err(ArgumentError::OutOfRange { bits, value }),
                    _ => Ok(word),
                }
            }
            _ => Err(ArgumentError::OtherType { expected: ty.into(), found: self.ty }),
        }
    }
}
