/* Every function with nulls, numbers that are none, steps out of order, callbacks that fail or call back, and too little
 * room. Ends with 0 if all is refused that has to be. */
#include "example.h"

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

static const quorate_bytes NONE = {NULL, 0}, MISSING = {NULL, 1};
static const quorate_text MISSING_TEXT = {NULL, 1};

/* Shows items until one fails; each has texts that a display can trust. */
typedef struct {
    int shown, fails_at, refusals;
} screen;

static int32_t show(void *context, const quorate_item *item) {
    screen *on = context;
    CHECK(item->depth <= 2 && item->severity <= QUORATE_REFUSAL && item->value_len <= QUORATE_VALUE_SIZE);
    for (size_t i = 0; i < item->value_len; i++) CHECK(item->value[i] >= ' ' && item->value[i] <= '~');
    for (size_t i = 0; i < item->label_len; i++) CHECK(item->label[i] >= ' ' && item->label[i] <= '~');
    CHECK((item->severity == QUORATE_REFUSAL) == (item->kind == QUORATE_LABEL_REFUSED));
    on->refusals += item->severity == QUORATE_REFUSAL;
    return ++on->shown == on->fails_at ? 1 : 0;
}

static quorate_review review;
static screen display;
static char text[256];
static quorate_reason reason = {text, sizeof text, 0};
static uint8_t out[32];

static quorate_status begin(void) {
    quorate_operation operation = an_operation(QUORATE_V0_6);
    memset(&display, 0, sizeof display);
    return quorate_review_begin(&review, NULL, show, &display, &operation, &reason);
}

/* Nothing gives a hash, and nothing more is shown. */
static void check_over(void) {
    quorate_session session = a_session();
    int shown = display.shown;
    CHECK(quorate_review_session(&review, &session, &reason) == QUORATE_ORDER);
    CHECK(quorate_review_kept_session(&review, out, NULL, 0, out, out, &reason) == QUORATE_ORDER);
    CHECK(quorate_review_call_data(&review, NONE, &reason) == QUORATE_ORDER);
    CHECK(quorate_review_finish(&review, out, &reason) == QUORATE_ORDER);
    CHECK(strcmp(text, "no review is begun here, or it is over") == 0 && reason.len == strlen(text));
    CHECK(display.shown == shown);
}

/* A step that is refused with this status, and shows one refusal. */
#define REFUSES(status, step)                                                                         \
    do {                                                                                              \
        CHECK(begin() == QUORATE_OK);                                                                 \
        CHECK((step) == (status) && reason.len > 0);                                                  \
        CHECK(display.refusals == 1);                                                                 \
        check_over();                                                                                 \
    } while (0)

static void nulls_in_a_review(void) {
    quorate_session session = a_session(), broken = a_session();
    REFUSES(QUORATE_NULL, quorate_review_session(&review, NULL, &reason));
    broken.session_key_data = MISSING;
    REFUSES(QUORATE_NULL, quorate_review_session(&review, &broken, &reason));
    REFUSES(QUORATE_NULL, quorate_review_kept_session(&review, NULL, NULL, 0, out, out, &reason));
    REFUSES(QUORATE_NULL, quorate_review_kept_session(&review, out, NULL, 1, out, out, &reason));
    REFUSES(QUORATE_NULL, quorate_review_kept_session(&review, out, NULL, 0, NULL, out, &reason));
    REFUSES(QUORATE_NULL, quorate_review_kept_session(&review, out, NULL, 0, out, NULL, &reason));
    REFUSES(QUORATE_MALFORMED, quorate_review_kept_session(&review, out, out, SIZE_MAX, out, out, &reason));
    REFUSES(QUORATE_NULL, quorate_review_call_data(&review, MISSING, &reason));
    REFUSES(QUORATE_NULL, quorate_review_finish(&review, NULL, &reason));
    CHECK(strcmp(text, "no review is begun here, or it is over") == 0);

    CHECK(quorate_review_session(NULL, &session, &reason) == QUORATE_NULL);
    CHECK(quorate_review_kept_session(NULL, out, NULL, 0, out, out, &reason) == QUORATE_NULL);
    CHECK(quorate_review_call_data(NULL, NONE, &reason) == QUORATE_NULL);
    CHECK(quorate_review_finish(NULL, out, NULL) == QUORATE_NULL);
    quorate_review *crooked = (quorate_review *)((char *)&review + 1);
    CHECK(quorate_review_finish(crooked, out, &reason) == QUORATE_MALFORMED);
}

