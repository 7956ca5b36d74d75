/* quorate.h: what quorate-core knows of session grants, for C.
 *
 * It is made of the library's sources, and changed there.
 *
 * Nothing here allocates, does input or output, or keeps anything between calls, but in a review of the caller's. All
 * numbers in byte arrays are big-endian. A pointer may be null only where the comment says so, or where its length is 0;
 * what is not null points to as much as its type or its length says. What a function is given is read during the call,
 * and longer only where the comment says so. Different reviews may be used by different threads.
 */

#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

// What an item's value is. New ones are added at the end.
#define QUORATE_LABEL_ACCOUNT 0
#define QUORATE_LABEL_CHAIN 1
#define QUORATE_LABEL_ENTRY_POINT 2
#define QUORATE_LABEL_UNKNOWN_ENTRY_POINT 3
#define QUORATE_LABEL_NONCE 4
#define QUORATE_LABEL_FACTORY 5
#define QUORATE_LABEL_FACTORY_DATA 6
#define QUORATE_LABEL_DELEGATE 7
#define QUORATE_LABEL_DELEGATE_DATA 8
#define QUORATE_LABEL_FEES 9
#define QUORATE_LABEL_MAX_FEE_PER_GAS 10
#define QUORATE_LABEL_MAX_PRIORITY_FEE_PER_GAS 11
#define QUORATE_LABEL_CALL_GAS 12
#define QUORATE_LABEL_VERIFICATION_GAS 13
#define QUORATE_LABEL_PRE_VERIFICATION_GAS 14
#define QUORATE_LABEL_PAYMASTER_VERIFICATION_GAS 15
#define QUORATE_LABEL_POST_OP_GAS 16
#define QUORATE_LABEL_PAID_BY_ACCOUNT 17
#define QUORATE_LABEL_PAYMASTER 18
#define QUORATE_LABEL_PAYMASTER_DATA 19
#define QUORATE_LABEL_IGNORED_PAYMASTER_DATA 20
#define QUORATE_LABEL_UNSIGNED_PAYMASTER_BYTES 21
#define QUORATE_LABEL_SESSION 22
#define QUORATE_LABEL_SESSION_KEY 23
#define QUORATE_LABEL_CONTRACT 24
#define QUORATE_LABEL_FUNCTION 25
#define QUORATE_LABEL_VALUE_LIMIT 26
#define QUORATE_LABEL_RULE 27
#define QUORATE_LABEL_ANY_ARGUMENTS 28
#define QUORATE_LABEL_FROM_NOW 29
#define QUORATE_LABEL_FROM 30
#define QUORATE_LABEL_WITHOUT_END 31
#define QUORATE_LABEL_UNTIL 32
#define QUORATE_LABEL_TOKEN 33
#define QUORATE_LABEL_RECIPIENT 34
#define QUORATE_LABEL_MAX_AMOUNT 35
#define QUORATE_LABEL_KEPT_SESSION 36
#define QUORATE_LABEL_LINT 37
#define QUORATE_LABEL_CONTROLS_ACCOUNT 38
#define QUORATE_LABEL_CALL 39
#define QUORATE_LABEL_NO_CALLS 40
#define QUORATE_LABEL_TO 41
#define QUORATE_LABEL_CALLED_FUNCTION 42
#define QUORATE_LABEL_ARGUMENT 43
#define QUORATE_LABEL_MORE_DATA 44
#define QUORATE_LABEL_SHORT_DATA 45
#define QUORATE_LABEL_WITHOUT_DATA 46
#define QUORATE_LABEL_SENDS 47
#define QUORATE_LABEL_GRANTS_SESSIONS 48
#define QUORATE_LABEL_ROOT 49
#define QUORATE_LABEL_ENDS_ALL_SESSIONS 50
#define QUORATE_LABEL_UNKNOWN_ROOT 51
#define QUORATE_LABEL_ENABLES_SESSIONS 52
#define QUORATE_LABEL_ENABLES_KNOWN_MODULE 53
#define QUORATE_LABEL_ENABLES_MODULE 54
#define QUORATE_LABEL_DISABLES_MODULE 55
#define QUORATE_LABEL_PREVIOUS_MODULE 56
#define QUORATE_LABEL_SETS_FALLBACK_HANDLER 57
#define QUORATE_LABEL_UPDATES_IMPLEMENTATION 58
#define QUORATE_LABEL_DEPOSITS 59
#define QUORATE_LABEL_DEPOSITS_FOR 60
#define QUORATE_LABEL_WITHDRAWS 61
#define QUORATE_LABEL_AMOUNT 62
#define QUORATE_LABEL_ADDS_STAKE 63
#define QUORATE_LABEL_UNLOCKS_STAKE 64
#define QUORATE_LABEL_WITHDRAWS_STAKE 65
#define QUORATE_LABEL_INCREMENTS_NONCE 66
#define QUORATE_LABEL_TRANSFERS_OWNERSHIP 67
#define QUORATE_LABEL_RENOUNCES_OWNERSHIP 68
#define QUORATE_LABEL_SETS_FIRST_OWNER 69
#define QUORATE_LABEL_ALLOWS 70
#define QUORATE_LABEL_ALLOWED_AMOUNT 71
#define QUORATE_LABEL_ALLOWED_WITHOUT_LIMIT 72
#define QUORATE_LABEL_ALLOWS_ALL 73
#define QUORATE_LABEL_GIVES_AWAY_CONTRACT 74
#define QUORATE_LABEL_UNREADABLE 75
#define QUORATE_LABEL_HASH 76
#define QUORATE_LABEL_OPERATION 77
#define QUORATE_LABEL_OPERATIONS_ROOT 78
#define QUORATE_LABEL_USE 79
#define QUORATE_LABEL_REFUSED 80
#define QUORATE_LABEL_KEY_REQUEST 81
#define QUORATE_LABEL_THRESHOLD 82
#define QUORATE_LABEL_EPHEMERAL_KEY 83
#define QUORATE_LABEL_EPHEMERAL_NAME 84
#define QUORATE_LABEL_EPHEMERAL_WITHOUT_END 85
#define QUORATE_LABEL_EPHEMERAL_UNTIL 86
#define QUORATE_LABEL_NETWORK 87
#define QUORATE_LABEL_PERMISSIONS 88
#define QUORATE_LABEL_PERMISSIONS_NOT_SHOWN 89
#define QUORATE_LABEL_PERMISSIONS_NOT_SIGNED 90
#define QUORATE_LABEL_ONE_NODE_SIGNS 91
#define QUORATE_LABEL_PERMITTED_OWNER 92
#define QUORATE_LABEL_PERMITTED_ACCOUNT 93
#define QUORATE_LABEL_PERMITTED_ENTRY_POINT 94
#define QUORATE_LABEL_PERMITTED_MANAGER 95
#define QUORATE_LABEL_VALIDATION_MODULE 96
#define QUORATE_LABEL_UNKNOWN_VALIDATION_MODULE 97
#define QUORATE_LABEL_USES_LIMIT 98
#define QUORATE_LABEL_WINDOW_USES_LIMIT 99
#define QUORATE_LABEL_WINDOW_SECONDS 100
#define QUORATE_LABEL_NATIVE_VALUE_LIMIT 101
#define QUORATE_LABEL_GAS_COST_LIMIT 102
#define QUORATE_LABEL_LIMITED_CONTRACT 103
#define QUORATE_LABEL_LIMITED_FUNCTION 104
#define QUORATE_LABEL_LIMITED_ARGUMENT 105
#define QUORATE_LABEL_LIMITED_TOTAL 106
#define QUORATE_LABEL_PAYMASTER_REQUIRED 107
#define QUORATE_LABEL_PAYMASTER_FORBIDDEN 108
#define QUORATE_LABEL_ADMISSION_TOKEN 109
#define QUORATE_LABEL_CHALLENGE 110
#define QUORATE_LABEL_WINDOW_VALUE_LIMIT 111
#define QUORATE_LABEL_WINDOW_GAS_LIMIT 112
#define QUORATE_LABEL_LIMITED_WINDOW_SECONDS 113
#define QUORATE_LABEL_DELEGATOR 192
#define QUORATE_LABEL_DELEGATION_MANAGER 193
#define QUORATE_LABEL_UNKNOWN_MANAGER 194
#define QUORATE_LABEL_DELEGATE_KEY 195
#define QUORATE_LABEL_PASSES_ON 196
#define QUORATE_LABEL_CAVEAT 197
#define QUORATE_LABEL_ALLOWED_CONTRACT 198
#define QUORATE_LABEL_CALL_DATA_AT 199
#define QUORATE_LABEL_CALL_DATA_LEN 200
#define QUORATE_LABEL_CALL_DATA_WORD 201
#define QUORATE_LABEL_CALL_DATA_BYTES 202
#define QUORATE_LABEL_EXACT_DATA 203
#define QUORATE_LABEL_SENDS_ONLY 204
#define QUORATE_LABEL_REDEEMED_AT_MOST 205
#define QUORATE_LABEL_COIN_IN_ALL 206
#define QUORATE_LABEL_TRANSFERS_TOKEN 207
#define QUORATE_LABEL_TOKEN_IN_ALL 208
#define QUORATE_LABEL_COIN_IN_PERIOD 209
#define QUORATE_LABEL_TOKEN_IN_PERIOD 210
#define QUORATE_LABEL_PERIOD_SECONDS 211
#define QUORATE_LABEL_COUNTED_FROM 212
#define QUORATE_LABEL_COIN_AT_ONCE 213
#define QUORATE_LABEL_TOKEN_AT_ONCE 214
#define QUORATE_LABEL_COIN_PER_SECOND 215
#define QUORATE_LABEL_TOKEN_PER_SECOND 216
#define QUORATE_LABEL_COIN_OF_STREAM 217
#define QUORATE_LABEL_REDEEMER 218
#define QUORATE_LABEL_WHILE_NONCE 219
#define QUORATE_LABEL_USES_ID 220
#define QUORATE_LABEL_AFTER_BLOCK 221
#define QUORATE_LABEL_BEFORE_BLOCK 222
#define QUORATE_LABEL_REVOCATIONS 223
#define QUORATE_LABEL_UNKNOWN_CAVEAT 224
#define QUORATE_LABEL_UNKNOWN_TERMS 225
#define QUORATE_LABEL_SALT 226
#define QUORATE_LABEL_DELEGATION_HASH 227


