use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, b256, hex, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::{self, CacheError};
use crate::delegation_framework::P256_LIBRARY;
use crate::process::{Process, ProcessError, Program};
use crate::progress::{Progress, Step};
use crate::toolchain::Toolchain;
use crate::watchdog::Watchdog;

const COMPILE: &str = include_str!("../scripts/compile.cjs");
const COMPILE_DEADLINE: Duration = Duration::from_secs(300);

const ACCOUNT_CONTRACTS: &str = "@biconomy-devx/account-contracts-v2/contracts/smart-account/";

/// Key and source of the contracts of this crate.
const OWN_SOURCES: [(&str, &str); 4] = [
    ("abi_module", include_str!("../solidity/AbiSessionValidationModule.sol")),
    ("nft", include_str!("../solidity/DevelopmentNft.sol")),
    ("token", include_str!("../solidity/DevelopmentToken.sol")),
    ("token_paymaster", include_str!("../solidity/DevelopmentTokenPaymaster.sol")),
];

/// Key and artifact of the contracts that come compiled.
const ARTIFACTS: [(&str, &str); 5] = [
    ("entry_point", "@account-abstraction/contracts/artifacts/EntryPoint.json"),
    ("entry_point_v0_7", "entry-point-v0.7/artifacts/EntryPoint.json"),
    ("entry_point_v0_8", "entry-point-v0.8/artifacts/EntryPoint.json"),
    ("entry_point_v0_9", "entry-point-v0.9/artifacts/EntryPoint.json"),
    ("verifying_paymaster_v0_7", "entry-point-v0.7/artifacts/VerifyingPaymaster.json"),
];

/// The module that exports MetaMask's delegation framework, compiled, and what is taken from it.
const DELEGATION_FRAMEWORK: &str = "@metamask/delegation-abis/bytecode";
const DELEGATION_CONTRACTS: [&str; 23] = [
    "DelegationManager",
    "EIP7702StatelessDeleGator",
    "HybridDeleGator",
    "SimpleFactory",
    "SCL_RIP7212",
    "AllowedTargetsEnforcer",
    "AllowedMethodsEnforcer",
    "AllowedCalldataEnforcer",
    "ExactCalldataEnforcer",
    "ValueLteEnforcer",
    "TimestampEnforcer",
    "BlockNumberEnforcer",
    "LimitedCallsEnforcer",
    "NativeTokenTransferAmountEnforcer",
    "ERC20TransferAmountEnforcer",
    "NativeTokenPeriodTransferEnforcer",
    "ERC20PeriodTransferEnforcer",
    "NativeTokenStreamingEnforcer",
    "ERC20StreamingEnforcer",
    "RedeemerEnforcer",
    "NonceEnforcer",
    "IdEnforcer",
    "ApprovalRevocationEnforcer",
];

/// Key, file below [`ACCOUNT_CONTRACTS`], contract: what two compilers, working side by side, have to do.
const JOBS: [&[(&str, &str, &str)]; 2] = [
    &[
        ("smart_account", "SmartAccount.sol", "SmartAccount"),
        ("factory", "factory/SmartAccountFactory.sol", "SmartAccountFactory"),
        ("proxy", "Proxy.sol", "Proxy"),
        ("ecdsa_module", "modules/EcdsaOwnershipRegistryModule.sol", "EcdsaOwnershipRegistryModule"),
        ("multichain_module", "modules/MultichainECDSAValidator.sol", "MultichainECDSAValidator"),
    ],
    &[
        ("session_key_manager", "modules/SessionKeyManagerModule.sol", "SessionKeyManager"),
        ("batched_router", "modules/BatchedSessionRouterModule.sol", "BatchedSessionRouter"),
        (
            "erc20_module",
            "modules/SessionValidationModules/ERC20SessionValidationModule.sol",
            "ERC20SessionValidationModule",
        ),
        ("abi_module", "AbiSessionValidationModule.sol", "AbiSessionValidationModule"),
        ("nft", "DevelopmentNft.sol", "DevelopmentNft"),
        (
            "verifying_paymaster",
            "paymasters/verifying/singleton/VerifyingSingletonPaymaster.sol",
            "VerifyingSingletonPaymaster",
        ),
        ("token_paymaster", "DevelopmentTokenPaymaster.sol", "DevelopmentTokenPaymaster"),
        ("token", "DevelopmentToken.sol", "DevelopmentToken"),
    ],
];

/// The metadata hash in the creation code of the proxy that is deployed on public chains. All else in it is what
/// the compiler makes of the package's source.
const PROXY_METADATA: B256 = b256!("a03b18dce0be0b4c9afe58a9eb85c35205e2cf087da098bbf1d23945bf894960");

