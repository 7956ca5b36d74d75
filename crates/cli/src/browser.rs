//! The owner's wallet in a browser: the page at which it signs, and what the terminal says of it.

use quorate::Address;
use quorate_approval::{Approval, Chain, Outcome, Presence};

use crate::context::Context;
use crate::progress::Steps;

/// Serves the approval page, says where it is, and opens it where that is wanted and can be done.
pub(crate) async fn start(
    context: &Context,
    owner: Address,
    steps: &mut Steps,
    opens: bool,
) -> anyhow::Result<Approval> {
    let chain_id = context.client.chain_id();
    let settings = &context.settings;
    let chain = Chain::new(chain_id, settings.chain_name(chain_id), settings.profile().rpc.clone());
    let page = Approval::start(owner, chain).await?;
    let url = page.url();
    steps.say(&format!("sign in the browser, with the wallet of {owner}: {url}"));
    if opens && open::that_detached(url).is_err() {
        steps.say("no browser could be opened from here; open that address in the one with the wallet");
    }
    steps.tell(page.clone());
    tokio::spawn(tell_presence(page.clone(), steps.clone()));
    Ok(page)
}

/// Tells the page how the work ended that its signatures were for, unless it still waits for one.
pub(crate) async fn follow<T>(
    page: &Approval,
    work: impl Future<Output = anyhow::Result<T>>,
    outcome: impl FnOnce(&T) -> Option<Outcome>,
) -> anyhow::Result<T> {
    let done = work.await;
    let outcome = match &done {
        Ok(done) => outcome(done),
        Err(error) => Some(Outcome::Failed { reason: format!("{error:#}") }),
    };
    if let Some(outcome) = outcome {
        page.finish(outcome).await;
    }
    done
}

async fn tell_presence(page: Approval, steps: Steps) {
    let mut presence = page.presence();
    while presence.changed().await.is_ok() {
        let now = *presence.borrow_and_update();
        if now == Presence::Closed {
            steps.say(&format!("the page was closed; this goes on waiting for it: {}", page.url()));
        }
    }
}
