// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/repair.h"
#include "core/file.h"
#include "core/json.h"
#include "orchestrator/identity.h"
#include "orchestrator/journal.h"
#include "orchestrator/records.h"
#include "orchestrator/sweepdir.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stretch {
    const char *text;
    size_t size;
};

struct repair {
    const char *path; // of the journal
    struct sweep cfg;
    struct steer *steer;
    struct records_fold *fold;
    struct records_past past;
    struct stretch *kept; // records, without newlines
    size_t n_kept, cap;
    bool last_is_end; // the last one kept says that the sweep is done
    int64_t last_line, last_offset;
    char *head;                          // a first record made anew
    int64_t n_records, n_new, extension; // extension: number of the last one, 0: none
    char extended[17];                   // its hash
    json_t *dropped;                     // [{line, offset, bytes, kind, id, why}]
    json_t *again;                       // {id of a job that had a result: true}
};

static enum err keep(struct repair *r, const char *text, size_t size)
{
    if (r->n_kept == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct stretch *p = realloc(r->kept, cap * sizeof *p);
        ENSURE(p, ERR_FAILED, "%s: out of memory", r->path);
        r->kept = p;
        r->cap = cap;
    }
    r->kept[r->n_kept++] = (struct stretch){text, size};
    return OK;
}

static void drop(struct repair *r, int64_t line, int64_t offset, size_t size, const char *kind,
                 const char *id, const char *why)
{
    json_array_append_new(r->dropped,
                          json_pack("{s:I, s:I, s:I, s:s, s:s, s:s}", "line", (json_int_t)line,
                                    "offset", (json_int_t)offset, "bytes", (json_int_t)size,
                                    "kind", kind, "id", id, "why", why));
}

// The letters and digits behind key ("\"id\":\"") in damaged bytes; "" if it is not there.
static void word_after(const char *text, size_t n, const char *key, char *buf, size_t size)
{
    const char *at = memmem(text, n, key, strlen(key)), *end = text + n;
    size_t len = 0;
    for (at = at ? at + strlen(key) : end; at < end && len + 1 < size; at++) {
        bool good = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9');
        if (!good)
            break;
        buf[len++] = *at;
    }
    buf[len] = '\0';
}

static void had_result(struct repair *r, const char *id)
{
    if (*id)
        json_object_set_new(r->again, id, json_true());
}

// What the damaged bytes still say of themselves.
static void take_damage(struct repair *r, const struct journal_piece *p)
{
    static const char *const kinds[] = {"sweep",   "session",  "job",  "start", "result",
                                        "failure", "decision", "stop", NULL};
    char kind[16], id[JOB_ID_LEN];
    int k = 0;
    word_after(p->text, p->size, "\"t\":\"", kind, sizeof kind);
    word_after(p->text, p->size, "\"id\":\"", id, sizeof id);
    while (kinds[k] && strcmp(kinds[k], kind) != 0)
        k++;
    if (strlen(id) < 12 || strspn(id, "0123456789abcdef") != strlen(id))
        *id = '\0'; // not of a job
    if (!kinds[k] || strcmp(kind, "result") == 0)
        had_result(r, id);
    drop(r, p->line, p->offset, p->size, kinds[k] ? kind : "", id, "damaged");
}

// A record that does not follow from those that are left: what it followed from is lost.
static void take_orphan(struct repair *r, const struct journal_piece *p)
{
    const char *kind = jstr(p->rec, "t");
    size_t i;
    json_t *input;
    if (strcmp(kind, "result") == 0)
        had_result(r, jstr(p->rec, "id"));
    json_array_foreach(json_object_get(p->rec, "inputs"), i, input) if (json_is_string(input))
        had_result(r, json_string_value(input));
    drop(r, p->line, p->offset, p->size, kind, jstr(p->rec, "id"),
         strcmp(kind, "sweep") == 0      ? "not the first record"
         : strcmp(kind, "decision") == 0 ? "reads results that are lost"
                                         : "follows from results that are lost");
}

// Before all else: what the sweep was extended to.
static enum err find_extension(void *ctx, const struct journal_piece *p)
{
    struct repair *r = ctx;
    r->n_records += p->rec != NULL;
    if (!p->rec || strcmp(jstr(p->rec, "t"), "extend") != 0)
        return OK;
    r->extension = r->n_records;
    snprintf(r->extended, sizeof r->extended, "%s", jstr(p->rec, "hash"));
    return OK;
}

