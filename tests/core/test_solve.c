// SPDX-License-Identifier: Apache-2.0
// The solver: its real-valued inverse against the counts, its integers against exhaustive
// search and against the published structures, its messages.
#include "core/solve.h"
#include "core/search.h"
#include "tests/core/support.h"

// x, y, M of real-valued layers and expert width, written out once more.
static void real_triad(const struct arch *a, double d, const double s[3], double out[3])
{
    double heads = (double)(a->N_q + a->N_kv), q = (double)a->d_qkv, L = s[0] + s[1];
    double d_d = a->d_d == ARCH_UNSET ? 3 * d : (double)a->d_d,
           G = (double)(a->K + a->n_shared);
    double rest = 2 * heads * q * d * L + 3 * d * d_d * s[0], expert = 3 * d * s[2] * s[1];
    double N_a = rest + expert * G, N = rest + expert * (double)(a->N_e + a->n_shared);
    out[0] = 6 * N_a + 6 * (double)a->S * (double)a->N_q * q * L;
    out[1] = out[0] / N_a;
    out[2] = N / N_a;
}

// Structure -> triad -> structure, with d_d following d and fixed; and the interval's ends.
static void test_real_inverse(void)
{
    struct rng r;
    rng_seed(&r, 10, 0);
    for (int i = 0; i < 3000; i++) {
        struct arch a = random_arch(&r);
        a.N_e += 3; // y must be above 1
        if (pick(&r, 0, 1) == 1)
            a.d_d = ARCH_UNSET;
        double s[3] = {5 * rng_uniform(&r), 0.1 + 5 * rng_uniform(&r),
                       1 + 300 * rng_uniform(&r)};
        double d = 1 + 500 * rng_uniform(&r), t[3], back[3], lo, hi;
        real_triad(&a, d, s, t);
        CHECK(solve_real(&a, t[0], t[1], t[2], d, back));
        // Differences like M - 6 N_a lose up to x/(x - 6) of the digits, L_d some more against
        // L.
        double lost = 1e-13 * t[1] / (t[1] - 6) * t[2] / (t[2] - 1);
        CHECK_NEAR(back[0], s[0], lost * 1e3 * (s[0] + s[1]));
        CHECK_NEAR(back[1], s[1], lost * 1e3 * (s[0] + s[1]));
        CHECK_REL(back[2], s[2], lost * 1e3 * (s[0] + s[1]) / s[1]);
        CHECK(solve_real_interval(&a, t[0], t[1], t[2], &lo, &hi));
        CHECK(lo < d * (1 + 1e-9) && d * (1 - 1e-9) < hi && lo < hi);
        // Inside: a solution; at the upper end L_d is 0, at the lower end L_m is.
        CHECK(solve_real(&a, t[0], t[1], t[2], sqrt(lo * hi), back));
        CHECK(!solve_real(&a, t[0], t[1], t[2], hi * 1.001, back) && back[0] < 0);
        CHECK(!solve_real(&a, t[0], t[1], t[2], lo * 0.999, back) && back[1] < 0);
    }
    struct arch a = {.S = 8192,
                     .K = 8,
                     .N_e = 288,
                     .n_shared = 1,
                     .N_q = 4,
                     .N_kv = 2,
                     .d_qkv = 64,
                     .d_d = ARCH_UNSET};
    double lo, hi, out[3];
    CHECK(!solve_real_interval(&a, 2.672e8, 6, 20, &lo, &hi));
    CHECK(!solve_real_interval(&a, 2.672e8, 9, 1, &lo, &hi));
    CHECK(!solve_real_interval(&a, 2.672e8, 9, 289.0 / 9, &lo, &hi));
    CHECK(!solve_real(&a, 2.672e8, NAN, 20, 500, out) &&
          !solve_real(&a, 2.672e8, 9, 20, 0, out));
}

static struct solve_spec spec_of(const struct published *p)
{
    struct solve_spec s;
    solve_defaults(&s);
    s.base = p->arch;
    s.base.L_d = s.base.L_m = s.base.d_m = s.base.d = s.base.d_d = ARCH_UNSET;
    return s;
}