// The version's first number. Where it is 0, the second says what does not fit together.
#define QUORATE_VERSION_MAJOR 0

// The version's second number.
#define QUORATE_VERSION_MINOR 1

// The version's third number.
#define QUORATE_VERSION_PATCH 0

// The header's version as one number, which grows.
#define QUORATE_VERSION (((QUORATE_VERSION_MAJOR << 16) | (QUORATE_VERSION_MINOR << 8)) | QUORATE_VERSION_PATCH)

// EntryPoint v0.6.
#define QUORATE_V0_6 6

// EntryPoint v0.7.
#define QUORATE_V0_7 7

// EntryPoint v0.8.
#define QUORATE_V0_8 8

// EntryPoint v0.9.
#define QUORATE_V0_9 9

// What is done.
#define QUORATE_INFO 0

// What most owners would not want.
#define QUORATE_WARNING 1

// What can cost the owner the account or all that is in it.
#define QUORATE_DANGER 2

// Why nothing is signed. Such an item is the last one, and takes the place of all before it.
#define QUORATE_REFUSAL 3

// The longest value in bytes. An item whose value is longer is not shown, and the review refuses.
#define QUORATE_VALUE_SIZE 512

// A role: the module that keeps the roots of accounts' sessions.
#define QUORATE_SESSION_KEY_MANAGER 1