// The first record: as it is, or made anew.
static enum err take_head(struct repair *r, const struct journal_piece *p, bool *taken)
{
    struct records_identity id = {.hash = r->cfg.hash};
    *taken = p->rec && strcmp(jstr(p->rec, "t"), "sweep") == 0;
    if (*taken) {
        json_t *alone = json_pack("[O]", p->rec);
        enum err e = records_head(alone, r->path, &id);
        json_decref(alone);
        TRY(e);
        if (r->extension > 0)
            id.hash = strtoull(r->extended, NULL, 16);
        ENSURE(id.hash == r->cfg.hash, ERR_INPUT,
               "%s is not the journal of config.resolved.cfg beside it", r->path);
        return keep(r, p->text, p->size);
    }
    memcpy(id.name, r->cfg.name, sizeof id.name);
    identity_isa(id.isa, sizeof id.isa);
    TRY(identity_trainer(r->cfg.trainer, id.build, sizeof id.build));
    json_t *rec = records_sweep(&id);
    char *text = json_dumps(rec, JSON_COMPACT);
    json_decref(rec);
    ENSURE(text && asprintf(&r->head, "%08" PRIx32 " %s", journal_crc32c(text, strlen(text)),
                            text) > 0,
           ERR_FAILED, "%s: out of memory", r->path);
    free(text);
    r->n_new = 1;
    return keep(r, r->head, strlen(r->head));
}

static enum err take_piece(void *ctx, const struct journal_piece *p)
{
    struct repair *r = ctx;
    bool taken = false;
    r->n_records += p->rec != NULL;
    if (r->n_kept == 0)
        TRY(take_head(r, p, &taken));
    if (taken)
        return OK;
    if (!p->rec) {
        take_damage(r, p);
        return OK;
    }
    enum err e = strcmp(jstr(p->rec, "t"), "sweep") == 0
                     ? ERR_INPUT
                     : records_fold_take(r->fold, p->rec, r->n_records < r->extension);
    if (e == ERR_INPUT && json_array_size(r->dropped) > 0) {
        take_orphan(r, p);
        return OK;
    }
    TRY(e);
    r->last_is_end = r->past.done;
    r->last_line = p->line;
    r->last_offset = p->offset;
    return keep(r, p->text, p->size);
}

static enum err salvage(struct repair *r, const char *text, size_t size)
{
    TRY(records_fold_open(&r->cfg, r->path, r->steer, &r->past, &r->fold));
    TRY(journal_pieces(text, size, true, find_extension, r));
    r->n_records = 0;
    TRY(journal_pieces(text, size, false, take_piece, r));
    ENSURE(r->n_records > 0, ERR_INPUT, "%s: expected a journal, found no intact record",
           r->path);
    TRY(steer_advance(r->steer));
    if (r->last_is_end && !steer_done(r->steer))
        drop(r, r->last_line, r->last_offset, r->kept[--r->n_kept].size, "stop", "",
             "the sweep is no longer done");
    return OK;
}

// ---- what is said

static int place_of(const struct repair *r, const char *id)
{
    for (int i = 0; i < steer_n_jobs(r->steer); i++)
        if (strcmp(steer_job_at(r->steer, i)->job.id, id) == 0)
            return i;
    return -1;
}

// Jobs that had a result: known ones that have none now, or (later) those that nothing asks for
// yet.
static void say_jobs(const struct repair *r, bool later, FILE *out)
{
    const char *id;
    json_t *v;
    int n = 0;
    json_object_foreach(r->again, id, v)
    {
        int i = place_of(r, id);
        if (later ? i >= 0 : i < 0 || steer_job_at(r->steer, i)->final)
            continue;
        fprintf(out, "%s %s",
                n++ ? ","
                : later
                    ? "trained again, once what is decided anew asks for them (exact training: "
                      "the same jobs):"
                    : "trained again:",
                id);
    }
    if (n)
        fputc('\n', out);
}

static void say(const struct repair *r, FILE *out)
{
    size_t i;
    json_t *d;
    bool torn = false;
    fprintf(out, "%s: %" PRId64 " intact records, %zu kept\n", r->path, r->n_records,
            r->n_kept - (size_t)r->n_new);
    json_array_foreach(r->dropped, i, d)
    {
        const char *kind = jstr(d, "kind"), *id = jstr(d, "id");
        torn = torn || (strcmp(jstr(d, "why"), "damaged") == 0 && !*id &&
                        (!*kind || strcmp(kind, "result") == 0));
        fprintf(out, "  dropped: line %.0f, byte %.0f, %.0f bytes: %s%s%s: %s\n",
                jnum(d, "line"), jnum(d, "offset"), jnum(d, "bytes"),
                *kind ? kind : "of unknown kind", *id ? " " : "", id, jstr(d, "why"));
    }
    if (r->n_new)
        fprintf(out,
                "  the first record is made anew, from config.resolved.cfg and the trainer "
                "and instruction set found here; if the sweep ran elsewhere, repair it "
                "there\n");
    say_jobs(r, false, out);
    say_jobs(r, true, out);
    if (torn)
        fputs("a result among the damaged bytes that names no job is trained again as well\n",
              out);
    int open = 0;
    for (int k = 0; k < steer_n_jobs(r->steer); k++)
        open += !steer_job_at(r->steer, k)->final;
    fprintf(out,
            "known jobs without a result now: %d of %d; decisions and jobs whose records "
            "alone are lost are written again as they were\n",
            open, steer_n_jobs(r->steer));
}

