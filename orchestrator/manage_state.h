// SPDX-License-Identifier: GPL-3.0-or-later
// The manager's insides, shared by manage_open.c (start-up), manage.c (the loop) and
// manage_status.c.
#ifndef ORCHESTRATOR_MANAGE_STATE_H
#define ORCHESTRATOR_MANAGE_STATE_H
#include "orchestrator/journal.h"
#include "orchestrator/manage.h"
#include "orchestrator/records.h"
#include "orchestrator/runtime.h"
#include "orchestrator/sched.h"
#include "orchestrator/slots.h"

#define MANAGE_LATEST 8

// A worker rank as the manager sees it; ranks count from 1, workers from 0.
struct manage_worker {
    char host[64], isa[128];
    bool ready, lost, unfit; // unfit: alive, but cannot start trainers
    double heard;            // on the listening clock
    double offset; // manager's clock - worker's clock: the least seen, so nearest to the truth
    int job;       // number in the scheduler of what it trains, -1: nothing
    double t0;     // when that began, manager's clock
    int64_t step;
    double loss;
    // Whether it knows the terms of a job of that width and limit: the next job need not bring
    // the same again.
    bool told;
    int width;
    double memory_limit;
};

// Made once, when the steering asks for the job.
struct manage_job {
    struct runtime_work work;
    char *text; // job.json, n_text bytes; NULL once the job is final
    size_t n_text;
    double memory_limit; // bytes of its trainer; 0: none
};

struct manager {
    struct sweep cfg;
    struct run_options opt;
    char dir[JOB_PATH_MAX];
    struct link *link;
    struct journal *journal;
    struct steer *steer;
    struct sched *sched;
    struct slots *slots;
    bool moetrain;          // what a job needs is known
    bool shared;            // what a machine has is shared out: jobs go to workers from then on
    struct runtime runtime; // of all runs so far
    struct progress *progress;
    json_t *records;                  // the journal's; only while starting and ending
    size_t settled;                   // of them, before manage_past
    struct records_identity identity; // the journal's
    struct records_identity own;      // this program's
    json_t *extension;                // record of the one that begins now; NULL: none
    struct records_past past;
    int *steer_of; // scheduler's number of a job -> steering's
    int n_sched, cap_sched;
    struct manage_job *jobs; // by the steering's number
    int cap_jobs;
    int seen_jobs, seen_decisions; // of the steering's, already taken up
    struct manage_worker *workers;
    int n_workers;
    struct job_result *finals; // journalled, not yet given to the steering
    int n_finals, cap_finals;

    double wall0, clock0;                  // time of day and clock at the start
    double first_start, last_end, busy;    // this session's, manager's clock; s
    int n_final, n_ok, n_pruned, n_failed; // final results; of these
    int n_crashes;                         // attempts of this session
    char last_cause[256];
    double unsynced_since, finals_since, shown; // infinite: nothing waits
    double touched;          // when the workers last heard from us in any case
    double listened, turned; // the listening clock (manage.c), s; when it last moved
    double deadline;         // manager's clock, of the time limit; infinite: none
    double drain_since;      // infinite: not draining
    char why[128];           // of the drain
    json_t *latest;          // last things worth reading
};

// The steering's record of a scheduler's job.
const struct steer_job *manage_job(const struct manager *m, int job);
// Predicted seconds of a whole training.
double manage_seconds(const struct manager *m, int steer_number);
// From the runtime model as it is now: the queue's order, the workers' speeds, and what still
// ends in time.
void manage_predict(struct manager *m);
// Time of day of a moment on the manager's clock.
double manage_time(const struct manager *m, double clock);
// Appends to the journal; takes the reference.
enum err manage_record(struct manager *m, json_t *rec);
// All records that are on disk, into m->records.
enum err manage_reread(struct manager *m);
// Journals what the steering has newly decided and created, and queues the jobs.
enum err manage_take_up(struct manager *m);
// Counts a final result.
void manage_count(struct manager *m, const struct job_result *final);
// Notes that the journal holds something that is not on disk.
void manage_note_unsynced(struct manager *m);
// Jobs may go to the worker.
void manage_enter(struct manager *m, int worker);

// manage_take.c: what a worker says.
enum err manage_take(struct manager *m, const struct link_msg *msg);
// A message that is no more than its kind.
enum err manage_send_word(struct manager *m, int worker, enum link_kind kind);
// The worker's jobs go to others; a worker that runs one with slots of it must let go of it.
enum err manage_leave(struct manager *m, int worker);
// manage_past.c: adds to the records, before they are replayed, that this configuration extends
// another one, and results of other sweeps; once that went well, to the journal.
enum err manage_past(struct manager *m, const char *journal);
enum err manage_past_keep(struct manager *m, const char *resolved);
// A line for the user that also stays in status.json.
void manage_say(struct manager *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// status.json and the display; state as in status.h.
enum err manage_show(struct manager *m, const char *state);
void manage_say_decision(struct manager *m, const json_t *decision);
#endif
