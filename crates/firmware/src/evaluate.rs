//! Keeps what judges delegations in the program, so that its flash can be told.

use quorate_core::delegation::{Context, Counters, Enforcers, Mode, Redemption, State, Unknown, Verdict};
use quorate_core::{Address, TextSink, Written};

/// Reads a permission context, and writes what its caveats say of an execution, or why it is refused.
#[used]
static JUDGE: fn(&[u8], &[u8], Address, u64, &mut TextSink<'_>) -> core::fmt::Result = judge;

fn judge(
    context: &[u8],
    execution: &[u8],
    redeemer: Address,
    time: u64,
    out: &mut TextSink<'_>,
) -> core::fmt::Result {
    let context = match Context::parse(context) {
        Ok(context) => context,
        Err(error) => return error.write(out),
    };
    let redemption = match Redemption::new(context, Mode::SINGLE, execution, redeemer) {
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
