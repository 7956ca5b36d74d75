//! An owner whose signer is elsewhere: what is to be signed goes out, and the signature comes in.
//!
//! An operation waits in a file, for as long as it is good ([`DraftFile`]). What is meant for the network is asked for at
//! once: a challenge does not wait, and the end of a key comes before the operation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::{Address, Signature};
use quorate_approval::Review;
use quorate_protocol::TypedData;

use crate::clock::now;
use crate::draft_file::DraftFile;
use crate::exit::Failure;
use crate::new_file::{Readers, write_new};
use crate::progress::Steps;
use crate::prompt;
use crate::time_text::until;

/// The owner, and where their drafts go.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    owner: Address,
    draft: PathBuf,
}

/// A file for as long as its signature is waited for.
struct Request<'a>(&'a Path);

impl Elsewhere {
    /// # Errors
    /// A file that is there already: it is not overwritten.
    pub(crate) fn new(owner: Address, draft: &Path) -> anyhow::Result<Self> {
        if draft.exists() {
            let message = format!("{} is there already, and is not overwritten", draft.display());
            return Err(Failure::bad_input(message).into());
        }
        Ok(Self { owner, draft: draft.to_owned() })
    }

    /// Writes what waits for the owner's signature.
    pub(crate) fn write(&self, draft: &DraftFile) -> anyhow::Result<&Path> {
        write_new(&self.draft, &draft.to_json(), Readers::Owner)?;
        Ok(&self.draft)
    }

    /// Writes typed data beside the draft, and reads its signature from stdin.
    ///
    /// # Errors
    /// No signature in `lifetime`, or one that is not the owner's.
    pub(crate) async fn sign_typed_data(
        &self,
        typed_data: &TypedData,
        review: &Review,
        lifetime: Option<Duration>,
        steps: &Steps,
    ) -> anyhow::Result<Signature> {
        let mut file = self.draft.clone().into_os_string();
        file.push(".typed-data.json");
        let file = PathBuf::from(file);
        let request = Request::create(&file, typed_data)?;
        steps.say(&self.instructions(&file, typed_data, review, lifetime));
        let line = prompt::line("a signature");
        let line = match lifetime {
            None => line.await?,
            Some(lifetime) => tokio::time::timeout(lifetime, line).await.map_err(|_| {
                let seconds = lifetime.as_secs();
                Failure::bad_input(format!(
                    "no signature came in {seconds} s, and the network's challenge is over; run this again, with the signer at hand"
                ))
            })??,
        };
        drop(request);
        self.verify(typed_data, &line)
    }

    fn instructions(
        &self,
        file: &Path,
        typed_data: &TypedData,
        review: &Review,
        lifetime: Option<Duration>,
    ) -> String {
        let waits = match lifetime {
            Some(lifetime) => {
                format!("{} (for {} s)", until(now() + lifetime.as_secs()), lifetime.as_secs())
            }
            None => "without an end".to_owned(),
        };
        format!(
            "{review}\ntyped data  {}\ndigest      {}\nsigner      {}\nSign it (EIP-712, eth_signTypedData_v4), and give the signature \
             on stdin: this waits {waits}.",
            file.display(),
            typed_data.digest(),
            self.owner
        )
    }

    fn verify(&self, typed_data: &TypedData, line: &str) -> anyhow::Result<Signature> {
        let refused = |what: &str| Failure::bad_input(format!("what stdin gave {what}; nothing was signed"));
        let signature: Signature =
            line.trim().parse().map_err(|_| refused("is no signature, which is 0x and 130 hex digits"))?;
        match signature.recover_address_from_prehash(&typed_data.digest()) {
            Ok(signer) if signer == self.owner => Ok(signature),
            _ => Err(refused(&format!("is no signature of {} over this typed data", self.owner)).into()),
        }
    }
}

impl<'a> Request<'a> {
    fn create(file: &'a Path, typed_data: &TypedData) -> anyhow::Result<Self> {
        write_new(file, &format!("{:#}\n", typed_data.document()), Readers::Owner)?;
        Ok(Self(file))
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
