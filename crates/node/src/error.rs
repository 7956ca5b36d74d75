//! Errors in one line, and what a key is not asked to sign by name.

use quorate_protocol::{Refusal, Subject, SubjectError};

/// The whole chain of an error's reasons.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}

/// Reads what a key is asked to sign. What no key signs is refused by name, at the gateway as at each node.
pub(crate) fn read_subject(text: &str) -> Result<Subject, Refusal> {
    Subject::from_json(text).map_err(|error| match error {
        SubjectError::Forbidden(forbidden) => forbidden.into(),
        error => Refusal::Malformed { reason: reasons(&error).into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_key_signs_is_refused_by_name() {
        let legacy = r#"{"transaction":{"type":0,"chainId":1,"nonce":0,"maxPriorityFeePerGas":"1","maxFeePerGas":"30",
            "gasLimit":99000,"to":"0xdb9b1e94b5b69df7e401ddbede43491141047db3","value":"0","data":"0x"}}"#;
        assert!(matches!(read_subject(legacy), Err(Refusal::Forbidden { .. })));
        assert!(matches!(read_subject("{"), Err(Refusal::Malformed { .. })));
    }
}
