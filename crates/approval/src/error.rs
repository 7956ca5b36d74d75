use std::io;
use std::time::Duration;

use alloy_primitives::{Address, B256};

/// The page could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No port of this machine could be had.
    #[error("the approval page cannot be served on a port of 127.0.0.1")]
    Listen(#[source] io::Error),
    /// The system gave no random bytes for the token in the page's address.
    #[error("there is no randomness for the token in the page's address")]
    Random(#[from] getrandom::Error),
}

/// Why there is no answer from the browser.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// The owner said no, on the page or in the wallet.
    #[error("the owner rejected it in the browser; nothing was signed, and nothing was sent")]
    Rejected,
    /// Nobody answered.
    #[error(
        "nobody answered in the browser within {} s; nothing was sent: run the command again, and open the page that it names",
        waited.as_secs()
    )]
    Deadline {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something is to be signed that the program has not shown.
    #[error("nothing shows what {digest} stands for, so the page does not ask for a signature over it")]
    Unreviewed {
        /// What would have been signed.
        digest: B256,
    },
    /// Permissions are to be asked for that are on another chain than the page, or that name none.
    #[error(
        "the permissions to ask for are no list of requests that each name chain {chain}, which the page has the wallet on"
    )]
    NotForChain {
        /// The page's.
        chain: u64,
    },
}

/// Why what the page sent is not taken. The page shows it, and the owner can try again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// A key signed that is not the owner's.
    #[error(
        "the wallet signed with {signer}, and the owner is {owner}: choose the owner's account in the wallet, and sign again"
    )]
    OtherSigner {
        /// Whose signature it is over what was to be signed.
        signer: Address,
        /// Whose it has to be.
        owner: Address,
    },
    /// Not r ‖ s ‖ v.
    #[error(
        "the wallet gave {len} bytes that are no signature of a key; the owner has to be an account with a key of its own, and no \
         contract"
    )]
    NoSignature {
        /// How many there were.
        len: usize,
    },
    /// A grant for a signature.
    #[error("the page sent a grant, and what is asked for is a signature")]
    NotASignature,
    /// A signature for a grant.
    #[error("the page sent a signature, and what is asked for is a grant of permissions")]
    NotAGrant,
    /// The program does not take the grant.
    #[error("the wallet's grant is not taken: {reason}; grant again as it was asked for, or reject")]
    Refused {
        /// What its check says.
        reason: String,
    },
    /// The answer is to something that is not asked, or not any more.
    #[error("this is not asked any more; the page shows what is")]
    NotAsked,
    /// Another tab answers.
    #[error("the page is open in another tab, which is the one to answer in; close it to go on here")]
    OtherTab,
}
