// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/import.h"
#include "core/json.h"
#include "orchestrator/extend.h"
#include "orchestrator/journal.h"
#include "orchestrator/origin.h"
#include "orchestrator/sweepdir.h"
#include <inttypes.h>
#include <string.h>

struct source {
    const char *dir;
    struct records_identity id;
    char name[64]; // "demo 0123456789abcdef"
};

static bool is_result(const json_t *rec)
{
    return strcmp(jstr(rec, "t"), "result") == 0 || strcmp(jstr(rec, "t"), "import") == 0;
}

enum err import_begin(const struct sweep *cfg, const struct records_identity *journal,
                      const json_t *records, bool allow_mixed, struct import *out)
{
    *out = (struct import){cfg, journal, allow_mixed, json_object(), json_array()};
    ENSURE(out->known && out->fresh, ERR_FAILED, "out of memory");
    size_t i;
    json_t *rec;
    json_array_foreach(records, i, rec) if (is_result(rec))
        json_object_set(out->known, jstr(rec, "id"), rec);
    return OK;
}

void import_free(struct import *im)
{
    json_decref(im->known);
    json_decref(im->fresh);
    im->known = im->fresh = NULL;
}

// Losses depend on these beside the job, whose id does not cover them.
static enum err check_source(const struct import *im, const struct source *src,
                             const struct sweep *theirs)
{
    ENSURE(theirs->corpus_hash == im->cfg->corpus_hash, ERR_INPUT,
           "import: the runs of %s saw other data: their content's hash is %016" PRIx64
           ", here it is %016" PRIx64,
           src->dir, theirs->corpus_hash, im->cfg->corpus_hash);
    ENSURE(im->allow_mixed || strcmp(theirs->trainer, im->cfg->trainer) == 0, ERR_INPUT,
           "import: trainer of %s: expected \"%s\" as here, found \"%s\"; --allow-mixed takes "
           "its results all the same",
           src->dir, im->cfg->trainer, theirs->trainer);
    return OK;
}

static enum err check_maker(const struct import *im, const char *dir, const char *id,
                            const char *what, const char *theirs, const char *here)
{
    ENSURE(im->allow_mixed || strcmp(theirs, here) == 0, ERR_INPUT,
           "import: job %s of %s is of another %s, %s; here it is %s. Losses would not be "
           "comparable bit for bit; --allow-mixed takes it all the same",
           id, dir, what, theirs, here);
    return OK;
}

static const char *own_or(const json_t *rec, const char *key, const char *otherwise)
{
    return *jstr(rec, key) ? jstr(rec, key) : otherwise;
}

// A result that is known already must be the same one.
static enum err check_same(const struct source *src, const json_t *known, const json_t *rec)
{
    const char *id = jstr(rec, "id"), *a = jstr(known, "status"), *b = jstr(rec, "status");
    ENSURE(strcmp(a, b) == 0, ERR_INPUT, "import: job %s: %s is known, %s says %s", id, a,
           src->dir, b);
    double x = jnum(known, "loss"), y = jnum(rec, "loss"); // NaN both where it diverged
    ENSURE(x == y || (x != x && y != y), ERR_INPUT,
           "import: job %s: a loss of %.17g is known, %s says %.17g; which is right?", id, x,
           src->dir, y);
    return OK;
}

static enum err take(struct import *im, const struct source *src, json_t *rec)
{
    const char *id = jstr(rec, "id"), *status = jstr(rec, "status");
    if (strcmp(status, "ok") != 0 && strcmp(status, "diverged") != 0 &&
        strcmp(status, "pruned") != 0)
        return OK; // that machine's trouble
    const json_t *known = json_object_get(im->known, id);
    if (known)
        return check_same(src, known, rec);
    char build[128], isa[128];
    snprintf(build, sizeof build, "%s", own_or(rec, "build", src->id.build));
    snprintf(isa, sizeof isa, "%s", own_or(rec, "isa", src->id.isa));
    TRY(check_maker(im, src->dir, id, "trainer", build, im->journal->build));
    TRY(check_maker(im, src->dir, id, "instruction set", isa, im->journal->isa));
    json_t *taken = records_import(rec, src->name, src->dir);
    ENSURE(taken, ERR_FAILED, "out of memory");
    json_object_del(taken, "build");
    json_object_del(taken, "isa");
    origin_mark(taken, im->journal, build, isa);
    json_array_append_new(im->fresh, taken);
    json_object_set(im->known, id, taken);
    return OK;
}

static enum err take_all(struct import *im, const struct source *src, const json_t *records,
                         const char *journal)
{
    size_t i;
    json_t *rec;
    struct job_result checked;
    json_array_foreach(records, i, rec)
    {
        if (!is_result(rec))
            continue;
        TRY(job_result_from_json(rec, journal, &checked));
        TRY(take(im, src, rec));
    }
    return OK;
}

static enum err keep_record(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : err_set(ERR_FAILED, "out of memory");
}

static enum err import_records(struct import *im, struct source *src, json_t *records)
{
    char journal[JOB_PATH_MAX + 32];
    struct sweep theirs;
    TRY(sweepdir_path(src->dir, "journal", journal, sizeof journal));
    TRY(journal_read(journal, keep_record, records, NULL));
    TRY(records_head(records, journal, &src->id));
    snprintf(src->name, sizeof src->name, "%.31s %016" PRIx64, src->id.name, src->id.hash);
    TRY(extend_was(src->dir, records, &theirs));
    enum err e = check_source(im, src, &theirs);
    config_free(&theirs);
    return e == OK ? take_all(im, src, records, journal) : e;
}

enum err import_sweep(struct import *im, const char *dir)
{
    struct source src = {.dir = dir};
    json_t *records = json_array();
    ENSURE(records, ERR_FAILED, "out of memory");
    enum err e = import_records(im, &src, records);
    json_decref(records);
    return e;
}
