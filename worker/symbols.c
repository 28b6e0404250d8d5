// SPDX-License-Identifier: Apache-2.0
#include "worker/symbols.h"
#include "core/json.h"
#include <inttypes.h>
#include <stddef.h>

enum err symbols_check(const json_t *list, int64_t V, uint8_t bytes[SYMBOLS_MAX])
{
    size_t n = json_array_size(list);
    ENSURE(json_is_array(list) && n < SYMBOLS_MAX && (int64_t)n == V - 1, ERR_INPUT,
           "symbols: expected an array of V - 1 = %" PRId64 " bytes, found %zu", V - 1, n);
    bytes[0] = 0;
    for (size_t i = 1; i <= n; i++) {
        const json_t *v = json_array_get(list, i - 1);
        json_int_t b = json_integer_value(v);
        ENSURE(json_is_integer(v) && b >= 0 && b <= 255 && (i == 1 || b > bytes[i - 1]),
               ERR_INPUT, "symbols: entry %zu: expected bytes in rising order, found %" PRId64,
               i, (int64_t)b);
        bytes[i] = (uint8_t)b;
    }
    return OK;
}

json_t *symbols_to_json(json_t *list)
{
    return json_pack("{s:i, s:i, s:O}", "v", 1, "end_of_text", 0, "bytes", list);
}

enum err symbols_from_json(json_t *document, const char *ctx, json_t **list)
{
    static const char *const keys[] = {"v", "end_of_text", "bytes", NULL};
    int64_t v;
    TRY(json_known_keys(document, ctx, keys));
    TRY(json_get_i64(document, ctx, "v", true, 1, 1, &v));
    TRY(json_get_i64(document, ctx, "end_of_text", true, 0, 0, &v));
    *list = json_object_get(document, "bytes");
    return OK;
}
