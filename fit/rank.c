// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/rank.h"
#include "fit/fit.h"
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { N_STATS = 4 };

static int clamp_boot(int n_boot)
{
    return n_boot < 0 ? 0 : n_boot > RANK_MAX_BOOT ? RANK_MAX_BOOT : n_boot;
}

// Kendall's tau-b: concordant less discordant pairs over the geometric mean of the untied ones.
static double kendall_tau_b(const double *x, const double *y, int n)
{
    double score = 0, untied_x = 0, untied_y = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            int sx = (x[i] > x[j]) - (x[i] < x[j]), sy = (y[i] > y[j]) - (y[i] < y[j]);
            score += sx * sy;
            untied_x += sx != 0;
            untied_y += sy != 0;
        }
    return score / sqrt(untied_x * untied_y); // 0/0, all tied: NaN
}

// Pearson, Spearman, tau-b, R2 of n pairs; work: 2 n. NaN where a variable is constant.
static void four_stats(const double *x, const double *y, int n, double *work,
                       double stats[N_STATS])
{
    double x_lo, x_hi, y_lo, y_hi;
    gsl_stats_minmax(&x_lo, &x_hi, x, 1, (size_t)n);
    gsl_stats_minmax(&y_lo, &y_hi, y, 1, (size_t)n);
    for (int i = 0; i < N_STATS; i++)
        stats[i] = (double)NAN;
    if (!(x_lo < x_hi && y_lo < y_hi))
        return;
    stats[0] = gsl_stats_correlation(x, 1, y, 1, (size_t)n);
    stats[1] = gsl_stats_spearman(x, 1, y, 1, (size_t)n, work);
    stats[2] = kendall_tau_b(x, y, n);
    stats[3] = stats[0] * stats[0]; // of a line with an intercept
}

struct pair {
    double x, y;
};

static int compare_pairs(const void *va, const void *vb)
{
    const struct pair *a = va, *b = vb;
    if (a->x != b->x)
        return a->x > b->x ? 1 : -1;
    return (a->y > b->y) - (a->y < b->y);
}

static void rank_bootstrap(const struct pair *pairs, int n, int n_boot, uint64_t seed,
                           double *buffer, double *boot, struct rank_stats *out)
{
    double *x = buffer, *y = buffer + n, *work = buffer + 2 * n, stats[N_STATS];
    struct rng rng;
    rng_seed(&rng, seed ^ rng_hash(pairs, (uint64_t)n * sizeof *pairs, RNG_HASH_START), 0);
    for (int b = 0; b < n_boot; b++) {
        for (int i = 0; i < n; i++) {
            struct pair p = pairs[rng_below(&rng, (uint64_t)n)];
            x[i] = p.x;
            y[i] = p.y;
        }
        four_stats(x, y, n, work, stats);
        for (int k = 0; k < N_STATS; k++)
            boot[k * n_boot + b] = stats[k];
    }
    for (int k = 0; k < N_STATS; k++)
        fit_interval(boot + k * n_boot, n_boot, &out->lo[k], &out->hi[k]);
}

enum err rank_stats_run(const double *x, const double *y, int n, int n_boot, uint64_t seed,
                        struct rank_stats *out)
{
    ASSERT(n >= 0);
    n_boot = clamp_boot(n_boot);
    double stats[N_STATS];
    *out = (struct rank_stats){.n = 0};
    for (int k = 0; k < N_STATS; k++)
        stats[k] = out->lo[k] = out->hi[k] = (double)NAN;
    struct pair *pairs = calloc((size_t)n + 1, sizeof *pairs);
    double *buffer = calloc(4 * (size_t)n + 1, sizeof *buffer);
    double *boot = calloc(N_STATS * (size_t)n_boot + 1, sizeof *boot);
    enum err e = OK;
    if (!pairs || !buffer || !boot) {
        e = err_set(ERR_FAILED, "out of memory for the ranking of %d pairs", n);
        goto done;
    }
    for (int i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i]))
            pairs[out->n++] = (struct pair){x[i], y[i]};
    qsort(pairs, (size_t)out->n, sizeof *pairs, compare_pairs);
    if (out->n >= 3) {
        for (int i = 0; i < out->n; i++) {
            buffer[i] = pairs[i].x;
            buffer[out->n + i] = pairs[i].y;
        }
        four_stats(buffer, buffer + out->n, out->n, buffer + 2 * out->n, stats);
        rank_bootstrap(pairs, out->n, n_boot, seed, buffer, boot, out);
    }
    out->pearson = stats[0];
    out->spearman = stats[1];
    out->kendall = stats[2];
    out->r2 = stats[3];
done:
    free(pairs);
    free(buffer);
    free(boot);
    return e;
}

struct spread_row {
    double ln_loss;
    int group, structure;
};

static int compare_int(int a, int b)
{
    return (a > b) - (a < b);
}

