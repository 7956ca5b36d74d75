//! Addresses as text.

use alloy_primitives::Address;

/// Reads an address: `0x` and 40 hex digits, whose letters are all lower case, all upper case, or those of the checksum
/// (ERC-55).
///
/// ```
/// use quorate_core::json::parse_address;
///
/// assert!(parse_address("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789").is_ok());
/// assert!(parse_address("0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789").is_ok());
/// assert!(parse_address("0x5fF137D4b0FDCD49DcA30c7CF57E578a026d2789").is_err());
/// ```
///
/// # Errors
/// [`AddressError`] says whether it is none, or has another checksum.
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40).ok_or(AddressError::Form)?;
    let address: Address = digits.parse().map_err(|_| AddressError::Form)?;
    let mixed = digits.contains(|digit: char| digit.is_ascii_lowercase())
        && digits.contains(|digit: char| digit.is_ascii_uppercase());
    if mixed && address.to_checksum_buffer(None).as_str() != text {
        return Err(AddressError::Checksum { address });
    }
    Ok(address)
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is something else.
    #[error("an address is 0x and 40 hex digits")]
    Form,
    /// Its letters are not those of its checksum: a digit may be wrong.
    #[error("the checksum is wrong; the same digits are written {address}")]
    Checksum {
        /// The address of these digits.
        address: Address,
    },
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn letters_are_of_one_case_or_the_checksum_s() {
        let right = "0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789";
        let digits = right.trim_start_matches("0x");
        let upper = std::format!("0x{}", digits.to_ascii_uppercase());
        let address = parse_address(right).unwrap();
        for text in [upper.as_str(), &right.to_ascii_lowercase()] {
            assert_eq!(parse_address(text), Ok(address));
        }
        let error = parse_address(&right.replace('F', "f")).unwrap_err();
        assert!(error.to_string().contains(right), "{error}");
        for text in [
            digits,
            "",
            "0x",
            &std::format!("{right}0"),
            &std::format!("0X{digits}"),
            &right.replace('F', "g"),
        ] {
            assert_eq!(parse_address(text), Err(AddressError::Form), "{text}");
        }
    }
}
