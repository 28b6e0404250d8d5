// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/learning.h"
#include "fit/law.h"
#include "fit/robust.h"
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAST = 3, COLUMNS = 3, FORM_LEAST = 6 };
// The first tenth of the part is warm-up more than law.
#define FORM_FROM .1

const char *learning_method_name(enum learning_method m)
{
    static const char *const names[] = {
#define X(name, text) #name,
        LEARNING_METHODS(X)
#undef X
    };
    return names[m];
}

const char *learning_method_text(enum learning_method m)
{
    static const char *const texts[] = {
#define X(name, text) text,
        LEARNING_METHODS(X)
#undef X
    };
    return texts[m];
}

double learning_share(const struct learning_run *r)
{
    return r->n ? r->D[r->n - 1] / r->D_end : 0;
}

// ---- what the first part says

static int points_until(const struct learning_run *r, double share)
{
    int n = 0;
    while (n < r->n && r->D[n] <= share * r->D_end * (1 + 1e-9))
        n++;
    return n;
}

static double mean_ln(const double *v, int n)
{
    double sum = 0;
    int k = n < LAST ? n : LAST;
    for (int i = n - k; i < n; i++)
        sum += log(v[i]) / k;
    return n ? sum : (double)NAN;
}

double learning_excess(const struct learning_run *r, double share)
{
    const int n = points_until(r, share);
    return r->law ? mean_ln(r->loss, n) - mean_ln(r->law, n) : (double)NAN;
}

static enum err fit_form(const struct learning_run *r, double share, int boot,
                         struct law_fit *f)
{
    const int n = points_until(r, share);
    double *x = malloc((size_t)(n + 1) * sizeof *x);
    ENSURE(x, ERR_FAILED, "out of memory");
    int from = 0;
    while (from < n && r->D[from] < FORM_FROM * share * r->D_end)
        from++;
    for (int i = 0; i < n; i++)
        x[i] = r->D[i] / r->D_end;
    const struct law_data d = {.n = n - from, .x = x + from, .y = r->loss + from};
    const struct law_options o = {.objective = LAW_SQUARES_LOG,
                                  .n_boot = boot,
                                  .boot = LAW_BOOT_RESIDUALS,
                                  .seed = 1,
                                  .threads = 1};
    *f = (struct law_fit){0};
    enum err e =
        n - from >= FORM_LEAST ? law_fit_run(law_find("power_offset", 0), &d, &o, f) : OK;
    free(x);
    return e == ERR_FAILED ? e : OK;
}

static enum err form_end(const struct learning_run *r, double share, double *ln)
{
    struct law_fit f;
    const double end = 1;
    TRY(fit_form(r, share, 0, &f));
    *ln = f.law ? log(law_value(f.law, f.value, &end, NULL)) : (double)NAN;
    law_fit_free(&f);
    return OK;
}

// Regressors of a run; their number. NaN where the first part does not give them.
static enum err regressors(const struct learning_run *r, enum learning_method m, double share,
                           double *g, int *p)
{
    const int n = points_until(r, share);
    g[0] = 1;
    g[1] = mean_ln(r->loss, n);
    *p = 2;
    if (m == LEARNING_last_D)
        g[(*p)++] = log(r->D_end);
    if (m == LEARNING_form)
        TRY(form_end(r, share, &g[1]));
    if (m == LEARNING_law) {
        g[(*p)++] = learning_excess(r, share);
        g[1] = log(r->law_end);
    }
    return OK;
}

// ---- calibration

struct sample { // of runs that have ended and have regressors
    int n, p;
    double *g, *y, *C; // n x p, n, n
    int *run;
};

static void sample_free(struct sample *s)
{
    free(s->g);
    free(s->y);
    free(s->C);
    free(s->run);
}

static bool all_finite(const double *g, int p)
{
    for (int k = 0; k < p; k++)
        if (!isfinite(g[k]))
            return false;
    return true;
}

static enum err sample_make(const struct learning_run *runs, int n, enum learning_method m,
                            double share, struct sample *s)
{
    const size_t room = (size_t)n + 1;
    *s = (struct sample){.g = malloc(room * COLUMNS * sizeof(double)),
                         .y = malloc(room * sizeof(double)),
                         .C = malloc(room * sizeof(double)),
                         .run = malloc(room * sizeof(int))};
    enum err e = s->g && s->y && s->C && s->run ? OK : err_set(ERR_FAILED, "out of memory");
    for (int i = 0; i < n && e == OK; i++) {
        double g[COLUMNS];
        if (!(runs[i].final > 0))
            continue;
        e = regressors(&runs[i], m, share, g, &s->p);
        if (e != OK || !all_finite(g, s->p))
            continue;
        memcpy(s->g + s->n * s->p, g, (size_t)s->p * sizeof *g);
        s->y[s->n] = log(runs[i].final);
        s->C[s->n] = runs[i].C;
        s->run[s->n++] = i;
    }
    if (e != OK)
        sample_free(s);
    return e;
}

struct line {
    bool ok;
    int n;
    struct robust r;
    struct robust_result fit;
    double coef[COLUMNS];
};

