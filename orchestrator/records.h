// SPDX-License-Identifier: GPL-3.0-or-later
// The journal's records, each built in one place, and the journal replayed through the
// steering. docs/journal.md.
#ifndef ORCHESTRATOR_RECORDS_H
#define ORCHESTRATOR_RECORDS_H
#include "orchestrator/steer.h"

#define RECORDS_VERSION 1

struct records_identity { // what a journal is bound to
    char name[CONFIG_NAME], build[128], isa[128];
    uint64_t hash; // of the configuration
};
json_t *records_sweep(const struct records_identity *id);
// One run of the program over this journal: workers, when it began (s since 1970).
json_t *records_session(int number, int workers, double time);
json_t *records_job(const struct sweep *cfg, const struct steer_job *sj);
json_t *records_start(const char *id, int attempt, int worker, double t0);
// A final result: the trainer's, and where and when it came from. Takes curve's reference (may
// be NULL).
json_t *records_result(const struct job_result *r, int attempt, int worker, double t0,
                       double t1, const char *backend, json_t *curve);
// A crashed attempt that will be tried again.
json_t *records_failure(const struct job_result *r, int attempt, int worker, double t0,
                        double t1, const char *last_words);
json_t *records_stop(const char *why, double time);

// What is in the journal besides results.
struct records_past {
    json_t *jobs, *decisions; // ids that are journalled: {id: true}
    json_t *attempts;         // {id: [attempts, crashes]}
    int sessions;
    bool done; // the last record says so
};
// Checks the first record. ERR_INPUT: no sweep record, another version. path is for messages.
enum err records_head(const json_t *records, const char *path, struct records_identity *out);
// Feeds every result to s, letting it take the decisions that the journal took, and compares: a
// journalled job or decision that s does not arrive at is ERR_INPUT. s must be fresh.
// Afterwards s has been advanced as far as the results allow. past may be NULL.
enum err records_replay(const json_t *records, const struct sweep *cfg, const char *path,
                        struct steer *s, struct records_past *past);
// The same record by record, for a journal from which some are missing. ERR_INPUT from _take:
// the record does not follow from those before it; nothing has changed, and the next may be
// tried. past as above, not NULL; records_past_free releases it.
struct records_fold;
enum err records_fold_open(const struct sweep *cfg, const char *path, struct steer *s,
                           struct records_past *past, struct records_fold **out);
enum err records_fold_take(struct records_fold *f, json_t *rec);
void records_fold_close(struct records_fold *f); // accepts NULL
void records_past_free(struct records_past *p);
// Attempts and crashes of a job so far.
void records_attempts(const struct records_past *p, const char *id, int *attempts,
                      int *crashes);
#endif
