// SPDX-License-Identifier: Apache-2.0
#include "core/search.h"
#include <math.h>

// Deviations closer than this are equal: bounds and counts round differently in the last
// digits.
#define SLACK 1e-12

struct range {
    double lo, hi;
};

// Candidates as multiples of a step; a dimension that is not free has one. Dimensions that
// follow others (d_d = 3 d, N_kv = N_q/2) are derived, never split.
struct box {
    int64_t lo[N_DIMS], hi[N_DIMS];
};

// How far from the wishes: the worst deviation decides, their sum breaks its ties.
struct score {
    double worst, sum;
};

struct search {
    const struct solve_spec *spec;
    enum search_goal goal;
    int64_t step[N_DIMS];
    bool dd_follows, nkv_follows;
    bool found;
    struct solution best;
    struct score best_score;
};

static int64_t half_heads(int64_t n_q)
{
    return n_q > 1 ? n_q / 2 : 1;
}

static struct arch corner(const struct search *s, const int64_t index[N_DIMS])
{
    struct arch a;
    for (int i = 0; i < N_DIMS; i++)
        *arch_dim(&a, (enum arch_dim)i) = index[i] * s->step[i];
    if (s->dd_follows)
        a.d_d = 3 * a.d;
    if (s->nkv_follows)
        a.N_kv = half_heads(a.N_q);
    return a;
}

static double deviation(double got, double want)
{
    return want > 0 ? got / want - 1 : got;
}

struct solution search_solution(const struct solve_spec *s, const struct arch *a)
{
    struct solution out = {.arch = *a, .counts = arch_counts(a)};
    for (int c = 0; c < N_COORDS; c++) {
        double got = coord_of(&out.counts, (enum coord)c);
        out.deviation[c] = isnan(s->want[c]) ? NAN : deviation(got, s->want[c]);
        out.worst = fmax(out.worst, fabs(out.deviation[c])); // fmax passes over NaN
    }
    return out;
}

// The corners of a box as doubles.
struct corners {
#define X(name, what) struct range name;
    ARCH_DIMS(X)
#undef X
    struct range L, G, heads, nu; // layers, K + n_shared, N_q + N_kv, N_kv/N_q
    struct range share;           // L_m/L
    struct range ffn;             // mean feed-forward width of a layer: d_d or G d_m
};

static double share_of(double part, double rest)
{
    return part > 0 ? part / (part + rest) : 0;
}

static double mix(double w, double dense, double moe)
{
    return (1 - w) * dense + w * moe;
}

static struct corners corners_of(const struct search *s, const struct box *b)
{
    struct arch lo = corner(s, b->lo), hi = corner(s, b->hi);
    struct corners c = {
#define X(name, what) .name = {(double)lo.name, (double)hi.name},
        ARCH_DIMS(X)
#undef X
    };
    c.L = (struct range){c.L_d.lo + c.L_m.lo, c.L_d.hi + c.L_m.hi};
    c.G = (struct range){c.K.lo + c.n_shared.lo, c.K.hi + c.n_shared.hi};
    c.heads = (struct range){c.N_q.lo + c.N_kv.lo, c.N_q.hi + c.N_kv.hi};
    // N_kv divides N_q; half of N_q, rounded down, is at least a third of it.
    c.nu = (struct range){c.N_kv.lo / c.N_q.hi, fmin(1, c.N_kv.hi / c.N_q.lo)};
    if (s->nkv_follows)
        c.nu.lo = fmax(c.nu.lo, 1.0 / 3);
    c.share = (struct range){share_of(c.L_m.lo, c.L_d.hi), share_of(c.L_m.hi, c.L_d.lo)};
    // Linear in the share: extremes at its ends.
    double moe_lo = c.G.lo * c.d_m.lo, moe_hi = c.G.hi * c.d_m.hi;
    c.ffn.lo = fmin(mix(c.share.lo, c.d_d.lo, moe_lo), mix(c.share.hi, c.d_d.lo, moe_lo));
    c.ffn.hi = fmax(mix(c.share.lo, c.d_d.hi, moe_hi), mix(c.share.hi, c.d_d.hi, moe_hi));
    return c;
}

// N_a, N, M at one corner; every one grows with every dimension (N not with K).
static void count_bounds(const struct corners *c, struct range out[N_COORDS])
{
    for (int upper = 0; upper < 2; upper++) {
#define AT(r) (upper ? c->r.hi : c->r.lo)
        double attn = 2 * AT(heads) * AT(d_qkv) * AT(d) * AT(L);
        double dense = 3 * AT(d) * AT(d_d) * AT(L_d), expert = 3 * AT(d) * AT(d_m) * AT(L_m);
        double N_a = attn + dense + expert * AT(G);
        double values[] = {N_a, attn + dense + expert * (AT(N_e) + AT(n_shared)),
                           6 * N_a + 6 * AT(S) * AT(N_q) * AT(d_qkv) * AT(L)};
#undef AT
        const enum coord which[] = {COORD_N_a, COORD_N, COORD_M};
        for (int i = 0; i < 3; i++)
            *(upper ? &out[which[i]].hi : &out[which[i]].lo) = values[i];
    }
}

