/* What the C tests share: hexadecimal arguments, and items as lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quorate.h"

/* Bytes in memory of exactly their length, so that a sanitizer sees who reads beyond. */
static inline quorate_bytes bytes(const char *hex) {
    size_t len = strlen(hex) / 2;
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) exit(64);
        data[i] = (uint8_t)byte;
    }
    return (quorate_bytes){data, len};
}

static inline void fill(uint8_t *field, size_t len, const char *hex) {
    quorate_bytes read = bytes(hex);
    if (read.len != len) exit(64);
    memcpy(field, read.data, len);
    free((void *)read.data);
}

/* Prints an item as the line that the core makes of it. */
static inline int32_t print(void *stream, const quorate_item *item) {
    for (int i = 0; i < item->depth; i++) fputs("  ", stream);
    if (item->severity == QUORATE_WARNING) fputs("WARNING: ", stream);
    if (item->severity == QUORATE_DANGER) fputs("DANGER: ", stream);
    fwrite(item->label, 1, item->label_len, stream);
    if (item->label_len > 0 && item->value_len > 0) fputc(' ', stream);
    fwrite(item->value, 1, item->value_len, stream);
    return fputc('\n', stream) == '\n' ? 0 : 1;
}
