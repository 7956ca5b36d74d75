use quorate_core::delegation::{
    Context, DelegationCall, Delegations, Enforcers, NoRedemption, Redemption, State, Unknown, Unused,
    Verdict,
};
use quorate_core::{Address, Encode, U256};

/// A permission context that is read is the encoding of the delegations it is read as.
pub fn delegation_context(bytes: &[u8]) -> bool {
    let Ok(context) = Context::parse(bytes) else { return false };
    let delegations: Vec<_> = context.delegations().collect();
    assert_eq!(delegations.len(), context.len());
    assert!(!delegations.is_empty());
    assert_eq!(Delegations(&delegations).to_vec(), bytes);
    true
}

/// A call of a delegation manager that is read is the encoding of what it is read as, and what is known of a redemption
/// makes a verdict certain and changes no refusal.
pub fn delegation_call(bytes: &[u8]) -> bool {
    let Ok(call) = DelegationCall::decode(bytes) else { return false };
    let encoded = match call {
        DelegationCall::Redeem(redeem) => redeem.to_vec(),
        DelegationCall::Nothing => NoRedemption.to_vec(),
        DelegationCall::Disable(disable) => disable.to_vec(),
    };
    assert_eq!(encoded, bytes);
    if let DelegationCall::Redeem(redeem) = call {
        assert!(delegation_context(redeem.context.as_bytes()));
        let redeemer = redeem.context.get(0).map_or(Address::ZERO, |leaf| leaf.delegate);
        let Ok(redemption) = Redemption::new(redeem.context, redeem.mode, redeem.execution, redeemer) else {
            return true;
        };
        for time in [0, 1_900_000_000, u64::MAX] {
            let ignorant = State { time, block: None, counters: &Unknown };
            let knowing = State { time, block: Some(time), counters: &Unused(|_| Some(U256::ZERO)) };
            let unknown = redemption.evaluate(&Enforcers::V1_3_0, &ignorant);
            let known = redemption.evaluate(&Enforcers::V1_3_0, &knowing);
            match unknown {
                Verdict::Allowed => assert_eq!(known, Verdict::Allowed),
                Verdict::Forbidden(_) => assert!(matches!(known, Verdict::Forbidden(_))),
                Verdict::NotJudged(_) => {}
            }
        }
    }
    true
}