// x = 6 + 6 / (2 d (1 + nu)/S + 3 d f/(S N_q d_qkv)), f the mean feed-forward width.
static double density(double d, double nu, double f, double S, double q)
{
    return 6 + 6 / (2 * d * (1 + nu) / S + 3 * d * f / (S * q));
}

// r = 3 f / (N_q d_qkv (2 (1 + nu) + S/d)).
static double expert_attention(double d, double nu, double f, double S, double q)
{
    return 3 * f / (q * (2 * (1 + nu) + S / d));
}

// y = 1 + (N_e - K) / (G + (2 heads d_qkv (1 + k) + 3 d_d k) / (3 d_m)), k = L_d/L_m.
static double expansion(double N_e, double K, double G, double heads_qkv, double d_d,
                        double d_m, double L_d, double L_m)
{
    if (L_m <= 0)
        return 1;
    double k = L_d / L_m;
    return 1 + (N_e - K) / (G + (2 * heads_qkv * (1 + k) + 3 * d_d * k) / (3 * d_m));
}

static void ratio_bounds(const struct corners *c, struct range out[N_COORDS])
{
    double q_lo = c->N_q.lo * c->d_qkv.lo, q_hi = c->N_q.hi * c->d_qkv.hi;
    out[COORD_x].lo = density(c->d.hi, c->nu.hi, c->ffn.hi, c->S.lo, q_lo);
    out[COORD_x].hi = density(c->d.lo, c->nu.lo, c->ffn.lo, c->S.hi, q_hi);
    out[COORD_r].lo = expert_attention(c->d.lo, c->nu.hi, c->ffn.lo, c->S.hi, q_hi);
    out[COORD_r].hi = expert_attention(c->d.hi, c->nu.lo, c->ffn.hi, c->S.lo, q_lo);
    out[COORD_y].lo =
        expansion(fmax(c->N_e.lo, c->K.hi), c->K.hi, c->G.hi, c->heads.hi * c->d_qkv.hi,
                  c->d_d.hi, c->d_m.lo, c->L_d.hi, c->L_m.lo);
    out[COORD_y].hi = expansion(c->N_e.hi, c->K.lo, c->G.lo, c->heads.lo * c->d_qkv.lo,
                                c->d_d.lo, c->d_m.hi, c->L_d.lo, c->L_m.hi);
    out[COORD_G] = c->G;
    out[COORD_s] = (struct range){c->n_shared.lo / (c->n_shared.lo + c->K.hi),
                                  c->n_shared.hi / (c->n_shared.hi + c->K.lo)};
    out[COORD_z] = (struct range){1 - c->G.hi / (c->N_e.lo + c->n_shared.hi),
                                  1 - c->G.lo / (c->N_e.hi + c->n_shared.lo)};
    out[COORD_g] = (struct range){c->d_d.lo / c->d_m.hi, c->d_d.hi / c->d_m.lo};
}

// The smallest deviation that a value inside r can have.
static double distance(struct range r, double want)
{
    if (r.lo > want)
        return deviation(r.lo, want);
    return r.hi < want ? 1 - r.hi / want : 0;
}

// N_a = M/x: when both M and x are within e, N_a is within (1 + e)/(1 - e) of its own wish.
// This sees at once what M and x apart see only in smaller boxes.
static double implied_distance(const struct solve_spec *s, const struct range r[N_COORDS])
{
    double want = s->want[COORD_M] / s->want[COORD_x];
    if (isnan(want) || want <= 0)
        return 0;
    double ratio = fmax(r[COORD_N_a].lo / want, want / r[COORD_N_a].hi);
    return ratio > 1 ? (ratio - 1) / (ratio + 1) : 0;
}

static const struct score hopeless = {INFINITY, INFINITY};

// Whether no architecture in the box can pass arch_check, as far as its corners tell.
static bool invalid(const struct corners *c)
{
    bool heads_known = c->N_q.lo >= c->N_q.hi && c->N_kv.lo >= c->N_kv.hi;
    bool odd = c->d_qkv.lo >= c->d_qkv.hi && fmod(c->d_qkv.lo, 2) > 0;
    return c->K.lo > c->N_e.hi || c->N_kv.lo > c->N_q.hi || c->L.hi <= 0 || odd ||
           (heads_known && fmod(c->N_q.lo, c->N_kv.lo) > 0);
}

// Lower bound on the score inside a box; infinite when it cannot hold what is looked for.
static struct score bound(const struct search *s, const struct box *b)
{
    struct corners c = corners_of(s, b);
    if (invalid(&c))
        return hopeless;
    struct range r[N_COORDS] = {0};
    count_bounds(&c, r);
    if (r[COORD_M].lo > 0x1p53 || r[COORD_N].lo > 0x1p53)
        return hopeless; // arch_check refuses counts that are not exact
    ratio_bounds(&c, r);
    struct score out = {implied_distance(s->spec, r), 0};
    for (int i = 0; i < N_COORDS; i++) {
        if (isnan(s->spec->want[i]))
            continue;
        double dist = distance(r[i], s->spec->want[i]);
        if (s->goal != SEARCH_BEST && dist > s->spec->tol[i] + SLACK)
            return hopeless;
        out.worst = fmax(out.worst, dist);
        out.sum += dist;
    }
    return out;
}

