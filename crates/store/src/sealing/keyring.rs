use ::keyring::{Entry, Error};
use zeroize::Zeroizing;

use super::{SealingKey, SealingKeyError};
use crate::Secret;

/// The system may ask its user to unlock the keyring, so these block.
impl SealingKey {
    /// Reads the key from the system's keyring: the entry `user` of the program `service`.
    ///
    /// # Errors
    /// [`SealingKeyError::Keyring`], also where there is no such entry; [`SealingKeyError::KeyringForm`].
    pub fn read_keyring(service: &str, user: &str) -> Result<Self, SealingKeyError> {
        KeyringEntry::new(service, user)?.read()
    }

    /// Makes a fresh key and puts it into the system's keyring, as the entry `user` of the program `service`.
    ///
    /// # Errors
    /// [`SealingKeyError::KeyringTaken`] for an entry that exists, [`SealingKeyError::Keyring`].
    pub fn create_in_keyring(service: &str, user: &str) -> Result<Self, SealingKeyError> {
        KeyringEntry::new(service, user)?.create()
    }
}

struct KeyringEntry {
    service: String,
    user: String,
    entry: Entry,
}

impl KeyringEntry {
    fn new(service: &str, user: &str) -> Result<Self, SealingKeyError> {
        let (service, user) = (service.to_owned(), user.to_owned());
        match Entry::new(&service, &user) {
            Ok(entry) => Ok(Self { service, user, entry }),
            Err(source) => Err(SealingKeyError::Keyring { service, user, source }),
        }
    }

    fn read(&self) -> Result<SealingKey, SealingKeyError> {
        let bytes = Zeroizing::new(self.entry.get_secret().map_err(|source| self.refusal(source))?);
        let form = || SealingKeyError::KeyringForm {
            service: self.service.clone(),
            user: self.user.clone(),
            len: bytes.len(),
        };
        Secret::from_slice(&bytes).map(SealingKey).ok_or_else(form)
    }

    fn create(&self) -> Result<SealingKey, SealingKeyError> {
        match self.entry.get_secret().map(Zeroizing::new) {
            Err(Error::NoEntry) => {
                let key = SealingKey::random()?;
                self.entry.set_secret(key.expose()).map_err(|source| self.refusal(source))?;
                Ok(key)
            }
            Err(source) => Err(self.refusal(source)),
            Ok(_) => {
                Err(SealingKeyError::KeyringTaken { service: self.service.clone(), user: self.user.clone() })
            }
        }
    }

    fn refusal(&self, source: Error) -> SealingKeyError {
        SealingKeyError::Keyring { service: self.service.clone(), user: self.user.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use keyring_core::api::CredentialStoreApi as _;

    use super::*;

    fn entry() -> KeyringEntry {
        let store = keyring_core::mock::Store::new().unwrap();
        let inner = store.build("quorate", "sessions", None).unwrap();
        KeyringEntry { service: "quorate".to_owned(), user: "sessions".to_owned(), entry: Entry { inner } }
    }

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let entry = entry();
        assert!(matches!(entry.read(), Err(SealingKeyError::Keyring { source: Error::NoEntry, .. })));
        let key = entry.create().unwrap();
        assert!(matches!(entry.create(), Err(SealingKeyError::KeyringTaken { .. })));
        assert_eq!(entry.read().unwrap().expose(), key.expose());
    }

    #[test]
    fn an_entry_of_somebody_else_is_no_key() {
        let entry = entry();
        entry.entry.set_secret(b"a password").unwrap();
        assert!(matches!(entry.read(), Err(SealingKeyError::KeyringForm { len: 10, .. })));
    }
}
