// SPDX-License-Identifier: GPL-3.0-or-later
// A candidate: what is wished for (coordinates, dimensions, hyper-parameters) and the structure
// that comes nearest. Wishes are layered: start values, what earlier phases adopted, a phase's
// own settings, an axis point; a later layer evicts what an earlier one said about the same
// property.
#ifndef ORCHESTRATOR_CANDIDATE_H
#define ORCHESTRATOR_CANDIDATE_H
#include "orchestrator/config.h"

struct wish {
    double coord[N_COORDS]; // NaN: not wished for
    double dim[N_DIMS];     // NaN: not wished for; d is a wish, the others are fixed
    double last[N_DIMS]; // what a dimension was last given, evicted or not: it holds where the
                         // dimension is neither free nor fixed otherwise (arch by a rule in C)
    double d_fraction;   // position in the feasible list of d, NaN: none
    double lr, batch_tokens; // NaN: by rule
};

void wish_init(struct wish *w);
void wish_set(struct wish *w, const struct var *var, double value);
// What each setting says at scale C: a sweep's `start`, a phase's `set`.
void wish_settings(struct wish *w, const struct setting *list, int n, double C);
// upper over lower, in place: whatever upper names evicts lower's wishes of the same family
// (total size: y N z N_e; density: x r d_qkv; size: M N_a d_m; activity: G K; sharing: s
// n_shared; width: d).
void wish_layer(struct wish *lower, const struct wish *upper);

// A list of feasible d, kept because the next point often asks for another place in the same
// one. All zero: none yet.
struct feasible {
    struct solve_spec of;
    int64_t *list; // owned
    int n;
};
void feasible_free(struct feasible *known);

// The structure nearest to the wish. Without a wish for d: the median of the feasible list.
// ERR_INPUT "infeasible: .." when there is none within tolerance. *fraction (may be NULL)
// receives the position of the chosen d in the feasible list, *median (may be NULL) the list's
// median. known (may be NULL): a list that is used if it is the one, else replaced.
enum err wish_solve(const struct solve_spec *spec, const struct wish *w, struct feasible *known,
                    struct solution *out, double *fraction, int64_t *median);
struct training {
    double tokens, batch_tokens; // D = C/M of the structure that was built; whole sequences
    double lr;
};
// How a structure is trained at scale C: the wishes for lr and batch, otherwise the rules.
struct training wish_training(const struct wish *w, const struct rule *lr,
                              const struct rule *batch_tokens, const struct solution *sol,
                              double C);
// The value that a structure (and its training) has on a variable.
double var_value(const struct var *var, const struct arch *a, const struct counts *c, double lr,
                 double batch_tokens);
#endif