// Last ties: fewer layers, then smaller d_m, then the first dimension that differs, smaller
// first.
static bool comes_first(const struct arch *a, const struct arch *b)
{
    int64_t la = a->L_d + a->L_m, lb = b->L_d + b->L_m;
    if (la != lb)
        return la < lb;
    if (a->d_m != b->d_m)
        return a->d_m < b->d_m;
    for (int i = 0; i < N_DIMS; i++) {
        int64_t va = arch_dim_get(a, (enum arch_dim)i), vb = arch_dim_get(b, (enum arch_dim)i);
        if (va != vb)
            return va < vb;
    }
    return false;
}

// Whether a score of at least `score`, or a tie that starts at a, could replace the best.
static bool promising(const struct search *s, struct score score, const struct arch *a)
{
    if (!s->found || score.worst < s->best_score.worst - SLACK)
        return true;
    if (score.worst > s->best_score.worst + SLACK || score.sum > s->best_score.sum + SLACK)
        return false;
    return score.sum < s->best_score.sum - SLACK || comes_first(a, &s->best.arch);
}

static void visit_leaf(struct search *s, const struct box *b)
{
    struct arch a = corner(s, b->lo);
    if (arch_check(&a) != OK)
        return;
    struct solution sol = search_solution(s->spec, &a);
    struct score score = {sol.worst, 0};
    for (int i = 0; i < N_COORDS; i++) {
        if (isnan(sol.deviation[i]))
            continue;
        score.sum += fabs(sol.deviation[i]);
        if (s->goal != SEARCH_BEST && fabs(sol.deviation[i]) > s->spec->tol[i])
            return;
    }
    if (promising(s, score, &a)) {
        s->best = sol;
        s->best_score = score;
        s->found = true;
    }
}

// The dimension with the widest range left, as a ratio; -1 for a single structure.
static int widest(const struct box *b)
{
    int dim = -1;
    double most = 1;
    for (int i = 0; i < N_DIMS; i++) {
        double ratio = (double)(b->hi[i] + 1) / (double)(b->lo[i] + 1);
        if (ratio > most) {
            most = ratio;
            dim = i;
        }
    }
    return dim;
}

static void visit(struct search *s, const struct box *b, struct score b_bound)
{
    struct arch lowest = corner(s, b->lo);
    if (b_bound.worst == INFINITY || !promising(s, b_bound, &lowest) ||
        (s->found && s->goal == SEARCH_ANY_WITHIN))
        return;
    int dim = widest(b);
    if (dim < 0) {
        visit_leaf(s, b);
        return;
    }
    // Split at the geometric middle; the more promising half first.
    int64_t middle = (int64_t)sqrt(((double)b->lo[dim] + 1) * ((double)b->hi[dim] + 1)) - 1;
    middle = middle < b->lo[dim] ? b->lo[dim] : middle;
    middle = middle >= b->hi[dim] ? b->hi[dim] - 1 : middle;
    struct box low = *b, high = *b;
    low.hi[dim] = middle;
    high.lo[dim] = middle + 1;
    struct score low_bound = bound(s, &low), high_bound = bound(s, &high);
    if (low_bound.worst <= high_bound.worst) {
        visit(s, &low, low_bound);
        visit(s, &high, high_bound);
    } else {
        visit(s, &high, high_bound);
        visit(s, &low, low_bound);
    }
}

bool search_run(const struct solve_spec *s, enum search_goal goal, int64_t d_lo, int64_t d_hi,
                int64_t d_step, struct solution *out)
{
    struct search run = {.spec = s, .goal = goal};
    struct box b;
    run.dd_follows = s->base.d_d == ARCH_UNSET;
    run.nkv_follows = s->base.N_kv == ARCH_UNSET;
    struct arch base = s->base;
    arch_fill_defaults(&base);
    for (int i = 0; i < N_DIMS; i++) {
        run.step[i] = 1;
        b.lo[i] = b.hi[i] = arch_dim_get(&base, (enum arch_dim)i);
    }
    for (int i = 0; i < s->n_free; i++) {
        const struct solve_free *f = &s->free[i];
        run.step[f->dim] = f->step;
        b.lo[f->dim] = (f->lo + f->step - 1) / f->step;
        b.hi[f->dim] = f->hi / f->step;
        run.dd_follows &= f->dim != DIM_d_d;
        run.nkv_follows &= f->dim != DIM_N_kv;
    }
    run.step[DIM_d] = d_step;
    b.lo[DIM_d] = (d_lo + d_step - 1) / d_step;
    b.hi[DIM_d] = d_hi / d_step;
    // A dimension that follows has one value in the box; corner() derives the real one.
    if (run.dd_follows)
        b.lo[DIM_d_d] = b.hi[DIM_d_d] = 1;
    if (run.nkv_follows)
        b.lo[DIM_N_kv] = b.hi[DIM_N_kv] = 1;
    visit(&run, &b, bound(&run, &b));
    if (run.found)
        *out = run.best;
    return run.found;
}
