-- The nonce of a user operation has 256 bits: the stream in the upper 192, the sequence in the lower 64.
CREATE TABLE wide_transactions (
    chain_id INTEGER NOT NULL,
    -- The key's, or that of its account.
    address BLOB NOT NULL CHECK (length(address) = 20),
    nonce BLOB NOT NULL CHECK (length(nonce) = 32),
    -- What the delegation manager is called with.
    data BLOB NOT NULL,
    -- Until when whoever reserved the nonce is waited for, while nothing is signed.
    reserved_until INTEGER NOT NULL,
    PRIMARY KEY (chain_id, address, nonce)
) STRICT, WITHOUT ROWID;
INSERT INTO wide_transactions (chain_id, address, nonce, data, reserved_until)
    SELECT chain_id, address, unhex(printf('%064x', nonce)), data, reserved_until FROM transactions;

-- As they are sent: the first of a nonce, and those with higher fees.
CREATE TABLE wide_signed (
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    address BLOB NOT NULL,
    nonce BLOB NOT NULL,
    encoded BLOB NOT NULL,
    FOREIGN KEY (chain_id, address, nonce) REFERENCES wide_transactions ON DELETE CASCADE
) STRICT;
INSERT INTO wide_signed (position, chain_id, address, nonce, encoded)
    SELECT position, chain_id, address, unhex(printf('%064x', nonce)), encoded FROM signed_transactions;

DROP TABLE signed_transactions;
DROP TABLE transactions;
ALTER TABLE wide_transactions RENAME TO transactions;
ALTER TABLE wide_signed RENAME TO signed_transactions;
CREATE INDEX signed_by_nonce ON signed_transactions (chain_id, address, nonce, position);
