/* Reviews what its arguments say, and prints the lines; of a refusal, the reason to the standard error.
 *
 * review grant|use FUNCTIONS CONTRACTS OPERATION CALL_DATA [SESSION]...
 * review request THRESHOLD NODES CHALLENGE PERMISSIONS [TAG VALUE]...
 * review delegation FUNCTIONS CONTRACTS CHAIN MANAGER DELEGATION
 *
 * FUNCTIONS: signatures with ';' between them. CONTRACTS: ADDRESS:ROLE with ';' between them. "-" is null for both.
 * OPERATION: the fields of quorate_operation in their order, in hex but for version and chain; "" for no delegate.
 * SESSION: "session" VALID_AFTER VALID_UNTIL MODULE SESSION_KEY_DATA, or "kept" LEAF SIBLINGS MANAGER SIGNED_ROOT.
 */
#include "support.h"

static char text[512];
static quorate_reason reason = {text, sizeof text, 0};

static void require(quorate_status status) {
    if (status == QUORATE_OK) return;
    fprintf(stderr, "%s\n", text);
    exit((int)status);
}

static quorate_trusted read_trusted(char *functions, char *contracts) {
    static const char *signatures[QUORATE_MAX_FUNCTIONS];
    static quorate_contract known[QUORATE_MAX_CONTRACTS];
    quorate_trusted trusted = {0};
    if (strcmp(functions, "-") != 0) {
        trusted.functions = signatures;
        for (char *part = strtok(functions, ";"); part; part = strtok(NULL, ";"))
            signatures[trusted.function_count++] = part;
    }
    if (strcmp(contracts, "-") != 0) {
        trusted.contracts = known;
        for (char *part = strtok(contracts, ";"); part; part = strtok(NULL, ";")) {
            quorate_contract *contract = &known[trusted.contract_count++];
            contract->role = (uint32_t)strtoul(part + 41, NULL, 10);
            part[40] = 0;
            fill(contract->address, 20, part);
        }
    }
    return trusted;
}

static quorate_operation read_operation(char **field) {
    quorate_operation operation = {.version = (uint32_t)strtoul(field[0], NULL, 10)};
    fill(operation.entry_point, 20, field[1]);
    operation.chain_id = strtoull(field[2], NULL, 10);
    fill(operation.sender, 20, field[3]);
    fill(operation.nonce, 32, field[4]);
    operation.init_code = bytes(field[5]);
    fill(operation.call_gas_limit, 32, field[6]);
    fill(operation.verification_gas_limit, 32, field[7]);
    fill(operation.pre_verification_gas, 32, field[8]);
    fill(operation.max_fee_per_gas, 32, field[9]);
    fill(operation.max_priority_fee_per_gas, 32, field[10]);
    fill(operation.account_gas_limits, 32, field[11]);
    fill(operation.gas_fees, 32, field[12]);
    operation.paymaster_and_data = bytes(field[13]);
    if (*field[14]) operation.delegate = bytes(field[14]).data;
    return operation;
}

static quorate_session read_session(char **field) {
    quorate_session session = {strtoull(field[0], NULL, 10), strtoull(field[1], NULL, 10), {0}, bytes(field[3])};
    fill(session.validation_module, 20, field[2]);
    return session;
}

static quorate_bytes copy(quorate_bytes original) {
    uint8_t *data = malloc(original.len);
    if (original.len > 0) memcpy(data, original.data, original.len);
    return (quorate_bytes){data, original.len};
}

/* The receive buffer is one for all: what was given before is overwritten by what comes next. */
static void spoil(quorate_bytes spoilt) {
    if (spoilt.len > 0) memset((void *)spoilt.data, 0x5a, spoilt.len);
    free((void *)spoilt.data);
}

