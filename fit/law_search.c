// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/law_search.h"
#include <gsl/gsl_qrng.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { P_MAX = LAW_MAX_PARAMS, THOROUGH = 2, ITERATIONS = 100, LAST_ITERATIONS = 300 };

struct start {
    double at[P_MAX]; // in the unit cube
    double params[P_MAX], score;
};

static int searched(const struct law *l)
{
    int q = 0;
    for (int j = 0; j < l->n_params; j++)
        q += !l->param[j].linear;
    return q;
}

// Enough for the objective of 4,500 starts in tests on noisy data of every law (docs/laws.md).
struct law_effort law_effort_cold(const struct law *l)
{
    int q = searched(l);
    if (q == 0)
        return (struct law_effort){1, 1};
    if (q == 1)
        return (struct law_effort){32, 3};
    if (q < 5)
        return (struct law_effort){16 * q * q, q == 2 ? 4 : 2 + 4 * q};
    return (struct law_effort){24 * q * q, 2 + 6 * q};
}

struct law_effort law_effort_resample(const struct law *l)
{
    struct law_effort e = law_effort_cold(l);
    return (struct law_effort){(e.starts + 3) / 4, 1 + e.polished / 8};
}

static int by_score(const void *va, const void *vb)
{
    const struct start *a = va, *b = vb;
    if (a->score != b->score)
        return a->score > b->score ? 1 : -1;
    return memcmp(a->at, b->at, sizeof a->at); // for the same order everywhere
}

static void draw(const struct law_problem *p, const double *t_mid, double y_mid,
                 struct start *s)
{
    const struct law *l = p->law;
    int q = 0;
    for (int j = 0; j < l->n_params; j++) {
        const struct law_tune *u = &l->tune[j];
        s->params[j] = 1;
        if (!l->param[j].linear) {
            double x = s->at[q++];
            s->params[j] =
                u->ln ? u->from * pow(u->to / u->from, x) : u->from + (u->to - u->from) * x;
        }
    }
    if (l->start)
        l->start(t_mid, y_mid, s->params);
    for (int j = 0; j < l->n_params; j++)
        if (p->lo[j] == p->hi[j])
            s->params[j] = l->tune[j].ln ? exp(p->lo[j]) : p->lo[j];
}

static enum err draw_all(struct law_problem *p, int n, double shift, struct start *s)
{
    const struct law *l = p->law;
    int q = searched(l);
    double t_mid[LAW_MAX_VARS] = {0}, y_mid = 0;
    for (int64_t i = 0; i < p->n; i++) {
        for (int j = 0; j < l->n_vars; j++)
            t_mid[j] += p->t[i * l->n_vars + j] / (double)p->n;
        y_mid += p->y[i] / (double)p->n;
    }
    gsl_qrng *sobol = q ? gsl_qrng_alloc(gsl_qrng_sobol, (unsigned)q) : NULL;
    ENSURE(sobol || q == 0, ERR_FAILED, "out of memory for a law's starts");
    for (int k = 0; k < n; k++) {
        memset(&s[k], 0, sizeof s[k]);
        if (q)
            gsl_qrng_get(sobol, s[k].at);
        for (int j = 0; j < q; j++)
            s[k].at[j] = fmod(s[k].at[j] + shift * (j + 1), 1);
        draw(p, t_mid, y_mid, &s[k]);
        s[k].score = law_project(p, s[k].params);
    }
    if (sobol)
        gsl_qrng_free(sobol);
    qsort(s, (size_t)n, sizeof *s, by_score);
    return OK;
}

// In the same basin, most likely: half the mean distance of starts.
static bool near(const struct start *a, const struct start *b, int q, int n)
{
    double most = 0;
    for (int j = 0; j < q; j++)
        most = fmax(most, fabs(a->at[j] - b->at[j]));
    return q > 0 && most < .5 * pow(n, -1. / q);
}

