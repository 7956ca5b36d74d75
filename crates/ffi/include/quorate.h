/* quorate.h: what quorate-core knows of session grants, for C.
 *
 * Nothing here allocates, does input or output, or keeps anything between calls. All numbers in byte arrays are
 * big-endian. A pointer may be null only where the comment says so, or where its length is 0. What a function is given
 * is read during the call, and longer only where the comment says so.
 */
#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call ends. Nothing may be signed after anything but QUORATE_OK. */
typedef enum quorate_status {
    QUORATE_OK = 0,
    QUORATE_NULL = 1,       /* a pointer is null that may not be */
    QUORATE_MALFORMED = 2,  /* an argument cannot be read: a time of more than 48 bits, a short field */
    QUORATE_REFUSED = 3,    /* the review or the evaluation refuses; the reason was written */
    QUORATE_TOO_SMALL = 4   /* the memory for a review is too small, or not aligned */
} quorate_status;

typedef struct quorate_bytes {
    const uint8_t *data;
    size_t len;
} quorate_bytes;

/* Takes text that is to be shown or told, in UTF-8 without a final zero, piece by piece; lines end in '\n'. Returns 0
 * when it was taken; anything else ends the review with QUORATE_REFUSED. */
typedef int (*quorate_write)(void *context, const char *text, size_t len);

/* The entry point's version. */
#define QUORATE_V0_6 6
#define QUORATE_V0_7 7
#define QUORATE_V0_8 8
#define QUORATE_V0_9 9

/* A user operation without its call data (ERC-4337). From v0.7 on the fields are packed as the entry point takes them.
 * v0.6 reads call_gas_limit … max_priority_fee_per_gas; later versions read account_gas_limits and gas_fees instead. */
typedef struct quorate_operation {
    uint32_t version;
    uint8_t entry_point[20];
    uint64_t chain_id;
    uint8_t sender[20];
    uint8_t nonce[32];
    quorate_bytes init_code;
    uint8_t call_gas_limit[32];
    uint8_t verification_gas_limit[32];
    uint8_t pre_verification_gas[32];
    uint8_t max_fee_per_gas[32];
    uint8_t max_priority_fee_per_gas[32];
    uint8_t account_gas_limits[32];
    uint8_t gas_fees[32];
    quorate_bytes paymaster_and_data;
    /* Where init_code starts with the EIP-7702 marker: the account's delegate; else null. */
    const uint8_t *delegate;
} quorate_operation;

/* A session as the tree of an account's sessions holds it. Times are seconds since 1970, 0 for none. */
typedef struct quorate_session {
    uint64_t valid_after;
    uint64_t valid_until;
    uint8_t validation_module[20];
    quorate_bytes session_key_data;
} quorate_session;

/* The hash that names an operation. */
quorate_status quorate_user_op_hash(const quorate_operation *operation, quorate_bytes call_data, uint8_t hash[32]);

/* What is signed for a user operation hash: EIP-191's digest of it. */
quorate_status quorate_signing_hash(const uint8_t user_op_hash[32], uint8_t digest[32]);

/* A session's leaf. */
quorate_status quorate_session_leaf(const quorate_session *session, uint8_t leaf[32]);

/* Whether a leaf is under a root: QUORATE_OK or QUORATE_REFUSED. `siblings` is `count` times 32 bytes. */
quorate_status quorate_verify_proof(const uint8_t root[32], const uint8_t leaf[32], const uint8_t *siblings,
                                    size_t count);

/* What the ABI session validation module says of the account's call data. Where it refuses, its reason is written; the
 * session key, which has to have signed, is given where it does not. */
quorate_status quorate_evaluate(quorate_bytes session_key_data, quorate_bytes call_data, uint8_t session_key[20],
                                quorate_write write, void *context);

/* What the reviewer knows by itself, and is not told by whoever asks for a signature. The arguments of a token's usual
 * functions it names as well. */
typedef struct quorate_known {
    uint8_t session_key_manager[20];
    uint8_t abi_session_validation_module[20];
} quorate_known;

/* A review in progress, in memory of the caller's. */
typedef struct quorate_review quorate_review;

/* What a review needs: so many bytes at an address that is a multiple of QUORATE_REVIEW_ALIGN. */
#define QUORATE_REVIEW_SIZE 4096
#define QUORATE_REVIEW_ALIGN 16

/* Begins the review of an operation, whose fields, `write` and `context` are used until it ends. The lines come with the
 * calls that follow: each session of a grant, then the call data in pieces of any length, then the end, which gives the
 * hash to sign if what was shown is approved. Where a call refuses, its reason is the last line, and the review is over. */
quorate_status quorate_review_begin(void *memory, size_t size, const quorate_known *known,
                                    const quorate_operation *operation, quorate_write write, void *context,
                                    quorate_review **review);
quorate_status quorate_review_session(quorate_review *review, const quorate_session *session);
quorate_status quorate_review_call_data(quorate_review *review, quorate_bytes piece);
quorate_status quorate_review_finish(quorate_review *review, uint8_t hash[32]);

#ifdef __cplusplus
}
#endif
#endif