// A role: a module that keeps accounts' owners.
#define QUORATE_OWNERSHIP_MODULE 2

// A role: a module by which one signature of the owner's is good on several chains.
#define QUORATE_MULTICHAIN_MODULE 3

// A role: the module that checks each call of a batch against a session.
#define QUORATE_BATCHED_SESSION_ROUTER 4

// A role: the session validation module whose policies are rules on arguments.
#define QUORATE_ABI_SESSION_VALIDATION_MODULE 5

// A role: the session validation module for transfers of ERC-20 tokens.
#define QUORATE_ERC20_SESSION_VALIDATION_MODULE 6

// A role: EntryPoint v0.6.
#define QUORATE_ENTRY_POINT_V0_6 16

// A role: EntryPoint v0.7.
#define QUORATE_ENTRY_POINT_V0_7 17

// A role: EntryPoint v0.8.
#define QUORATE_ENTRY_POINT_V0_8 18

// A role: EntryPoint v0.9.
#define QUORATE_ENTRY_POINT_V0_9 19

// The most contracts that a review is given.
#define QUORATE_MAX_CONTRACTS 16

// The most functions that a review is given.
#define QUORATE_MAX_FUNCTIONS 32

// The size of a review in words of 8 bytes.
#define QUORATE_REVIEW_WORDS 700

