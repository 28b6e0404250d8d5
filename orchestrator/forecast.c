// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/forecast.h"
#include "core/executed.h"
#include "core/json.h"
#include "orchestrator/steer_state.h"
#include "orchestrator/sweepdir.h"
#include <math.h>
#include <stdlib.h>
#include <sys/statvfs.h>

// Within which factor predicted totals came out: a guess of a processor's speed, and a rate in
// FLOP/s that small and large models are taken to share.
static const double GUESSED = 4, GIVEN = 2;
// Bytes a job, beside checkpoints: its records (2.5 kB measured, the learning curve most of
// them), its share of law.json and report.html (14 kB measured), its file in jobs/, a block of
// 4 KiB.
static const double RECORDS = 3e3, OUTPUTS = 16e3, JOB_FILE = 4096;

void forecast_begin(struct forecast_basis *b, const struct sweep *cfg, double rate, int workers)
{
    *b = (struct forecast_basis){.from = rate > 0 ? "given" : "guess",
                                 .factor = rate > 0 ? GIVEN : GUESSED,
                                 .workers = workers};
    runtime_init(&b->runtime, rate > 0 ? rate : runtime_guess(&cfg->base));
}

double forecast_seconds(const struct forecast_basis *b, const struct job *j)
{
    struct runtime_work w = runtime_work_of(j);
    return runtime_predict(&b->runtime, &w, NULL) + b->overhead;
}

// ---- disk

static double checkpoint_bytes(const struct job *j)
{
    struct executed e = executed_of(j);
    return (double)e.mem_weights + (double)e.mem_optimizer;
}

struct forecast_disk forecast_disk(const struct sweep *cfg, const struct steer *s, double jobs,
                                   double most, int workers)
{
    double sum = 0, largest = 0;
    int n = steer_n_jobs(s);
    for (int i = 0; i < n; i++) {
        double bytes = checkpoint_bytes(&steer_job_at(s, i)->job);
        sum += bytes;
        largest = fmax(largest, bytes);
    }
    double mean = n > 0 ? sum / n : 0;
    // While it is replaced a checkpoint is there twice.
    double at_work = 2 * largest * fmin(workers, most);
    double small = RECORDS + OUTPUTS + JOB_FILE, kept = cfg->base.checkpoint.keep ? mean : 0;
    return (struct forecast_disk){jobs * (small + kept) + at_work / 2,
                                  jobs * (small / 2 + kept),
                                  most * (2 * small + 1.05 * kept) + at_work};
}

double forecast_free(const char *dir, char *found, size_t size)
{
    struct statvfs fs;
    if (!sweepdir_existing(dir, found, size) || statvfs(found, &fs) != 0)
        return NAN;
    return (double)fs.f_bavail * (double)fs.f_frsize;
}

// ---- time

// Longest chain of jobs that wait for each other, s: no number of workers is faster.
static double longest_chain(const struct forecast_basis *b, const struct sweep *cfg,
                            const struct steer *s)
{
    double *until = calloc((size_t)s->n_cells + 1, sizeof *until), longest = 0;
    for (int i = 0; until && i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        double job = 0, before = 0;
        for (int k = 0; k < c->n_entries; k++)
            if (!s->jobs[c->entries[k].job]->final)
                job = fmax(job, forecast_seconds(b, &s->jobs[c->entries[k].job]->job));
        for (int k = 0; k < i; k++)
            if (s->cells[k].C == c->C && steer_is_before(cfg, s->cells[k].phase, c->phase))
                before = fmax(before, until[k]);
        until[i] = before + job;
        longest = fmax(longest, until[i]);
    }
    free(until);
    return longest;
}

static json_t *scaled(double value, double lo, double hi, double by)
{
    return by > 0 ? json_interval(by * value, by * lo, by * hi) : json_null();
}

json_t *forecast_json(const struct forecast_basis *b, const struct sweep *cfg,
                      const struct steer *s, int64_t more)
{
    double sum = 0, memory = 0, least = INFINITY, n = 0;
    for (int i = 0; i < s->n_jobs; i++) {
        const struct job *j = &s->jobs[i]->job;
        if (s->jobs[i]->final)
            continue; // it has a result already
        n++;
        double bytes = (double)executed_of(j).mem_total;
        sum += forecast_seconds(b, j);
        memory = fmax(memory, bytes);
        least = fmin(least, bytes);
    }
    double most = n + (double)more, W = b->workers, chain = longest_chain(b, cfg, s);
    double lo = sum / b->factor, hi = sum * b->factor * (n > 0 ? most / n : 1);
    // Phases wait for each other's last job: in the mean half the chain is not filled up.
    double span = fmax(sum / W, chain) + chain / 2 * (1 - 1 / W);
    double span_lo = fmax(lo / W, chain / b->factor);
    double span_hi = hi / W + chain * b->factor * (1 - 1 / W);
    struct forecast_disk disk = forecast_disk(cfg, s, n, most, b->workers);
    bool device = job_on_device(&cfg->base);
    json_t *f = json_object();
    json_object_set_new(f, "from", json_string(b->from));
    json_object_set_new(f, "runs", json_interval(n, n, most));
    json_object_set_new(f, "worker_hours", scaled(sum, lo, hi, 1. / 3600));
    json_object_set_new(f, "core_hours", scaled(sum, lo, hi, cfg->base.threads / 3600.));
    json_object_set_new(f, "gpu_hours", scaled(sum, lo, hi, device ? 1. / 3600 : 0));
    json_object_set_new(f, "makespan_s", json_interval(span, span_lo, span_hi));
    double data = (double)cfg->corpus_bytes; // mapped once for all of a machine
    json_object_set_new(
        f, "memory_bytes",
        json_interval(W * memory + data, W * fmin(least, memory), W * memory + data));
    json_object_set_new(f, "disk_bytes", json_interval(disk.value, disk.lo, disk.hi));
    json_object_set_new(f, "cost", scaled(sum, lo, hi, cfg->price_per_hour / 3600));
    return f;
}