static void review_grant(quorate_trusted *trusted, quorate_operation *operation, quorate_bytes call_data, int count,
                         char **session, uint8_t hash[32]) {
    quorate_review *review = calloc(1, sizeof *review);
    quorate_operation given = *operation;
    given.init_code = copy(operation->init_code);
    given.paymaster_and_data = copy(operation->paymaster_and_data);
    require(quorate_review_begin(review, trusted, print, stdout, &given, &reason));
    spoil(given.init_code);
    spoil(given.paymaster_and_data);
    memset(&given, 0x5a, sizeof given);
    for (; count >= 5; count -= 5, session += 5) {
        if (strcmp(session[0], "session") == 0) {
            quorate_session read = read_session(session + 1);
            require(quorate_review_session(review, &read, &reason));
            spoil(read.session_key_data);
        } else {
            uint8_t manager[20];
            fill(manager, 20, session[3]);
            quorate_bytes leaf = bytes(session[1]), siblings = bytes(session[2]), root = bytes(session[4]);
            require(quorate_review_kept_session(review, leaf.data, siblings.data, siblings.len / 32, manager, root.data,
                                                &reason));
        }
    }
    /* In pieces, as they come over a wire. */
    for (size_t at = 0; at < call_data.len; at += 33) {
        size_t len = call_data.len - at < 33 ? call_data.len - at : 33;
        require(quorate_review_call_data(review, (quorate_bytes){call_data.data + at, len}, &reason));
    }
    require(quorate_review_finish(review, hash, &reason));
    free(review);
}

static void review_request(int count, char **argument) {
    const char *permissions = argument[3];
    quorate_entry entries[QUORATE_MAX_ENTRIES];
    quorate_key_request request = {(uint32_t)strtoul(argument[0], NULL, 10), (uint32_t)strtoul(argument[1], NULL, 10),
                                   entries, 0, {argument[2], strlen(argument[2])}};
    for (int i = 4; i + 1 < count; i += 2)
        entries[request.metadata_count++] =
            (quorate_entry){(uint16_t)strtoul(argument[i], NULL, 10), {argument[i + 1], strlen(argument[i + 1])}};
    static quorate_review review;
    require(quorate_key_request_begin(&review, NULL, print, stdout, &request, &reason));
    for (size_t at = 0, len = strlen(permissions); at < len; at += 33)
        require(quorate_key_request_permissions(
            &review, (quorate_bytes){(const uint8_t *)permissions + at, len - at < 33 ? len - at : 33}, &reason));
    uint8_t digest[32];
    require(quorate_key_request_finish(&review, digest, &reason));
}

static void review_delegation(char **argument) {
    quorate_trusted trusted = read_trusted(argument[0], argument[1]);
    quorate_bytes manager = bytes(argument[3]), delegation = bytes(argument[4]);
    if (manager.len != 20) exit(64);
    quorate_review *review = calloc(1, sizeof *review);
    uint8_t digest[32];
    require(quorate_review_delegation(review, &trusted, print, stdout, strtoull(argument[2], NULL, 10), manager.data,
                                      delegation, digest, &reason));
    free(review);
    for (size_t i = 0; i < sizeof digest; i++) printf("%02x", digest[i]);
    putchar('\n');
}

int main(int count, char **argument) {
    if (count == 7 && strcmp(argument[1], "delegation") == 0) {
        review_delegation(argument + 2);
        return 0;
    }
    if (count >= 6 && strcmp(argument[1], "request") == 0) {
        review_request(count - 2, argument + 2);
        return 0;
    }
    if (count < 20) return 64;
    quorate_trusted trusted = read_trusted(argument[2], argument[3]);
    quorate_operation operation = read_operation(argument + 4);
    quorate_bytes call_data = bytes(argument[19]);
    uint8_t reviewed[32], hash[32];
    if (strcmp(argument[1], "use") == 0) {
        static quorate_review review;
        quorate_session session = read_session(argument + 21);
        require(quorate_review_use(&review, &trusted, print, stdout, &operation, &session, call_data, reviewed, &reason));
    } else {
        review_grant(&trusted, &operation, call_data, count - 20, argument + 20, reviewed);
    }
    require(quorate_user_op_hash(&operation, call_data, hash, &reason));
    return memcmp(hash, reviewed, sizeof hash) == 0 ? 0 : 65;
}