static void nulls_at_the_beginning(void) {
    for (uint32_t version = QUORATE_V0_6; version <= QUORATE_V0_9; version++) {
        quorate_operation good = an_operation(version), bad = good;
        quorate_session session = a_session();
        CHECK(quorate_review_begin(&review, NULL, show, &display, &good, NULL) == QUORATE_OK);
        CHECK(quorate_review_begin(NULL, NULL, show, &display, &good, &reason) == QUORATE_NULL);
        CHECK(quorate_review_begin(&review, NULL, NULL, &display, &good, &reason) == QUORATE_NULL);
        check_over();
        CHECK(quorate_review_begin(&review, NULL, show, &display, NULL, &reason) == QUORATE_NULL);
        check_over();
        bad.init_code = MISSING;
        CHECK(quorate_review_begin(&review, NULL, show, &display, &bad, &reason) == QUORATE_NULL);
        CHECK(strcmp(text, "init_code is null") == 0);
        CHECK(quorate_user_op_hash(&bad, NONE, out, &reason) == QUORATE_NULL);
        bad = good;
        bad.paymaster_and_data = MISSING;
        CHECK(quorate_review_begin(&review, NULL, show, &display, &bad, &reason) == QUORATE_NULL);
        CHECK(strcmp(text, "paymaster_and_data is null") == 0);
        CHECK(quorate_user_op_hash(&bad, NONE, out, &reason) == QUORATE_NULL);
        check_over();
        /* A factory of 19 bytes. */
        bad = good;
        bad.init_code.len = 19;
        quorate_status refused = quorate_review_begin(&review, NULL, show, &display, &bad, &reason);
        CHECK(refused == (version == QUORATE_V0_6 ? QUORATE_REFUSED : QUORATE_MALFORMED));
        check_over();
        /* Delegated, to nobody knows whom. */
        bad.init_code = (quorate_bytes){(const uint8_t *)"\x77\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20};
        if (version >= QUORATE_V0_8) CHECK(quorate_user_op_hash(&bad, NONE, out, &reason) == QUORATE_MALFORMED);
        if (version == QUORATE_V0_7) CHECK(quorate_user_op_hash(&bad, NONE, out, &reason) == QUORATE_OK);

        CHECK(quorate_review_use(NULL, NULL, show, &display, &good, &session, NONE, out, &reason) == QUORATE_NULL);
        CHECK(quorate_review_use(&review, NULL, NULL, &display, &good, &session, NONE, out, &reason) == QUORATE_NULL);
        CHECK(quorate_review_use(&review, NULL, show, &display, NULL, &session, NONE, out, &reason) == QUORATE_NULL);
        CHECK(quorate_review_use(&review, NULL, show, &display, &good, NULL, NONE, out, &reason) == QUORATE_NULL);
        CHECK(quorate_review_use(&review, NULL, show, &display, &good, &session, MISSING, out, &reason) == QUORATE_NULL);
        CHECK(quorate_review_use(&review, NULL, show, &display, &good, &session, NONE, NULL, &reason) == QUORATE_NULL);
        check_over();
        CHECK(quorate_review_use(&review, NULL, show, &display, &good, &session, NONE, out, &reason) == QUORATE_REFUSED);
        check_over();
    }
}

static quorate_status request_key(const quorate_key_request *request, quorate_show with, quorate_reason *why) {
    return quorate_key_request_begin(&review, NULL, with, &display, request, why);
}

/* A request's steps, and those of the other kind of review. */
static void steps_of_a_request(void) {
    static const char key[] = "0x0101010101010101010101010101010101010101010101010101010101010101";
    const quorate_entry entry = {2, {key, sizeof key - 1}};
    const quorate_key_request request = {3, 5, &entry, 1, {"9f", 2}};
    quorate_session session = a_session();
    CHECK(quorate_key_request_begin(NULL, NULL, show, &display, &request, &reason) == QUORATE_NULL);
    CHECK(quorate_key_request_permissions(NULL, NONE, &reason) == QUORATE_NULL);
    CHECK(quorate_key_request_finish(NULL, out, &reason) == QUORATE_NULL);
    for (int misuse = 0; misuse < 5; misuse++) {
        display = (screen){0, 0, 0};
        CHECK(request_key(&request, show, &reason) == QUORATE_OK);
        if (misuse == 0) CHECK(quorate_key_request_permissions(&review, MISSING, &reason) == QUORATE_NULL);
        if (misuse == 1) CHECK(quorate_key_request_permissions(&review, NONE, &reason) == QUORATE_REFUSED);
        if (misuse == 2) CHECK(quorate_key_request_finish(&review, NULL, &reason) == QUORATE_NULL);
        if (misuse == 3) CHECK(quorate_review_session(&review, &session, &reason) == QUORATE_ORDER);
        if (misuse == 4) CHECK(quorate_review_finish(&review, out, &reason) == QUORATE_ORDER);
        CHECK(display.refusals == 1);
        CHECK(quorate_key_request_finish(&review, out, &reason) == QUORATE_ORDER);
        check_over();
    }
    REFUSES(QUORATE_ORDER, quorate_key_request_finish(&review, out, &reason));
    REFUSES(QUORATE_ORDER, quorate_key_request_permissions(&review, NONE, &reason));
    CHECK(request_key(&request, show, &reason) == QUORATE_OK);
    CHECK(quorate_key_request_finish(&review, out, &reason) == QUORATE_OK);
    check_over();
}

static quorate_status review_delegation(quorate_bytes delegation, quorate_show with) {
    return quorate_review_delegation(&review, NULL, with, &display, 137, out, delegation, out, &reason);
}

/* One delegation, as its manager takes it. */
static void bytes_that_are_no_delegation(void) {
    quorate_bytes one = a_delegation();
    uint8_t *copy = malloc(one.len + 1);
    memcpy(copy, one.data, one.len);
    copy[one.len] = 0;
    display = (screen){0, 0, 0};
    CHECK(review_delegation(one, show) == QUORATE_OK && display.refusals == 0);
    int items = display.shown;
    check_over();
    CHECK(quorate_review_delegation(NULL, NULL, show, &display, 137, out, one, out, &reason) == QUORATE_NULL);
    CHECK(review_delegation(one, NULL) == QUORATE_NULL);
    CHECK(quorate_review_delegation(&review, NULL, show, &display, 137, NULL, one, out, &reason) == QUORATE_NULL);
    CHECK(strcmp(text, "manager is null") == 0);
    CHECK(quorate_review_delegation(&review, NULL, show, &display, 137, out, one, NULL, &reason) == QUORATE_NULL);
    CHECK(strcmp(text, "digest is null") == 0);
    CHECK(review_delegation(MISSING, show) == QUORATE_NULL);
    CHECK(display.refusals == 3);
    for (size_t len = 0; len < one.len; len++)
        CHECK(review_delegation((quorate_bytes){copy, len}, show) == QUORATE_MALFORMED && reason.len > 0);
    CHECK(review_delegation((quorate_bytes){copy, one.len + 1}, show) == QUORATE_MALFORMED);
    copy[63] = 0; /* their number */
    CHECK(review_delegation((quorate_bytes){copy, 64}, show) == QUORATE_MALFORMED);
    check_over();
    free(copy);
    for (int fails_at = 1; fails_at <= items; fails_at++) {
        display = (screen){0, fails_at, 0};
        CHECK(review_delegation(one, show) == QUORATE_REFUSED && display.shown == fails_at + 1);
        CHECK(strcmp(text, "the display did not show an item") == 0);
        check_over();
    }
    /* In the place of another review, which is over. */
    CHECK(begin() == QUORATE_OK && review_delegation(one, show) == QUORATE_OK);
    check_over();
}

static void nulls_elsewhere(void) {
    quorate_operation operation = an_operation(QUORATE_V0_6);
    quorate_session session = a_session();
    CHECK(quorate_user_op_hash(&operation, NONE, out, NULL) == QUORATE_OK);
    CHECK(quorate_user_op_hash(NULL, NONE, out, NULL) == QUORATE_NULL);
    CHECK(quorate_user_op_hash(&operation, MISSING, out, NULL) == QUORATE_NULL);
    CHECK(quorate_user_op_hash(&operation, NONE, NULL, NULL) == QUORATE_NULL);
    CHECK(quorate_signing_hash(NULL, out, NULL) == QUORATE_NULL);
    CHECK(quorate_signing_hash(out, NULL, NULL) == QUORATE_NULL);
    CHECK(quorate_session_leaf(NULL, out, NULL) == QUORATE_NULL);
    CHECK(quorate_session_leaf(&session, NULL, NULL) == QUORATE_NULL);
    session.session_key_data = MISSING;
    CHECK(quorate_session_leaf(&session, out, NULL) == QUORATE_NULL);
    CHECK(quorate_merkle_root(NULL, 1, out, NULL) == QUORATE_NULL);
    CHECK(quorate_merkle_root(out, 1, NULL, NULL) == QUORATE_NULL);
    CHECK(quorate_merkle_root(NULL, 0, out, &reason) == QUORATE_REFUSED && reason.len > 0);
    CHECK(quorate_verify_proof(NULL, out, NULL, 0, NULL) == QUORATE_NULL);
    CHECK(quorate_verify_proof(out, NULL, NULL, 0, NULL) == QUORATE_NULL);
    CHECK(quorate_verify_proof(out, out, NULL, 1, NULL) == QUORATE_NULL);
    CHECK(quorate_verify_proof(out, out, out, SIZE_MAX, NULL) == QUORATE_MALFORMED);
    CHECK(quorate_evaluate(MISSING, NONE, out, NULL) == QUORATE_NULL);
    CHECK(quorate_evaluate(NONE, MISSING, out, NULL) == QUORATE_NULL);
    CHECK(quorate_evaluate(NONE, NONE, NULL, NULL) == QUORATE_NULL);
    CHECK(quorate_evaluate(NONE, NONE, out, &reason) == QUORATE_REFUSED && reason.len > 0);

    quorate_entry entry = {2, MISSING_TEXT}, entries[QUORATE_MAX_ENTRIES + 1] = {{0, {NULL, 0}}};
    quorate_key_request request = {3, 5, &entry, 1, {"9f", 2}};
    CHECK(request_key(NULL, show, NULL) == QUORATE_NULL);
    CHECK(request_key(&request, NULL, NULL) == QUORATE_NULL);
    CHECK(request_key(&request, show, NULL) == QUORATE_NULL);
    request.metadata = NULL;
    CHECK(request_key(&request, show, NULL) == QUORATE_NULL);
    request = (quorate_key_request){3, 5, entries, QUORATE_MAX_ENTRIES + 1, {"9f", 2}};
    display.refusals = 0;
    CHECK(request_key(&request, show, NULL) == QUORATE_MALFORMED);
    request = (quorate_key_request){3, 5, NULL, 0, {"\xff", 1}};
    CHECK(request_key(&request, show, NULL) == QUORATE_MALFORMED);
    request.challenge = MISSING_TEXT;
    CHECK(request_key(&request, show, NULL) == QUORATE_NULL);
    CHECK(display.refusals == 3);
}

static void numbers_that_are_none(void) {
    quorate_operation operation = an_operation(QUORATE_V0_6);
    quorate_session session = a_session();
    session.valid_until = (uint64_t)1 << 48;
    CHECK(quorate_session_leaf(&session, out, NULL) == QUORATE_MALFORMED);
    REFUSES(QUORATE_MALFORMED, quorate_review_session(&review, &session, &reason));
    const uint32_t versions[] = {0, 5, 10, 0x10006, UINT32_MAX};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        operation.version = versions[i];
        CHECK(quorate_user_op_hash(&operation, NONE, out, NULL) == QUORATE_MALFORMED);
        CHECK(quorate_review_begin(&review, NULL, show, &display, &operation, NULL) == QUORATE_MALFORMED);
        check_over();
    }

    operation = an_operation(QUORATE_V0_6);
    quorate_contract contracts[QUORATE_MAX_CONTRACTS + 1] = {{{0}, 0}};
    const char *functions[QUORATE_MAX_FUNCTIONS + 1] = {"f(", NULL};
    for (int i = 0; i <= QUORATE_MAX_CONTRACTS; i++) contracts[i].role = QUORATE_ENTRY_POINT_V0_9;
    const quorate_contract no_role = {{0}, 99};
    const struct {
        quorate_trusted trusted;
        quorate_status status;
    } cases[] = {
        {{NULL, 0, NULL, 0}, QUORATE_OK},
        {{contracts, 0, functions, 0}, QUORATE_OK},
        {{contracts, QUORATE_MAX_CONTRACTS, NULL, 0}, QUORATE_OK},
        {{contracts, QUORATE_MAX_CONTRACTS + 1, NULL, 0}, QUORATE_MALFORMED},
        {{&no_role, 1, NULL, 0}, QUORATE_MALFORMED},
        {{NULL, 1, NULL, 0}, QUORATE_NULL},
        {{NULL, 0, NULL, 1}, QUORATE_NULL},
        {{NULL, 0, functions, 1}, QUORATE_MALFORMED},
        {{NULL, 0, functions + 1, 1}, QUORATE_NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&display, 0, sizeof display);
        CHECK(quorate_review_begin(&review, &cases[i].trusted, show, &display, &operation, &reason) == cases[i].status);
        CHECK(display.refusals == (cases[i].status != QUORATE_OK));
        if (cases[i].status != QUORATE_OK) check_over();
    }
    for (int i = 0; i <= QUORATE_MAX_FUNCTIONS; i++) functions[i] = "f(address to)";
    quorate_trusted many = {NULL, 0, functions, QUORATE_MAX_FUNCTIONS};
    CHECK(quorate_review_begin(&review, &many, show, &display, &operation, &reason) == QUORATE_OK);
    many.function_count++;
    CHECK(quorate_review_begin(&review, &many, show, &display, &operation, &reason) == QUORATE_MALFORMED);
}

