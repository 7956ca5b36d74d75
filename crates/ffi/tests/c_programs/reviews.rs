//! Reviews in C against the vectors, and against the core's own.

use std::process::Command;

use quorate_core::delegation::*;
use quorate_core::*;
use quorate_ffi::Status;
use quorate_ffi::constants::{
    QUORATE_ABI_SESSION_VALIDATION_MODULE, QUORATE_ERC20_SESSION_VALIDATION_MODULE, QUORATE_MALFORMED,
    QUORATE_OK, QUORATE_REFUSED, QUORATE_SESSION_KEY_MANAGER,
};
use serde_json::Value;

use crate::arguments::{hex, packed, session, unhex, v0_6};
use crate::build::Program;

/// What a review came to: its lines, or the one of a refusal, which takes the place of all others, and its status.
#[derive(Debug, PartialEq, Eq)]
struct Reviewed {
    lines: Vec<String>,
    status: Status,
}

impl Reviewed {
    fn new(text: &str, status: Status) -> Self {
        let is_refusal = |line: &&str| line.starts_with("REFUSED: ");
        let lines = match text.lines().find(is_refusal) {
            Some(refusal) => vec![refusal.to_owned()],
            None => text.lines().map(str::to_owned).collect(),
        };
        Self { lines, status }
    }

    fn of_core(text: &str, is_done: bool) -> Self {
        Self::new(text, if is_done { QUORATE_OK } else { QUORATE_REFUSED })
    }

    /// All but the hash, which the vectors have elsewhere.
    fn without_hash(mut self) -> Self {
        self.lines.retain(|line| !line.starts_with("Hash of all this"));
        self
    }
}

