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
// Records of which there are many, as text for journal_append_text. Where and when an attempt
// was made: worker is its rank; s since 1970.
struct records_attempt {
    const char *id;
    int attempt, worker;
    double t0, t1;
    const json_t *origin; // of the result (origin.h); NULL: the sweep's own
};
enum { RECORDS_START_MAX = 256 };
// Returns its length.
size_t records_start(const struct records_attempt *a, char buf[RECORDS_START_MAX]);
// An attempt's end: `said`, n bytes of text that said_read (said.h) takes, and the attempt.
// final: a result, else a failure that will be tried again. *out is the caller's.
enum err records_end(const struct records_attempt *a, bool final, const char *said, size_t n,
                     char **out, size_t *n_out);
json_t *records_stop(const char *why, double time);
// From here on another configuration holds, id's name and hash; what is known stays known.
// keys: what differs, as config_differences says it. number: of the configuration, from 2 on.
json_t *records_extend(const struct records_identity *id, int number, const char *keys,
                       double time);
// The runs of the configuration's table, as they were read: "fit" or "start".
json_t *records_prior(const struct sweep *cfg);
// A result of another sweep: its record, taken over from that sweep's journal in dir. source:
// that sweep's name and hash. build and isa are left to origin_mark.
json_t *records_import(json_t *result, const char *source, const char *dir);

// What is in the journal besides results.
struct records_past {
    json_t *jobs, *decisions; // ids that are journalled: {id: true}; decisions: of the last
                              // configuration
    json_t *attempts;         // {id: [attempts, crashes]}
    int sessions;
    bool done; // the last record says so
};
// Checks the first record; name and hash are those of the last extension, if there is one.
// ERR_INPUT: no sweep record, another version. path is for messages.
enum err records_head(const json_t *records, const char *path, struct records_identity *out);
// Feeds every result to s, letting it take the decisions that the journal took, and compares: a
// journalled job or decision that s does not arrive at is ERR_INPUT. s must be fresh.
// Of what is before the last extension the results are known, no more. Afterwards s has been
// advanced as far as the results allow. past may be NULL.
enum err records_replay(const json_t *records, const struct sweep *cfg, const char *path,
                        struct steer *s, struct records_past *past);
// The same record by record, for a journal from which some are missing. ERR_INPUT from _take:
// the record does not follow from those before it; nothing has changed, and the next may be
// tried; old: an extension follows. past as above, not NULL; records_past_free releases it.
struct records_fold;
enum err records_fold_open(const struct sweep *cfg, const char *path, struct steer *s,
                           struct records_past *past, struct records_fold **out);
enum err records_fold_take(struct records_fold *f, json_t *rec, bool old);
void records_fold_close(struct records_fold *f); // accepts NULL
void records_past_free(struct records_past *p);
// Gives s every result and import of a journal's records, without their jobs and decisions.
enum err records_know(const json_t *records, const char *path, struct steer *s);
// Attempts and crashes of a job so far.
void records_attempts(const struct records_past *p, const char *id, int *attempts,
                      int *crashes);
#endif