// Acceptance: from each published row's own triad, exact or as printed, the row or a better
// structure.
static void test_published_rows(void)
{
    struct published rows[N_PUBLISHED];
    int same = 0;
    read_published(rows);
    for (int i = 0; i < N_PUBLISHED; i++) {
        const struct published *p = &rows[i];
        struct solve_spec s = spec_of(p);
        for (int printed = 0; printed < 2; printed++) {
            s.want[COORD_M] = (double)p->M;
            s.want[COORD_x] = printed ? p->x : (double)p->M / (double)p->N_a;
            s.want[COORD_y] = printed ? p->y : (double)p->N / (double)p->N_a;
            struct solution row = search_solution(&s, &p->arch), got;
            CHECK(solve_at(&s, p->arch.d, &got) == OK);
            CHECK(got.worst <= row.worst + 1e-12);
            CHECK(got.arch.d == p->arch.d && got.arch.d_m % 8 == 0);
            bool is_row = memcmp(&got.arch, &p->arch, sizeof got.arch) == 0;
            CHECK(is_row || got.worst < row.worst);
            same += is_row;
        }
    }
    printf("published rows: %d of %d asked for come back as printed, the others better\n", same,
           2 * N_PUBLISHED);
}

// Every candidate, one by one: what the search must find. *sum is the tie-breaking sum.
struct brute {
    const struct solve_spec *s;
    bool within, any;
    double worst, sum;
};

static void brute_try(struct brute *b, struct arch a, int dim)
{
    if (dim < b->s->n_free) {
        const struct solve_free *f = &b->s->free[dim];
        for (int64_t v = f->lo; v <= f->hi; v++) {
            if (v % f->step == 0) {
                *arch_dim(&a, f->dim) = v;
                brute_try(b, a, dim + 1);
            }
        }
        return;
    }
    arch_fill_defaults(&a);
    if (arch_check(&a) != OK)
        return;
    struct counts c = arch_counts(&a);
    double worst = 0, sum = 0;
    for (int i = 0; i < N_COORDS; i++) {
        double want = b->s->want[i], got = coord_of(&c, (enum coord)i);
        if (isnan(want))
            continue;
        double dev = want > 0 ? fabs(got / want - 1) : got;
        if (b->within && dev > b->s->tol[i])
            return;
        worst = fmax(worst, dev);
        sum += dev;
    }
    if (!b->any || worst < b->worst - 1e-12 || (worst < b->worst + 1e-12 && sum < b->sum)) {
        b->worst = worst;
        b->sum = sum;
    }
    b->any = true;
}

static double sum_of(const struct solution *s)
{
    double sum = 0;
    for (int i = 0; i < N_COORDS; i++)
        sum += isnan(s->deviation[i]) ? 0 : fabs(s->deviation[i]);
    return sum;
}

static void random_spec(struct rng *r, struct solve_spec *s)
{
    struct arch target = random_arch(r);
    solve_defaults(s);
    s->base = target;
    s->base.V = 0;
    if (pick(r, 0, 1) == 1)
        s->base.d_d = ARCH_UNSET;
    if (pick(r, 0, 3) == 0)
        s->base.N_kv = ARCH_UNSET;
    s->n_free = 0;
    while (s->n_free < 4) { // four dimensions, few values each, d often among them
        enum arch_dim dim = (enum arch_dim)pick(r, 0, DIM_n_shared);
        bool twice = false;
        for (int i = 0; i < s->n_free; i++)
            twice |= s->free[i].dim == dim;
        if (twice)
            continue;
        bool zero = dim == DIM_L_d || dim == DIM_L_m || dim == DIM_n_shared;
        int64_t step = pick(r, 1, 3), value = arch_dim_get(&target, dim),
                lo = value - pick(r, 0, 5);
        lo = lo < !zero ? !zero : lo;
        s->free[s->n_free++] = (struct solve_free){dim, lo, value + pick(r, 2, 6), step};
    }
    struct counts c = arch_counts(&target);
    for (int wishes = 0; wishes == 0;) {
        for (int i = 0; i < N_COORDS; i++) {
            double noise = exp(0.05 * rng_normal(r));
            bool asked = pick(r, 0, 2) == 0;
            s->want[i] = asked ? coord_of(&c, (enum coord)i) * noise : NAN;
            s->tol[i] = 0.08 * rng_uniform(r);
            wishes += asked;
        }
    }
}

