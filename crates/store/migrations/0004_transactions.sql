-- Transactions of keys' own addresses, from before they are signed until the chain has one with their nonce.
CREATE TABLE transactions (
    chain_id INTEGER NOT NULL,
    -- The key's.
    address BLOB NOT NULL CHECK (length(address) = 20),
    nonce INTEGER NOT NULL,
    -- What it calls its contract with.
    data BLOB NOT NULL,
    -- Until when whoever reserved the nonce is waited for, while nothing is signed.
    reserved_until INTEGER NOT NULL,
    PRIMARY KEY (chain_id, address, nonce)
) STRICT, WITHOUT ROWID;

-- As they are sent: the first of a nonce, and those with higher fees.
CREATE TABLE signed_transactions (
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    address BLOB NOT NULL,
    nonce INTEGER NOT NULL,
    encoded BLOB NOT NULL,
    FOREIGN KEY (chain_id, address, nonce) REFERENCES transactions ON DELETE CASCADE
) STRICT;

CREATE INDEX signed_by_nonce ON signed_transactions (chain_id, address, nonce, position);
