// SPDX-License-Identifier: GPL-3.0-or-later
// The trainer's lines. However they are cut into reads, the same is taken in; what was taken in
// can be sent on and journalled; a result comes back from JSON as it went.
#include "core/json.h"
#include "orchestrator/protocol.h"
#include "orchestrator/records.h"
#include "orchestrator/said.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include <math.h>
#include <string.h>

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same(const struct protocol *a, const struct protocol *b)
{
    return a->hello == b->hello && a->has_result == b->has_result &&
           strcmp(a->fault, b->fault) == 0 && strcmp(a->backend, b->backend) == 0 &&
           a->state.lines == b->state.lines && a->state.step == b->state.step &&
           a->state.tokens == b->state.tokens && a->n_curve == b->n_curve &&
           same_number(a->state.loss, b->state.loss) &&
           same_number(a->state.tok_s, b->state.tok_s);
}

static void check_sendable(const struct protocol *p)
{
    struct job_result r = {
        .status = JOB_FAILED, .loss = NAN, .loss_per_byte = NAN, .balance = NAN, .epochs = NAN};
    if (p->has_result)
        r = p->result;
    if (p->fault[0])
        snprintf(r.cause, sizeof r.cause, "%s", p->fault);
    json_t *rest = json_object(), *curve = protocol_curve(p);
    MUST(json_is_array(curve) && json_array_size(curve) <= JOB_CURVE_MAX);
    json_object_set_new(rest, "backend", json_string(p->backend));
    json_object_set_new(rest, "curve", curve);
    size_t n;
    char *said = said_write(&r, rest, &n), *text;
    struct records_attempt at = {.id = "0", .attempt = 1, .worker = 1, .t1 = 1};
    struct job_result again;
    MUST(said && said_read(said, n, &again) == OK);
    MUST(records_end(&at, true, said, n, &text, &n) == OK);
    MUST(n < 65536 && !memchr(text, '\n', n));
    json_t *back = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    MUST(back && job_result_from_json(back, "again", &again) == OK);
    MUST(again.status == r.status && same_number(again.loss, r.loss) &&
         again.tokens == r.tokens && strcmp(again.id, "0") == 0 &&
         again.n_curve == (int)json_array_size(curve));
    json_decref(back);
    json_decref(rest);
    free(text);
    free(said);
}

// What is read without building JSON is what JSON says.
static void check_quick(const char *text, size_t n)
{
    char line[4096];
    struct job_result quick, slow;
    if (n >= sizeof line)
        return;
    memcpy(line, text, n);
    line[n] = '\0';
    if (!said_read_line(line, n, &quick))
        return;
    json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    MUST(object && strcmp(jstr(object, "t"), "result") == 0);
    MUST(job_result_from_json(object, "line", &slow) == OK);
    json_decref(object);
    MUST(quick.status == slow.status && same_number(quick.loss, slow.loss) &&
         same_number(quick.loss_per_byte, slow.loss_per_byte) && quick.tokens == slow.tokens &&
         quick.init_tokens == slow.init_tokens && same_number(quick.seconds, slow.seconds) &&
         same_number(quick.flops, slow.flops) && quick.peak_bytes == slow.peak_bytes &&
         same_number(quick.balance, slow.balance) && same_number(quick.epochs, slow.epochs) &&
         !quick.id[0] && !quick.cause[0] && quick.n_curve == 0);
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    struct protocol whole, parts;
    const char *text = (const char *)in;
    MUST(protocol_init(&whole) == OK && protocol_init(&parts) == OK);
    protocol_take(&whole, text, size);
    for (size_t at = 0, n; at < size; at += n) {
        n = 1 + (in[at] & 31);
        n = n < size - at ? n : size - at;
        protocol_take(&parts, text + at, n);
    }
    protocol_end(&whole);
    protocol_end(&parts);
    MUST(same(&whole, &parts));
    for (size_t at = 0, n; at < size; at += n + 1) {
        const char *nl = memchr(text + at, '\n', size - at);
        n = nl ? (size_t)(nl - text) - at : size - at;
        check_quick(text + at, n);
    }
    MUST(whole.fault[0] || size == 0 || whole.hello);
    if (whole.has_result || size % 8 == 0)
        check_sendable(&whole);
    bool accepted = !whole.fault[0] && whole.has_result;
    protocol_free(&whole);
    protocol_free(&parts);
    return accepted;
}
