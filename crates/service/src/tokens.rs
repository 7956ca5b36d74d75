//! Bearer tokens and what each may do. The file holds their hashes: who reads it can use none of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256, hex};
use quorate::SessionId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What the bearer of a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// Methods by name, or by how they begin: `wallet_*`. `GET /events` is `quorate_events`.
    pub methods: BTreeSet<String>,
    /// The accounts that it may act for and see; all of the service's where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<Address>,
    /// The sessions that it may use and see; all of its accounts' where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sessions: BTreeSet<SessionId>,
}

/// What a token may do where nothing else is said: use sessions and look at them, and change none.
pub const DEFAULT_METHODS: [&str; 5] =
    ["eth_*", "wallet_*", "quorate_check", "quorate_sessions", "quorate_events"];

impl Default for Permissions {
    fn default() -> Self {
        let methods = DEFAULT_METHODS.map(str::to_owned).into();
        Self { methods, accounts: BTreeSet::new(), sessions: BTreeSet::new() }
    }
}

impl Permissions {
    /// Whether a method may be called. What describes the service, any token may ask.
    pub fn allow_method(&self, method: &str) -> bool {
        let allows = |allowed: &String| match allowed.strip_suffix('*') {
            Some(start) => method.starts_with(start),
            None => method == allowed,
        };
        method == "rpc.discover" || self.methods.iter().any(allows)
    }

    /// Whether an account may be acted for and seen.
    pub fn allow_account(&self, account: Address) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&account)
    }

    /// Whether a session may be used and seen.
    pub fn allow_session(&self, session: &SessionId) -> bool {
        self.sessions.is_empty() || self.sessions.contains(session)
    }
}

/// A token that is known: not the secret, but who shows it and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called. Ids of calls belong to the name, so that a token can be replaced by another of its name.
    pub name: String,
    /// The SHA-256 hash of the secret, which has 256 random bits.
    hash: B256,
    /// What its bearer may do.
    #[serde(flatten)]
    pub permissions: Permissions,
}

/// The file of the tokens, which nobody but its owner may read.
///
/// It is read anew whenever it was changed, so that a token that was removed is refused from then on.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Version, Arc<[Token]>)>>,
}

/// Why tokens cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The file cannot be read or written.
    #[error("the token file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read or change it.
    #[error("the token file {path} has the mode {mode:o}: others can read or change it; `chmod 600` it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("{path} is no token file: {source}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: Box<toml::de::Error>,
    },
    /// A name that is none.
    #[error("a token's name is 1 to 64 letters, digits, dots, dashes and underscores, not {name:?}")]
    Name {
        /// What was given.
        name: String,
    },
    /// A method that the service does not have.
    #[error("the service has no method {method:?}; they are: {}", known.join(", "))]
    Method {
        /// What was given.
        method: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// Two tokens of one name.
    #[error("there is a token named {name} already; remove it first")]
    Exists {
        /// The name.
        name: String,
    },
    /// No token of this name.
    #[error("there is no token named {name}; there are: {}", others.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The others.
        others: Vec<String>,
    },
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

/// What tells one content of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    changed: (i64, i64),
    len: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    token: Vec<Token>,
}

impl TokenFile {
    /// The file at a path; where there is none, there are no tokens.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: Mutex::new(None) }
    }

    /// The tokens that there are.
    ///
    /// # Errors
    /// [`TokenFileError::Exposed`], [`TokenFileError::Form`], [`TokenFileError::Io`].
    pub fn tokens(&self) -> Result<Arc<[Token]>, TokenFileError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(source) => return Err(self.io(source)),
        };
        let metadata = file.metadata().map_err(|source| self.io(source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenFileError::Exposed { path: self.path.clone(), mode });
        }
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let version = Version { inode: metadata.ino(), changed, len: metadata.len() };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, tokens)) = &*read
            && *known == version
        {
            return Ok(Arc::clone(tokens));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|source| self.io(source))?;
        let content: Content = toml::from_str(&text)
            .map_err(|source| TokenFileError::Form { path: self.path.clone(), source: Box::new(source) })?;
        let tokens: Arc<[Token]> = content.token.into();
        *read = Some((version, Arc::clone(&tokens)));
        Ok(tokens)
    }

    /// Whose secret this is. All hashes are compared, each in constant time.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens).
    pub fn bearer_of(&self, secret: &str) -> Result<Option<Token>, TokenFileError> {
        let hash = hash_of(secret);
        let tokens = self.tokens()?;
        let mut bearer = None;
        for token in tokens.iter() {
            if bool::from(token.hash.as_slice().ct_eq(hash.as_slice())) {
                bearer = Some(token);
            }
        }
        Ok(bearer.cloned())
    }

    /// Makes a token, and gives its secret, which stands nowhere else from then on.
    ///
    /// # Errors
    /// [`TokenFileError::Exists`], [`TokenFileError::Name`], [`TokenFileError::Method`]; as [`tokens`](Self::tokens).
    pub fn add(&self, name: &str, permissions: Permissions) -> Result<Zeroizing<String>, TokenFileError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name) {
            return Err(TokenFileError::Name { name: name.to_owned() });
        }
        check_methods(&permissions)?;
        let mut tokens = self.tokens()?.to_vec();
        if tokens.iter().any(|token| token.name == name) {
            return Err(TokenFileError::Exists { name: name.to_owned() });
        }
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        let secret = Zeroizing::new(format!("{PREFIX}{}", hex::encode(*bytes)));
        tokens.push(Token { name: name.to_owned(), hash: hash_of(&secret), permissions });
        self.write(tokens)?;
        Ok(secret)
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`TokenFileError::Unknown`]; as [`tokens`](Self::tokens).
    pub fn remove(&self, name: &str) -> Result<(), TokenFileError> {
        let mut tokens = self.tokens()?.to_vec();
        let others: Vec<String> = tokens.iter().map(|token| token.name.clone()).collect();
        tokens.retain(|token| token.name != name);
        if tokens.len() == others.len() {
            return Err(TokenFileError::Unknown { name: name.to_owned(), others });
        }
        self.write(tokens)
    }

    /// The file is replaced as a whole, when all of it is on disk.
    fn write(&self, token: Vec<Token>) -> Result<(), TokenFileError> {
        let text = toml::to_string(&Content { token }).map_err(|error| self.io(io::Error::other(error)))?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let write = || {
            // Made with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> TokenFileError {
        TokenFileError::Io { path: self.path.clone(), source }
    }
}

