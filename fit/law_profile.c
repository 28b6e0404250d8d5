// SPDX-License-Identifier: GPL-3.0-or-later
// Profiles: the objective that is left when one parameter is held and the others are searched
// anew, as for a resample: from the fit's minimum and from fresh starts.
#include "fit/fit.h"
#include "fit/law_boot.h"
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>

enum { WALK = 40, NARROW = 30 };
#define CLOSE 1e-6 // of the interval's half-width: how well its ends are known

struct probe {
    struct law_problem p;
    struct polish_work *w;
    const struct law_fit *f;
    int param;
    double theta, lo, hi;    // where the fit has it; its bounds; as moved
    double limit;            // the rise of the objective at which the interval ends
    double least;            // lowest objective seen
    struct law_minima known; // of the value before
    enum err e;
};

static enum err probe_open(struct probe *b, const struct law_fit *f, const struct law_data *d,
                           int param)
{
    const struct law *l = f->law;
    ASSERT(param >= 0 && param < l->n_params);
    *b = (struct probe){.f = f, .param = param, .least = f->objective, .known.n = 1};
    TRY(law_problem_make(l, d, &f->options, &b->p));
    b->w = polish_alloc(b->p.n, l->n_params);
    ENSURE(b->w, ERR_FAILED, "out of memory for a law of %lld rows", (long long)d->n);
    law_to_theta(l, f->value, b->known.at[0].theta);
    b->theta = b->known.at[0].theta[param];
    b->lo = b->p.lo[param];
    b->hi = b->p.hi[param];
    return OK;
}

static void probe_close(struct probe *b)
{
    law_problem_free(&b->p);
    polish_free(b->w);
}

// NaN: no fit there.
static double objective_at(struct probe *b, double theta)
{
    struct law_minima found = {0};
    if (b->e != OK || !(theta >= b->lo && theta <= b->hi))
        return (double)NAN;
    b->p.lo[b->param] = b->p.hi[b->param] = theta;
    b->e = law_search(&b->p, b->w, law_effort_resample(b->f->law), 0, &b->known, false, &found);
    if (b->e != OK || found.n == 0)
        return (double)NAN;
    b->known = found;
    b->least = fmin(b->least, found.at[0].objective);
    return found.at[0].objective;
}

enum err law_fit_profile(const struct law_fit *f, const struct law_data *d, int param,
                         const double *at, int n, double *objective)
{
    struct probe b;
    enum err e = probe_open(&b, f, d, param);
    bool ln = f->law->tune[param].ln;
    for (int k = 0; k < n && e == OK; k++)
        objective[k] = objective_at(&b, !ln ? at[k] : at[k] > 0 ? log(at[k]) : (double)NAN);
    probe_close(&b);
    return e == OK ? b.e : e;
}

// ---- where the interval ends

static int by_value(const void *va, const void *vb)
{
    const double *a = va, *b = vb;
    return (*a > *b) - (*a < *b);
}

// Mean curvature of Huber's rho. Where the corner lies far inside the noise it is the corner
// times the residuals' density at zero, which the few inside the corner would say badly: it is
// read off a wider window, of Hall and Sheather's width (1988, for a median's interval). Rows
// that a fit of p parameters goes through, the p smallest, do not count.
static double huber_curvature(const struct law_problem *p, const double *residual, double *size)
{
    int64_t m = 0, inside = 0, skip = p->law->n_params;
    for (int64_t i = 0; i < p->n; i++)
        if (p->weight[i] > 0)
            size[m++] = fabs(residual[i]);
    qsort(size, (size_t)m, sizeof *size, by_value);
    double share = 2 * .971 * pow((double)(m - skip), -1. / 3);
    int64_t k = skip + (int64_t)(fmin(share, 1) * (double)(m - skip - 1));
    double window = fmax(size[k], p->corner);
    for (int64_t i = skip; i < m; i++)
        inside += size[i] <= window;
    return p->corner / window * (double)inside / (double)(m - skip);
}

// The objective rises by half t^2 (mean psi^2)/(mean rho'') at the end of a 95 % interval: for
// squares that is the likelihood ratio with the noise's variance estimated, exact where the law
// is linear; for others Ronchetti's test (1982), right for many rows. NaN: no degree of freedom
// is left.
static enum err find_limit(struct probe *b)
{
    const struct law_problem *p = &b->p;
    struct polish_problem pr = law_problem_polish(p);
    double psi = 0, curvature = 0, weight = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < p->n; i++) {
        struct rho r = polish_rho(&pr, -b->f->residual[i]);
        psi += p->weight[i] * r.psi * r.psi;
        curvature += p->weight[i] * r.curvature;
        weight += p->weight[i];
        used += p->weight[i] > 0;
    }
    double df = (double)(used - p->law->n_params);
    b->limit = (double)NAN;
    if (!(df > 0))
        return OK;
    curvature /= weight;
    if (p->objective == LAW_HUBER_LOG) {
        double *size = malloc((size_t)p->n * sizeof *size);
        ENSURE(size, ERR_FAILED, "out of memory for a profile");
        curvature = huber_curvature(p, b->f->residual, size);
        free(size);
    }
    double t = gsl_cdf_tdist_Pinv(.975, df);
    double floor = LAW_NOISE_LEAST * LAW_NOISE_LEAST * pr.size / (double)p->n;
    b->limit = .5 * t * t * fmax(psi / df / curvature, floor);
    return OK;
}