/// keccak256 of that creation code, which an account's address depends on.
const PROXY_CODE_HASH: B256 = b256!("b9231a15257f6be69c9afc3df98ae82ab64da5e3e39b8364f52eebaab321342c");

/// Bytes that follow the hash: `solc` and its version in CBOR, then the length of the metadata.
const AFTER_METADATA_HASH: usize = 11;

/// The contracts could not be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The compiler ended with an error, which the log shows.
    #[error("the contracts could not be compiled")]
    Compiler(#[source] ProcessError),
    /// What the compiler wrote is not as expected.
    #[error("the compiled contracts in {path} cannot be read; remove the file and try again", path = path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The compiled proxy is not the one that accounts on public chains are.
    #[error("the compiled proxy has the code hash {actual} instead of {PROXY_CODE_HASH}")]
    ForeignProxy {
        /// keccak256 of the creation code after its metadata was replaced.
        actual: B256,
    },
    /// The factory does not hold the proxy's code.
    #[error("the compiled factory does not hold the code of the proxy that it creates")]
    FactoryWithoutProxy,
    /// The cache folder could not be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Creation code of the contracts, without constructor arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Contracts {
    /// EntryPoint v0.6, the one that the smart account works with.
    pub entry_point: Bytes,
    /// EntryPoint v0.7.
    pub entry_point_v0_7: Bytes,
    /// EntryPoint v0.8.
    pub entry_point_v0_8: Bytes,
    /// EntryPoint v0.9.
    pub entry_point_v0_9: Bytes,
    /// The smart account's implementation. Its constructor takes the entry point.
    pub smart_account: Bytes,
    /// The smart account's factory. Its constructor takes the implementation and the factory's owner.
    pub factory: Bytes,
    /// The proxy that an account is, as on public chains. Its constructor takes the implementation.
    pub proxy: Bytes,
    /// The module that checks an owner's signature.
    pub ecdsa_module: Bytes,
    /// The module that checks an owner's one signature for operations on several chains.
    pub multichain_module: Bytes,
    /// The module that checks that a session was granted.
    pub session_key_manager: Bytes,
    /// The module that checks batches of a session.
    pub batched_router: Bytes,
    /// The session validation module for ERC-20 transfers.
    pub erc20_module: Bytes,
    /// The session validation module whose check `quorate_core::evaluate` is.
    pub abi_module: Bytes,
    /// An ERC-721 token that anyone may mint.
    pub nft: Bytes,
    /// The paymaster that pays for what a service signs. Its constructor takes the owner, the entry point and the
    /// service's address.
    pub verifying_paymaster: Bytes,
    /// The paymaster that pays for what a service signs at EntryPoint v0.7. Its constructor takes the entry point and the
    /// service's address.
    pub verifying_paymaster_v0_7: Bytes,
    /// The paymaster that is paid in tokens. Its constructor takes the same.
    pub token_paymaster: Bytes,
    /// An ERC-20 token of six decimals that anyone may mint. Its constructor takes the name, the symbol, and whether
    /// an allowance has to be set to zero before it is changed.
    pub token: Bytes,
    /// MetaMask's delegation framework, by the contracts' names: the manager, whose constructor takes its owner, the
    /// accounts' implementations, whose constructors take the manager and EntryPoint v0.7, their factory, the library
    /// that one of them calls, and enforcers.
    pub delegation_framework: BTreeMap<String, Bytes>,
}

impl Contracts {
    /// Compiles the contracts, or takes what was compiled from the same sources before.
    ///
    /// The result stays in the folder that the toolchain is installed below.
    ///
    /// # Errors
    /// If the compiler fails, or the folder cannot be written.
    pub async fn compile(toolchain: &Toolchain, progress: &dyn Progress) -> Result<Self, CompileError> {
        let cache = toolchain.cache();
        let (settings, jobs) =
            (settings().to_string(), format!("{JOBS:?}{ARTIFACTS:?}{DELEGATION_CONTRACTS:?}"));
        let mut inputs = vec![toolchain.key(), COMPILE, &settings, &jobs];
        inputs.extend(OWN_SOURCES.map(|(_, source)| source));
        let key = cache::key(&inputs);
        let lock = cache::lock(cache).await?;
        let path = cache.join(format!("contracts-{key}.json"));
        if !path.exists() {
            progress.step(Step::CompileContracts);
            run_compilers(toolchain, &path).await?;
        }
        drop(lock);

        let text = fs::read_to_string(&path).map_err(CacheError::at("read", &path))?;
        let mut contracts: Self =
            serde_json::from_str(&text).map_err(|source| CompileError::Output { path, source })?;
        contracts.adopt_deployed_proxy()?;
        Ok(contracts)
    }