// Two minima are one where their objectives agree to 1e-6 (1e-20 of the size: both are zero).
static void keep(struct law_minima *m, const double *theta, int p, struct polish_result r,
                 double size)
{
    int at = 0;
    if (!isfinite(r.objective))
        return;
    for (int k = 0; k < m->n; k++) {
        double apart = fabs(m->at[k].objective - r.objective);
        if (apart <= fmax(1e-6 * r.objective, 1e-20 * size)) {
            bool better = r.converged != m->at[k].converged ? r.converged
                                                            : r.objective < m->at[k].objective;
            if (!better)
                return;
            memmove(&m->at[k], &m->at[k + 1],
                    (size_t)(m->n - k - 1) * sizeof m->at[0]); // put again in its place
            m->n--;
            break;
        }
    }
    while (at < m->n && m->at[at].objective <= r.objective)
        at++;
    if (at == SEARCH_MINIMA)
        return;
    if (m->n == SEARCH_MINIMA)
        m->n--;
    memmove(&m->at[at + 1], &m->at[at], (size_t)(m->n - at) * sizeof m->at[0]);
    m->n++;
    m->at[at] = (struct law_minimum){.objective = r.objective, .converged = r.converged};
    memcpy(m->at[at].theta, theta, (size_t)p * sizeof *theta);
}

static void polish_starts(struct law_problem *p, struct polish_work *w, struct law_effort e,
                          const struct start *s, struct law_minima *out)
{
    const struct law *l = p->law;
    struct polish_problem pr = law_problem_polish(p);
    int q = searched(l), chosen[64], n = 0, most = e.polished < 64 ? e.polished : 64;
    for (int k = 0; k < e.starts && n < most; k++) {
        bool fresh = isfinite(s[k].score);
        for (int c = 0; c < n && fresh; c++)
            fresh = !near(&s[k], &s[chosen[c]], q, e.starts);
        if (!fresh)
            continue;
        chosen[n++] = k;
        double theta[P_MAX];
        law_to_theta(l, s[k].params, theta);
        keep(out, theta, pr.p, polish_newton(w, &pr, theta, ITERATIONS), pr.size);
    }
}

// A coefficient that falls to zero does so ever more slowly in its logarithm, and drags its
// exponent along. Is it zero? Then the others settle without it.
static void without(struct law_problem *p, struct polish_work *w, int j, double *theta,
                    struct polish_result *r)
{
    double trial[P_MAX], lo = p->lo[j], hi = p->hi[j];
    memcpy(trial, theta, sizeof trial);
    law_problem_fix(p, j, 0);
    struct polish_problem pr = law_problem_polish(p);
    struct polish_result t = polish_newton(w, &pr, trial, LAST_ITERATIONS);
    p->lo[j] = lo;
    p->hi[j] = hi;
    if (t.objective <= (1 + 1e-9) * r->objective) {
        memcpy(theta, trial, sizeof trial);
        *r = t;
    }
}

struct polish_result law_settle(struct law_problem *p, struct polish_work *w, double *theta,
                                struct polish_result r)
{
    const struct law *l = p->law;
    struct polish_problem pr = law_problem_polish(p);
    if (!r.converged)
        r = polish(w, &pr, theta, LAST_ITERATIONS);
    for (int j = 0; j < l->n_params && !r.converged; j++)
        if (l->param[j].linear && l->tune[j].ln && p->lo[j] < p->hi[j])
            without(p, w, j, theta, &r);
    return r;
}

enum err law_search(struct law_problem *p, struct polish_work *w, struct law_effort effort,
                    double shift, const struct law_minima *known, bool thorough,
                    struct law_minima *out)
{
    struct polish_problem pr = law_problem_polish(p);
    out->n = 0;
    struct start *s = malloc((size_t)effort.starts * sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory for a law's starts");
    for (int k = 0; known && k < known->n; k++) {
        double theta[P_MAX];
        memcpy(theta, known->at[k].theta, sizeof theta);
        keep(out, theta, pr.p, polish_newton(w, &pr, theta, ITERATIONS), pr.size);
    }
    enum err e = draw_all(p, effort.starts, shift, s);
    if (e == OK)
        polish_starts(p, w, effort, s, out);
    free(s);
    TRY(e);
    // The best again, to convergence.
    struct law_minima found = *out;
    out->n = 0;
    for (int k = 0; k < found.n; k++) {
        struct law_minimum *m = &found.at[k];
        struct polish_result r = {.objective = m->objective, .converged = m->converged};
        if (k < THOROUGH && thorough)
            r = polish(w, &pr, m->theta, LAST_ITERATIONS);
        if (k < (thorough ? THOROUGH : 1))
            r = law_settle(p, w, m->theta, r);
        keep(out, m->theta, pr.p, r, pr.size);
    }
    return OK;
}
