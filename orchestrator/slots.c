// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/slots.h"
#include "core/json.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum what { CPUS, GPUS, N_WHAT };
static const char *const keys[N_WHAT] = {"cpus", "gpus"};

struct worker {
    char *machine, host[64];
    char *seen[N_WHAT];  // lists as "0,64,1" of what it may use; NULL: not there
    char *share[N_WHAT]; // its part; NULL: all that it sees
    int machine_number;
    double gpu_memory; // bytes of the smallest GPU; 0: not known
    int sharers;       // workers on each of its GPUs
};

struct slots {
    struct worker *workers;
    int n;
    int *order;       // scratch
    json_t *machines; // name -> number
    double *memory;   // of a machine, bytes: the least that a worker tells; 0: not known
};

enum err slots_create(int n_workers, struct slots **out)
{
    struct slots *s = calloc(1, sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory");
    s->n = n_workers;
    s->workers = calloc((size_t)n_workers, sizeof *s->workers);
    s->order = calloc((size_t)n_workers, sizeof *s->order);
    s->machines = json_object();
    s->memory = calloc((size_t)n_workers, sizeof *s->memory);
    if (!s->workers || !s->order || !s->machines || !s->memory) {
        slots_free(s);
        return err_set(ERR_FAILED, "out of memory");
    }
    *out = s;
    return OK;
}

static void forget_shares(struct worker *w)
{
    for (int k = 0; k < N_WHAT; k++) {
        free(w->share[k]);
        w->share[k] = NULL;
    }
}

static void forget(struct worker *w)
{
    free(w->machine);
    for (int k = 0; k < N_WHAT; k++)
        free(w->seen[k]);
    forget_shares(w);
    *w = (struct worker){0};
}

void slots_free(struct slots *s)
{
    if (!s)
        return;
    for (int i = 0; s->workers && i < s->n; i++)
        forget(&s->workers[i]);
    free(s->workers);
    free(s->order);
    free(s->memory);
    json_decref(s->machines);
    free(s);
}

static enum err find_machine(struct slots *s, struct worker *w, json_t *ready)
{
    double memory = 0;
    TRY(json_get_num(ready, "READY", "memory", false, 0, 1e18, &memory));
    TRY(json_get_num(ready, "READY", "gpu_memory", false, 0, 1e18, &w->gpu_memory));
    const json_t *known = json_object_get(s->machines, w->machine);
    w->machine_number = known ? (int)json_integer_value(known)
                              : (int)json_object_size(s->machines); // at most one a worker
    ENSURE(known || json_object_set_new(s->machines, w->machine,
                                        json_integer(w->machine_number)) == 0,
           ERR_FAILED, "out of memory");
    double *least = &s->memory[w->machine_number];
    if (memory > 0 && (*least == 0 || memory < *least))
        *least = memory;
    return OK;
}

enum err slots_ready(struct slots *s, int worker, const char *host, json_t *ready)
{
    struct worker *w = &s->workers[worker];
    const json_t *machine = json_object_get(ready, "machine");
    forget(w);
    ENSURE(json_is_string(machine), ERR_INPUT, "READY: machine: expected text");
    snprintf(w->host, sizeof w->host, "%s", host);
    bool got = (w->machine = strdup(json_string_value(machine))) != NULL;
    for (int k = 0; k < N_WHAT; k++) {
        const json_t *list = json_object_get(ready, keys[k]);
        ENSURE(json_is_string(list), ERR_INPUT, "READY: %s: expected text", keys[k]);
        got = got && (w->seen[k] = strdup(json_string_value(list)));
    }
    ENSURE(got, ERR_FAILED, "out of memory");
    w->sharers = 1;
    return find_machine(s, w, ready);
}

struct sched_place slots_place(const struct slots *s, int worker)
{
    const struct worker *w = &s->workers[worker];
    double memory = s->memory[w->machine_number];
    return (struct sched_place){
        .host = w->machine_number,
        .memory = memory > 0 ? SLOTS_MEMORY * memory : INFINITY,
        .gpu = w->gpu_memory > 0 ? w->gpu_memory / w->sharers : INFINITY,
    };
}

// ---- lists

static int length(const char *list)
{
    int n = *list != '\0';
    for (; *list; list++)
        n += *list == ',';
    return n;
}

static const char *after(const char *list, int items)
{
    for (; items > 0 && *list; items--)
        list += strcspn(list, ",") + (list[strcspn(list, ",")] == ',');
    return list;
}

// Items from .. to - 1.
static char *part(const char *list, int from, int to)
{
    const char *a = after(list, from), *b = after(a, to - from);
    return strndup(a, (size_t)(b - a) - (b > a && b[-1] == ','));
}

// ---- sharing

struct by {
    const struct slots *s;
    enum what what;
};

static int compare(const struct worker *a, const struct worker *b, enum what what)
{
    int c = strcmp(a->machine, b->machine);
    return c != 0 ? c : strcmp(a->seen[what], b->seen[what]);
}

static int by_place(const void *a, const void *b, void *ctx)
{
    const struct by *by = ctx;
    int i = *(const int *)a, k = *(const int *)b;
    int c = compare(&by->s->workers[i], &by->s->workers[k], by->what);
    return c != 0 ? c : (i > k) - (i < k);
}

// Machines on which workers with different lists have something in common.
static enum err find_overlaps(const struct slots *s, enum what what, int n, json_t *overlaps)
{
    json_t *owners = json_object(); // "machine item" -> a worker that has it
    bool good = owners != NULL;
    for (int i = 0; i < n && good; i++) {
        const struct worker *w = &s->workers[s->order[i]];
        if (i > 0 && compare(&s->workers[s->order[i - 1]], w, what) == 0)
            continue;
        for (const char *at = w->seen[what]; *at && good; at = after(at, 1)) {
            json_t *key = json_sprintf("%s %.*s", w->machine, (int)strcspn(at, ","), at);
            const char *text = json_string_value(key);
            good = text != NULL;
            if (good && json_object_get(owners, text))
                good = json_object_set_new(overlaps, w->machine, json_true()) == 0;
            else if (good)
                good = json_object_set_new(owners, text, json_true()) == 0;
            json_decref(key);
        }
    }
    json_decref(owners);
    ENSURE(good, ERR_FAILED, "out of memory");
    return OK;
}

// Equal parts of one list for the workers at order[0 .. n - 1].
static enum err cut(struct slots *s, enum what what, const int *order, int n)
{
    const char *list = s->workers[order[0]].seen[what];
    int have = length(list);
    for (int i = 0; i < n; i++) {
        struct worker *w = &s->workers[order[i]];
        w->share[what] =
            part(list, (int)((int64_t)i * have / n), (int)((int64_t)(i + 1) * have / n));
        ENSURE(w->share[what], ERR_FAILED, "out of memory");
    }
    return OK;
}

static enum err share(struct slots *s, enum what what, int need, char *why, size_t size)
{
    struct by by = {s, what};
    json_t *overlaps = json_object();
    int n = 0, left_out = 0;
    enum err e = overlaps ? OK : err_set(ERR_FAILED, "out of memory");
    for (int i = 0; i < s->n; i++) {
        free(s->workers[i].share[what]);
        s->workers[i].share[what] = NULL;
        if (s->workers[i].machine && *s->workers[i].seen[what])
            s->order[n++] = i;
    }
    qsort_r(s->order, (size_t)n, sizeof *s->order, by_place, &by);
    if (e == OK)
        e = find_overlaps(s, what, n, overlaps);
    for (int i = 0, k; i < n && e == OK; i = k) {
        const struct worker *w = &s->workers[s->order[i]];
        for (k = i + 1; k < n && compare(w, &s->workers[s->order[k]], what) == 0; k++)
            ;
        int have = length(w->seen[what]), want = (k - i) * need;
        bool overlap = json_object_get(overlaps, w->machine) != NULL;
        for (int at = i; what == GPUS && at < k; at++)
            s->workers[s->order[at]].sharers = (want + have - 1) / have;
        if (!overlap && want <= have) {
            e = k - i > 1 ? cut(s, what, s->order + i, k - i) : OK;
        } else if (left_out++ == 0 && overlap) {
            snprintf(why, size, "%s: workers may use different, overlapping %s", w->host,
                     what == CPUS ? "processors" : "GPUs");
        } else if (left_out == 1) {
            snprintf(why, size, "%s: %d workers want %d of its %d %s", w->host, k - i, want,
                     have, what == CPUS ? "processors" : "GPUs");
        }
    }
    if (left_out > 1)
        snprintf(why + strlen(why), size - strlen(why), " (%d more like that)", left_out - 1);
    json_decref(overlaps);
    return e;
}

enum err slots_share(struct slots *s, const struct job *job, bool bind, char *why, size_t size)
{
    char gpus[256] = "";
    why[0] = '\0';
    TRY(share(s, CPUS, job->threads, why, size));
    TRY(share(s, GPUS, 1, gpus, sizeof gpus));
    if (*gpus && job_on_device(job))
        snprintf(why + strlen(why), size - strlen(why), "%s%s", *why ? "; " : "", gpus);
    for (int i = 0; i < s->n && !bind; i++)
        forget_shares(&s->workers[i]);
    if (!bind)
        why[0] = '\0';
    return OK;
}

enum err slots_bind(const struct slots *s, const int *workers, int n, json_t *body)
{
    for (int k = 0; k < N_WHAT; k++) {
        char *all = NULL;
        size_t size = 0;
        bool bound = false;
        FILE *f = open_memstream(&all, &size);
        ENSURE(f, ERR_FAILED, "out of memory");
        for (int i = 0; i < n; i++) {
            const struct worker *w = &s->workers[workers[i]];
            const char *list = w->share[k] ? w->share[k] : w->seen[k];
            bound = bound || w->share[k];
            if (list && *list)
                fprintf(f, "%s%s", ftell(f) > 0 ? "," : "", list);
        }
        bool good = fclose(f) == 0;
        if (good && bound)
            good = json_object_set_new(body, keys[k], json_string(all)) == 0;
        free(all);
        ENSURE(good, ERR_FAILED, "out of memory");
    }
    return OK;
}
