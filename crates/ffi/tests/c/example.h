/* An operation, a session and the call data that grants it, and a delegation. */
#include "support.h"

/* The ABI session validation module and the session key manager, as their makers deployed them. */
#define MODULE "000006bC2eCdAe38113929293d241Cf252D91861"
#define MANAGER "000002FbFfedd9B33F4E7156F2DE8D48945E7489"
/* The enforcer of contracts that may be called, as version 1.3.0 of MetaMask's framework has it. */
#define TARGETS "7F20f61b1f09b08D970938F6fa563634d65c4EeB"

static inline quorate_operation an_operation(uint32_t version) {
    quorate_operation operation = {.version = version, .chain_id = 137};
    memset(operation.entry_point, 0xee, 20);
    memset(operation.sender, 0xac, 20);
    operation.init_code = (quorate_bytes){(const uint8_t *)"a factory of 20 byte", 20};
    return operation;
}

static inline quorate_session a_session(void) {
    static uint8_t data[62];
    quorate_session session = {0, 1900000000, {0}, {data, sizeof data}};
    fill(session.validation_module, 20, MODULE);
    return session;
}

/* The account's call of `to` with `len` bytes, at most 64: canonical encoding, which ends in whole words. */
static inline quorate_bytes a_call(const char *to, const uint8_t *data, size_t len) {
    static uint8_t call[4 + 6 * 32];
    memset(call, 0, sizeof call);
    fill(call, 4, "0000189a");
    fill(call + 4 + 12, 20, to);
    call[4 + 95] = 0x60;
    call[4 + 127] = (uint8_t)len;
    if (len > 0) memcpy(call + 4 + 128, data, len);
    return (quorate_bytes){call, 4 + 128 + (len + 31) / 32 * 32};
}

/* One delegation without signature, of one caveat: the contracts that may be called. Its other fields are zeros. */
static inline quorate_bytes a_delegation(void) {
    static uint8_t words[18][32];
    words[0][31] = 0x20; /* the array, its length, the place of its element */
    words[1][31] = 1;
    words[2][31] = 0x20;
    memset(words[5], 0xff, 32); /* after delegate and delegator: no other's authority */
    words[6][31] = 0xc0;
    words[8][30] = 0x01, words[8][31] = 0xc0; /* after the salt: the signature's place */
    words[9][31] = 1;
    words[10][31] = 0x20;
    fill(words[11] + 12, 20, TARGETS); /* enforcer, places of terms and arguments, terms, arguments */
    words[12][31] = 0x60;
    words[13][31] = 0xa0;
    words[14][31] = 20;
    memset(words[15], 0xaa, 20);
    return (quorate_bytes){words[0], sizeof words};
}

static inline quorate_bytes a_grant(const uint8_t root[32]) {
    uint8_t data[36] = {0x7c, 0xb6, 0x47, 0x59};
    memcpy(data + 4, root, 32);
    return a_call(MANAGER, data, sizeof data);
}