static void steps_out_of_order(void) {
    quorate_session session = a_session();
    check_over(); /* all zeros */
    CHECK(begin() == QUORATE_OK);
    CHECK(quorate_review_call_data(&review, a_call(MODULE, NULL, 0), &reason) == QUORATE_OK);
    CHECK(quorate_review_session(&review, &session, &reason) == QUORATE_ORDER && display.refusals == 1);
    check_over();
    CHECK(begin() == QUORATE_OK);
    CHECK(quorate_review_call_data(&review, a_call(MODULE, NULL, 0), &reason) == QUORATE_OK);
    CHECK(quorate_review_finish(&review, out, &reason) == QUORATE_OK && reason.len == 0 && *text == 0);
    check_over();
    /* A review in the middle of another is another. */
    CHECK(begin() == QUORATE_OK && quorate_review_session(&review, &session, &reason) == QUORATE_OK);
    CHECK(begin() == QUORATE_OK && quorate_review_finish(&review, out, &reason) == QUORATE_OK);
}

/* Grants one session, and keeps another. */
static quorate_status grant(int fails_at) {
    quorate_session session = a_session();
    uint8_t leaves[64], root[32], manager[20], hash[32];
    CHECK(quorate_session_leaf(&session, leaves, NULL) == QUORATE_OK);
    memset(leaves + 32, 7, 32);
    CHECK(quorate_merkle_root(leaves, 2, root, NULL) == QUORATE_OK);
    CHECK(quorate_verify_proof(root, leaves, leaves + 32, 1, NULL) == QUORATE_OK);
    CHECK(quorate_verify_proof(root, leaves, leaves, 1, NULL) == QUORATE_REFUSED);
    fill(manager, 20, MANAGER);
    quorate_operation operation = an_operation(QUORATE_V0_6);
    display = (screen){0, fails_at, 0};
    quorate_status status = quorate_review_begin(&review, NULL, show, &display, &operation, &reason);
    if (status == QUORATE_OK) status = quorate_review_session(&review, &session, &reason);
    if (status == QUORATE_OK)
        status = quorate_review_kept_session(&review, leaves + 32, NULL, 0, manager, leaves + 32, &reason);
    if (status == QUORATE_OK) status = quorate_review_call_data(&review, a_grant(root), &reason);
    if (status == QUORATE_OK) status = quorate_review_finish(&review, hash, &reason);
    return status;
}

