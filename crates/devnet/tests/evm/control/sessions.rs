//! The sessions that operations grant and that reviews are shown.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256};
use quorate_core::{
    Condition, Encode, Erc20Policy, Erc20SessionKeyData, Leaf, Policy, Rule, SessionEpoch, SessionKeyData,
    merkle,
};

use super::chain::{AT, FRIEND, TOKEN};
use crate::session_signer;

/// Sessions with the root of their tree.
pub(crate) struct Grant {
    pub(crate) root: B256,
    pub(crate) sessions: Vec<Leaf>,
}

impl Grant {
    fn new(sessions: Vec<Leaf>) -> Self {
        let leaves: Vec<B256> = sessions.iter().map(Leaf::hash).collect();
        Self { root: merkle::root(&leaves).unwrap(), sessions }
    }
}

/// One session, two, and one that the module for tokens checks.
pub(crate) static GRANTS: LazyLock<[Grant; 3]> = LazyLock::new(|| {
    [
        Grant::new(vec![mint(FRIEND)]),
        Grant::new(vec![mint(FRIEND), mint(TOKEN)]),
        Grant::new(vec![mint(FRIEND), tokens()]),
    ]
});

fn mint(to: Address) -> Leaf {
    let policy = Policy::<16>::new(TOKEN, "safeMint(address)".parse().unwrap())
        .with_rule(Rule::new(0, Condition::Equal, to))
        .unwrap();
    Leaf {
        epoch: SessionEpoch::new(0, 1_900_000_000).unwrap(),
        validation_module: AT.abi_session_validation_module,
        session_key_data: SessionKeyData::new(session_signer().address(), &policy).to_vec(),
    }
}

fn tokens() -> Leaf {
    let policy = Erc20Policy {
        token: TOKEN,
        recipient: FRIEND,
        max_amount: U256::from(1_000),
        epoch: SessionEpoch::new(0, 1_900_000_000).unwrap(),
    };
    Leaf {
        epoch: policy.epoch,
        validation_module: AT.erc20_session_validation_module,
        session_key_data: Erc20SessionKeyData::new(session_signer().address(), policy).to_vec(),
    }
}