// The size of a review in bytes.
#define QUORATE_REVIEW_SIZE (QUORATE_REVIEW_WORDS * 8)

// The most entries that a request's metadata has.
#define QUORATE_MAX_ENTRIES 4

// How a call ends: one of the numbers that follow. Nothing may be signed after anything but QUORATE_OK.
typedef uint32_t quorate_status;

// Bytes; the pointer may be null where there are none.
typedef struct quorate_bytes {
    // The first of them.
    const uint8_t *data;
    // Their number.
    size_t len;
} quorate_bytes;

// A user operation without its call data (ERC-4337).
//
// v0.6 reads call_gas_limit to max_priority_fee_per_gas; later versions read account_gas_limits and gas_fees instead, packed
// as the entry point takes them.
typedef struct quorate_operation {
    // The entry point's version, QUORATE_V0_6 to QUORATE_V0_9.
    uint32_t version;
    // The entry point's address.
    uint8_t entry_point[20];
    // The chain.
    uint64_t chain_id;
    // The account that acts.
    uint8_t sender[20];
    // The account's nonce at the entry point: a 192-bit key and a 64-bit sequence.
    uint8_t nonce[32];
    // The factory (20 bytes) and what it is called with, or empty.
    struct quorate_bytes init_code;
    // v0.6: gas of the call.
    uint8_t call_gas_limit[32];
    // v0.6: gas of the account's validation.
    uint8_t verification_gas_limit[32];
    // Gas that is paid for and measured by nobody.
    uint8_t pre_verification_gas[32];
    // v0.6: the most wei for one gas.
    uint8_t max_fee_per_gas[32];
    // v0.6: the most of it that goes to the block's builder.
    uint8_t max_priority_fee_per_gas[32];
    // From v0.7 on: gas of the validation, gas of the call, 16 bytes each.
    uint8_t account_gas_limits[32];
    // From v0.7 on: wei for one gas to the block's builder, and in all, 16 bytes each.
    uint8_t gas_fees[32];
    // The paymaster (20 bytes), from v0.7 on its two gas limits (16 bytes each), and its data, or empty.
    struct quorate_bytes paymaster_and_data;
    // From v0.8 on, where init_code starts with the EIP-7702 marker: the account's delegate, 20 bytes; else null.
    const uint8_t *delegate;
} quorate_operation;

// Room for the reason why a call does not end in QUORATE_OK: one line of ASCII. Wherever a function takes one, it may be
// null.
typedef struct quorate_reason {
    // Room for so many bytes, or null. What is written ends in a zero, unless there is no room at all.
    char *text;
    // The room.
    size_t size;
    // Set by the call: the length of the whole reason without its zero. It was cut where that is not less than `size`.
    size_t len;
} quorate_reason;

// A session as the tree of an account's sessions holds it. Times are seconds since 1970, 0 for none.
typedef struct quorate_session {
    // When it begins.
    uint64_t valid_after;
    // When it ends.
    uint64_t valid_until;
    // The session validation module.
    uint8_t validation_module[20];
    // What that module is given.
    struct quorate_bytes session_key_data;
} quorate_session;

// A review, in memory of the caller's that is all zeros before its first use and is not moved within a review. It can be
// used again and again, and there may be many.
//
// Each operation begins with quorate_review_begin; each session of a grant follows, then the call data in pieces of any length,
// then the end, which gives the hash to sign if all that was shown is approved. A request for a key begins with
// quorate_key_request_begin; the permissions follow in pieces, then the end. The use of a session, and a delegation, are one step.
// Whatever does not end in QUORATE_OK ends the review: its reason is the last item shown, and nothing but a new begin does
// anything then.
typedef struct quorate_review {
    uint64_t opaque[QUORATE_REVIEW_WORDS];
} quorate_review;

// A contract whose code is known.
typedef struct quorate_contract {
    // Where it is, on all chains.
    uint8_t address[20];
    // What it is to an account, one of the roles.
    uint32_t role;
} quorate_contract;