// On hundreds of random specifications the search finds exactly what exhaustive search finds.
static void test_against_exhaustive(void)
{
    struct rng r;
    rng_seed(&r, 11, 0);
    int within = 0, beyond = 0;
    for (int i = 0; i < 1000; i++) {
        struct solve_spec s;
        random_spec(&r, &s);
        // At one d: the free range of d plays no part.
        struct solve_spec at = s;
        at.n_free = 0;
        for (int k = 0; k < s.n_free; k++)
            if (s.free[k].dim != DIM_d)
                at.free[at.n_free++] = s.free[k];
        struct brute b = {.s = &at, .within = true};
        brute_try(&b, at.base, 0);
        within += b.any;
        if (!b.any) {
            b.within = false;
            brute_try(&b, at.base, 0);
            beyond += b.any;
        }
        struct solution got;
        enum err e = solve_at(&s, s.base.d, &got);
        CHECK((e == OK) == b.any);
        if (e == OK) {
            CHECK_NEAR(got.worst, b.worst, 2e-12);
            CHECK_NEAR(sum_of(&got), b.sum, 1e-10);
            CHECK(got.arch.d == s.base.d && arch_check(&got.arch) == OK);
        }
        // All feasible d, and the nearest to a random one.
        int64_t *list;
        int n, k = 0;
        CHECK(solve_feasible(&s, &list, &n) == OK);
        double asked = (double)s.base.d * exp(0.3 * rng_normal(&r)), nearest = INFINITY;
        asked = fmax(asked, 1);
        int64_t lo = s.base.d, hi = s.base.d, step = 1;
        for (int f = 0; f < s.n_free; f++)
            if (s.free[f].dim == DIM_d)
                lo = s.free[f].lo, hi = s.free[f].hi, step = s.free[f].step;
        for (int64_t d = lo; d <= hi; d++) {
            if (d % step != 0)
                continue;
            struct brute one = {.s = &at, .within = true};
            at.base.d = d;
            brute_try(&one, at.base, 0);
            if (one.any) {
                CHECK(k < n && list[k] == d);
                k++;
                nearest = fmin(nearest, fabs(log((double)d / asked)));
            }
        }
        CHECK(k == n);
        e = solve_nearest(&s, asked, &got);
        CHECK((e == OK) == (n > 0));
        if (e == OK)
            CHECK_NEAR(fabs(log((double)got.arch.d / asked)), nearest, 1e-12);
        else
            CHECK(strncmp(err_message(), "infeasible: ", 12) == 0);
        free(list);
    }
    printf("exhaustive: %d within tolerance, %d beyond\n", within, beyond);
    CHECK(within > 100 && beyond > 100); // both kinds were really tried
}

// Five-factor and expert-attention wishes: N, N_a, G, s exactly where integers allow, z and r.
static void test_other_coordinates(void)
{
    struct solve_spec s;
    struct solution sol;
    solve_defaults(&s);
    s.base.S = 64, s.base.N_q = 2, s.base.L_d = s.base.L_m = 1, s.base.d_qkv = 16;
    s.n_free = 5;
    s.free[0] = (struct solve_free){DIM_K, 1, 64, 1};
    s.free[1] = (struct solve_free){DIM_n_shared, 0, 16, 1};
    s.free[2] = (struct solve_free){DIM_d, 4, 256, 2};
    s.free[3] = (struct solve_free){DIM_N_e, 1, 512, 1};
    s.free[4] = (struct solve_free){DIM_d_m, 1, 512, 1};
    s.want[COORD_N] = 50000;
    s.want[COORD_N_a] = 12000;
    for (int G = 4; G <= 16; G *= 2) {
        for (int shared = 0; shared <= G / 2; shared += G / 4) {
            s.want[COORD_G] = G;
            s.want[COORD_s] = (double)shared / G;
            CHECK(solve_nearest(&s, 24, &sol) == OK);
            CHECK(sol.arch.n_shared == shared && sol.arch.K == G - shared && sol.worst <= 0.03);
        }
    }
    solve_defaults(&s);
    s.base.S = 64, s.base.N_q = 2, s.base.L_d = 0, s.base.L_m = 1, s.base.K = 2;
    s.n_free = 4;
    s.free[0] = (struct solve_free){DIM_N_e, 2, 256, 1};
    s.free[1] = (struct solve_free){DIM_d_m, 1, 512, 1};
    s.free[2] = (struct solve_free){DIM_d, 4, 256, 2};
    s.free[3] = (struct solve_free){DIM_d_qkv, 2, 256, 2};
    s.want[COORD_M] = 1e5;
    for (int E = 16; E <= 128; E *= 2) {
        for (double r = 0.2; r < 1.6; r *= 1.5) {
            s.want[COORD_z] = 1 - 3.0 / (E + 1);
            s.want[COORD_r] = r;
            CHECK(solve_nearest(&s, 32, &sol) == OK);
            CHECK(sol.arch.N_e == E && fabs(sol.counts.r / r - 1) <= 0.03);
        }
    }
}

