//! Changes of sessions, by whoever made them: this service, another program, or time.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate::{Error, SessionId, SmartAccount, Status};

use crate::events::{ChangedSession, Event};
use crate::service::Shared;

/// How often it is looked while somebody listens.
const INTERVAL: Duration = Duration::from_secs(5);

type Statuses = BTreeMap<SessionId, Status>;

/// Tells of each change of an account's sessions. The first look finds all of them new, and at the start of a service nobody
/// listens yet.
pub(crate) async fn sessions(service: &Shared, account: &SmartAccount) {
    let mut known = Statuses::new();
    loop {
        let asked = service.look_at_sessions.notified();
        match statuses(account).await {
            Ok(statuses) => {
                for (session, status) in changed(&known, &statuses) {
                    let account = account.address();
                    service.tell(Event::Session(ChangedSession { account, session, status }));
                }
                known = statuses;
            }
            Err(error) => tracing::warn!(%error, account = %account.id(), "sessions cannot be looked at"),
        }
        tokio::select! {
            () = asked => {}
            () = while_listened_to(service) => {}
        }
    }
}

async fn statuses(account: &SmartAccount) -> Result<Statuses, Error> {
    let sessions = account.sessions().await?;
    Ok(sessions.into_iter().map(|session| (session.id().clone(), session.status)).collect())
}

/// Without listeners there is nobody to ask the chain for.
async fn while_listened_to(service: &Shared) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if service.events.receiver_count() > 0 {
            return;
        }
    }
}

/// The sessions that are new or stand elsewhere.
fn changed(known: &Statuses, now: &Statuses) -> Vec<(SessionId, Status)> {
    let is_news = |(id, status): &(&SessionId, &Status)| known.get(*id) != Some(*status);
    now.iter().filter(is_news).map(|(id, status)| (id.clone(), *status)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_or_stands_elsewhere_is_told() {
        let id = |name: &str| name.parse::<SessionId>().unwrap();
        let known = Statuses::from([(id("a"), Status::Pending), (id("b"), Status::Active)]);
        let now = Statuses::from([
            (id("a"), Status::Active),
            (id("b"), Status::Active),
            (id("c"), Status::Pending),
        ]);
        assert_eq!(changed(&known, &now), [(id("a"), Status::Active), (id("c"), Status::Pending)]);
        assert_eq!(changed(&now, &now), []);
    }
}
