// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/bands.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOLERANCE 1e-3 // of a law fitted to anyone's runs: the papers' near-optimal band
enum { POINTS = 400 }; // of a scan, before its minimum and edges are made exact

// A line through the surface at q: the size (var < 0), or one variable of the law.
struct line {
    const struct surface *s;
    const double *q;
    int var;
    double x[LAW_MAX_VARS]; // the law's variables at q
    bool linear;            // else t is in the logarithm
};

// The quantities when the model grows as it is, by the factor k in parameters.
static void grown(const double *q, double k, double *out)
{
    static const int grow[] = {QUANTITY_COORD(COORD_M), QUANTITY_COORD(COORD_N_a),
                               QUANTITY_COORD(COORD_N), QUANTITY_params, QUANTITY_forward};
    memcpy(out, q, N_QUANTITIES * sizeof *out);
    for (size_t i = 0; i < sizeof grow / sizeof *grow; i++)
        out[grow[i]] *= k;
    out[QUANTITY_D] /= k;
}

static double loss_at(const struct line *l, double t)
{
    double v = l->linear ? t : exp(t), q[N_QUANTITIES], x[LAW_MAX_VARS];
    if (l->var < 0) {
        grown(l->q, v, q);
        return surface_ln_loss(l->s, q);
    }
    memcpy(x, l->x, sizeof x);
    x[l->var] = v;
    double f = log(law_value(l->s->fit->fit.law, l->s->fit->fit.value, x, NULL));
    return isfinite(f) ? f : INFINITY;
}

static double minimum(const struct line *l, double a, double b)
{
    const double g = (sqrt(5) - 1) / 2;
    double c = b - g * (b - a), d = a + g * (b - a), fc = loss_at(l, c), fd = loss_at(l, d);
    for (int i = 0; i < 60; i++)
        if (fc < fd) {
            b = d;
            d = c;
            fd = fc;
            c = b - g * (b - a);
            fc = loss_at(l, c);
        } else {
            a = c;
            c = d;
            fc = fd;
            d = a + g * (b - a);
            fd = loss_at(l, d);
        }
    return (a + b) / 2;
}

// Where the loss crosses `most` between `in`, below it, and `out`, above.
static double edge(const struct line *l, double in, double out, double most)
{
    for (int i = 0; i < 60; i++) {
        double mid = (in + out) / 2;
        *(loss_at(l, mid) <= most ? &in : &out) = mid;
    }
    return in;
}

// Scans t from a to b.
static void scan(const struct line *l, double a, double b, struct band *out)
{
    double t[POINTS + 1], f[POINTS + 1];
    int best = 0;
    for (int i = 0; i <= POINTS; i++) {
        t[i] = a + (b - a) * i / POINTS;
        f[i] = loss_at(l, t[i]);
        best = f[i] < f[best] ? i : best;
    }
    double at = t[best];
    if (best > 0 && best < POINTS)
        at = minimum(l, t[best - 1], t[best + 1]);
    double least = loss_at(l, at), most = least + log1p(out->tolerance);
    int lo = best, hi = best;
    while (lo > 0 && f[lo - 1] <= most)
        lo--;
    while (hi < POINTS && f[hi + 1] <= most)
        hi++;
    out->lo_open = lo == 0;
    out->hi_open = hi == POINTS;
    out->best = l->linear ? at : exp(at);
    out->lo = lo ? edge(l, t[lo], t[lo - 1], most) : t[0];
    out->hi = hi < POINTS ? edge(l, t[hi], t[hi + 1], most) : t[POINTS];
    if (!l->linear) {
        out->lo = exp(out->lo);
        out->hi = exp(out->hi);
    }
    out->cost = expm1(loss_at(l, l->linear ? out->built : log(out->built)) - least);
}

static bool sees_any(const struct surface *s, int var, const int *list, size_t n)
{
    bool sees = false;
    for (size_t i = 0; i < n; i++)
        sees = sees || surface_var_sees(s, var, list[i]);
    return sees;
}

