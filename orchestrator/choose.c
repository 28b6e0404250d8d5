// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/choose.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRID = 20000, // structures of a grid
    STARTS = 16,  // of them that are improved
    ROUNDS = 8,   // of grids around the best so far
    REACH = 16    // steps in a list of candidates that a pair of dimensions takes together
};

// A structure under consideration: where it stands in the space.
struct spot {
    int at[N_DIMS];
    struct choice is;
};

struct walk {
    const struct choosing *c;
    uint64_t without;
    struct space space;
    int moves[N_DIMS], n_moves; // dimensions with more than one candidate
    // The grid: count[k] places in the list of moves[k]; the lists are owned.
    int *place[N_DIMS], count[N_DIMS];
};

// ---- constraints

static bool in_force(uint64_t without, int i)
{
    return !(without >> i & 1);
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

// The ranges that are left by those in force: what is set first.
static void narrowed(const struct choosing *c, uint64_t without, struct range out[N_DIMS])
{
    memcpy(out, c->range, N_DIMS * sizeof *out);
    for (int i = 0; i < c->n_constraints; i++)
        if (in_force(without, i) && c->constraint[i].kind == CONSTRAINT_SET) {
            const struct constraint *k = &c->constraint[i];
            out[k->dim] = (struct range){RANGE_STEPS, k->n, k->n, 1, 0};
        }
    for (int i = 0; i < c->n_constraints; i++) {
        const struct constraint *k = &c->constraint[i];
        if (!in_force(without, i))
            continue;
        struct range *r = &out[k->dim];
        if (k->kind == CONSTRAINT_EXPERTS) {
            r->kind = k->experts;
            r->of = k->n;
        } else if (k->kind == CONSTRAINT_MULTIPLE) {
            // Both at most 2^24; a step beyond every range leaves nothing, and says so.
            int64_t both = common_multiple(r->step, k->n), most = INT64_C(1) << 24;
            r->step = both < most ? both : most;
        }
    }
}

static double beyond(double v, double least, double most)
{
    const double slack = 1 + 1e-9; // limits come as decimal numbers
    if (v > most * slack)
        return most > 0 ? log(v / most) : 1e3;
    if (v < least / slack)
        return v > 0 ? log(least / v) : 1e3;
    return isnan(v) ? INFINITY : 0;
}

static double broken_by(const struct choosing *c, int i, const double *q)
{
    const struct constraint *k = &c->constraint[i];
    double x[LAW_MAX_VARS];
    if (k->kind == CONSTRAINT_LIMIT)
        return beyond(q[k->q], k->least, k->most);
    if (k->kind != CONSTRAINT_DATA)
        return 0;
    surface_vars(&c->surface, q, x);
    return beyond(x[k->var], k->least, k->most);
}

static void judge(const struct choosing *c, uint64_t without, struct choice *out)
{
    quantity_all(&out->arch, &c->model, c->surface.C, c->per_token, out->q);
    out->broken = beyond(out->q[QUANTITY_D], 1, INFINITY); // a token, at least
    for (int i = 0; i < c->n_constraints; i++)
        if (in_force(without, i))
            out->broken += broken_by(c, i, out->q);
    out->ln_loss = surface_ln_loss(&c->surface, out->q);
    out->cost = surface_cost(&c->surface, out->q);
    if (!isfinite(out->cost))
        out->broken = out->cost = INFINITY;
}

static bool better(const struct choice *a, const struct choice *b)
{
    return a->broken < b->broken || (a->broken <= b->broken && a->cost < b->cost);
}

// Judges the structure at a spot; false where there is none.
static bool look(const struct walk *w, struct spot *s)
{
    if (!space_arch(&w->space, s->at, &s->is.arch))
        return false;
    judge(w->c, w->without, &s->is);
    return true;
}

// ---- grids

// Candidates of a grid in the list of a dimension, from `from` to `to`, so that neighbours
// differ by at least that factor; the ends stay.
static int thin(const struct choices *c, int from, int to, double factor, int *place)
{
    int n = 0;
    for (int i = from; i <= to; i++)
        if (n == 0 || i == to || (double)c->value[i] >= factor * (double)c->value[place[n - 1]])
            place[n++] = i;
    return n;
}

// All candidates, or those within a factor of two of where `around` stands.
static void reach_of(const struct choices *c, const int *around, int *from, int *to)
{
    *from = 0;
    *to = c->n - 1;
    if (!around)
        return;
    int64_t v = c->value[*around];
    while (2 * c->value[*from] < v)
        ++*from;
    while (*to > *around && c->value[*to] > 2 * v)
        --*to;
}

// Sets the grid to as many structures as it may have, around one (NULL: everywhere). True where
// that is every structure.
static bool lay_grid(struct walk *w, const struct spot *around)
{
    const int most = w->c->grid > 0 ? w->c->grid : GRID;
    for (double step = 0;; step = step > 0 ? 1.3 * step : 0.005) {
        double product = 1;
        for (int k = 0; k < w->n_moves; k++) {
            const struct choices *c = &w->space.dim[w->moves[k]];
            int from, to;
            reach_of(c, around ? &around->at[w->moves[k]] : NULL, &from, &to);
            w->count[k] = thin(c, from, to, 1 + step, w->place[k]);
            product *= w->count[k];
        }
        if (product <= most || step > 1e9)
            return step <= 0 && !around;
    }
}

static bool neighbours(const struct spot *a, const struct spot *b)
{
    int differ = 0;
    for (int i = 0; i < N_DIMS; i++)
        differ += a->at[i] != b->at[i];
    return differ <= 1;
}

static void drop(struct spot *best, int *n, int i)
{
    --*n;
    memmove(&best[i], &best[i + 1], (size_t)(*n - i) * sizeof *best);
}

// Keeps the best STARTS structures, best first; of neighbours the better one, so that they do
// not all lead to the same optimum.
static void keep(struct spot *best, int *n, const struct spot *s)
{
    int at = *n;
    if (*n == STARTS && !better(&s->is, &best[*n - 1].is))
        return;
    while (at > 0 && better(&s->is, &best[at - 1].is))
        at--;
    for (int i = 0; i < at; i++)
        if (neighbours(&best[i], s))
            return;
    for (int i = *n - 1; i >= at; i--)
        if (neighbours(&best[i], s))
            drop(best, n, i);
    if (*n == STARTS)
        --*n;
    memmove(&best[at + 1], &best[at], (size_t)(*n - at) * sizeof *best);
    best[at] = *s;
    ++*n;
}

static void walk_grid(const struct walk *w, struct spot *best, int *n)
{
    int digit[N_DIMS] = {0}, k = 0;
    struct spot s;
    while (k < w->n_moves || w->n_moves == 0) {
        memset(s.at, 0, sizeof s.at);
        for (int i = 0; i < w->n_moves; i++)
            s.at[w->moves[i]] = w->place[i][digit[i]];
        if (look(w, &s))
            keep(best, n, &s);
        for (k = 0; k < w->n_moves && ++digit[k] == w->count[k]; k++)
            digit[k] = 0;
        if (w->n_moves == 0)
            return;
    }
}

// ---- steps

static bool step(const struct walk *w, struct spot *s, int dim, int by)
{
    int to = s->at[dim] + by;
    if (to < 0 || to >= w->space.dim[dim].n)
        return false;
    s->at[dim] = to;
    return true;
}

// Takes the step if it is better.
static bool try_step(const struct walk *w, struct spot *s, int a, int by_a, int b, int by_b)
{
    struct spot next = *s;
    if (!step(w, &next, a, by_a) || (b >= 0 && !step(w, &next, b, by_b)) || !look(w, &next) ||
        !better(&next.is, &s->is))
        return false;
    *s = next;
    return true;
}

static bool improve_once(const struct walk *w, struct spot *s)
{
    bool moved = false;
    for (int i = 0; i < w->n_moves; i++) {
        int a = w->moves[i];
        for (int by = 1; by < w->space.dim[a].n; by *= 2) {
            moved = try_step(w, s, a, by, -1, 0) || moved;
            moved = try_step(w, s, a, -by, -1, 0) || moved;
        }
        for (int j = 0; j < i; j++)
            for (int by = 1; by <= REACH; by *= 2)
                for (int to = 1; to <= REACH; to *= 2)
                    for (int sign = 0; sign < 4; sign++)
                        moved = try_step(w, s, a, sign & 1 ? by : -by, w->moves[j],
                                         sign & 2 ? to : -to) ||
                                moved;
    }
    return moved;
}

// Steps from all that are kept; the best of where they end comes first.
static void step_all(const struct walk *w, struct spot *best, int n)
{
    for (int i = 0; i < n; i++)
        while (improve_once(w, &best[i]))
            ;
    for (int i = 1; i < n; i++)
        if (better(&best[i].is, &best[0].is))
            best[0] = best[i];
}

// Steps, and another grid around what they lead to, until that is no better.
static void improve(struct walk *w, struct spot *best, int *n)
{
    struct spot s, before;
    if (w->c->has_start && space_find(&w->space, &w->c->start, s.at) && look(w, &s))
        keep(best, n, &s);
    for (int i = 0; i<ROUNDS && * n> 0; i++) {
        step_all(w, best, *n);
        if (i > 0 && !better(&best[0].is, &before.is))
            return;
        before = best[0];
        *n = 1;
        lay_grid(w, &before);
        walk_grid(w, best, n);
    }
}

// ---- the whole

static enum err search(struct walk *w, struct choice *out)
{
    struct spot best[STARTS + 1];
    int n = 0;
    bool all = lay_grid(w, NULL);
    walk_grid(w, best, &n);
    if (!all)
        improve(w, best, &n);
    ENSURE(
        n > 0, ERR_INPUT,
        "recommend: no architecture is left: heads, experts and layers of what is set do not "
        "go together");
    *out = best[0].is;
    out->all = all;
    return OK;
}

enum err choose(const struct choosing *c, uint64_t without, struct choice *out)
{
    struct walk w = {.c = c, .without = without};
    struct range range[N_DIMS];
    narrowed(c, without, range);
    enum err e = space_make(range, &w.space);
    if (e != OK)
        return err_prefix(e, "recommend");
    for (int i = 0; i < N_DIMS && e == OK; i++) {
        int n = w.space.dim[i].n;
        if (n < 2)
            continue;
        w.place[w.n_moves] = malloc((size_t)n * sizeof *w.place[0]);
        if (!w.place[w.n_moves])
            e = err_set(ERR_FAILED, "out of memory");
        w.moves[w.n_moves++] = i;
    }
    if (e == OK)
        e = search(&w, out);
    for (int k = 0; k < w.n_moves; k++)
        free(w.place[k]);
    space_free(&w.space);
    return e;
}

bool choose_keeps(const struct choosing *c, const struct arch *a)
{
    struct choice is = {.arch = *a};
    struct range range[N_DIMS];
    struct space space;
    int at[N_DIMS];
    narrowed(c, CHOOSE_NOTHING, range);
    if (space_make(range, &space) != OK)
        return false;
    bool inside = space_find(&space, a, at);
    space_free(&space);
    if (inside)
        judge(c, CHOOSE_NOTHING, &is);
    return inside && is.broken <= 0;
}

// Appends a name to a list in text[size].
static void append(char *text, size_t size, const char *name)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
}

