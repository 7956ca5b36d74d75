//! Where the program works: which chain, bundler, network, store and owner. A file, the environment and flags say so, the
//! later before the earlier.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use quorate::Address;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::exit::Failure;

/// What says where to work.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsArguments {
    /// The configuration file [default: quorate.toml here, if there is one].
    #[arg(long, global = true, env = "QUORATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The profile of the file to use [default: the file's `profile`].
    #[arg(long, global = true, env = "QUORATE_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// The JSON-RPC URL of a node of the chain.
    #[arg(long, global = true, env = "QUORATE_RPC", value_name = "URL")]
    rpc: Option<Url>,
    /// The JSON-RPC URL of an ERC-4337 bundler for the chain.
    #[arg(long, global = true, env = "QUORATE_BUNDLER", value_name = "URL")]
    bundler: Option<Url>,
    /// The signing network's descriptor.
    #[arg(long, global = true, env = "QUORATE_NETWORK", value_name = "FILE")]
    network: Option<PathBuf>,
    /// The database of sessions; without one there are none after the program has ended.
    #[arg(long, global = true, env = "QUORATE_STORE", value_name = "FILE")]
    store: Option<PathBuf>,
    /// The owner of the account.
    #[arg(long, global = true, env = "QUORATE_OWNER", value_name = "ADDRESS", value_parser = crate::offline::arguments::address)]
    owner: Option<Address>,
    /// Which of the owner's accounts, from 0.
    #[arg(long, global = true, env = "QUORATE_INDEX", value_name = "NUMBER")]
    index: Option<u64>,
}

/// A configuration file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsFile {
    /// The profile that is used where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Profiles by name, one for each chain.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// What a profile says; what it leaves open the environment or flags have to say where it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rpc: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundler: Option<Url>,
    /// The signing network's descriptor; relative to the file, as all paths in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<PathBuf>,
    /// Root certificates by which the network's gateways are believed beside the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_certificates: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<PathBuf>,
    /// The file of the key by which the store's keys are sealed; it is made with the store. Without it a passphrase seals
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "address", default)]
    pub(crate) owner: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paymaster: Option<PaymasterSettings>,
    /// Who pays for operations of keys' own accounts, at EntryPoint v0.7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_paymaster: Option<Erc7677Settings>,
    /// Tokens by the names that policy files use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tokens: BTreeMap<String, Address>,
}

/// A paymaster's service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "service", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum PaymasterSettings {
    /// Biconomy's API.
    Biconomy {
        url: Url,
        /// The contracts that sponsor and take tokens, if not Biconomy's own.
        #[serde(skip_serializing_if = "Option::is_none")]
        sponsor: Option<Address>,
        #[serde(skip_serializing_if = "Option::is_none")]
        token_paymaster: Option<Address>,
    },
    /// Any service with the methods of ERC-7677, and its contract.
    Erc7677(Erc7677Settings),
}

/// A service with the methods of ERC-7677, and its contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erc7677Settings {
    pub(crate) url: Url,
    pub(crate) contract: Address,
}

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "quorate.toml";

/// Where the program works, as all of them together say.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The profile's name, where one stands in a file.
    name: Option<String>,
    profile: Profile,
    /// The file and the profile, for what is said of something that is missing.
    source: String,
}

impl SettingsArguments {
    /// Reads the file, and puts the environment and the flags before it.
    pub(crate) fn read(self) -> anyhow::Result<Settings> {
        let Self { config, profile, rpc, bundler, network, store, owner, index } = self;
        let named = config.is_some();
        let file = config.unwrap_or_else(|| DEFAULT_FILE.into());
        let ((name, lower), source) = if named || file.exists() {
            let settings = SettingsFile::read(&file)?;
            let name = profile.or(settings.profile.clone());
            (settings.take(name.as_deref(), &file)?, file.display().to_string())
        } else if let Some(profile) = profile {
            let message = format!(
                "the profile {profile} stands in no file: there is no {DEFAULT_FILE} here; give --config"
            );
            return Err(Failure::bad_input(message).into());
        } else {
            ((None, Profile::default()), DEFAULT_FILE.to_owned())
        };
        let upper = Profile { rpc, bundler, network, store, owner, index, ..Profile::default() };
        Ok(Settings { name, profile: upper.over(lower), source })
    }
}

