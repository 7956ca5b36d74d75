//! Keeps what judges delegations in the program, so that its flash can be told.

use quorate_core::delegation::{
    Counters, DelegationCall, Enforcers, MANAGER_V1_3_0, Redemption, State, Unknown, Verdict,
};
use quorate_core::{Address, TextSink, Written};

/// Reads a call of the manager, and writes what its caveats come to, or why it is refused.
#[used]
static JUDGE: fn(&[u8], Address, u64, &mut TextSink<'_>) -> core::fmt::Result = judge;

fn judge(call_data: &[u8], redeemer: Address, time: u64, out: &mut TextSink<'_>) -> core::fmt::Result {
    let redeem = match DelegationCall::decode(call_data) {
        Ok(DelegationCall::Redeem(redeem)) => redeem,
        Ok(DelegationCall::Nothing) => return out("nothing is redeemed"),
        Ok(DelegationCall::Disable(disable)) => {
            return disable.0.signing_digest(1, MANAGER_V1_3_0).write(out);
        }
        Err(error) => return error.write(out),
    };
    let redemption = match Redemption::new(redeem.context, redeem.mode, redeem.execution, redeemer) {
        Ok(redemption) => redemption,
        Err(error) => return error.write(out),
    };
    let counters: &dyn Counters = &Unknown;
    match redemption.evaluate(&Enforcers::V1_3_0, &State { time, block: None, counters }) {
        Verdict::Allowed => out("allowed"),
        Verdict::Forbidden(forbidden) => forbidden.write(out),
        Verdict::NotJudged(not_judged) => not_judged.write(out),
    }
}
