//! From policies to the call that makes them sessions of an account, without a heap:
//! policy → session key data → leaf → root → `setMerkleRoot`.

use std::error::Error;

use quorate_core::{
    Address, Call, Condition, Encode as _, Execute, Policy, Rule, SessionEpoch, SessionKeyData, SessionLeaf,
    SliceSink, U256, address, merkle,
};

/// The module of the account that keeps the root, and the one that checks policies; the same on all chains.
const SESSION_KEY_MANAGER: Address = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
const ABI_SESSION_VALIDATION_MODULE: Address = address!("000006bC2eCdAe38113929293d241Cf252D91861");
/// `setMerkleRoot(bytes32)`.
const SET_MERKLE_ROOT: [u8; 4] = [0x7c, 0xb6, 0x47, 0x59];

fn main() -> Result<(), Box<dyn Error>> {
    let token = address!("B064FdA81e2C5d376f22A130b4bd3767d9D97b12");
    let friend = address!("50DE1296dD5bD87dD44c670048dceB39B3c9B7ab");
    let session_key = address!("5A31122D729fC0E8580AEAaB63fbf6c8EBA7ad23");
    let until = SessionEpoch::new(0, 1_900_000_000)?;

    // Offsets are in bytes after the selector.
    let mint: Policy = Policy::new(token, "safeMint(address)".parse()?)
        .with_rule(Rule::new(0, Condition::Equal, friend))?
        .with_epoch(until);
    let transfer = Policy::new(token, "transfer(address,uint256)".parse()?)
        .with_rule(Rule::new(0, Condition::Equal, friend))?
        .with_rule(Rule::new(32, Condition::LessThanOrEqual, U256::from(1000)))?
        .with_epoch(until);

    let mut leaves = heapless::Vec::<_, 8>::new();
    for policy in [mint, transfer] {
        // A session's signature carries this, so it is kept.
        let mut buffer = [0; 512];
        let mut session_key_data = SliceSink::new(&mut buffer);
        SessionKeyData::new(session_key, &policy).write_to(&mut session_key_data)?;
        let leaf = SessionLeaf {
            epoch: policy.epoch(),
            validation_module: ABI_SESSION_VALIDATION_MODULE,
            session_key_data: session_key_data.written(),
        };
        println!("leaf          {}", leaf.hash());
        leaves.push(leaf.hash()).map_err(|_| "more policies than there is room for")?;
    }

    // Room for twice as many nodes as leaves, and some.
    let mut scratch = [Default::default(); merkle::TreeRef::node_count(8)];
    let tree = merkle::TreeRef::new(&leaves, &mut scratch)?;
    println!("root          {}", tree.root());
    for (index, leaf) in leaves.iter().enumerate() {
        let siblings: heapless::Vec<_, 3> = tree.siblings(index).into_iter().flatten().collect();
        assert!(merkle::verify(tree.root(), *leaf, &siblings));
    }

    // What the account is called with, in a user operation that its owner signs.
    let mut set_root = [0; 36];
    let mut sink = SliceSink::new(&mut set_root);
    SET_MERKLE_ROOT.as_slice().write_to(&mut sink)?;
    tree.root().as_slice().write_to(&mut sink)?;
    let mut buffer = [0; 256];
    let mut call_data = SliceSink::new(&mut buffer);
    let call = Call { to: SESSION_KEY_MANAGER, value: U256::ZERO, data: &set_root };
    Execute(call).write_to(&mut call_data)?;
    println!("call data     {}", alloy_primitives::hex::encode_prefixed(call_data.written()));
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
