-- Keys of networks to which accounts delegate. All of a row is bound to `sealed`.
CREATE TABLE delegated_keys (
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    -- The account that delegates.
    delegator BLOB NOT NULL CHECK (length(delegator) = 20),
    -- The key's.
    address BLOB NOT NULL CHECK (length(address) = 20),
    key_id TEXT NOT NULL,
    -- What it may sign, as JSON.
    permissions TEXT NOT NULL,
    -- Seconds since 1970.
    created INTEGER NOT NULL,
    -- The key, encrypted.
    sealed BLOB NOT NULL,
    UNIQUE (chain_id, delegator, address)
) STRICT;
