//! The entry point's codes, with what they mean and what helps.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $digits:literal, $meaning:literal, $remedy:literal;)*) => {
        /// Why the entry point does not execute an operation, by the code with which its messages begin.
        ///
        /// AA1x is about the account's deployment, AA2x about the account, AA3x about the paymaster, AA4x and AA5x
        /// about gas and payment, AA9x about the bundler's own transaction.
        ///
        /// Source: `EntryPoint.sol` of v0.6 and v0.7.
        ///
        /// ```
        /// use quorate_bundler::EntryPointCode;
        ///
        /// assert_eq!(EntryPointCode::AA21.to_string(), "AA21");
        /// assert_eq!(EntryPointCode::AA21.meaning(), "the account did not pay the prefund");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EntryPointCode {
            $($(#[$doc])* $name,)*
            /// A code of another entry point: its two decimal digits in ASCII.
            Other([u8; 2]),
        }

        /// Every code that has a name.
        #[cfg(test)]
        pub(crate) const NAMED: &[EntryPointCode] = &[$(EntryPointCode::$name),*];

        impl EntryPointCode {
            /// The code with these two decimal digits, in ASCII.
            pub(crate) const fn from_digits(digits: [u8; 2]) -> Self {
                match &digits {
                    $($digits => Self::$name,)*
                    _ => Self::Other(digits),
                }
            }

            /// The code's two decimal digits, in ASCII.
            const fn digits(self) -> [u8; 2] {
                match self {
                    $(Self::$name => *$digits,)*
                    Self::Other(digits) => digits,
                }
            }

            /// What the entry point says by it, in words.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                    Self::Other(_) => "the entry point rejects the operation for a reason of its own version",
                }
            }

            /// What the caller does about it, in one sentence without a full stop.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                    Self::Other(_) => "look the code up in the source of the entry point that the operation names",
                }
            }
        }
    };
}

