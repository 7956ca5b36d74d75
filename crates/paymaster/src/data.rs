use std::fmt;

use alloy_primitives::aliases::U48;
use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::SolValue as _;

use crate::{PaymasterError, Payment};

/// An operation's `paymasterAndData` of EntryPoint v0.6: the paymaster's address, and what it reads.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymasterData(Vec<u8>);

/// What data of a known layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The last second at which the entry point takes it, since 1970; 0 for no end.
    pub valid_until: u64,
    /// The token that is charged, and the most that is, in its smallest unit; none where the operation is sponsored.
    pub charge: Option<(Address, U256)>,
}

impl PaymasterData {
    /// Reads data that a service gave.
    ///
    /// # Errors
    /// [`PaymasterError::NoPaymaster`] for fewer than 20 bytes: an empty answer would have the account pay.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PaymasterError> {
        let bytes = bytes.into();
        if bytes.len() < 20 { Err(PaymasterError::NoPaymaster { len: bytes.len() }) } else { Ok(Self(bytes)) }
    }

    /// The paymaster's contract.
    pub fn paymaster(&self) -> Address {
        Address::from_slice(&self.0[..20])
    }

    /// The whole, as it stands in the operation.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the data says, where it has one of the layouts that are known: that of Biconomy's
    /// `VerifyingSingletonPaymaster`, or that of the development network's token paymaster.
    ///
    /// ```
    /// use alloy_primitives::hex;
    /// use quorate_paymaster::PaymasterData;
    ///
    /// let opaque = PaymasterData::new(hex!("00000f79b7faf42eebadba19acc07cd08af447890102"))?;
    /// assert_eq!(opaque.terms(), None);
    /// # Ok::<(), quorate_paymaster::PaymasterError>(())
    /// ```
    pub fn terms(&self) -> Option<Terms> {
        type Verifying = (Address, U48, U48, Bytes);
        type Token = (U48, U48, Address, U256, U256, Bytes);
        let data = &self.0[20..];
        // An encoding that is not the very one is another layout that happens to be readable.
        if let Ok(read) = Verifying::abi_decode_params(data)
            && read.abi_encode_params() == data
        {
            return Some(Terms { valid_until: read.1.to(), charge: None });
        }
        let read = Token::abi_decode_params(data).ok()?;
        let (valid_until, _, token, _, most, _) = &read;
        (read.abi_encode_params() == data)
            .then(|| Terms { valid_until: valid_until.to(), charge: Some((*token, *most)) })
    }

    /// Checks that the data is of an expected paymaster, and where its layout is known, that it takes what it should.
    ///
    /// # Errors
    /// [`PaymasterError::OtherPaymaster`], [`PaymasterError::OtherPayment`].
    pub(crate) fn check(&self, expected: &[Address], payment: Payment) -> Result<(), PaymasterError> {
        let found = self.paymaster();
        if !expected.contains(&found) {
            return Err(PaymasterError::OtherPaymaster { expected: expected.to_vec(), found });
        }
        let Some(terms) = self.terms() else { return Ok(()) };
        let taken = terms.charge.map_or(Payment::Sponsored, |(token, _)| Payment::Token(token));
        if taken == payment {
            Ok(())
        } else {
            Err(PaymasterError::OtherPayment { expected: payment, found: taken })
        }
    }
}

impl AsRef<[u8]> for PaymasterData {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<PaymasterData> for Vec<u8> {
    fn from(data: PaymasterData) -> Self {
        data.0
    }
}

impl fmt::Debug for PaymasterData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymasterData({})", hex::encode_prefixed(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address::repeat_byte(7);
    const TOKEN: Address = Address::repeat_byte(8);

    fn verifying(valid_until: u64) -> PaymasterData {
        let signature = Bytes::from(vec![1; 65]);
        let data = (ADDRESS, U48::from(valid_until), U48::ZERO, signature).abi_encode_params();
        PaymasterData::new([ADDRESS.as_slice(), &data].concat()).unwrap()
    }

    fn token() -> PaymasterData {
        let terms = (U48::from(9), U48::ZERO, TOKEN, U256::from(3), U256::from(50));
        let (until, after, token, rate, most) = terms;
        let data = (until, after, token, rate, most, Bytes::from(vec![1; 65])).abi_encode_params();
        PaymasterData::new([ADDRESS.as_slice(), &data].concat()).unwrap()
    }

    #[test]
    fn known_layouts_are_read_and_no_others() {
        assert_eq!(verifying(300).as_bytes().len(), 276, "as the contract's");
        assert_eq!(verifying(300).terms(), Some(Terms { valid_until: 300, charge: None }));
        assert_eq!(token().terms(), Some(Terms { valid_until: 9, charge: Some((TOKEN, U256::from(50))) }));
        let mut longer = verifying(300).as_bytes().to_vec();
        longer.extend([0; 32]);
        assert_eq!(PaymasterData::new(longer).unwrap().terms(), None, "a word more is another layout");
    }

    #[test]
    fn data_of_another_paymaster_or_for_another_payment_is_refused() {
        let check = |data: &PaymasterData, payment| data.check(&[ADDRESS], payment);
        assert!(check(&verifying(0), Payment::Sponsored).is_ok());
        assert!(check(&token(), Payment::Token(TOKEN)).is_ok());
        for (data, payment) in [
            (token(), Payment::Sponsored),
            (token(), Payment::Token(ADDRESS)),
            (verifying(0), Payment::Token(TOKEN)),
        ] {
            let refused = check(&data, payment);
            assert!(matches!(refused, Err(PaymasterError::OtherPayment { .. })), "{payment:?}: {refused:?}");
        }
        let other = verifying(0).check(&[TOKEN], Payment::Sponsored);
        assert!(matches!(other, Err(PaymasterError::OtherPaymaster { found: ADDRESS, .. })), "{other:?}");
        assert!(matches!(PaymasterData::new(vec![0; 19]), Err(PaymasterError::NoPaymaster { len: 19 })));
    }
}
