/* An operation, a session, and the call data that grants it. */
#include "support.h"

/* The ABI session validation module and the session key manager, as their makers deployed them. */
#define MODULE "000006bC2eCdAe38113929293d241Cf252D91861"
#define MANAGER "000002FbFfedd9B33F4E7156F2DE8D48945E7489"

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

static inline quorate_bytes a_grant(const uint8_t root[32]) {
    uint8_t data[36] = {0x7c, 0xb6, 0x47, 0x59};
    memcpy(data + 4, root, 32);
    return a_call(MANAGER, data, sizeof data);
}