codes! {
    /// `AA10 sender already constructed`.
    AA10 = b"10", "the account is deployed already, and the operation would deploy it",
        "rebuild the operation without initCode";
    /// `AA13 initCode failed or OOG`.
    AA13 = b"13", "the factory reverted or ran out of gas",
        "check the factory and its call data, and raise the verification gas offset";
    /// `AA14 initCode must return sender`.
    AA14 = b"14", "the factory deploys another account than the sender",
        "compute the sender's address again from the factory, owner and index that initCode holds";
    /// `AA15 initCode must create sender`.
    AA15 = b"15", "the factory deployed nothing at the sender's address",
        "check that initCode calls the factory's function that deploys the account";
    /// `AA20 account not deployed`.
    AA20 = b"20", "there is no account at the sender's address, and the operation does not deploy it",
        "deploy the account first, or let the operation deploy it by its initCode";
    /// `AA21 didn't pay prefund`.
    AA21 = b"21", "the account did not pay the prefund",
        "give the account native coin, or have a paymaster pay";
    /// `AA22 expired or not due`.
    AA22 = b"22", "the account's or the session's time of validity is over, or has not begun",
        "wait until the session is valid, or grant one that is valid now";
    /// `AA23 reverted`.
    AA23 = b"23", "the account's validation reverted or ran out of gas",
        "look at the revert reason for the rule or the module that refuses, or raise the verification gas offset if there is none";
    /// `AA24 signature error`.
    AA24 = b"24", "the account does not accept the signature",
        "sign with the account's owner or the session's key, for this chain, this entry point and the final fields";
    /// `AA25 invalid account nonce`.
    AA25 = b"25", "the nonce is not the next one of its stream",
        "read the nonce from the chain: an operation with this nonce has landed, or one before it waits";
    /// `AA26 over verificationGasLimit` (v0.7).
    AA26 = b"26", "the account's validation used more than its verification gas limit",
        "raise the verification gas offset";
    /// `AA30 paymaster not deployed`.
    AA30 = b"30", "there is no contract at the paymaster's address",
        "check the paymaster's address and the chain";
    /// `AA31 paymaster deposit too low`.
    AA31 = b"31", "the paymaster's deposit does not cover the operation",
        "fund the paymaster's deposit, or let the account pay";
    /// `AA32 paymaster expired or not due`.
    AA32 = b"32", "the paymaster's time of validity is over, or has not begun",
        "ask the paymaster for new data and sign again with the same nonce";
    /// `AA33 reverted`.
    AA33 = b"33", "the paymaster's validation reverted or ran out of gas",
        "look at the revert reason, and check the paymaster's data, the token's balance and its allowance";
    /// `AA34 signature error`.
    AA34 = b"34", "the paymaster does not accept its service's signature",
        "ask the paymaster for new data, and change nothing but the signature after it";
    /// A code of the paymaster's group that neither v0.6 nor v0.7 uses.
    AA35 = b"35", "the entry point rejects the paymaster",
        "ask the paymaster for new data, or let the account pay";
    /// `AA36 over paymasterVerificationGasLimit` (v0.7).
    AA36 = b"36", "the paymaster's validation used more than its verification gas limit",
        "ask the paymaster for new data with a higher gas limit for its verification";
    /// `AA40 over verificationGasLimit`.
    AA40 = b"40", "the validation used more than the verification gas limit",
        "raise the verification gas offset";
    /// `AA41 too little verificationGas`.
    AA41 = b"41", "the verification gas limit leaves too little gas for the paymaster's validation",
        "raise the verification gas offset";
    /// `AA50 postOp reverted`.
    AA50 = b"50", "the paymaster's postOp reverted, and so did the call",
        "check the balance of the token and its allowance for the paymaster, and raise the verification gas offset, which bounds postOp too";
    /// `AA51 prefund below actualGasCost`.
    AA51 = b"51", "the operation cost more than its limits allow for",
        "raise the verification gas offset";
    /// `AA90 invalid beneficiary`.
    AA90 = b"90", "the bundler named no address that collects the fees",
        "send to another bundler: this is a fault of its configuration";
    /// `AA91 failed send to beneficiary`.
    AA91 = b"91", "the address that collects the bundler's fees does not take them",
        "send to another bundler: this is a fault of its configuration";
    /// `AA92 internal call only`.
    AA92 = b"92", "an internal function of the entry point was called from outside",
        "call the entry point's handleOps instead";
    /// `AA93 invalid paymasterAndData`.
    AA93 = b"93", "paymasterAndData is too short to hold a paymaster's address",
        "leave paymasterAndData empty, or begin it with the 20 bytes of the paymaster's address";
    /// `AA94 gas values overflow`.
    AA94 = b"94", "a gas limit or a fee exceeds 120 bits",
        "estimate again, and check the gas offsets and fees that were set by hand";
    /// `AA95 out of gas`.
    AA95 = b"95", "the bundler's transaction had too little gas left for the operation's limits",
        "send the same operation again or to another bundler, and lower gas limits that were set by hand";
    /// `AA96 invalid aggregator`.
    AA96 = b"96", "the signature aggregator is not a valid one",
        "use an account that names no aggregator";
}

impl fmt::Display for EntryPointCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [tens, ones] = self.digits().map(char::from);
        write!(f, "AA{tens}{ones}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_written_as_its_name_and_read_again() {
        for code in NAMED {
            assert_eq!(code.to_string(), format!("{code:?}"));
            assert_eq!(EntryPointCode::from_digits(code.digits()), *code);
        }
        let other = EntryPointCode::from_digits(*b"99");
        assert_eq!((other, other.to_string().as_str()), (EntryPointCode::Other(*b"99"), "AA99"));
    }

    #[test]
    fn each_code_has_a_meaning_and_a_remedy_of_one_sentence() {
        for code in NAMED.iter().chain(&[EntryPointCode::Other(*b"99")]) {
            for text in [code.meaning(), code.remedy()] {
                assert!(text.len() > 20 && !text.ends_with('.') && !text.contains("  "), "{code}: {text}");
            }
        }
        for (code, word) in [
            (EntryPointCode::AA21, "native coin"),
            (EntryPointCode::AA22, "valid"),
            (EntryPointCode::AA25, "nonce"),
            (EntryPointCode::AA31, "fund the paymaster's deposit"),
            (EntryPointCode::AA40, "verification gas offset"),
            (EntryPointCode::AA51, "verification gas offset"),
        ] {
            assert!(code.remedy().contains(word), "{code}");
        }
    }
}