/// By this a secret that was lost is found, in a log or a repository.
const PREFIX: &str = "quorate_";

fn hash_of(secret: &str) -> B256 {
    B256::new(Sha256::digest(secret).into())
}

fn check_methods(permissions: &Permissions) -> Result<(), TokenFileError> {
    let known = || crate::methods::NAMES.into_iter().chain(["quorate_events"]);
    let is_known = |method: &str| match method.strip_suffix('*') {
        Some(start) => known().any(|name| name.starts_with(start)),
        None => known().any(|name| name == method),
    };
    match permissions.methods.iter().find(|method| !is_known(method)) {
        Some(method) => Err(TokenFileError::Method { method: method.clone(), known: known().collect() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_known_by_its_secret_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens.toml"));
        assert!(file.tokens().unwrap().is_empty());
        let (one, two) = (file.add("one", Permissions::default()), file.add("two", Permissions::default()));
        let (one, two) = (one.unwrap(), two.unwrap());
        let name = |secret: &str| file.bearer_of(secret).unwrap().map(|token| token.name);
        assert_eq!(name(&one).as_deref(), Some("one"));
        assert_eq!(name(&two).as_deref(), Some("two"));
        assert_eq!(name(&one[1..]), None);

        let stored = fs::read_to_string(&file.path).unwrap();
        assert!(!stored.contains(&one[PREFIX.len()..]), "the secret is not stored: {stored}");
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);

        // As another process does it.
        TokenFile::new(&file.path).remove("one").unwrap();
        assert_eq!(name(&one), None);
        assert_eq!(name(&two).as_deref(), Some("two"));
        assert!(matches!(file.remove("one"), Err(TokenFileError::Unknown { .. })));
        assert!(matches!(file.add("two", Permissions::default()), Err(TokenFileError::Exists { .. })));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens.toml"));
        file.add("one", Permissions::default()).unwrap();
        for mode in [0o640, 0o602] {
            fs::set_permissions(&file.path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(file.tokens(), Err(TokenFileError::Exposed { .. })));
        }
    }

    #[test]
    fn permissions_name_methods_accounts_and_sessions() {
        let usual = Permissions::default();
        let allowed = ["eth_chainId", "wallet_sendCalls", "quorate_check", "rpc.discover"];
        assert!(allowed.into_iter().all(|method| usual.allow_method(method)));
        let forbidden = ["quorate_submitGrant", "quorate_submitRevocation", "wallet"];
        assert!(!forbidden.into_iter().any(|method| usual.allow_method(method)));

        let (account, session) = (Address::repeat_byte(1), "a".parse::<SessionId>().unwrap());
        assert!(usual.allow_account(account) && usual.allow_session(&session));
        let narrow = Permissions {
            accounts: [Address::repeat_byte(2)].into(),
            sessions: ["b".parse().unwrap()].into(),
            ..usual
        };
        assert!(!narrow.allow_account(account) && !narrow.allow_session(&session));

        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens.toml"));
        let misspelt = Permissions { methods: ["wallet_sendcalls".to_owned()].into(), ..narrow };
        assert!(matches!(file.add("one", misspelt), Err(TokenFileError::Method { .. })));
        assert!(matches!(file.add("a b", Permissions::default()), Err(TokenFileError::Name { .. })));
    }
}
