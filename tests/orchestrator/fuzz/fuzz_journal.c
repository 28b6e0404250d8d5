// SPDX-License-Identifier: GPL-3.0-or-later
// The journal's reader, and the fold over its records that a resumed sweep begins with. What
// was read of a torn journal reads the same without its tail; what is replayed has a law.
//
// An input is at most MOST_LINES lines. "#3" is the third record of a small sweep's journal;
// "#3{..}" the same with these members instead; "!.." stands as it is. Every other line is a
// record, to which its CRC is added. The last one has no newline if the input has none there.
// The fold takes far longer than the reader, so one input in 16 comes to it, by its CRC; in the
// others known records are short.
#include "orchestrator/journal.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include "tests/orchestrator/fuzz/sweep.h"
#include <inttypes.h>
#include <string.h>

enum { MOST = 64 << 10, MOST_LINES = 32 };

struct text {
    size_t n;
    char p[MOST];
};

static void add(struct text *t, const char *p, size_t n)
{
    n = n < MOST - t->n ? n : MOST - t->n;
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

static void add_record(struct text *t, const char *p, size_t n)
{
    char crc[10];
    snprintf(crc, sizeof crc, "%08" PRIx32 " ", journal_crc32c(p, n));
    add(t, crc, 9);
    add(t, p, n);
}

static void add_json(struct text *t, const json_t *rec)
{
    char *text = json_dumps(rec, JSON_COMPACT);
    add_record(t, text, strlen(text));
    free(text);
}

static void add_known(struct text *t, const char *p, size_t n)
{
    static struct text known[MOST_LINES]; // dumped once
    const json_t *all = fuzz_records();
    size_t number = 0, i = 0;
    for (; i < n && p[i] >= '0' && p[i] <= '9' && number < 1000; i++)
        number = 10 * number + (size_t)(p[i] - '0');
    number %= json_array_size(all);
    json_t *other = i < n ? json_loadb(p + i, n - i, 0, NULL) : NULL;
    if (json_is_object(other)) {
        json_t *rec = json_deep_copy(json_array_get(all, number));
        json_object_update(rec, other);
        add_json(t, rec);
        json_decref(rec);
    } else {
        if (known[number].n == 0)
            add_json(&known[number], json_array_get(all, number));
        add(t, known[number].p, known[number].n);
    }
    json_decref(other);
}

static void expand(struct text *t, const char *p, size_t size, bool whole)
{
    t->n = 0;
    const char *end = p + size;
    for (int line = 0; p < end && line < MOST_LINES; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (n > 0 && *p == '#' && !whole)
            add_record(t, "{\"t\":\"\"}", 8);
        else if (n > 0 && *p == '#')
            add_known(t, p + 1, n - 1);
        else if (n > 0 && *p == '!')
            add(t, p + 1, n - 1);
        else
            add_record(t, p, n);
        if (nl)
            add(t, "\n", 1);
        p += n + (nl != NULL);
    }
}

static enum err keep(void *ctx, json_t *rec)
{
    MUST(json_array_append(ctx, rec) == 0);
    return OK;
}

static void check_prefix(const struct text *t, int64_t valid, const json_t *records)
{
    int64_t again = 0;
    json_t *same = json_array();
    MUST(valid >= 0 && valid <= (int64_t)t->n);
    MUST(journal_read(fuzz_file(t->p, (size_t)valid), keep, same, &again) == OK);
    MUST(again == valid && json_equal(same, records));
    json_decref(same);
}

static bool replay(const json_t *records)
{
    const struct sweep *cfg = fuzz_sweep();
    struct records_identity id;
    struct records_past past;
    struct steer *s = NULL;
    json_t *law = NULL;
    int attempts, crashes;
    enum err head = records_head(records, "journal", &id);
    MUST(steer_create(cfg, &s) == OK);
    enum err e = records_replay(records, cfg, "journal", s, &past);
    MUST(e == OK || e == ERR_INPUT);
    if (e == OK) {
        for (int i = 0; i < steer_n_jobs(s); i++)
            records_attempts(&past, steer_job_at(s, i)->job.id, &attempts, &crashes);
        MUST(steer_law(s, &law) == OK);
        records_past_free(&past);
        json_decref(law);
    }
    steer_free(s);
    return head == OK && e == OK;
}

void fuzz_prepare(void)
{
    MUST(json_array_size(fuzz_records()) <= MOST_LINES);
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    static struct text t;
    json_t *records = json_array();
    int64_t valid = 0;
    bool whole = journal_crc32c(in, size) % 16 == 0;
    expand(&t, (const char *)in, size, whole);
    enum err e = journal_read(fuzz_file(t.p, t.n), keep, records, &valid);
    MUST(e == OK || e == ERR_INPUT);
    bool accepted = false;
    if (e == OK) {
        if (valid < (int64_t)t.n)
            check_prefix(&t, valid, records);
        accepted = whole && replay(records);
    }
    json_decref(records);
    return accepted;
}