// Through the sample's runs that keep says.
static enum err line_fit(const struct sample *s, const bool *keep, struct line *out)
{
    *out = (struct line){0};
    double *buf = malloc((size_t)(s->n + 1) * (COLUMNS + 2) * sizeof *buf);
    ENSURE(buf, ERR_FAILED, "out of memory");
    double *g = buf, *y = buf + (size_t)s->n * COLUMNS, *residual = y + s->n + 1;
    for (int i = 0; i < s->n; i++)
        if (keep[i]) {
            memcpy(g + out->n * s->p, s->g + i * s->p, (size_t)s->p * sizeof *g);
            y[out->n++] = s->y[i];
        }
    enum err e = OK;
    if (out->n >= LEARNING_LEAST) {
        e = robust_create(&out->r, g, out->n, s->p);
        out->ok = e == OK && out->r.condition < ROBUST_MAX_CONDITION;
        if (out->ok)
            out->fit = robust_fit(&out->r, y, out->coef, residual);
        out->ok = out->ok && out->fit.ok;
    }
    free(buf);
    return e;
}

// ln of the prediction and the half width of its 95 % interval for one more run.
static void line_at(const struct line *f, const double *g, int p, double *value, double *half)
{
    *value = *half = (double)NAN;
    if (!f->ok)
        return;
    const double se = robust_se(&f->r, f->fit.sigma, g);
    *value = 0;
    for (int k = 0; k < p; k++)
        *value += f->coef[k] * g[k];
    *half = gsl_cdf_tdist_Pinv(.975, f->n - p) * sqrt(f->fit.sigma * f->fit.sigma + se * se);
}

static void line_free(struct line *f)
{
    robust_free(&f->r);
}

struct tally {
    int n, held;
    double square, half;
};

// Predicts the runs that keep leaves out.
static enum err tally(const struct sample *s, const bool *keep, struct tally *t)
{
    struct line f;
    TRY(line_fit(s, keep, &f));
    for (int i = 0; i < s->n; i++) {
        double value, half;
        if (keep[i])
            continue;
        line_at(&f, s->g + i * s->p, s->p, &value, &half);
        if (isnan(value))
            continue;
        const double off = s->y[i] - value;
        t->n++;
        t->held += fabs(off) <= half;
        t->square += off * off;
        t->half += half;
    }
    line_free(&f);
    return OK;
}

static enum err score(const struct sample *s, bool *keep, struct learning_score *out)
{
    struct tally one = {0}, large = {0};
    double most = 0;
    for (int i = 0; i < s->n; i++)
        most = fmax(most, s->C[i]);
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->n; k++)
            keep[k] = k != i;
        TRY(tally(s, keep, &one));
    }
    for (int k = 0; k < s->n; k++)
        keep[k] = s->C[k] < most / 1.25;
    TRY(tally(s, keep, &large));
    const double none = (double)NAN;
    out->n = one.n;
    out->rmse = one.n ? sqrt(one.square / one.n) : none;
    out->cover = one.n ? (double)one.held / one.n : none;
    out->half = one.n ? one.half / one.n : none;
    out->n_large = large.n;
    out->rmse_large = large.n ? sqrt(large.square / large.n) : none;
    out->cover_large = large.n ? (double)large.held / large.n : none;
    return OK;
}

enum err learning_test(const struct learning_run *runs, int n, enum learning_method m,
                       double share, struct learning_score *out)
{
    struct sample s;
    *out = (struct learning_score){0};
    TRY(sample_make(runs, n, m, share, &s));
    bool *keep = malloc((size_t)s.n + 1);
    enum err e = keep ? score(&s, keep, out) : err_set(ERR_FAILED, "out of memory");
    free(keep);
    sample_free(&s);
    return e;
}

enum err learning_predict(const struct learning_run *runs, int n, enum learning_method m,
                          double share, const struct learning_run *run,
                          struct learning_guess *out)
{
    struct sample s;
    struct line f = {0};
    double g[COLUMNS], value, half;
    int p;
    TRY(regressors(run, m, share, g, &p));
    TRY(sample_make(runs, n, m, share, &s));
    bool *keep = malloc((size_t)s.n + 1);
    enum err e = keep ? OK : err_set(ERR_FAILED, "out of memory");
    for (int i = 0; i < s.n && e == OK; i++)
        keep[i] = &runs[s.run[i]] != run;
    if (e == OK)
        e = line_fit(&s, keep, &f);
    line_at(&f, g, p, &value, &half);
    *out = (struct learning_guess){exp(value), exp(value - half), exp(value + half), f.n};
    line_free(&f);
    free(keep);
    sample_free(&s);
    return e;
}

enum err learning_extrapolate(const struct learning_run *run, double share,
                              struct learning_guess *out)
{
    struct law_fit f;
    const double end = 1, none = (double)NAN;
    *out = (struct learning_guess){none, none, none, 0};
    TRY(fit_form(run, share, 200, &f));
    if (f.law)
        law_fit_predict_new(&f, &end, &out->value, &out->lo, &out->hi);
    law_fit_free(&f);
    return OK;
}
