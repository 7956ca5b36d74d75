//! Which of several bundlers' answers counts, and when the next one is asked.

use alloy_primitives::Address;

use crate::BundlerError;
use crate::endpoint::Endpoint;

/// Asks one endpoint after another for something that only is read, until one has it.
///
/// An answer that `is_found` refuses, and an error that says nothing of the operation, leave the question to the next.
pub(crate) async fn read<'a, T, Asked>(
    first: &'a Endpoint,
    others: &'a [Endpoint],
    is_found: impl Fn(&T) -> bool,
    ask: impl Fn(&'a Endpoint) -> Asked,
) -> Result<T, BundlerError>
where
    Asked: Future<Output = Result<T, BundlerError>>,
{
    let mut kept = ask(first).await;
    for other in others {
        if is_settled(&kept, &is_found) {
            break;
        }
        let next = ask(other).await;
        kept = if is_settled(&next, &is_found) { next } else { preferred(kept, next) };
    }
    kept
}

fn is_settled<T>(answer: &Result<T, BundlerError>, is_found: impl Fn(&T) -> bool) -> bool {
    match answer {
        Ok(answer) => is_found(answer),
        // Every bundler asks the same entry point.
        Err(error @ BundlerError::Rejected { .. }) => !error.is_transient(),
        Err(_) => false,
    }
}

/// Of two answers that settle nothing, the one to give: that a bundler does not find something goes before an error,
/// and an error after which asking again may help before one after which it does not.
fn preferred<T>(first: Result<T, BundlerError>, second: Result<T, BundlerError>) -> Result<T, BundlerError> {
    match (&first, &second) {
        (Err(_), Ok(_)) => second,
        (Err(before), Err(after)) if after.is_transient() && !before.is_transient() => second,
        _ => first,
    }
}

/// The chain that all endpoints name. Those that were not reached are left out, unless none was.
///
/// # Errors
/// [`BundlerError::DifferentChains`], or what the first that failed for good or the first of all said.
pub(crate) fn common_chain(
    first: Result<u64, BundlerError>,
    others: Vec<Result<u64, BundlerError>>,
) -> Result<u64, BundlerError> {
    combined(first, others, |first, other| {
        if first == other { Ok(first) } else { Err(BundlerError::DifferentChains { first, other }) }
    })
}

/// The entry points that all endpoints serve, in the first one's order. Those that were not reached are left out,
/// unless none was.
///
/// # Errors
/// What the first that failed for good or the first of all said.
pub(crate) fn common_entry_points(
    first: Result<Vec<Address>, BundlerError>,
    others: Vec<Result<Vec<Address>, BundlerError>>,
) -> Result<Vec<Address>, BundlerError> {
    combined(first, others, |mut served, other| {
        served.retain(|entry_point| other.contains(entry_point));
        Ok(served)
    })
}

fn combined<T>(
    first: Result<T, BundlerError>,
    others: Vec<Result<T, BundlerError>>,
    combine: impl Fn(T, T) -> Result<T, BundlerError>,
) -> Result<T, BundlerError> {
    others.into_iter().fold(first, |before, next| match (before, next) {
        (Ok(before), Ok(next)) => combine(before, next),
        (Err(error), _) if !error.is_transient() => Err(error),
        (_, Err(error)) if !error.is_transient() => Err(error),
        (Err(_), Ok(next)) => Ok(next),
        (before, Err(_)) => before,
    })
}
