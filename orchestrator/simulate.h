// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep in discrete-event time: the scheduler and the steering that `run` uses, simulated
// workers, predicted times, losses from a surface that is known (truth.h). It answers before
// anything is bought: how long, how busy, what failures cost, and whether the plan would find
// what it looks for.
#ifndef ORCHESTRATOR_SIMULATE_H
#define ORCHESTRATOR_SIMULATE_H
#include "orchestrator/truth.h"

#define SIMULATE_SPEEDS 64

struct simulate_options {
    int workers;
    double rate;    // executed FLOP/s of a worker; 0: a guess
    double spread;  // sd of ln(time / predicted)
    double mtbf;    // s between deaths of some worker; 0: none
    double repair;  // s until a dead worker is back
    double service; // s that the manager needs for one message
    // Of the workers, in turn: speeds[worker % n_speeds]; n_speeds 0: all are alike. Blind: the
    // scheduler does not know them.
    double speeds[SIMULATE_SPEEDS];
    int n_speeds;
    bool blind;
    uint64_t seed;
};

struct simulate_result {
    int64_t jobs, assigned, lost; // jobs done; attempts; attempts lost with their workers
    int64_t deaths;
    double makespan, bound; // s; bound: max(longest, total / workers), at their speeds
    double busy, wasted; // worker-seconds of trainings that count, and of those that were lost
    double manager;      // share of the time that the manager was busy
};

// The whole sweep; *law as steer_law makes it (the caller's).
enum err simulate_sweep(const struct sweep *cfg, const struct truth *t,
                        const struct simulate_options *o, struct simulate_result *out,
                        json_t **law);
// n jobs drawn from those of the sweep's plan, all known from the start: no steering.
enum err simulate_jobs(const struct sweep *cfg, int64_t n, const struct simulate_options *o,
                       struct simulate_result *out);
#endif
