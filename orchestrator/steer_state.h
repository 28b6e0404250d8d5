// SPDX-License-Identifier: GPL-3.0-or-later
// The inside of a steer: cells (one a phase, scale and round) over jobs. Shared by steer.c
// (which opens and decides cells), decide.c (what a full cell says) and law.c (what all cells
// together say).
#ifndef ORCHESTRATOR_STEER_STATE_H
#define ORCHESTRATOR_STEER_STATE_H
#include "fit/curve.h"
#include "fit/rank.h"
#include "orchestrator/candidate.h"
#include "orchestrator/steer.h"

struct entry {               // one run of a cell
    int job;                 // index into the steer's jobs
    int at[CONFIG_MAX_AXES]; // which value of each axis was asked for
    double median_d;         // median feasible d of the point (rank-preservation test)
};

struct cell_axis {
    int n; // values, growth included
    double asked[CONFIG_MAX_POINTS];
    int grown_low, grown_high; // values added below and above
    bool closed;               // a further value could not be built
};

enum cell_state { CELL_WAITING, CELL_OPEN, CELL_DECIDED };

struct cell {
    int phase, round;
    double C;
    enum cell_state state;
    struct cell_axis axes[CONFIG_MAX_AXES];
    int n_entries;
    struct entry *entries;
    json_t *infeasible; // [{"point","why"}]
    // What its runs are compared with on the way: the run that ended best of those before, and
    // its training losses at shares of its steps, with the margin; NULL and 0: nothing.
    const struct steer_job *reference;
    int n_stop;
    double stop_at[JOB_MAX_STOPS], stop_above[JOB_MAX_STOPS];
    struct curve_fit fits[CONFIG_MAX_AXES];
    // Observation i of fit f is entry fit_entry[f][i], or below 0 run -1 - fit_entry[f][i] of
    // the table of prior runs.
    int *fit_entry[CONFIG_MAX_AXES];
    int along_axis[CONFIG_MAX_AXES][CURVE_MAX_ALONG]; // axes of fit f's `along`
    double adopted[CONFIG_MAX_AXES];                  // by fit; NaN: nothing
    char rule[CONFIG_MAX_AXES][160];
    bool has_rank, has_spread;
    struct rank_stats rank;
    struct spread_stats spread;
    json_t *rank_pairs, *spread_rows;
};

struct known { // a result without a job so far
    struct job_result result;
    json_t *origin;
};

struct job_table { // jobs by a text: number + 1 at its hash or the next free place after
    int *at, n;
};

struct steer {
    const struct sweep *cfg;
    int n_jobs, cap_jobs;
    struct steer_job **jobs;         // pointers stay valid while the array grows
    struct job_table by_id, by_work; // of several jobs of one work the first; twins follow
    int n_decisions;
    json_t *decisions; // array
    int n_cells, cap_cells;
    struct cell *cells;
    bool phase_closed[CONFIG_MAX_PHASES]; // every round that will be is decided
    struct feasible solved;               // of the last point
    int n_known, cap_known;
    struct known *known;
    json_t *known_at; // id -> index into known
};

// Cells of one phase at one scale in its last round; NULL if the phase does not run there.
const struct cell *steer_cell_last(const struct steer *s, int phase, double C);
// Wishes at one scale before a phase's own axes: start, then what its ancestors and its own
// earlier rounds adopted there, in the order of phases, then the phase's settings.
void steer_wish(const struct steer *s, const struct cell *c, struct wish *w);
// Whether what q found is behind what c asks for: q is decided, at the same scale, of an
// ancestor or an earlier round.
bool steer_is_behind(const struct steer *s, const struct cell *q, const struct cell *c);
// steer_stop.c: what the runs of a cell that opens are compared with.
void steer_find_reference(const struct steer *s, struct cell *c);
// The job's stops, and the id that goes with them.
void steer_set_stops(const struct cell *c, struct job *j);
// A job of the same work (an id without stops) behind the cell that can stand in for one of the
// cell's own; -1: none.
int steer_stand_in(const struct steer *s, const struct cell *c, const char *work);
// Makes of the result of the same work without stops that of the job.
void steer_cut(const struct steer_job *sj, struct job_result *r);
// Whether the cell's values on an axis that were stopped early lie beyond all that ended well.
bool steer_pruned_beyond(const struct steer *s, const struct cell *c, int axis, bool low);
// Index of the job with this id; -1 if there is none.
int steer_find(const struct steer *s, const char *id);
// The same by work: the first of its jobs.
int steer_find_work(const struct steer *s, const char *work);
// steer_known.c: gives a new job the result that is known of it.
void steer_take_known(struct steer *s, struct steer_job *sj);
void steer_known_free(struct steer *s);
// Is phase q an ancestor of p through `after`?
bool steer_is_before(const struct sweep *cfg, int q, int p);

// decide.c: fits and analyses of a cell whose jobs are all final.
enum err decide_cell(const struct steer *s, struct cell *c);
// The cell as JSON; full adds points and curves (law.json), otherwise the journal's short form.
enum err decide_cell_json(const struct steer *s, const struct cell *c, bool full, json_t **out);
// Where the others were: {"M","x","y","d"}, geometric means over the runs of a fit. It is there
// that its optimum holds.
json_t *decide_fit_at(const struct steer *s, const struct cell *c, int f);
void decide_cell_free(struct cell *c);
#endif