// What the reviewer knows by itself, and is not told by whoever asks for a signature.
typedef struct quorate_trusted {
    // The contracts that can change who controls an account, and those that say what a session allows; null for all that the
    // library knows, as their makers deployed them.
    const struct quorate_contract *contracts;
    // Their number, at most QUORATE_MAX_CONTRACTS.
    size_t contract_count;
    // Signatures of functions with the names of their arguments, such as "transfer(address to, uint256 amount)", which are
    // shown for their selectors; null for those that the library knows. The strings end in zeros and are used until the
    // review ends.
    const char *const *functions;
    // Their number, at most QUORATE_MAX_FUNCTIONS.
    size_t function_count;
} quorate_trusted;

// One thing that is shown, and its texts in ASCII without a final zero. It lives as long as the call that hands it over.
//
// In a line, it is two blanks for each step of its depth, "WARNING: " or "DANGER: " if it is one, its label, and a blank
// and its value if they are not empty.
typedef struct quorate_item {
    // What the value is: one of QUORATE_LABEL_….
    uint16_t kind;
    // QUORATE_INFO to QUORATE_REFUSAL.
    uint8_t severity;
    // 0 for what begins a part of the review, 1 for what belongs to it, 2 for what belongs to the item before.
    uint8_t depth;
    // The kind in English.
    const char *label;
    // Its length.
    size_t label_len;
    // The value.
    const char *value;
    // Its length, which may be 0.
    size_t value_len;
} quorate_item;

// Shows one more item, and returns 0 when it is shown whole. Anything else ends the review. The context is what was given
// along with this function.
typedef int32_t (*quorate_show)(void *context, const struct quorate_item *item);

// UTF-8 without a final zero; the pointer may be null where there is none.
typedef struct quorate_text {
    // Its first byte.
    const char *data;
    // The number of its bytes.
    size_t len;
} quorate_text;

// An entry of a request's metadata.
typedef struct quorate_entry {
    // What the value is.
    uint16_t tag;
    // The value.
    struct quorate_text value;
} quorate_entry;

// What an owner signs to have a signing network make a key (EIP-712, wallet-provider protocol).
typedef struct quorate_key_request {
    // How many nodes sign.
    uint32_t threshold;
    // How many nodes hold a share.
    uint32_t nodes;
    // What the key is for.
    const struct quorate_entry *metadata;
    // The number of its entries, at most QUORATE_MAX_ENTRIES.
    size_t metadata_count;
    // The network's challenge.
    struct quorate_text challenge;
} quorate_key_request;

// What was asked for is done.
#define QUORATE_OK 0

// A pointer is null that may not be.
#define QUORATE_NULL 1

// An argument cannot be read: a time of more than 48 bits, a number that is none of those listed, a pointer that is not
// aligned, bytes that are not one delegation.
#define QUORATE_MALFORMED 2

// The review, the evaluation or the verification refuses.
#define QUORATE_REFUSED 3

// The step does not come now: no review is begun, or it is over, or the call data has begun and a session comes.
#define QUORATE_ORDER 4

// The review was called from within its own callback.
#define QUORATE_REENTRY 5

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version. Where it is not QUORATE_VERSION, the header is another library's.
uint32_t quorate_version(void);

// The hash that names an operation, as its entry point computes it.
quorate_status quorate_user_op_hash(const struct quorate_operation *operation,
                                    struct quorate_bytes call_data,
                                    uint8_t hash[32],
                                    struct quorate_reason *reason);

// What is signed for a user operation hash: EIP-191's digest of it.
quorate_status quorate_signing_hash(const uint8_t user_op_hash[32], uint8_t digest[32], struct quorate_reason *reason);

// A session's leaf.
quorate_status quorate_session_leaf(const struct quorate_session *session,
                                    uint8_t leaf[32],
                                    struct quorate_reason *reason);

// The root of the tree over some leaves, in their order: what the account keeps on chain. `leaves` is `count` times 32 bytes,
// and at least once.
quorate_status quorate_merkle_root(const uint8_t *leaves,
                                   size_t count,
                                   uint8_t root[32],
                                   struct quorate_reason *reason);

// Whether a leaf is under a root: QUORATE_OK or QUORATE_REFUSED. `siblings` is `count` times 32 bytes.
quorate_status quorate_verify_proof(const uint8_t root[32],
                                    const uint8_t leaf[32],
                                    const uint8_t *siblings,
                                    size_t count,
                                    struct quorate_reason *reason);

