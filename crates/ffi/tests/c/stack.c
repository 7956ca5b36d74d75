/* Prints the stack that each function takes, the most of all its calls, without that of the callback. */
#define _GNU_SOURCE
#include <pthread.h>

#include "example.h"

#define STACK (256 * 1024)
#define PAINT 0xa5

/* What is measured uses no stack of this file's, for what it needs is here. */
static struct {
    quorate_review review;
    quorate_operation operation;
    quorate_session session;
    quorate_bytes grant;
    quorate_bytes transfer;
    quorate_trusted trusted;
    quorate_key_request request;
    quorate_bytes delegation;
    uint8_t out[32], leaf[32];
    quorate_status status;
} given;

static int32_t shown(void *context, const quorate_item *item) {
    (void)context, (void)item;
    return 0;
}

static void *nothing(void *unused) { return unused; }

static void *begin(void *unused) {
    given.status = quorate_review_begin(&given.review, &given.trusted, shown, NULL, &given.operation, NULL);
    return unused;
}

static void *session(void *unused) {
    given.status = quorate_review_session(&given.review, &given.session, NULL);
    return unused;
}

static void *call_data(void *unused) {
    given.status = quorate_review_call_data(&given.review, given.grant, NULL);
    return unused;
}

static void *finish(void *unused) {
    given.status = quorate_review_finish(&given.review, given.out, NULL);
    return unused;
}

static void *use(void *unused) {
    given.status = quorate_review_use(&given.review, &given.trusted, shown, NULL, &given.operation, &given.session,
                                      given.transfer, given.out, NULL);
    return unused;
}

static void *key_request(void *unused) {
    given.status = quorate_key_request_begin(&given.review, NULL, shown, NULL, &given.request, NULL);
    return unused;
}

static void *key_request_end(void *unused) {
    given.status = quorate_key_request_finish(&given.review, given.out, NULL);
    return unused;
}

static void *delegation(void *unused) {
    given.status = quorate_review_delegation(&given.review, &given.trusted, shown, NULL, 137, given.leaf,
                                             given.delegation, given.out, NULL);
    return unused;
}

static void *user_op_hash(void *unused) {
    given.status = quorate_user_op_hash(&given.operation, given.grant, given.out, NULL);
    return unused;
}

static void *merkle_root(void *unused) {
    given.status = quorate_merkle_root(given.leaf, 1, given.out, NULL);
    return unused;
}

/* The bytes of a painted stack that a thread has written. */
static size_t written(void *(*function)(void *)) {
    static _Alignas(64) uint8_t stack[STACK];
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, PAINT, STACK);
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, STACK) != 0) exit(64);
    if (pthread_create(&thread, &attributes, function, NULL) != 0 || pthread_join(thread, NULL) != 0) exit(64);
    size_t clean = 0;
    while (clean < STACK && stack[clean] == PAINT) clean++;
    return STACK - clean;
}

int main(void) {
    static const char *const functions[] = {"transfer(address to, uint256 amount)"};
    static const char ephemeral[] =
        "{\"ephId\":\"app\",\"ephPK\":\"0x0101010101010101010101010101010101010101010101010101010101010101\","
        "\"expiry\":1900000000}";
    static const quorate_entry entry = {2, {ephemeral, sizeof ephemeral - 1}};
    static uint8_t grant[4 + 6 * 32];
    given.trusted = (quorate_trusted){NULL, 0, functions, 1};
    given.request = (quorate_key_request){3, 5, &entry, 1, {"9f", 2}};
    given.session = a_session();
    given.delegation = a_delegation();
    if (quorate_session_leaf(&given.session, given.leaf, NULL) != QUORATE_OK) return 64;
    quorate_bytes call = a_grant(given.leaf);
    given.grant = (quorate_bytes){memcpy(grant, call.data, call.len), call.len};
    /* The session's data is zeros, and so are its contract and function. */
    given.transfer = a_call("0000000000000000000000000000000000000000", (const uint8_t *)"\0\0\0\0", 4);

    const struct {
        const char *name;
        void *(*function)(void *);
    } calls[] = {{"review_begin", begin},   {"review_session", session},     {"review_call_data", call_data},
                 {"review_finish", finish}, {"review_use", use},             {"key_request_begin", key_request},
                 {"key_request_finish", key_request_end},   {"review_delegation", delegation},
                 {"user_op_hash", user_op_hash}, {"merkle_root", merkle_root}};
    size_t thread = written(nothing);
    for (uint32_t version = QUORATE_V0_6; version <= QUORATE_V0_9; version++) {
        given.operation = an_operation(version);
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            size_t stack = written(calls[i].function) - thread;
            if (given.status != QUORATE_OK) return (int)i + 1;
            printf("%s v0.%u %zu\n", calls[i].name, (unsigned)version, stack);
        }
    }
    return 0;
}