static const int sizes[] = {QUANTITY_COORD(COORD_M),
                            QUANTITY_COORD(COORD_N_a),
                            QUANTITY_COORD(COORD_N),
                            QUANTITY_params,
                            QUANTITY_forward,
                            QUANTITY_D,
                            QUANTITY_C};
// Dimensions that make a model larger without being a size or a proportion.
static const int lengths[] = {
    QUANTITY_DIM(DIM_L_d),  QUANTITY_DIM(DIM_L_m), QUANTITY_DIM(DIM_d), QUANTITY_DIM(DIM_d_d),
    QUANTITY_DIM(DIM_d_m),  QUANTITY_DIM(DIM_N_q), QUANTITY_L,          QUANTITY_aspect,
    QUANTITY_DIM(DIM_N_kv), QUANTITY_width};
#define COUNT(list) (sizeof(list) / sizeof *(list))

bool bands_proportion(const struct surface *s, int var)
{
    return !sees_any(s, var, sizes, COUNT(sizes)) && !sees_any(s, var, lengths, COUNT(lengths));
}

// The size, as N_a and as D.
static int size_bands(const struct surface *s, const double *q, double tolerance,
                      struct band *out)
{
    const double reach = log(1e3);
    double N_a = q[QUANTITY_COORD(COORD_N_a)], D = q[QUANTITY_D];
    struct line l = {.s = s, .q = q, .var = -1};
    struct band k = {.built = 1, .tolerance = tolerance};
    scan(&l, -reach, reach, &k);
    out[0] = k;
    strcpy(out[0].name, "N_a");
    out[0].built = N_a;
    out[0].best = N_a * k.best;
    out[0].lo = N_a * k.lo;
    out[0].hi = N_a * k.hi;
    out[1] = k;
    strcpy(out[1].name, "D");
    out[1].built = D;
    out[1].best = D / k.best;
    out[1].lo = D / k.hi;
    out[1].hi = D / k.lo;
    out[1].lo_open = k.hi_open;
    out[1].hi_open = k.lo_open;
    return 2;
}

static int law_bands(const struct surface *s, const double *q, double tolerance,
                     struct band *out)
{
    const char *const *names;
    const int vars = law_vars(s->fit->fit.law, &names);
    int n = 0;
    bool plain = false; // variables made from plain dimensions: no proportions to grow by
    for (int k = 0; k < vars; k++)
        plain = plain || sees_any(s, k, lengths, COUNT(lengths));
    if (!plain)
        n += size_bands(s, q, tolerance, out);
    for (int k = 0; k < vars; k++) {
        struct line l = {.s = s, .q = q, .var = k};
        double lo = s->fit->lo[k], hi = s->fit->hi[k];
        if (!bands_proportion(s, k) || !(hi > lo))
            continue;
        surface_vars(s, q, l.x);
        l.linear = lo <= 0;
        out[n] = (struct band){.built = l.x[k], .tolerance = tolerance};
        snprintf(out[n].name, sizeof out[n].name, "%s", names[k]);
        scan(&l, l.linear ? lo : log(lo), l.linear ? hi : log(hi), &out[n++]);
    }
    return n;
}

static int term_bands(const struct surface *s, const double *q, double tolerance,
                      struct band *out)
{
    int n = 0;
    for (int i = 0; i < s->n_terms; i++) {
        const struct surface_term *t = &s->term[i];
        double tol = tolerance > 0 ? tolerance : t->tolerance;
        bool known = t->k_lo > 0;
        struct band *b = &out[n++];
        *b = (struct band){.built = q[t->q], .best = t->at, .tolerance = tol};
        snprintf(b->name, sizeof b->name, "%s", quantity_name(t->q));
        b->lo = known ? t->at * exp(-sqrt(tol / t->k_lo)) : NAN;
        b->hi = known ? t->at * exp(sqrt(tol / t->k_hi)) : NAN;
        b->cost = known ? surface_term_cost(t, b->built) : NAN;
    }
    return n;
}

int bands_of(const struct surface *s, const double q[N_QUANTITIES], double tolerance,
             struct band out[BANDS_MAX])
{
    if (!s->fit)
        return term_bands(s, q, tolerance, out);
    return law_bands(s, q, tolerance > 0 ? tolerance : TOLERANCE, out);
}