impl SettingsFile {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()));
        let text = text.map_err(|error| Failure::bad_input(format!("{error:#}")))?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| {
            Failure::bad_input(format!("{} is no configuration: {error}", file.display()))
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        settings.profiles.values_mut().for_each(|profile| profile.stand_in(folder));
        Ok(settings)
    }

    /// The profile of this name; without a name the only one.
    fn take(mut self, name: Option<&str>, file: &Path) -> anyhow::Result<(Option<String>, Profile)> {
        let named = |(name, profile)| (Some(name), profile);
        let names = self.profiles.keys().cloned().collect::<Vec<_>>().join(", ");
        let found = match name {
            Some(name) => self.profiles.remove_entry(name).map(named),
            None if self.profiles.len() <= 1 => {
                Some(self.profiles.pop_first().map(named).unwrap_or_default())
            }
            None => None,
        };
        let missing = || {
            let wanted = name.map_or("which profile to use".to_owned(), |name| format!("the profile {name}"));
            Failure::bad_input(format!("{} does not say {wanted}; it has: {names}", file.display())).into()
        };
        found.ok_or_else(missing)
    }
}

impl Profile {
    /// What this says, and where it says nothing what `lower` says.
    fn over(self, lower: Self) -> Self {
        Self {
            rpc: self.rpc.or(lower.rpc),
            bundler: self.bundler.or(lower.bundler),
            network: self.network.or(lower.network),
            root_certificates: self.root_certificates.or(lower.root_certificates),
            store: self.store.or(lower.store),
            store_key: self.store_key.or(lower.store_key),
            owner: self.owner.or(lower.owner),
            index: self.index.or(lower.index),
            paymaster: self.paymaster.or(lower.paymaster),
            session_paymaster: self.session_paymaster.or(lower.session_paymaster),
            tokens: if self.tokens.is_empty() { lower.tokens } else { self.tokens },
        }
    }

    /// Takes relative paths to be in a folder.
    fn stand_in(&mut self, folder: &Path) {
        let files = [&mut self.network, &mut self.root_certificates, &mut self.store, &mut self.store_key];
        for file in files.into_iter().flatten() {
            *file = folder.join(&file);
        }
    }
}

impl Settings {
    /// What to call the chain.
    pub(crate) fn chain_name(&self, chain_id: u64) -> String {
        self.name.clone().unwrap_or_else(|| format!("chain {chain_id}"))
    }

    /// The same without a store, for what keeps nothing.
    pub(crate) fn without_store(mut self) -> Self {
        self.profile.store = None;
        self
    }

    pub(crate) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What a setting says, or else an error that names the setting and the ways to give it.
    pub(crate) fn need<'a, T>(&self, value: Option<&'a T>, name: &str) -> anyhow::Result<&'a T> {
        let missing = || {
            let (flag, variable) = (name.replace('_', "-"), name.to_uppercase());
            let message =
                format!("no {name}: set `{name}` in {}, QUORATE_{variable}, or --{flag}", self.source);
            Failure::bad_input(message).into()
        };
        value.ok_or_else(missing)
    }
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    quorate_core::json::address(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_said_above_goes_before_and_the_rest_stays() {
        let lower = Profile { rpc: Some(url("http://a/")), index: Some(3), ..Profile::default() };
        let upper = Profile { rpc: Some(url("http://b/")), ..Profile::default() };
        let both = upper.over(lower);
        assert_eq!((both.rpc, both.index), (Some(url("http://b/")), Some(3)));
    }

    #[test]
    fn paths_of_a_file_are_relative_to_it_and_unknown_keys_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quorate.toml");
        std::fs::write(&file, "[profiles.here]\nnetwork = \"network.json\"\nstore = \"/abs.db\"").unwrap();
        let (name, profile) = SettingsFile::read(&file).unwrap().take(None, &file).unwrap();
        assert_eq!(name.as_deref(), Some("here"));
        assert_eq!(profile.network, Some(folder.path().join("network.json")));
        assert_eq!(profile.store, Some("/abs.db".into()));

        std::fs::write(&file, "[profiles.here]\nnetwrok = \"network.json\"").unwrap();
        let error = SettingsFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("unknown field `netwrok`") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn of_several_profiles_one_has_to_be_named() {
        let settings = || toml::from_str::<SettingsFile>("[profiles.a]\n[profiles.b]\nindex = 1").unwrap();
        let file = Path::new("quorate.toml");
        assert_eq!(settings().take(Some("b"), file).unwrap().1.index, Some(1));
        let error = |name| settings().take(name, file).unwrap_err().to_string();
        assert_eq!(error(None), "quorate.toml does not say which profile to use; it has: a, b");
        assert_eq!(error(Some("c")), "quorate.toml does not say the profile c; it has: a, b");
    }
}