// Half-width of the interval of the linearised law, as moved.
static enum err first_step(struct probe *b, double *out)
{
    struct polish_problem pr = law_problem_polish(&b->p);
    struct polish_shape shape;
    double theta[LAW_MAX_PARAMS];
    law_to_theta(b->f->law, b->f->value, theta);
    *out = 1;
    if (!polish_shape(b->w, &pr, theta, &shape))
        return OK;
    double step = sqrt(2 * b->limit) * shape.inflation[b->param] / shape.norm[b->param];
    double most = fmin(pr.reach[b->param], fabs(b->theta) + 1);
    *out = step > 0 ? fmin(step, most) : most;
    return OK;
}

// The root of the rise over its limit: nearly linear in the parameter, one at the end.
static double rise_root(struct probe *b, double theta)
{
    double rise = objective_at(b, theta) - b->f->objective;
    return isnan(rise) ? rise : sqrt(fmax(rise, 0) / b->limit);
}

// From the fit outwards, step by step, until the rise is enough; then false position (with
// Illinois' halving). NaN: it is not enough before the bound.
static double walk(struct probe *b, double step)
{
    double a = b->theta, ua = 0, end = step > 0 ? b->hi : b->lo, c = a, uc = 0;
    for (int k = 0; uc < 1; k++) {
        a = c;
        ua = uc;
        c = a + step;
        if (a == end || k == WALK)
            return (double)NAN;
        if (step > 0 ? c >= end : c <= end)
            c = end;
        uc = rise_root(b, c);
        if (!isfinite(uc))
            return (double)NAN;
        step *= uc - ua > .1 ? fmin(3, 1.1 * (1 - uc) / (uc - ua)) : 3;
    }
    double ga = ua - 1, gc = uc - 1, at = c;
    for (int k = 0, side = 0; k < NARROW; k++) {
        at = (a * gc - c * ga) / (gc - ga);
        double g = rise_root(b, at) - 1;
        if (!(fabs(g) > CLOSE))
            return at;
        int now = g > 0 ? 1 : -1;
        if (now > 0) {
            c = at;
            gc = g;
            ga *= side == now ? .5 : 1;
        } else {
            a = at;
            ga = g;
            gc *= side == now ? .5 : 1;
        }
        side = now;
    }
    return at;
}

// The curve, to a quarter of its width beyond both ends; where there is none, as far as on the
// other side.
static void draw(struct probe *b, double lo, double hi, double step, struct law_profile *out)
{
    double below = isnan(lo) ? isnan(hi) ? step : hi - b->theta : b->theta - lo;
    double above = isnan(hi) ? below : hi - b->theta;
    double from = fmax(b->theta - 1.25 * below, b->lo);
    double to = fmin(b->theta + 1.25 * above, b->hi);
    for (int k = 0; k < LAW_PROFILE_POINTS; k++) {
        double at = from + (to - from) * k / (LAW_PROFILE_POINTS - 1);
        double u = rise_root(b, at);
        out->at[k] = b->f->law->tune[b->param].ln ? exp(at) : at;
        out->rise[k] = u * u;
    }
}

static enum err profile(struct probe *b, struct law_profile *out)
{
    double step;
    TRY(find_limit(b));
    if (!(b->limit > 0) || !isfinite(b->theta)) // a coefficient of zero
        return OK;
    TRY(first_step(b, &step));
    struct law_minima begin = b->known;
    double hi = walk(b, step);
    b->known = begin;
    double lo = walk(b, -step);
    draw(b, lo, hi, step, out);
    bool ln = b->f->law->tune[b->param].ln;
    out->lo = ln ? exp(lo) : lo;
    out->hi = ln ? exp(hi) : hi;
    out->least = b->least;
    return b->e;
}

enum err law_fit_profile_interval(const struct law_fit *f, const struct law_data *d, int param,
                                  struct law_profile *out)
{
    struct probe b;
    *out = (struct law_profile){.lo = (double)NAN, .hi = (double)NAN, .least = f->objective};
    for (int k = 0; k < LAW_PROFILE_POINTS; k++)
        out->at[k] = out->rise[k] = (double)NAN;
    enum err e = probe_open(&b, f, d, param);
    if (e == OK)
        e = profile(&b, out);
    probe_close(&b);
    return e;
}