fn review(program: &Program, arguments: &[String]) -> Reviewed {
    let output = program.run(Command::new(program.path()).args(arguments));
    let (shown, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let status = Status::try_from(output.status.code().unwrap()).unwrap();
    assert!(status <= QUORATE_REFUSED, "{status}: {errors}");
    // The whole reason is what the refusal shows.
    assert_eq!(
        shown.lines().find_map(|line| line.strip_prefix("REFUSED: ")).unwrap_or_default(),
        errors.trim_end()
    );
    Reviewed::new(&shown, status)
}

/// The vectors with what they trust.
struct Vectors(Value);

impl Vectors {
    fn read() -> Self {
        let text = std::fs::read_to_string("../../tests/vectors/device-review.json").unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn address(&self, of: &str, name: &str) -> Address {
        Address::from_slice(&unhex(&self.0[of][name]))
    }

    fn domain(&self) -> Domain {
        let chain_id = self.0["domain"]["chainId"].as_u64().unwrap();
        Domain { entry_point: self.address("domain", "entryPoint"), chain_id }
    }

    fn contracts(&self) -> [(Address, ContractRole, u32); 3] {
        let known = |name| self.address("trusted", name);
        [
            (known("sessionKeyManager"), ContractRole::SessionKeyManager, QUORATE_SESSION_KEY_MANAGER),
            (
                known("abiSessionValidationModule"),
                ContractRole::AbiSessionValidationModule,
                QUORATE_ABI_SESSION_VALIDATION_MODULE,
            ),
            (
                known("erc20SessionValidationModule"),
                ContractRole::Erc20SessionValidationModule,
                QUORATE_ERC20_SESSION_VALIDATION_MODULE,
            ),
        ]
    }

    fn signatures(&self) -> Vec<&str> {
        self.0["trusted"]["functions"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }

    fn functions(&self) -> Vec<KnownFunction<'_>> {
        self.signatures().into_iter().map(|text| KnownFunction::parse(text).unwrap()).collect()
    }

    /// The first arguments of the C program.
    fn begin(&self, what: &str) -> Vec<String> {
        let contracts = self.contracts().map(|(address, _, role)| format!("{}:{role}", hex(address)));
        vec![what.to_owned(), self.signatures().join(";"), contracts.join(";")]
    }

    fn cases(&self) -> Vec<Case> {
        self.0["cases"].as_array().unwrap().iter().map(Case::read).collect()
    }
}

/// An operation of v0.6 with its sessions.
struct Case {
    name: String,
    fields: Value,
    init_code: Vec<u8>,
    call_data: Vec<u8>,
    paymaster_and_data: Vec<u8>,
    sessions: Vec<(SessionEpoch, Address, Vec<u8>)>,
    expected: Reviewed,
}

impl Case {
    fn read(case: &Value) -> Self {
        let fields = case["operation"].clone();
        let lines = case["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        let lines: Vec<String> = lines.collect();
        let session = |session: &Value| {
            let time = |name: &str| session[name].as_u64().unwrap();
            (
                SessionEpoch::new(time("validAfter"), time("validUntil")).unwrap(),
                Address::from_slice(&unhex(&session["sessionValidationModule"])),
                unhex(&session["sessionKeyData"]),
            )
        };
        Self {
            name: case["name"].to_string(),
            init_code: unhex(&fields["initCode"]),
            call_data: unhex(&fields["callData"]),
            paymaster_and_data: unhex(&fields["paymasterAndData"]),
            sessions: case["sessions"].as_array().unwrap().iter().map(session).collect(),
            expected: Reviewed::of_core(&lines.join("\n"), case["refused"].is_null()),
            fields,
        }
    }

    fn number(&self, name: &str) -> U256 {
        self.fields[name].as_str().unwrap().parse().unwrap()
    }

    fn operation(&self) -> UserOperation<&[u8]> {
        UserOperation {
            sender: Address::from_slice(&unhex(&self.fields["sender"])),
            nonce: self.number("nonce"),
            init_code: &self.init_code,
            call_data: &self.call_data,
            call_gas_limit: self.number("callGasLimit"),
            verification_gas_limit: self.number("verificationGasLimit"),
            pre_verification_gas: self.number("preVerificationGas"),
            max_fee_per_gas: self.number("maxFeePerGas"),
            max_priority_fee_per_gas: self.number("maxPriorityFeePerGas"),
            paymaster_and_data: &self.paymaster_and_data,
        }
    }

    fn leaves(&self) -> Vec<SessionLeaf<'_>> {
        self.sessions
            .iter()
            .map(|(epoch, module, data)| SessionLeaf {
                epoch: *epoch,
                validation_module: *module,
                session_key_data: data,
            })
            .collect()
    }

    fn session_arguments(&self) -> Vec<String> {
        self.leaves().iter().flat_map(session).collect()
    }
}

#[test]
fn the_vectors_line_for_line() {
    let vectors = Vectors::read();
    for program in Program::with_and_without_sanitizers("review") {
        for case in vectors.cases() {
            let operation = v0_6(vectors.domain(), &case.operation());
            let arguments = [vectors.begin("grant"), operation, case.session_arguments()].concat();
            assert_eq!(review(&program, &arguments).without_hash(), case.expected, "{}", case.name);
        }
    }
}

/// The vectors' calls and sessions, at the later entry points: what the core shows, C does.
#[test]
fn later_entry_points_line_for_line() {
    let vectors = Vectors::read();
    let (domain, delegate) = (vectors.domain(), Address::repeat_byte(0xde));
    let marker = [&[0x77, 0x02][..], &[0; 18], b"first"].concat();
    let paymaster = [[0xad; 20].as_slice(), &[0; 31], &[9; 1], &[1; 30]].concat();
    // v0.9's signature of a paymaster: its bytes, their length, a magic number.
    let signed =
        [&paymaster[..], &[3; 65], &[0, 65], &[0x22, 0xe3, 0x25, 0xa2, 0x97, 0x43, 0x96, 0x56]].concat();
    let factory = vec![0xfa; 40];
    let heads = [(vec![], vec![], None), (factory, paymaster, None), (marker, signed, Some(delegate))];
    let halves = B256::from(U256::from(1_000_000) << 128 | U256::from(2_000_000));
    let mut done = 0;
    for program in Program::with_and_without_sanitizers("review") {
        for (at, version) in
            (0..).zip([EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9])
        {
            for ((init_code, paymaster_and_data, delegate), case) in
                heads.iter().flat_map(|head| vectors.cases().into_iter().map(move |case| (head, case)))
            {
                let operation = PackedUserOperation {
                    sender: case.operation().sender,
                    nonce: U256::from(7),
                    init_code: init_code.as_slice(),
                    call_data: case.call_data.as_slice(),
                    account_gas_limits: halves,
                    pre_verification_gas: U256::from(50_000),
                    gas_fees: halves,
                    paymaster_and_data,
                };
                let head = PackedUserOperation {
                    sender: operation.sender,
                    nonce: operation.nonce,
                    init_code: operation.init_code,
                    call_data: (),
                    account_gas_limits: operation.account_gas_limits,
                    pre_verification_gas: operation.pre_verification_gas,
                    gas_fees: operation.gas_fees,
                    paymaster_and_data: operation.paymaster_and_data,
                };
                let head = OperationHead::unpack(version, &head, *delegate).unwrap();
                let expected = of_core(&vectors, domain, &head, &case);
                done += usize::from(expected.status == QUORATE_OK);
                let arguments = packed(at, domain, &operation, *delegate);
                let arguments = [vectors.begin("grant"), arguments, case.session_arguments()].concat();
                assert_eq!(review(&program, &arguments), expected, "{version} {}", case.name);
            }
        }
    }
    assert!(done >= 12, "{done}");
}

/// The core's own review.
fn of_core(vectors: &Vectors, domain: Domain, head: &OperationHead<'_>, case: &Case) -> Reviewed {
    let contracts = vectors.contracts().map(|(address, role, _)| TrustedContract { address, role });
    let functions = vectors.functions();
    let trusted = TrustedContext { contracts: &contracts, functions: &functions };
    let mut shown = String::new();
    let mut state: ReviewState<'_, _> = ReviewState::new(trusted, Text(&mut shown));
    let ended = state.begin(domain, head).and_then(|()| {
        case.leaves().iter().try_for_each(|leaf| state.session(leaf))?;
        state.call_data(&case.call_data)?;
        state.finish()
    });
    drop(state);
    Reviewed::of_core(&shown, ended.is_ok())
}

#[test]
fn a_session_s_use_line_for_line() {
    let vectors = Vectors::read();
    let grant = vectors.cases().remove(0);
    let (epoch, module, data) = &grant.sessions[1];
    let leaf = SessionLeaf { epoch: *epoch, validation_module: *module, session_key_data: data };
    let friend = Address::repeat_byte(0xcc);
    for (amount, is_allowed) in [(999_u64, true), (1001, false)] {
        let amount = U256::from(amount).to_be_bytes::<32>();
        // A word more than the function takes, since a rule looks at one that starts in the middle.
        let transfer = [&[0xa9, 0x05, 0x9c, 0xbb], friend.into_word().as_slice(), &amount, &[0; 32]].concat();
        let mut call_data = Vec::new();
        let call = Call { to: Address::repeat_byte(0xaa), value: U256::ZERO, data: &transfer };
        Execute(call).write_to(&mut VecSink(&mut call_data)).unwrap();
        let operation = UserOperation { call_data: call_data.as_slice(), ..grant.operation() };
        let contracts = vectors.contracts().map(|(address, role, _)| TrustedContract { address, role });
        let functions = vectors.functions();
        let mut shown = String::new();
        let trusted = TrustedContext { contracts: &contracts, functions: &functions };
        let mut state: ReviewState<'_, _> = ReviewState::new(trusted, Text(&mut shown));
        let head = OperationHead::V0_6(operation.with_call_data(()));
        let ended = state.session_use(vectors.domain(), &head, &call_data, &leaf);
        drop(state);
        assert_eq!(ended.is_ok(), is_allowed);
        let expected = Reviewed::of_core(&shown, is_allowed);
        for program in Program::with_and_without_sanitizers("review") {
            let arguments =
                [vectors.begin("use"), v0_6(vectors.domain(), &operation), session(&leaf)].concat();
            assert_eq!(review(&program, &arguments), expected);
        }
    }
}

/// A `Vec` as a sink, whatever the core's features.
struct VecSink<'a>(&'a mut Vec<u8>);

impl Sink for VecSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn a_kept_session_is_shown_where_this_device_signed_it() {
    let vectors = Vectors::read();
    let grant = vectors.cases().remove(0);
    let manager = vectors.address("trusted", "sessionKeyManager");
    let (leaf, other) = (B256::repeat_byte(7), B256::repeat_byte(8));
    let signed = merkle::root(&[leaf, other]).unwrap();
    // The grant's own sessions, the first of which is given by its leaf alone.
    let (leaves, mut arguments) = (grant.leaves(), vectors.begin("grant"));
    arguments.extend(v0_6(vectors.domain(), &grant.operation()));
    let first = leaves[0].hash();
    let proof = merkle::Proof::of(&[other, first], first).unwrap();
    for (siblings, root, status) in [
        (proof.siblings(), proof.root(), QUORATE_OK),
        (&[], proof.root(), QUORATE_REFUSED),
        (&[other], signed, QUORATE_REFUSED),
    ] {
        let siblings: String = siblings.iter().map(hex).collect();
        let kept = ["kept".to_owned(), hex(first), siblings, hex(manager), hex(root)];
        let others = leaves[1..].iter().flat_map(session);
        let arguments: Vec<String> = arguments.iter().cloned().chain(kept).chain(others).collect();
        for program in Program::with_and_without_sanitizers("review") {
            let reviewed = review(&program, &arguments);
            assert_eq!(reviewed.status, status, "{reviewed:?}");
            let kept = format!("  DANGER: unknown session, kept as signed on this device {first}");
            assert_eq!(reviewed.lines.contains(&kept), status == QUORATE_OK, "{reviewed:?}");
        }
    }
}

#[test]
fn a_key_request_line_for_line() {
    let key = format!("0x{}", "01".repeat(32));
    let address = |byte: u8| Address::repeat_byte(byte).to_string().to_lowercase();
    let mut known = TrustedContext::CANONICAL.contracts.iter();
    let module = known.find(|known| known.role == ContractRole::Erc20SessionValidationModule).unwrap();
    let allowed = format!(
        concat!(
            r#"{{"version":1,"owner":"{}","account":"{}","chainId":137,"entryPoint":"{}","sessionKeyManager":"{}","#,
            r#""policies":[{{"validationModule":"{}","kind":"erc20","token":"{}","recipient":"{}","maxAmount":"0x5","#,
            r#""validAfter":0,"validUntil":1900000000}}]}}"#
        ),
        address(1),
        address(2),
        address(3),
        address(4),
        module.address.to_string().to_lowercase(),
        address(5),
        address(6),
    );
    let mut hasher = Keccak256::new();
    hasher.update(&allowed);
    let ephemeral = format!(r#"{{"ephId":"app","ephPK":"{key}","expiry":1900000000}}"#);
    let claim = format!(r#"{{"network":"{key}","chainId":137,"permissions":"{:#x}"}}"#, hasher.finalize());
    let (ephemeral, claim, key) = ((2, ephemeral.as_str()), (4, claim.as_str()), (2, key.as_str()));
    let cases: &[&[(u16, &str)]] = &[&[ephemeral, claim], &[key], &[claim], &[key, key], &[(9, "x")]];
    let mut done = 0;
    for program in Program::with_and_without_sanitizers("review") {
        for (case, permissions, threshold) in cases.iter().flat_map(|case| {
            let whole = allowed.as_str();
            [(case, whole, 1), (case, whole, 3), (case, whole, 6), (case, "", 3), (case, &whole[1..], 3)]
        }) {
            let metadata: Vec<_> = case.iter().map(|(tag, value)| TaggedValue { tag: *tag, value }).collect();
            let request = KeyRequest { threshold, nodes: 5, metadata: &metadata, challenge: "9f9f" };
            let mut shown = String::new();
            let mut state = KeyRequestReview::new(TrustedContext::CANONICAL, Text(&mut shown));
            let ended = state.begin(&request).and_then(|()| {
                permissions.as_bytes().chunks(33).try_for_each(|piece| state.permissions(piece))?;
                state.finish()
            });
            done += usize::from(ended.is_ok());
            let mut arguments =
                ["request", &threshold.to_string(), "5", "9f9f", permissions].map(str::to_owned).to_vec();
            arguments.extend(case.iter().flat_map(|(tag, value)| [tag.to_string(), (*value).to_owned()]));
            assert_eq!(review(&program, &arguments), Reviewed::of_core(&shown, ended.is_ok()), "{case:?}");
        }
    }
    // The whole request with its permissions and without, and the one that claims none.
    assert_eq!(done, 2 * 4);
}

#[test]
fn a_delegation_line_for_line() {
    let [owner, key, nft, stranger] = [1, 2, 3, 4].map(Address::repeat_byte);
    let at = |enforcer: Enforcer, terms| Caveat { enforcer: enforcer.address_v1_3_0(), terms };
    let (limit, short) = (U256::from(5).to_be_bytes::<32>(), [7; 31]);
    let whole = [
        at(Enforcer::AllowedTargets, nft.as_slice()),
        at(Enforcer::AllowedMethods, &[0xa9, 0x05, 0x9c, 0xbb]),
        at(Enforcer::LimitedCalls, &limit),
    ];
    let unknown = [Caveat { enforcer: stranger, terms: b"unknown" }];
    let unreadable = [at(Enforcer::LimitedCalls, &short)];
    let delegation = |caveats, signature| Delegation {
        delegate: key,
        delegator: owner,
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(caveats),
        salt: U256::from(9),
        signature,
    };
    let good = delegation(&whole[..], &[]);
    let encoded = |delegations: &[Delegation<'_>]| {
        let mut bytes = Vec::new();
        Delegations(delegations).write_to(&mut VecSink(&mut bytes)).unwrap();
        bytes
    };
    let (one, known) = (encoded(&[good]), MANAGER_V1_3_0);
    let mut altered = one.clone();
    altered[3 * 32] = 1; // above the delegate's address
    let cases = [
        (known, one.clone(), QUORATE_OK),
        (stranger, one.clone(), QUORATE_OK),
        (known, encoded(&[delegation(&whole, &[0x51; 65])]), QUORATE_OK),
        (known, encoded(&[delegation(&unknown, &[])]), QUORATE_OK),
        (known, encoded(&[delegation(&[], &[])]), QUORATE_OK),
        (known, encoded(&[delegation(&unreadable, &[])]), QUORATE_REFUSED),
        (known, encoded(&[good, good]), QUORATE_MALFORMED),
        (known, encoded(&[]), QUORATE_MALFORMED),
        (known, one[..one.len() - 32].to_vec(), QUORATE_MALFORMED),
        (known, altered, QUORATE_MALFORMED),
    ];
    let signature = "transfer(address to, uint256 amount)";
    let functions = [KnownFunction::parse(signature).unwrap()];
    let trusted = TrustedContext { functions: &functions, ..TrustedContext::CANONICAL };
    let first = |bytes| Context::parse(bytes).ok().filter(|context| context.len() == 1)?.get(0);
    for program in Program::with_and_without_sanitizers("review") {
        for (manager, bytes, status) in &cases {
            let domain = DelegationDomain { chain_id: 8453, manager: *manager };
            let mut shown = String::new();
            let reviewed = first(bytes).map(|delegation| {
                DelegationReview::new(trusted, Text(&mut shown)).review(domain, &delegation)
            });
            // What cannot be read is not the core's to show.
            let expected = reviewed.is_some().then(|| {
                shown.extend(reviewed.and_then(Result::ok).map(|digest| hex(digest) + "\n"));
                Reviewed::new(&shown, *status)
            });
            let arguments =
                ["delegation", signature, "-", "8453", &hex(manager), &hex(bytes)].map(str::to_owned);
            let found = review(&program, &arguments);
            assert_eq!(found.status, *status, "{found:?}");
            match expected {
                Some(expected) => assert_eq!(found, expected),
                None => assert_eq!(found.lines.len(), 1, "{found:?}"),
            }
        }
    }
}
