// SPDX-License-Identifier: GPL-3.0-or-later
// What to train next: a pure fold over final results. The same results in any order give the
// same jobs and the same decisions; a decision is taken when its whole set of input jobs is
// final and reads it sorted by job id.
#ifndef ORCHESTRATOR_STEER_H
#define ORCHESTRATOR_STEER_H
#include "core/job.h"
#include "orchestrator/config.h"

struct steer;

struct steer_job {
    struct job job;
    char work[JOB_ID_LEN]; // id of the same work without stops
    int twin;              // number + 1 of another job of the same work; 0: none (the last one)
    struct counts counts;  // achieved
    double C;              // the scale
    int phase;             // of the cell that asked first; label only
    int priority;          // smaller first
    bool final;
    struct job_result result; // when final
    json_t *origin;           // of the result (origin.h); NULL: this sweep's own trainer
};

// Ended well, with a loss that fits can read.
bool steer_job_ok(const struct steer_job *sj);
// Ended early, as hopeless.
bool steer_job_pruned(const struct steer_job *sj);

enum err steer_create(const struct sweep *cfg, struct steer **out);
void steer_free(struct steer *s);
// A final result; unknown ids are ERR_INPUT, repeats are ignored (first one counts).
enum err steer_result(struct steer *s, const struct job_result *r);
// A final result of a job that this sweep asks for or may come to ask for: that of an earlier
// configuration or of another sweep. The job is final as soon as it exists; the first result
// counts. origin (may be NULL) is kept by reference.
enum err steer_know(struct steer *s, const struct job_result *r, json_t *origin);
// Takes every decision that is due and creates the jobs that follow, until nothing changes.
enum err steer_advance(struct steer *s);
// For plans: opens the cells that still wait, around what is adopted so far, else the start
// values.
enum err steer_open_all(struct steer *s);
// Jobs and decisions in order of creation; counts only grow. Decisions are journal records
// {"t":"decision","id":..,"phase":..,"C":..,"inputs":[ids],..}.
int steer_n_jobs(const struct steer *s);
const struct steer_job *steer_job_at(const struct steer *s, int i);
int steer_n_decisions(const struct steer *s);
json_t *steer_decision_at(const struct steer *s, int i); // borrowed
bool steer_done(const struct steer *s);
// Jobs known plus an estimate of those not yet created (phases that wait), for progress and
// ETA.
int steer_expected_jobs(const struct steer *s);
// What cells that wait for results would say now, for the eye: an array of decisions in short
// form, of cells with at least three usable results. Nothing is decided. The caller's.
enum err steer_provisional(const struct steer *s, json_t **out);
// The sweep's law as law.json (docs/method.md); from final results alone. Caller owns.
enum err steer_law(const struct steer *s, json_t **out);
#endif
