-- "Quoc": by this the file is known.
PRAGMA application_id = 0x51756f63;

-- Calls that were sent under an id. A row is there before the operation leaves, and stays.
CREATE TABLE calls (
    -- The name of the token that sent them.
    token TEXT NOT NULL,
    id TEXT NOT NULL,
    -- As many bits as an unsigned number of 64 has.
    chain_id INTEGER NOT NULL,
    account TEXT NOT NULL,
    session TEXT NOT NULL,
    user_op_hash TEXT NOT NULL,
    -- As EIP-5792 has it.
    status INTEGER NOT NULL,
    -- JSON; NULL until they are known.
    receipts TEXT,
    PRIMARY KEY (token, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_calls ON calls (status) WHERE status = 100;