enum err choose_refuse(const struct choosing *c, const struct choice *least)
{
    char why[256] = "", enough[512] = "", broken[512] = "";
    if (!least) // choose found none at all, and said why
        snprintf(why, sizeof why, "%s", err_message());
    for (int i = 0; i < c->n_constraints; i++) {
        struct choice without;
        if (choose(c, UINT64_C(1) << i, &without) == OK && without.broken <= 0)
            append(enough, sizeof enough, c->constraint[i].name);
        if (least && broken_by(c, i, least->q) > 0)
            append(broken, sizeof broken, c->constraint[i].name);
    }
    const char *names = *enough ? enough : broken;
    const char *what = *enough   ? "one would be found without any one of: "
                       : *broken ? "broken by what comes nearest: "
                       : least   ? "the budget does not pay for one token of the smallest"
                                 : "nor is one found without any one of the constraints";
    if (!least)
        return err_set(ERR_INPUT, "%s; %s%s", why, what, names);
    return err_set(ERR_INPUT,
                   "recommend: at C = %.4g no architecture keeps all constraints; %s%s (what "
                   "comes nearest has N_a = %.4g, N = %.4g, M = %.4g, D = %.4g)",
                   c->surface.C, what, names, least->q[QUANTITY_COORD(COORD_N_a)],
                   least->q[QUANTITY_COORD(COORD_N)], least->q[QUANTITY_COORD(COORD_M)],
                   least->q[QUANTITY_D]);
}
