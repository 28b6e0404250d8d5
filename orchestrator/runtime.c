// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/runtime.h"
#include "core/executed.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECENT = 64, BURN_IN = 10, SWEEPS = 200 };
// The guesses: a thread of a current CPU on models of 1e4 to 1e6 parameters (matrix products
// far below their peak), and a third of a large accelerator's dense bf16 peak.
#define GUESS_CPU_THREAD 3e10
#define GUESS_ACCELERATOR 3e14
// The pull towards equal shares: as one run of weight PULL a term. At 0.05, 20 of the pilot's
// runs predict the others best, and it is nothing beside 100.
static const double PULL = .05;
static const double CLASS_PULL = 2; // runs of factor 1 that a class starts with

struct runtime_work runtime_work_of(const struct job *j)
{
    const struct arch *a = &j->arch;
    struct executed e = executed_of(j);
    int64_t steps = job_steps(j);
    double validations = j->val.every > 0 ? 1 + (double)(steps / j->val.every) : 1;
    // A forward pass is a third of forward and backward.
    double D = (double)job_tokens_after(j, steps) + validations * (double)j->val.tokens / 3;
    double L = (double)(a->L_d + a->L_m);
    struct runtime_work w = {{
        e.flops_per_token * D,
        D * (L * (double)a->d + (double)a->V),
        D * (double)(a->L_m * (a->K + a->N_e)),
        D * L * (double)a->N_q * (double)a->S,
        (double)steps * (double)e.params,
        D * L,
    }};
    for (int k = 0; k < RUNTIME_TERMS; k++) // each of several workers does a part of it
        w.x[k] /= j->width;
    return w;
}

double runtime_guess(const struct job *j)
{
    return job_on_device(j) ? GUESS_ACCELERATOR : GUESS_CPU_THREAD * j->threads;
}

void runtime_init(struct runtime *r, double rate)
{
    *r = (struct runtime){.rate = rate};
}

static int find(const struct runtime *r, const char *class)
{
    for (int i = 0; i < r->n_classes; i++)
        if (strncmp(r->classes[i].name, class, sizeof r->classes[i].name - 1) == 0)
            return i;
    return -1;
}

static double factor(const struct runtime_class *c)
{
    return exp(c->log_factor / (c->n + CLASS_PULL));
}

static double base(const struct runtime *r, const struct runtime_work *w)
{
    if (r->n == 0)
        return w->x[0] / r->rate;
    double t = 0;
    for (int k = 0; k < RUNTIME_TERMS; k++)
        t += r->b[k] * w->x[k];
    return t;
}

double runtime_predict(const struct runtime *r, const struct runtime_work *w, const char *class)
{
    int i = class ? find(r, class) : -1;
    return base(r, w) * (i >= 0 ? factor(&r->classes[i]) : 1);
}

double runtime_speed(const struct runtime *r, const char *class)
{
    int i = find(r, class);
    return i >= 0 ? exp2(round(-8 * log2(factor(&r->classes[i]))) / 8) : 1;
}

// Minimises sum over runs of (sum_k c_k y_k / s_k - 1)^2 + PULL sum_k (K c_k / share - 1)^2
// over c >= 0 by coordinate descent, s the mean of y, so that c_k is term k's share of the
// time: equal shares are 1 / K. b_k = c_k / s_k.
static void fit(struct runtime *r)
{
    double c[RUNTIME_TERMS], s[RUNTIME_TERMS];
    const double K = RUNTIME_TERMS;
    for (int k = 0; k < RUNTIME_TERMS; k++) {
        s[k] = r->sum[k] / r->n;
        c[k] = s[k] > 0 ? 1 / K : 0;
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int k = 0; k < RUNTIME_TERMS; k++) {
            if (!(s[k] > 0))
                continue;                   // a kind of work that no run had
            double slope = r->n + PULL * K; // of the right side
            for (int m = 0; m < RUNTIME_TERMS; m++)
                if (m != k && s[m] > 0)
                    slope -= r->gram[k][m] / (s[k] * s[m]) * c[m];
            c[k] = fmax(0, slope / (r->gram[k][k] / (s[k] * s[k]) + PULL * K * K));
        }
    for (int k = 0; k < RUNTIME_TERMS; k++)
        r->b[k] = s[k] > 0 ? c[k] / s[k] : 0;
    r->fitted = r->n;
}

static struct runtime_class *find_or_make(struct runtime *r, const char *class)
{
    int i = find(r, class);
    if (i < 0 && r->n_classes < RUNTIME_CLASSES) {
        i = r->n_classes++;
        snprintf(r->classes[i].name, sizeof r->classes[i].name, "%s", class);
    }
    return &r->classes[i >= 0 ? i : RUNTIME_CLASSES - 1];
}

void runtime_add(struct runtime *r, const struct runtime_work *w, const char *class,
                 double seconds)
{
    if (!(seconds > 0 && seconds < INFINITY && w->x[0] > 0))
        return;
    struct runtime_class *c = find_or_make(r, class);
    double ratio = log(seconds / base(r, w));
    if (r->n > 0) {
        r->error[r->n_errors++ % RECENT] = fabs(ratio - log(factor(c)));
        c->log_factor += ratio;
        c->n++;
    }
    double typical = seconds / factor(c);
    for (int k = 0; k < RUNTIME_TERMS; k++) {
        r->sum[k] += w->x[k] / typical;
        for (int m = 0; m < RUNTIME_TERMS; m++)
            r->gram[k][m] += w->x[k] / typical * (w->x[m] / typical);
    }
    r->n++;
    if (r->n - r->fitted > r->fitted / 64)
        fit(r);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double runtime_error(const struct runtime *r)
{
    double sorted[RECENT];
    int n = r->n_errors < RECENT ? r->n_errors : RECENT;
    if (n < BURN_IN)
        return NAN;
    memcpy(sorted, r->error, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

struct runtime_eta runtime_eta(const struct runtime *r, double left, double longest, int jobs,
                               int workers)
{
    // Median to two standard deviations: 2.9.
    double error = 2.9 * runtime_error(r), even = left / workers;
    if (r->n == 0 || workers == 0 || jobs == 0)
        return (struct runtime_eta){NAN, NAN, NAN};
    double sd = error * (1. / 3 + 1 / sqrt((double)jobs));
    double late = longest * (1 - 1. / workers);
    return (struct runtime_eta){fmax(even, longest), fmax(0, even * (1 - sd)),
                                (even + late) * (1 + sd)};
}
