use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use quorate_core as core;
use serde::{Deserialize, Serialize};

/// A call that an account makes.
///
/// ```
/// use alloy_sol_types::sol;
/// use quorate::{Address, Call, U256};
///
/// sol! { function safeMint(address to); function deposit(); }
///
/// let nft = Address::repeat_byte(0x11);
/// let mint = Call::new(nft, safeMintCall { to: nft });
/// assert_eq!(mint.data[..4], [0x40, 0xd0, 0x97, 0xc3]);
///
/// let deposit = Call::new(nft, depositCall {}).value(U256::from(5));
/// assert_eq!((deposit.value, deposit.data.len()), (U256::from(5), 4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The contract or account called.
    pub to: Address,
    /// The native coin sent with it, in wei.
    #[serde(default)]
    pub value: U256,
    /// The call data: selector and arguments, or nothing.
    #[serde(default)]
    pub data: Bytes,
}

impl Call {
    /// A call of a contract's function by its alloy type.
    pub fn new(to: Address, call: impl SolCall) -> Self {
        Self::raw(to, call.abi_encode())
    }

    /// A call with this data.
    pub fn raw(to: Address, data: impl Into<Bytes>) -> Self {
        Self { to, value: U256::ZERO, data: data.into() }
    }

    /// A transfer of native coin, in wei.
    pub const fn transfer(to: Address, value: U256) -> Self {
        Self { to, value, data: Bytes::new() }
    }

    /// A call of a function that is known by its ABI alone.
    ///
    /// ```
    /// use alloy_dyn_abi::DynSolValue;
    /// use alloy_json_abi::Function;
    /// use quorate::{Address, Call};
    ///
    /// let mint = Function::parse("function safeMint(address to)")?;
    /// let to = Address::repeat_byte(0x22);
    /// let call = Call::function(Address::repeat_byte(0x11), &mint, &[DynSolValue::from(to)])?;
    /// assert_eq!(call.data[16..], to[..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Arguments that are not the function's, in number or type.
    #[cfg(feature = "abi")]
    pub fn function(
        to: Address,
        function: &alloy_json_abi::Function,
        arguments: &[alloy_dyn_abi::DynSolValue],
    ) -> Result<Self, alloy_dyn_abi::Error> {
        use alloy_dyn_abi::JsonAbiExt as _;
        Ok(Self::raw(to, function.abi_encode_input(arguments)?))
    }

    /// The same call with native coin, in wei.
    #[must_use]
    pub const fn value(mut self, wei: U256) -> Self {
        self.value = wei;
        self
    }

    /// The call as the core's encoders and checks take it.
    pub fn as_core(&self) -> core::Call<'_> {
        core::Call { to: self.to, value: self.value, data: &self.data }
    }
}

impl From<core::Call<'_>> for Call {
    fn from(call: core::Call<'_>) -> Self {
        Self::raw(call.to, call.data.to_vec()).value(call.value)
    }
}