    /// Replaces the proxy by the one on public chains, so that accounts have the addresses that they have there.
    fn adopt_deployed_proxy(&mut self) -> Result<(), CompileError> {
        let compiled = self.proxy.clone();
        let mut deployed = compiled.to_vec();
        let hash_end = deployed.len().saturating_sub(AFTER_METADATA_HASH);
        if let Some(hash) = hash_end.checked_sub(32).and_then(|start| deployed.get_mut(start..hash_end)) {
            hash.copy_from_slice(PROXY_METADATA.as_slice());
        }
        let actual = keccak256(&deployed);
        if actual != PROXY_CODE_HASH {
            return Err(CompileError::ForeignProxy { actual });
        }

        let mut factory = self.factory.to_vec();
        let mut found = false;
        let mut position = 0;
        while let Some(candidate) = factory.get_mut(position..position + compiled.len()) {
            if *candidate == *compiled {
                candidate.copy_from_slice(&deployed);
                found = true;
            }
            position += 1;
        }
        if !found {
            return Err(CompileError::FactoryWithoutProxy);
        }
        self.factory = factory.into();
        self.proxy = deployed.into();
        Ok(())
    }
}

/// Runs one compiler for each job, and puts what they made into one file, whole or not at all.
async fn run_compilers(toolchain: &Toolchain, path: &Path) -> Result<(), CompileError> {
    let folder = tempfile::tempdir_in(toolchain.cache())
        .map_err(CacheError::at("make a folder in", toolchain.cache()))?;
    let watchdog =
        Watchdog::start().map_err(|source| CompileError::Compiler(ProcessError::Watchdog { source }))?;
    let watchdog = Arc::new(watchdog);

    let mut compilers = Vec::new();
    for (number, job) in JOBS.iter().enumerate() {
        let request_file = folder.path().join(format!("request-{number}.json"));
        let output_file = folder.path().join(format!("output-{number}.json"));
        let request = request(toolchain, job)?.to_string();
        fs::write(&request_file, request).map_err(CacheError::at("write", &request_file))?;
        let program = Program {
            name: "the Solidity compiler".to_owned(),
            program: Path::new("node"),
            arguments: vec![
                "-e".into(),
                COMPILE.into(),
                toolchain.folder().join("package.json").into(),
                request_file.into(),
                output_file.clone().into(),
            ],
            directory: folder.path(),
            log: toolchain.cache().join(format!("compiler-{number}.log")),
        };
        let compiler = Process::start(program, &watchdog).map_err(CompileError::Compiler)?;
        compilers.push((compiler, output_file));
    }

    let mut code = BTreeMap::<String, Value>::new();
    for (mut compiler, output_file) in compilers {
        compiler.finished(COMPILE_DEADLINE).await.map_err(CompileError::Compiler)?;
        let text = fs::read_to_string(&output_file).map_err(CacheError::at("read", &output_file))?;
        let output: BTreeMap<String, Value> = serde_json::from_str(&text)
            .map_err(|source| CompileError::Output { path: output_file, source })?;
        code.extend(output);
    }
    let whole = folder.path().join("contracts.json");
    fs::write(&whole, json!(code).to_string()).map_err(CacheError::at("write", &whole))?;
    fs::rename(&whole, path).map_err(CacheError::at("make", path))?;
    Ok(())
}

/// What `scripts/compile.cjs` wants to know.
fn request(toolchain: &Toolchain, job: &[(&str, &str, &str)]) -> Result<Value, CompileError> {
    let modules = toolchain.folder().join("node_modules");
    let mut sources = json!({});
    let mut selection = json!({});
    let mut contracts = json!({});
    let artifacts = BTreeMap::from(ARTIFACTS);
    for (key, file, contract) in job {
        let (unit, content) = match OWN_SOURCES.iter().find(|(own, _)| own == key) {
            Some((_, source)) => (format!("quorate/{file}"), (*source).to_owned()),
            None => {
                let unit = format!("{ACCOUNT_CONTRACTS}{file}");
                let path = modules.join(&unit);
                let content = fs::read_to_string(&path).map_err(CacheError::at("read", &path))?;
                (unit, content)
            }
        };
        contracts[key] = json!(format!("{unit}:{contract}"));
        selection[&unit] = json!({ *contract: ["evm.bytecode.object"] });
        sources[unit] = json!({ "content": content });
    }
    let mut settings = settings();
    settings["outputSelection"] = selection;
    Ok(json!({
        "input": { "language": "Solidity", "sources": sources, "settings": settings },
        "contracts": contracts,
        "artifacts": artifacts,
        "modules": {
            "delegation_framework": {
                "module": DELEGATION_FRAMEWORK,
                "names": DELEGATION_CONTRACTS,
                "library": hex::encode(P256_LIBRARY),
            },
        },
    }))
}

/// The settings that the deployed contracts were compiled with.
fn settings() -> Value {
    json!({ "viaIR": true, "optimizer": { "enabled": true, "runs": 800 } })
}