static void callbacks_that_fail(void) {
    CHECK(grant(0) == QUORATE_OK);
    for (int items = display.shown, fails_at = 1; fails_at <= items; fails_at++) {
        CHECK(grant(fails_at) == QUORATE_REFUSED && display.shown == fails_at + 1);
        CHECK(strcmp(text, "the display did not show an item") == 0);
        check_over();
    }
    quorate_key_request request = {4, 3, NULL, 0, {"9f", 2}};
    display = (screen){0, 1, 0};
    CHECK(request_key(&request, show, &reason) == QUORATE_REFUSED);
}

/* Calls every function of the review that shows the item, and each of them refuses. */
static int32_t call_back(void *context, const quorate_item *item) {
    static quorate_review other;
    quorate_operation operation = an_operation(QUORATE_V0_6);
    quorate_session session = a_session();
    uint8_t hash[32];
    CHECK(quorate_review_begin(&review, NULL, show, context, &operation, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_session(&review, &session, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_kept_session(&review, hash, NULL, 0, hash, hash, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_call_data(&review, NONE, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_finish(&review, hash, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_use(&review, NULL, show, context, &operation, &session, NONE, hash, NULL) == QUORATE_REENTRY);
    CHECK(quorate_key_request_begin(&review, NULL, show, context, NULL, NULL) == QUORATE_REENTRY);
    CHECK(quorate_key_request_permissions(&review, NONE, NULL) == QUORATE_REENTRY);
    CHECK(quorate_key_request_finish(&review, hash, NULL) == QUORATE_REENTRY);
    CHECK(quorate_review_delegation(&review, NULL, show, context, 137, hash, a_delegation(), hash, NULL) == QUORATE_REENTRY);
    /* Another one may be used. */
    screen unseen = {0, 0, 0};
    CHECK(quorate_review_begin(&other, NULL, show, &unseen, &operation, NULL) == QUORATE_OK);
    CHECK(quorate_review_finish(&other, hash, NULL) == QUORATE_OK);
    return show(context, item);
}

static void callbacks_that_call_back(void) {
    quorate_operation operation = an_operation(QUORATE_V0_6);
    quorate_session session = a_session();
    uint8_t leaf[32], hash[32], expected[32];
    CHECK(quorate_session_leaf(&session, leaf, NULL) == QUORATE_OK);
    quorate_bytes call_data = a_grant(leaf);
    display = (screen){0, 0, 0};
    CHECK(quorate_review_begin(&review, NULL, call_back, &display, &operation, NULL) == QUORATE_OK);
    CHECK(quorate_review_session(&review, &session, NULL) == QUORATE_OK);
    CHECK(quorate_review_call_data(&review, call_data, NULL) == QUORATE_OK);
    CHECK(quorate_review_finish(&review, hash, NULL) == QUORATE_OK);
    CHECK(quorate_user_op_hash(&operation, call_data, expected, NULL) == QUORATE_OK);
    CHECK(memcmp(hash, expected, 32) == 0 && display.shown > 15);
    /* From the refusals of a begin and of a step, too. */
    quorate_trusted broken = {NULL, 1, NULL, 0};
    CHECK(quorate_review_begin(&review, &broken, call_back, &display, &operation, NULL) == QUORATE_NULL);
    CHECK(quorate_review_begin(&review, NULL, call_back, &display, &operation, NULL) == QUORATE_OK);
    CHECK(quorate_review_session(&review, NULL, NULL) == QUORATE_NULL);
    CHECK(display.refusals == 2);
    check_over();
}

static void too_little_room(void) {
    const char *whole = "no review is begun here, or it is over";
    memset(&review, 0, sizeof review);
    for (size_t size = 0; size < strlen(whole) + 3; size++) {
        char *room = malloc(size);
        quorate_reason small = {room, size, 99};
        CHECK(quorate_review_finish(&review, out, &small) == QUORATE_ORDER);
        CHECK(small.len == strlen(whole));
        size_t taken = size == 0 ? 0 : size - 1 < small.len ? size - 1 : small.len;
        CHECK(size == 0 || (room[taken] == 0 && memcmp(room, whole, taken) == 0));
        free(room);
    }
    quorate_reason none = {NULL, 100, 99};
    CHECK(quorate_review_finish(&review, out, &none) == QUORATE_ORDER && none.len == strlen(whole));
}

int main(void) {
    CHECK(quorate_version() == QUORATE_VERSION);
    CHECK(quorate_signing_hash(out, out, &reason) == QUORATE_OK);
    steps_out_of_order();
    nulls_in_a_review();
    nulls_at_the_beginning();
    nulls_elsewhere();
    steps_of_a_request();
    bytes_that_are_no_delegation();
    numbers_that_are_none();
    callbacks_that_fail();
    callbacks_that_call_back();
    too_little_room();
    return 0;
}
