//! The client of the settings: its chain, bundler, paymaster, network and store.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use quorate::delegation::Delegator;
use quorate::quorate_store::Passphrase;
use quorate::{
    AccountId, Address, Biconomy, Bundler, Erc7677, HttpTransport, NetworkDescriptor, Options, Quorate,
    SealingKey, SigningNetwork, SmartAccount, SqliteStore, Store, U256,
};
use quorate_service::PaymasterService;
use url::Url;

use crate::exit::Failure;
use crate::prompt;
use crate::settings::{Erc7677Settings, PaymasterSettings, Settings, SettingsArguments};

/// What the commands that reach a chain work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) client: Quorate,
    pub(crate) network: Option<SigningNetwork>,
    store: Option<Arc<SqliteStore>>,
}

/// Who pays for an operation.
#[derive(Clone, Copy, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct PaymentArguments {
    /// Have the profile's paymaster pay [default, where the profile has one].
    #[arg(long)]
    sponsored: bool,
    /// Have the account pay, in the chain's coin [default, where the profile has no paymaster].
    #[arg(long)]
    self_paid: bool,
    /// Pay the profile's paymaster in this token, by the allowance that is there.
    #[arg(long, value_name = "ADDRESS", value_parser = crate::offline::arguments::address)]
    fee_token: Option<Address>,
    /// Pay the profile's paymaster in a token, and allow it so much of it in all: <ADDRESS>=<AMOUNT>, in the token's smallest
    /// unit.
    #[arg(long, value_name = "ADDRESS=AMOUNT", value_parser = fee_allowance)]
    fee_allowance: Option<(Address, U256)>,
}

/// Where the passphrase of the store may stand.
const STORE_PASSPHRASE: &str = "QUORATE_STORE_PASSPHRASE";

impl Context {
    /// Connects to what the settings name.
    pub(crate) async fn open(arguments: SettingsArguments) -> anyhow::Result<Self> {
        Self::of(arguments.read()?).await
    }

    /// The same for settings that are read already.
    pub(crate) async fn of(settings: Settings) -> anyhow::Result<Self> {
        let profile = settings.profile();
        let rpc = settings.need(profile.rpc.as_ref(), "rpc")?.clone();
        let bundler = settings.need(profile.bundler.as_ref(), "bundler")?.clone();
        let mut client = Quorate::connect(rpc, bundler).await?;
        let store = match &profile.store {
            Some(file) => Some(Arc::new(open_store(file, profile.store_key.as_deref()).await?)),
            None => None,
        };
        if let Some(store) = &store {
            client = client.with_store(Arc::clone(store) as Arc<dyn Store>);
        }
        client = match profile.paymaster.as_ref().map(PaymasterSettings::service).transpose()? {
            Some(PaymasterService::Biconomy(service)) => client.with_paymaster(&service),
            Some(PaymasterService::Erc7677(service)) => client.with_paymaster(&service),
            None => client,
        };
        let network = match &profile.network {
            Some(file) => Some(open_network(file, profile.root_certificates.as_deref())?),
            None => None,
        };
        if let Some(network) = &network {
            client = client.with_network(network.clone());
        }
        Ok(Self { settings, client, network, store })
    }

    /// The owner's account.
    pub(crate) fn account(&self, payment: PaymentArguments) -> anyhow::Result<SmartAccount> {
        let profile = self.settings.profile();
        let owner = *self.settings.need(profile.owner.as_ref(), "owner")?;
        let account = self.client.account(owner, profile.index.unwrap_or_default());
        Ok(account.with_options(self.options(payment)))
    }

    /// The network, where something cannot be done without one.
    pub(crate) fn need_network(&self) -> anyhow::Result<&SigningNetwork> {
        self.settings.need(self.settings.profile().network.as_ref(), "network")?;
        self.network.as_ref().context("the network of the settings is not open")
    }

    /// The owner's own address as an account that delegates to keys of the network.
    pub(crate) fn delegator(&self) -> anyhow::Result<Delegator> {
        let (settings, profile) = (&self.settings, self.settings.profile());
        let owner = *settings.need(profile.owner.as_ref(), "owner")?;
        let rpc = settings.need(profile.rpc.as_ref(), "rpc")?.clone();
        settings.need(profile.store.as_ref(), "store")?;
        let store = Arc::clone(self.store.as_ref().context("the store of the settings is not open")?);
        let bundler = settings.need(profile.bundler.as_ref(), "bundler")?.clone();
        let [transport, bundler] = [rpc, bundler].map(|url| HttpTransport::builder(url).build());
        let bundler = Bundler::new(Arc::new(bundler?));
        let network = self.need_network()?.clone();
        let paymaster = profile.session_paymaster.as_ref().map(Erc7677Settings::service).transpose()?;
        let delegator = Delegator::new(Arc::new(transport?), store, network, self.chain_id()?, owner);
        Ok(delegator.with_bundler(bundler, paymaster))
    }