static void expect(const struct solve_spec *s, double d, const char *message)
{
    struct solution sol;
    CHECK(solve_nearest(s, d, &sol) == ERR_INPUT);
    if (strstr(err_message(), message) == NULL)
        fprintf(stderr, "    wanted: %s\n    found: %s\n", message, err_message());
    CHECK(strstr(err_message(), message) != NULL);
}

static void test_messages(void)
{
    struct published rows[N_PUBLISHED];
    read_published(rows);
    struct solve_spec good = spec_of(&rows[0]), s = good;
    expect(&s, 1000, "nothing is asked for");
    good.want[COORD_M] = 2.672e8;
    good.want[COORD_x] = 9;
    good.want[COORD_y] = 20;
    s = good;
    s.want[COORD_x] = 5.9;
    expect(&s, 1000, "infeasible: x = M/N_a is always above 6; no structure within tolerance");
    s = good;
    s.want[COORD_y] = 40;
    expect(&s, 1000, "y = N/N_a lies between 1 and (N_e + n_shared)/(K + n_shared); ");
    s = good;
    s.want[COORD_M] = 1e4;
    expect(&s, 1000, "M off by +");
    s = good;
    s.want[COORD_M] = -1;
    expect(&s, 1000, "M: expected a number of at least 0");
    s = good;
    s.tol[COORD_y] = NAN;
    expect(&s, 1000, "y: expected a tolerance");
    s = good;
    s.base.S = ARCH_UNSET;
    expect(&s, 1000, "S (sequence length): neither a value nor a free range");
    s = good;
    s.base.S = INT64_MAX;
    expect(&s, 1000, "S: expected 0 to");
    s = good;
    s.free[0].lo = 300;
    expect(&s, 1000, "free L_d: expected");
    s = good;
    s.free[2] = (struct solve_free){DIM_d_m, 9, 15, 8};
    expect(&s, 1000, "free d_m: no multiple of 8 lies between 9 and 15");
    s = good;
    s.free[1].dim = DIM_L_d;
    expect(&s, 1000, "free L_d: given twice");
    s = good;
    s.n_free = 99;
    expect(&s, 1000, "at most");
    s = good;
    s.base.N_q = 3;
    s.base.N_kv = 2;
    expect(&s, 1000, "infeasible: no valid architecture");
    expect(&good, 0, "d: expected");
    expect(&good, NAN, "d: expected");
    struct solution sol;
    CHECK(solve_at(&good, 0, &sol) == ERR_INPUT &&
          solve_at(&good, INT64_MAX, &sol) == ERR_INPUT);
    // d neither free nor set: only the asked one is tried; set: only that one.
    int64_t d = rows[0].arch.d;
    good.want[COORD_M] = (double)rows[0].M;
    good.want[COORD_x] = rows[0].x;
    good.want[COORD_y] = rows[0].y;
    good.n_free = 3;
    CHECK(solve_nearest(&good, (double)d, &sol) == OK && sol.arch.d == d);
    int64_t *list;
    int n;
    CHECK(solve_feasible(&good, &list, &n) == ERR_INPUT && list == NULL && n == 0);
    good.base.d = d;
    CHECK(solve_feasible(&good, &list, &n) == OK && n == 1 && list[0] == d);
    free(list);
    CHECK(solve_nearest(&good, 5, &sol) == OK && sol.arch.d == d);
    for (int i = 0; i < N_COORDS; i++)
        CHECK(coord_find(coord_name((enum coord)i)) == i);
    CHECK(coord_find("Q") == -1);
}

int main(void)
{
    test_real_inverse();
    test_published_rows();
    test_against_exhaustive();
    test_other_coordinates();
    test_messages();
    return test_summary();
}
