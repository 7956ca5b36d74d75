/* Reviews what its arguments say, all of them in hex but the numbers of C: prints the lines, and the hash.
 *
 * review MANAGER MODULE ENTRY_POINT CHAIN SENDER NONCE INIT_CODE CALL_GAS VERIFICATION_GAS PRE_VERIFICATION_GAS MAX_FEE
 *        MAX_PRIORITY_FEE PAYMASTER_AND_DATA CALL_DATA [VALID_AFTER VALID_UNTIL MODULE SESSION_KEY_DATA]...
 */
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quorate.h"

static int print(void *stream, const char *text, size_t len) {
    return fwrite(text, 1, len, stream) == len ? 0 : 1;
}

static quorate_bytes bytes(const char *hex) {
    size_t len = strlen(hex) / 2;
    uint8_t *data = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(64);
        data[i] = (uint8_t)byte;
    }
    return (quorate_bytes){data, len};
}

static void fill(uint8_t *field, size_t len, const char *hex) {
    quorate_bytes read = bytes(hex);
    if (read.len != len) exit(64);
    memcpy(field, read.data, len);
}

static void require(quorate_status status) {
    if (status != QUORATE_OK) exit(status);
}

int main(int count, char **argument) {
    if (count < 15) return 64;
    quorate_known known;
    fill(known.session_key_manager, 20, argument[1]);
    fill(known.abi_session_validation_module, 20, argument[2]);

    quorate_operation operation = {.version = QUORATE_V0_6, .chain_id = strtoull(argument[4], NULL, 10)};
    fill(operation.entry_point, 20, argument[3]);
    fill(operation.sender, 20, argument[5]);
    fill(operation.nonce, 32, argument[6]);
    operation.init_code = bytes(argument[7]);
    fill(operation.call_gas_limit, 32, argument[8]);
    fill(operation.verification_gas_limit, 32, argument[9]);
    fill(operation.pre_verification_gas, 32, argument[10]);
    fill(operation.max_fee_per_gas, 32, argument[11]);
    fill(operation.max_priority_fee_per_gas, 32, argument[12]);
    operation.paymaster_and_data = bytes(argument[13]);
    quorate_bytes call_data = bytes(argument[14]);

    alignas(QUORATE_REVIEW_ALIGN) uint8_t memory[QUORATE_REVIEW_SIZE];
    quorate_review *review;
    require(quorate_review_begin(memory, sizeof memory, &known, &operation, print, stdout, &review));
    for (int i = 15; i + 3 < count; i += 4) {
        quorate_session session = {strtoull(argument[i], NULL, 10), strtoull(argument[i + 1], NULL, 10), {0}, bytes(argument[i + 3])};
        fill(session.validation_module, 20, argument[i + 2]);
        require(quorate_review_session(review, &session));
    }
    /* In pieces, as they come over a wire. */
    for (size_t at = 0; at < call_data.len; at += 33) {
        size_t len = call_data.len - at < 33 ? call_data.len - at : 33;
        require(quorate_review_call_data(review, (quorate_bytes){call_data.data + at, len}));
    }
    uint8_t reviewed[32], hash[32];
    require(quorate_review_finish(review, reviewed));

    require(quorate_user_op_hash(&operation, call_data, hash));
    if (memcmp(hash, reviewed, sizeof hash) != 0) return 65;
    return 0;
}