    /// The same where the store has keys to which the owner delegates.
    ///
    /// # Errors
    /// Such keys, and no network in the settings.
    pub(crate) async fn delegator_of_keys(&self) -> anyhow::Result<Option<Delegator>> {
        let (Some(store), Some(owner)) = (&self.store, self.settings.profile().owner) else {
            return Ok(None);
        };
        let id = AccountId { chain_id: self.client.chain_id(), address: owner };
        match store.delegated_keys(id).await?.is_empty() {
            true => Ok(None),
            false => Ok(Some(self.delegator()?)),
        }
    }

    /// The chain that all of it is on.
    pub(crate) fn chain_id(&self) -> anyhow::Result<NonZeroU64> {
        NonZeroU64::new(self.client.chain_id()).context("the chain's id is 0")
    }

    /// The owner's account, and those of other indexes.
    pub(crate) fn accounts(
        &self,
        payment: PaymentArguments,
        also: &[u64],
    ) -> anyhow::Result<Vec<SmartAccount>> {
        let first = self.account(payment)?;
        let other =
            |index: &u64| self.client.account(first.owner(), *index).with_options(first.options().clone());
        let mut accounts: Vec<_> = also.iter().map(other).collect();
        accounts.retain(|account| account.address() != first.address());
        accounts.insert(0, first);
        Ok(accounts)
    }

    fn options(&self, payment: PaymentArguments) -> Options {
        let PaymentArguments { sponsored, self_paid, fee_token, fee_allowance } = payment;
        let options = Options::new();
        match (fee_token, fee_allowance) {
            (Some(token), _) => options.paid_in(token).with_existing_allowance(),
            (None, Some((token, amount))) => options.paid_in(token).up_to(amount),
            _ if sponsored || (!self_paid && self.settings.profile().paymaster.is_some()) => {
                options.sponsored()
            }
            _ => options,
        }
    }
}

impl PaymasterSettings {
    /// The service's client.
    pub(crate) fn service(&self) -> anyhow::Result<PaymasterService> {
        Ok(match self {
            Self::Biconomy { url, sponsor, token_paymaster } => {
                let mut service = Biconomy::new(Arc::new(HttpTransport::builder(url.clone()).build()?));
                if let Some(sponsor) = sponsor {
                    service = service.with_sponsor(*sponsor);
                }
                if let Some(contract) = token_paymaster {
                    service = service.with_token_paymaster(*contract);
                }
                PaymasterService::Biconomy(service)
            }
            Self::Erc7677(settings) => PaymasterService::Erc7677(settings.service()?),
        })
    }

    pub(crate) const fn url(&self) -> &Url {
        match self {
            Self::Biconomy { url, .. } | Self::Erc7677(Erc7677Settings { url, .. }) => url,
        }
    }
}

impl Erc7677Settings {
    /// The service's client.
    fn service(&self) -> anyhow::Result<Erc7677> {
        let transport = HttpTransport::builder(self.url.clone()).build()?;
        Ok(Erc7677::new(Arc::new(transport), self.contract))
    }
}

/// Opens a store, which is made where there is none.
async fn open_store(path: &Path, key: Option<&Path>) -> anyhow::Result<SqliteStore> {
    Ok(match key {
        Some(key) => SqliteStore::open(path, store_key(key)?).await?,
        None => {
            let words = prompt::secret(STORE_PASSPHRASE, "passphrase of the session store").await?;
            SqliteStore::open(path, Passphrase::new(words.as_str())?).await?
        }
    })
}

fn store_key(file: &Path) -> anyhow::Result<SealingKey> {
    if file.exists() { Ok(SealingKey::read_file(file)?) } else { Ok(SealingKey::create_file(file)?) }
}

/// A client of a descriptor's network, which believes these root certificates beside the platform's.
pub(crate) fn open_network(file: &Path, roots: Option<&Path>) -> anyhow::Result<SigningNetwork> {
    let network = SigningNetwork::new(read_descriptor(file)?);
    let Some(roots) = roots else { return Ok(network) };
    network.with_root_certificates(&read(roots)?).with_context(|| format!("{} is refused", roots.display()))
}

pub(crate) fn read_descriptor(file: &Path) -> anyhow::Result<NetworkDescriptor> {
    let text = String::from_utf8(read(file)?).with_context(|| format!("{} is not text", file.display()))?;
    NetworkDescriptor::from_json(&text).map_err(|error| {
        Failure::bad_input(format!("{} is no network descriptor: {error}", file.display())).into()
    })
}

/// What stands in a file that was named.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| Failure::bad_input(format!("{} cannot be read: {error}", file.display())).into())
}

fn fee_allowance(text: &str) -> Result<(Address, U256), String> {
    let (token, amount) = text.split_once('=').ok_or("it is not of the form <ADDRESS>=<AMOUNT>")?;
    let token = crate::offline::arguments::address(token).map_err(|error| error.to_string())?;
    Ok((token, amount.parse().map_err(|_| format!("`{amount}` is no amount in the token's smallest unit"))?))
}