static int compare_spread(const void *va, const void *vb)
{
    const struct spread_row *a = va, *b = vb;
    int c = compare_int(a->group, b->group);
    if (c == 0)
        c = compare_int(a->structure, b->structure);
    return c ? c : (a->ln_loss > b->ln_loss) - (a->ln_loss < b->ln_loss);
}

// Count, mean and sum of squares about the mean; merging is exact (Chan et al.).
struct moments {
    double n, mean, ss;
};

static void moments_merge(struct moments *into, struct moments m)
{
    double n = into->n + m.n, d = m.mean - into->mean;
    if (!(m.n > 0))
        return;
    into->ss += m.ss + d * d * into->n * m.n / n;
    into->mean += d * m.n / n;
    into->n = n;
}

static struct moments moments_of(const struct spread_row *rows, int from, int to)
{
    struct moments m = {0};
    for (int i = from; i < to; i++)
        moments_merge(&m, (struct moments){1, rows[i].ln_loss, 0});
    return m;
}

// Whole groups are redrawn: rows redrawn one by one would meet themselves inside a small group
// and make its spread look smaller. n_groups / (n_groups - 1) undoes the same bias between the
// groups.
static void spread_bootstrap(const struct moments *groups, int n_boot, struct rng *rng,
                             double *boot, struct spread_stats *out)
{
    int G = out->n_groups;
    for (int b = 0; b < n_boot; b++) {
        struct moments all = {0};
        double inside = 0, df = 0;
        for (int g = 0; g < G; g++) {
            struct moments m = groups[rng_below(rng, (uint64_t)G)];
            moments_merge(&all, m);
            inside += m.ss;
            df += m.n - 1;
        }
        double between = (all.ss - inside) * G / (G - 1);
        boot[b] = all.n > 1 ? sqrt((inside + between) / (all.n - 1)) : (double)NAN;
        boot[n_boot + b] = df > 0 ? sqrt(inside / df) : (double)NAN;
    }
    fit_interval(boot, n_boot, &out->before_lo, &out->before_hi);
    fit_interval(boot + n_boot, n_boot, &out->after_lo, &out->after_hi);
}

// Sums over the runs of equal group (or of equal group and structure): the pooled sd; NaN if no
// set has two rows. groups, if given, receives each set's moments.
static double pooled_sd(const struct spread_row *rows, int n, bool by_structure,
                        struct moments *groups, int *n_groups)
{
    double ss = 0, df = 0;
    *n_groups = 0;
    for (int i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && rows[j].group == rows[i].group; j++)
            if (by_structure && rows[j].structure != rows[i].structure)
                break;
        struct moments m = moments_of(rows, i, j);
        if (groups)
            groups[*n_groups] = m;
        (*n_groups)++;
        ss += m.ss;
        df += m.n - 1;
    }
    return df > 0 ? sqrt(ss / df) : (double)NAN;
}

enum err spread_run(const double *loss, const int *group, const int *structure, int n,
                    int n_boot, uint64_t seed, struct spread_stats *out)
{
    ASSERT(n >= 0);
    n_boot = clamp_boot(n_boot);
    const double none = (double)NAN;
    *out = (struct spread_stats){.before = none,
                                 .before_lo = none,
                                 .before_hi = none,
                                 .after = none,
                                 .after_lo = none,
                                 .after_hi = none,
                                 .noise = none};
    struct spread_row *rows = calloc((size_t)n + 1, sizeof *rows);
    struct moments *groups = calloc((size_t)n + 1, sizeof *groups);
    double *boot = calloc(2 * (size_t)n_boot + 1, sizeof *boot);
    enum err e = OK;
    if (!rows || !groups || !boot) {
        e = err_set(ERR_FAILED, "out of memory for the spread of %d losses", n);
        goto done;
    }
    for (int i = 0; i < n; i++)
        if (isfinite(loss[i]) && loss[i] > 0)
            rows[out->n++] =
                (struct spread_row){log(loss[i]), group[i], structure ? structure[i] : 0};
    qsort(rows, (size_t)out->n, sizeof *rows, compare_spread);
    struct moments all = moments_of(rows, 0, out->n);
    if (out->n > 1)
        out->before = sqrt(all.ss / (out->n - 1));
    int n_structures;
    if (structure)
        out->noise = pooled_sd(rows, out->n, true, NULL, &n_structures);
    out->after = pooled_sd(rows, out->n, false, groups, &out->n_groups);
    if (out->n_groups > 1) {
        struct rng rng;
        uint64_t h = rng_hash(groups, (uint64_t)out->n_groups * sizeof *groups, RNG_HASH_START);
        rng_seed(&rng, seed ^ h, 1);
        spread_bootstrap(groups, n_boot, &rng, boot, out);
    }
done:
    free(rows);
    free(groups);
    free(boot);
    return e;
}