// Whether a session of the ABI session validation module allows a call of the account, as that module decides it:
// QUORATE_OK, and the session key that has to have signed, or QUORATE_REFUSED.
quorate_status quorate_evaluate(struct quorate_bytes session_key_data,
                                struct quorate_bytes call_data,
                                uint8_t session_key[20],
                                struct quorate_reason *reason);

// Begins the review of an operation, whatever was there before: shows who acts, and who pays how much.
//
// What is trusted is used until the review ends, and so are `show` and `context`; the operation is not. `trusted` may be null
// for what the library knows.
quorate_status quorate_review_begin(struct quorate_review *review,
                                    const struct quorate_trusted *trusted,
                                    quorate_show show,
                                    void *context,
                                    const struct quorate_operation *operation,
                                    struct quorate_reason *reason);

// Shows the next session that the account is to have. They come before the call data: all of them, in the order of their
// tree, and none for an operation that grants nothing.
quorate_status quorate_review_session(struct quorate_review *review,
                                      const struct quorate_session *session,
                                      struct quorate_reason *reason);

// Shows a session of an unknown module that the account keeps, in place of quorate_review_session: its leaf is under the last
// root that this device itself signed for this account, this chain and this session key manager. `siblings` is `count` times
// 32 bytes, the proof. A root that somebody else gives proves nothing: any leaf has a proof under a root made for it.
quorate_status quorate_review_kept_session(struct quorate_review *review,
                                           const uint8_t leaf[32],
                                           const uint8_t *siblings,
                                           size_t count,
                                           const uint8_t manager[20],
                                           const uint8_t signed_root[32],
                                           struct quorate_reason *reason);

// Takes the next piece of the call data, and shows the calls that are whole.
quorate_status quorate_review_call_data(struct quorate_review *review,
                                        struct quorate_bytes piece,
                                        struct quorate_reason *reason);

// Ends the review, and gives the operation's hash: what quorate_signing_hash takes if all that was shown is approved.
quorate_status quorate_review_finish(struct quorate_review *review, uint8_t hash[32], struct quorate_reason *reason);

// Reviews the use of a session by its key, in one step from begin to end: shows the operation, what the session allows, and
// the calls, and refuses what the session forbids.
quorate_status quorate_review_use(struct quorate_review *review,
                                  const struct quorate_trusted *trusted,
                                  quorate_show show,
                                  void *context,
                                  const struct quorate_operation *operation,
                                  const struct quorate_session *session,
                                  struct quorate_bytes call_data,
                                  uint8_t hash[32],
                                  struct quorate_reason *reason);

// Begins the review of a request for a key, whatever was there before: shows the request.
//
// What is trusted is used until the review ends, and so are `show` and `context`; the request is not. `trusted` may be null
// for what the library knows.
quorate_status quorate_key_request_begin(struct quorate_review *review,
                                         const struct quorate_trusted *trusted,
                                         quorate_show show,
                                         void *context,
                                         const struct quorate_key_request *request,
                                         struct quorate_reason *reason);

// Takes the next piece of the permissions' text, and shows what they allow. Without it, the end shows that what the key may
// sign is not shown.
quorate_status quorate_key_request_permissions(struct quorate_review *review,
                                               struct quorate_bytes piece,
                                               struct quorate_reason *reason);

// Ends the review, and gives the digest to sign if all that was shown is approved.
quorate_status quorate_key_request_finish(struct quorate_review *review,
                                          uint8_t digest[32],
                                          struct quorate_reason *reason);

// Reviews what an owner signs to let a key act for their account (ERC-7710), in one step from begin to end: shows the delegation
// with its caveats, and gives the digest to sign if all that was shown is approved. Not in a library that was made without feature
// `delegation`.
//
// `delegation` is the canonical abi.encode of an array of exactly one delegation, as its manager takes it; its signature may be
// empty, and is not looked at. The manager and the enforcers that are known are those of version 1.3.0 of MetaMask's framework.
quorate_status quorate_review_delegation(struct quorate_review *review,
                                         const struct quorate_trusted *trusted,
                                         quorate_show show,
                                         void *context,
                                         uint64_t chain_id,
                                         const uint8_t manager[20],
                                         struct quorate_bytes delegation,
                                         uint8_t digest[32],
                                         struct quorate_reason *reason);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUORATE_H */