// ---- what is written

static enum err write_kept(const struct repair *r, int fd, const char *path)
{
    for (size_t i = 0; i < r->n_kept; i++) {
        TRY(file_write(fd, path, r->kept[i].text, r->kept[i].size));
        TRY(file_write(fd, path, "\n", 1));
    }
    ENSURE(fsync(fd) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    return OK;
}

// The damaged file gets a second name that was free before it loses its first.
static enum err set_aside(const struct repair *r, char *name, size_t size)
{
    for (int n = 1; n < 10000; n++) {
        snprintf(name, size, "%s.damaged-%d", r->path, n);
        if (link(r->path, name) == 0)
            return OK;
        ENSURE(errno == EEXIST, ERR_FAILED, "%s: %s", name, strerror(errno));
    }
    return err_set(ERR_FAILED, "%s: 9999 damaged ones are kept already", r->path);
}

static enum err replace(const struct repair *r, FILE *out)
{
    char fresh[JOB_PATH_MAX + 64], aside[JOB_PATH_MAX + 64];
    snprintf(fresh, sizeof fresh, "%s.repaired", r->path);
    unlink(fresh); // of a repair that was cut short; the lock is ours
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    ENSURE(fd >= 0, errno == ENOSPC ? ERR_FAILED : ERR_INPUT, "%s: %s", fresh, strerror(errno));
    enum err e = write_kept(r, fd, fresh);
    close(fd);
    if (e == OK)
        e = set_aside(r, aside, sizeof aside);
    if (e == OK && rename(fresh, r->path) != 0)
        e = err_set(ERR_FAILED, "%s: %s", r->path, strerror(errno));
    if (e == OK)
        e = file_sync_folder(r->path);
    if (e != OK) {
        unlink(fresh);
        return e;
    }
    fprintf(out, "%s is whole again; the damaged one is %s\n", r->path, aside);
    return OK;
}

static enum err repair_text(struct repair *r, const char *text, size_t size, bool dry,
                            FILE *out)
{
    TRY(salvage(r, text, size));
    // A last record that was cut short is no damage: the next run drops it.
    const json_t *first = json_array_get(r->dropped, 0);
    int64_t at = json_integer_value(json_object_get(first, "offset"));
    bool whole = !first || (json_array_size(r->dropped) == 1 &&
                            !memchr(text + at, '\n', size - (size_t)at));
    if (whole && !r->n_new) {
        fprintf(out, "%s: %" PRId64 " records, none damaged: nothing to repair\n", r->path,
                r->n_records);
        return OK;
    }
    say(r, out);
    if (!dry)
        return replace(r, out);
    fputs("nothing was written (--dry-run)\n", out);
    return OK;
}

static enum err repair_with(struct repair *r, const char *dir, bool dry, FILE *out)
{
    char resolved[JOB_PATH_MAX + 64], *text = NULL;
    struct journal *held = NULL;
    size_t size = 0;
    TRY(sweepdir_path(dir, "config.resolved.cfg", resolved, sizeof resolved));
    TRY(journal_hold(r->path, &held, &text, &size));
    if (!journal_locked(held))
        fprintf(out,
                "%s: this file system has no locks; see to it that no moesweep writes here\n",
                r->path);
    enum err e = config_load(resolved, &r->cfg);
    if (e == OK) {
        e = steer_create(&r->cfg, &r->steer);
        if (e == OK)
            e = repair_text(r, text, size, dry, out);
        steer_free(r->steer);
        config_free(&r->cfg);
    }
    free(text);
    journal_close(held);
    return e;
}

enum err repair_journal(const char *dir, bool dry, FILE *out)
{
    char path[JOB_PATH_MAX + 32];
    TRY(sweepdir_path(dir, "journal", path, sizeof path));
    struct repair *r = calloc(1, sizeof *r);
    ENSURE(r, ERR_FAILED, "out of memory");
    r->path = path;
    r->dropped = json_array();
    r->again = json_object();
    enum err e = repair_with(r, dir, dry, out);
    records_fold_close(r->fold);
    records_past_free(&r->past);
    json_decref(r->dropped);
    json_decref(r->again);
    free(r->kept);
    free(r->head);
    free(r);
    return e;
}
