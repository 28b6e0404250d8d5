// SPDX-License-Identifier: GPL-3.0-or-later
// The choice of an architecture: the optimum against every structure of small spaces, limits
// kept, costs and bands against their definitions, and whole recommendations from laws.
#include "core/executed.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/stock.h"
#include "fit/fit.h"
#include "orchestrator/bands.h"
#include "orchestrator/megatron.h"
#include "orchestrator/recommend.h"
#include "tests/test.h"

// Published coefficients (docs/laws.md); resamples are the law with its last parameter moved.
enum { BOOT = 60 };
static struct fit_file law_file(const char *name, const double *value, const double *lo,
                                const double *hi)
{
    struct fit_file f = {0};
    f.fit.law = law_find(name, 2);
    const int p = law_params(f.fit.law, NULL), n = law_vars(f.fit.law, NULL);
    f.fit.converged = true;
    f.fit.n_boot = BOOT;
    f.fit.n = 1;
    f.fit.boot = malloc((size_t)(BOOT * p) * sizeof(double));
    f.fit.residual = calloc(1, sizeof(double));
    for (int k = 0; k < p; k++)
        f.fit.value[k] = value[k];
    for (int i = 0; i < BOOT * p; i++)
        f.fit.boot[i] = value[i % p] * (i % p == 0 ? 1 + 0.001 * (i / p - BOOT / 2) : 1);
    for (int k = 0; k < n; k++) {
        f.lo[k] = lo[k];
        f.hi[k] = hi[k];
    }
    f.C_lo = 1e18;
    f.C_hi = 1e20;
    return f;
}

static struct fit_file joint(void)
{
    const double value[] = {35.91,  -.2285, -.1889, .0098, 35.98, .5529,
                            -.1775, -.0259, 1.3637, 2.07,  290.45};
    return law_file("jointmoe", value, (double[]){1e7, 1e8, 2}, (double[]){1e10, 1e12, 256});
}

static struct fit_file five(void)
{
    const double value[] = {.1577,  7.2446, 5.1395,   -3.2363, .0013,  .0450,
                            38.051, .2383,  27129.05, .4694,   31.096, 1.8182};
    return law_file("fivefactor", value, (double[]){1e7, 1e8, 1e7, 2, 0},
                    (double[]){1e12, 1e12, 1e11, 20, 0.6});
}

static struct fit_file chinchilla(void)
{
    const double value[] = {1.8172, 482.01, 2085.43, .3478, .3658};
    return law_file("chinchilla", value, (double[]){1e7, 1e8}, (double[]){1e10, 1e12});
}

static int64_t draw(struct rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(r, (uint64_t)(hi - lo + 1));
}

// ---- params in closed form

static void test_params(void)
{
    struct rng r;
    rng_seed(&r, 1, 0);
    for (int i = 0; i < 200; i++) {
        struct arch a = {.L_d = draw(&r, 0, 3),
                         .L_m = draw(&r, 0, 4),
                         .d = draw(&r, 1, 300),
                         .d_qkv = 2 * draw(&r, 1, 20),
                         .d_d = draw(&r, 1, 500),
                         .d_m = draw(&r, 1, 90),
                         .N_kv = draw(&r, 1, 3),
                         .S = draw(&r, 1, 64),
                         .K = draw(&r, 1, 4),
                         .n_shared = draw(&r, 0, 2),
                         .V = draw(&r, 0, 1) * draw(&r, 1, 999)};
        a.N_q = a.N_kv * draw(&r, 1, 4);
        a.N_e = a.K + draw(&r, 0, 9);
        if (arch_check(&a) != OK)
            continue;
        struct job j = executed_job(&a, i % 2, a.S);
        j.model.qk_norm = i % 3 == 0;
        double q[N_QUANTITIES];
        quantity_all(&a, &j.model, 1e15, TOKEN_M, q);
        CHECK((int64_t)q[QUANTITY_params] == executed_of(&j).params);
        CHECK_REL(q[QUANTITY_D] * q[QUANTITY_COORD(COORD_M)], 1e15, 1e-14);
    }
}

// ---- the search against every structure

static struct range steps(int64_t lo, int64_t hi, int64_t step)
{
    return (struct range){RANGE_STEPS, lo, hi, step, 0};
}

// A few hundred to a few thousand structures around a small model.
static void small_space(struct rng *r, struct range range[N_DIMS])
{
    int64_t d = 64 * draw(r, 4, 12), L = draw(r, 4, 20), d_m = 32 * draw(r, 2, 20);
    for (int i = 0; i < N_DIMS; i++)
        range[i] = (struct range){.kind = RANGE_FOLLOWS, .step = 1};
    range[DIM_L_d] = steps(1, 1, 1);
    range[DIM_L_m] = steps(L, L + 4, 1);
    range[DIM_d] = steps(d, d + 64 * 5, 64);
    range[DIM_d_qkv] = steps(64, 64, 1);
    range[DIM_d_m] = steps(d_m, d_m + 32 * 5, 32);
    range[DIM_S] = steps(4096, 4096, 1);
    range[DIM_N_e] = steps(8, 64, 8);
    range[DIM_K] = steps(draw(r, 3, 4), 6, 1);
    range[DIM_n_shared] = steps(1, 1 + draw(r, 0, 1), 1);
    range[DIM_V] = steps(0, 0, 1);
}

static void limits(struct rng *r, struct choosing *c)
{
    // Around what the middle of the space has, so that some bind.
    double N_a = 2e8 * exp(rng_normal(r)), N = 2e9 * exp(rng_normal(r));
    const struct constraint all[] = {
        {.kind = CONSTRAINT_LIMIT, .q = QUANTITY_COORD(COORD_N_a), .most = N_a},
        {.kind = CONSTRAINT_LIMIT, .q = QUANTITY_params, .most = N},
        {.kind = CONSTRAINT_LIMIT, .q = QUANTITY_forward, .most = 8 * N_a},
        {.kind = CONSTRAINT_MULTIPLE, .dim = DIM_d_m, .n = 64},
        {.kind = CONSTRAINT_EXPERTS, .dim = DIM_N_e, .experts = RANGE_POW2},
        {.kind = CONSTRAINT_SET, .dim = DIM_K, .n = 4},
        {.kind = CONSTRAINT_DATA, .var = 1, .least = 1e9, .most = 3e11}};
    c->n_constraints = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (rng_below(r, 3) == 0)
            CHECK(ask_add(c, all[i], "c%d", (int)i) == OK);
}

// What the constraint means, written once more.
static bool keeps(const struct choosing *c, const struct arch *a, const double *q)
{
    bool ok = q[QUANTITY_D] >= 1;
    for (int i = 0; i < c->n_constraints; i++) {
        const struct constraint *k = &c->constraint[i];
        switch (k->kind) {
        case CONSTRAINT_LIMIT:
            ok = ok && q[k->q] <= k->most;
            break;
        case CONSTRAINT_MULTIPLE:
            ok = ok && a->d_m % k->n == 0;
            break;
        case CONSTRAINT_EXPERTS:
            ok = ok && (a->N_e & (a->N_e - 1)) == 0;
            break;
        case CONSTRAINT_SET:
            ok = ok && a->K == k->n;
            break;
        case CONSTRAINT_DATA: // of D, in both laws
            ok = ok && q[QUANTITY_D] >= k->least && q[QUANTITY_D] <= k->most;
            break;
        }
    }
    return ok;
}

// The least cost of all structures that keep everything; INFINITY if none does.
static double brute(const struct choosing *c)
{
    const struct range *r = c->range;
    double best = INFINITY;
    struct arch a = {.L_d = 1, .d_qkv = 64, .S = 4096};
    for (a.L_m = r[DIM_L_m].lo; a.L_m <= r[DIM_L_m].hi; a.L_m++)
        for (a.d = r[DIM_d].lo; a.d <= r[DIM_d].hi; a.d += 64)
            for (a.d_m = r[DIM_d_m].lo; a.d_m <= r[DIM_d_m].hi; a.d_m += 32)
                for (a.N_e = 8; a.N_e <= 64; a.N_e += 8)
                    for (a.K = r[DIM_K].lo; a.K <= 6; a.K++)
                        for (a.n_shared = 1; a.n_shared <= r[DIM_n_shared].hi; a.n_shared++) {
                            double q[N_QUANTITIES];
                            a.d_d = 3 * a.d;
                            a.N_q = a.d / 64;
                            a.N_kv = a.N_q > 1 ? a.N_q / 2 : 1;
                            if (a.N_q % a.N_kv != 0)
                                continue;
                            quantity_all(&a, &c->model, c->surface.C, c->per_token, q);
                            if (keeps(c, &a, q))
                                best = fmin(best, surface_cost(&c->surface, q));
                        }
    return best;
}

static void check_against_all(struct choosing *c, int *exact, int *searched)
{
    struct choice got;
    c->grid = 1000000;
    enum err e = choose(c, CHOOSE_NOTHING, &got);
    double want = brute(c);
    bool found = e == OK && got.broken <= 0;
    CHECK(found == isfinite(want)); // a limit within 1e-9 of a structure is not drawn
    if (!found)
        return;
    CHECK(got.all && choose_keeps(c, &got.arch) && keeps(c, &got.arch, got.q));
    CHECK_NEAR(got.cost, want, 0);
    for (int i = 0; i < c->n_constraints; i++) { // freer is never worse
        struct choice freer;
        CHECK(choose(c, UINT64_C(1) << i, &freer) == OK && freer.cost <= got.cost);
    }
    // With a grid of two hundred structures and steps from there.
    c->grid = 200;
    CHECK(choose(c, CHOOSE_NOTHING, &got) == OK);
    CHECK(!got.all && got.broken <= 0 && keeps(c, &got.arch, got.q));
    CHECK(got.cost >= want && got.cost < want + 2e-4);
    ++*searched;
    *exact += got.cost <= want;
}

static void test_optimum(void)
{
    struct fit_file files[] = {joint(), five()};
    struct rng r;
    int exact = 0, searched = 0;
    rng_seed(&r, 2, 0);
    for (int i = 0; i < 14; i++) {
        struct choosing c = {.per_token = i % 4 < 2 ? TOKEN_6N : TOKEN_M};
        double C = pow(10, 19 + 2 * rng_uniform(&r));
        CHECK(surface_of_fit(&files[i % 2], NULL, C, &c.surface) == OK);
        c.surface.pull[c.surface.n_pulls++] =
            (struct surface_pull){QUANTITY_aspect, 100, i % 3 ? 1e-3 : 0};
        small_space(&r, c.range);
        limits(&r, &c);
        check_against_all(&c, &exact, &searched);
        surface_free(&c.surface);
    }
    printf("steps end at the optimum of all structures in %d of %d spaces\n", exact, searched);
    CHECK(searched >= 8 && 10 * exact >= 9 * searched);
    fit_file_free(&files[0]);
    fit_file_free(&files[1]);
}

// ---- bands

static void test_bands(void)
{
    struct fit_file f = five();
    struct surface s;
    struct band band[BANDS_MAX];
    double q[N_QUANTITIES], x[LAW_MAX_VARS];
    struct job defaults;
    job_init(&defaults);
    struct arch a = {.L_d = 1,
                     .L_m = 16,
                     .d = 2048,
                     .d_qkv = 128,
                     .d_d = 6144,
                     .d_m = 1024,
                     .N_q = 16,
                     .N_kv = 8,
                     .S = 4096,
                     .N_e = 64,
                     .K = 6,
                     .n_shared = 2};
    CHECK(surface_of_fit(&f, NULL, 1e20, &s) == OK);
    quantity_all(&a, &defaults.model, 1e20, TOKEN_6N, q);
    int n = bands_of(&s, q, 0.002, band);
    CHECK(n == 4);
    surface_vars(&s, q, x);
    // G at the same N, D, N_a, s: sqrt(f/e), by the law's own algebra.
    CHECK_STR(band[2].name, "G");
    CHECK_REL(band[2].best, sqrt(7.2446 / .1577), 1e-6);
    CHECK(band[2].built == 8 && !band[2].lo_open && !band[2].hi_open);
    x[3] = band[2].best;
    double least = law_value(f.fit.law, f.fit.value, x, NULL);
    const double at[] = {band[2].lo, band[2].hi, 8};
    const double over[] = {0.002, 0.002, band[2].cost};
    for (int i = 0; i < 3; i++) {
        x[3] = at[i];
        CHECK_NEAR(law_value(f.fit.law, f.fit.value, x, NULL) / least - 1, over[i], 1e-9);
    }
    CHECK_STR(band[3].name, "s");
    CHECK_REL(band[3].best, 3.2363 / (2 * 5.1395), 1e-6);
    // Size and tokens: the same band seen from both.
    CHECK_STR(band[0].name, "N_a");
    CHECK_STR(band[1].name, "D");
    CHECK_REL(band[0].lo * band[1].hi, band[0].built * band[1].built, 1e-12);
    CHECK_REL(6 * band[0].best * band[1].best, 1e20, 1e-12);
    surface_free(&s);
    fit_file_free(&f);
}

// ---- whole recommendations

static enum err from(const struct fit_file *f, struct ask ask, json_t **doc)
{
    *doc = NULL;
    return recommend_fit(f, "law", &ask, doc);
}

static double count(const json_t *doc, const char *name)
{
    return jnum(json_object_get(doc, "counts"), name);
}

static double dim(const json_t *doc, const char *name)
{
    return jnum(json_object_get(doc, "arch"), name);
}

// The unconstrained optimum is that of the law; a dense law gives a dense model.
static void test_chinchilla(void)
{
    struct fit_file f = chinchilla();
    json_t *doc;
    const double a = .3478, b = .3658, C = 1e20;
    double G = pow(a * 482.01 / (b * 2085.43), 1 / (a + b));
    CHECK(from(&f, (struct ask){.C = C}, &doc) == OK);
    CHECK_REL(jnum(json_array_get(json_object_get(doc, "bands"), 0), "best"),
              G * pow(C / 6, b / (a + b)), 1e-5);
    CHECK_REL(count(doc, "N_a"), G * pow(C / 6, b / (a + b)), 0.1); // heads are of 128
    CHECK_REL(6 * count(doc, "N_a") * jnum(json_object_get(doc, "train"), "tokens"), C, 1e-9);
    CHECK(dim(doc, "L_m") == 0 && jtrue(doc, "in_range"));
    const json_t *loss = json_object_get(doc, "loss");
    CHECK(jnum(loss, "lo") < jnum(loss, "predicted") &&
          jnum(loss, "predicted") < jnum(loss, "hi"));
    json_decref(doc);
    // Asked for experts, it has some; the law does not see how many.
    CHECK(from(&f, (struct ask){.C = C, .set = "N_e=32,K=4"}, &doc) == OK);
    CHECK(dim(doc, "L_m") > 0 && dim(doc, "N_e") == 32 && dim(doc, "K") == 4);
    json_decref(doc);
    CHECK(from(&f, (struct ask){.C = 1e22}, &doc) == OK);
    CHECK(!jtrue(doc, "in_range") && jnum(doc, "extrapolation") > 99);
    json_decref(doc);
    fit_file_free(&f);
}

static bool pow2(double v)
{
    int64_t n = (int64_t)v;
    return n > 0 && (n & (n - 1)) == 0;
}

// Random budgets and constraints: kept exactly, or refused by name.
static void test_constraints_kept(void)
{
    struct fit_file files[] = {joint(), five()};
    struct rng r;
    rng_seed(&r, 3, 0);
    int kept = 0;
    for (int i = 0; i < 6; i++) {
        double C = pow(10, 18 + 3 * rng_uniform(&r)),
               N_a = 0.05 * sqrt(C) * exp(rng_normal(&r));
        struct ask ask = {.C = C, .gpu = i % 3 == 0, .scores = i % 5 == 0};
        ask.max_active_params = i % 2 ? N_a : 0;
        ask.max_total_params = i % 3 ? 15 * N_a : 0;
        ask.max_inference_flops = i % 4 ? 0 : 3 * N_a;
        ask.gpus = 16;
        ask.memory = i % 4 == 1 ? 18 * 10 * N_a / 16 : 0;
        ask.experts = i % 4 == 2 ? "divisor:96" : i % 4 == 3 ? "pow2" : NULL;
        ask.multiple = i % 2 ? "d_m=64,d=256" : NULL;
        ask.set = i % 5 == 4 ? "S=2048,V=32000,L_d=2" : NULL;
        json_t *doc;
        if (from(&files[i % 2], ask, &doc) != OK) {
            CHECK(strstr(err_message(), "without any one of: ") != NULL ||
                  strstr(err_message(), "comes nearest: ") != NULL);
            continue;
        }
        const json_t *executed = json_object_get(json_object_get(doc, "counts"), "executed");
        const json_t *memory = json_object_get(doc, "memory");
        double bytes = 18 * jnum(executed, "params") / 16;
        kept++;
        CHECK(!(ask.max_active_params > 0) || count(doc, "N_a") <= ask.max_active_params);
        CHECK(!(ask.max_total_params > 0) || count(doc, "N") <= ask.max_total_params);
        CHECK(!(ask.max_inference_flops > 0) || count(doc, "M") <= 3 * ask.max_inference_flops);
        CHECK(!(ask.memory > 0) || bytes <= ask.memory);
        CHECK_REL(jnum(memory, "bytes_per_gpu"), bytes, 1e-12);
        CHECK(i % 4 != 2 || fmod(96, dim(doc, "N_e")) == 0);
        CHECK(i % 4 != 3 || pow2(dim(doc, "N_e")));
        CHECK(!ask.multiple ||
              (fmod(dim(doc, "d_m"), 64) == 0 && fmod(dim(doc, "d"), 256) == 0));
        CHECK(!ask.gpu || (fmod(dim(doc, "d_d"), 128) == 0 && fmod(dim(doc, "d"), 128) == 0));
        CHECK(!ask.set ||
              (dim(doc, "S") == 2048 && dim(doc, "V") == 32000 && dim(doc, "L_d") == 2));
        json_decref(doc);
    }
    CHECK(kept >= 4);
    fit_file_free(&files[0]);
    fit_file_free(&files[1]);
}

// A cost is the loss with the constraint over the loss without, of the structures named.
static void test_costs(void)
{
    struct fit_file f = joint();
    json_t *with, *without, *c;
    size_t i;
    bool seen = false;
    CHECK(from(&f, (struct ask){.C = 1e20, .max_total_params = 1e9}, &with) == OK);
    CHECK(from(&f, (struct ask){.C = 1e20}, &without) == OK);
    json_array_foreach(json_object_get(with, "constraints"), i, c)
    {
        if (strncmp(jstr(c, "name"), "--max-total-params", 18) != 0)
            continue;
        const json_t *cost = json_object_get(c, "cost"), *other = json_object_get(c, "without");
        double ratio = jnum(json_object_get(with, "loss"), "predicted") /
                       jnum(json_object_get(without, "loss"), "predicted");
        seen = true;
        CHECK(jtrue(c, "binds") && jnum(cost, "value") > 0.001);
        CHECK_NEAR(jnum(cost, "value"), ratio - 1, 1e-12);
        CHECK(jnum(cost, "lo") <= jnum(cost, "value") &&
              jnum(cost, "value") <= jnum(cost, "hi"));
        CHECK(jnum(other, "N_e") == dim(without, "N_e"));
        CHECK(dim(with, "N_e") <
              dim(without, "N_e")); // not smaller experts, which it does not see
    }
    CHECK(seen);
    json_decref(with);
    json_decref(without);
    fit_file_free(&f);
}

static void test_refusals(void)
{
    static const struct {
        struct ask ask;
        const char *says;
    } all[] = {
        {{.C = 0}, "--compute"},
        {{.C = 1e20, .set = "Q=3"}, "found 'Q'"},
        {{.C = 1e20, .set = "K"}, "NAME=VALUE"},
        {{.C = 1e20, .set = "K=1.5"}, "integer"},
        {{.C = 1e20, .set = "K=2,K=2"}, "twice"},
        {{.C = 1e20, .set = "K=0"}, "--set K=0"},
        {{.C = 1e20, .set = "N_e=4"}, "--set N_e=4"},
        {{.C = 1e20, .set = "N_e=300"}, "E inside the data"},
        {{.C = 1e20, .free = "d=3"}, "LO:HI:STEP"},
        {{.C = 1e20, .free = "d=1:16777216:1"}, "larger step"},
        {{.C = 1e20, .multiple = "d=0"}, "--multiple d"},
        {{.C = 1e20, .multiple = "d=100", .set = "d=128"}, "multiple of 100"},
        {{.C = 1e20, .experts = "prime"}, "pow2"},
        {{.C = 1e20, .experts = "divisor"}, "--gpus"},
        {{.C = 1e20, .experts = "pow2", .set = "N_e=48"}, "power of two"},
        {{.C = 1e20, .gpus = 1.5}, "whole number"},
        {{.C = 1e20, .model = "tied=yes"}, "--model"},
        {{.C = 1e20, .map = "Q=N"}, "jointmoe (N_a, D, E)"},
        {{.C = 1e20, .map = "E=N_e,E=K"}, "at most once"},
        {{.C = 1e20, .map = "N_a=width+"}, "character"},
        {{.C = 1e20, .map = "D=N"}, "made from D"},
        {{.C = 1e20, .memory = 1000}, "--memory 1000"},
        {{.C = 1e20, .max_total_params = 1e3}, "--max-total-params 1000"},
        {{.C = 1e-5}, "does not pay for one token"},
    };
    struct fit_file f = joint();
    json_t *doc;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool refused = from(&f, all[i].ask, &doc) == ERR_INPUT && doc == NULL;
        CHECK(refused);
        CHECK(strstr(err_message(), all[i].says) != NULL);
        if (!refused || !strstr(err_message(), all[i].says))
            fprintf(stderr, "case %d: %s\n", (int)i, err_message());
        json_decref(doc);
    }
    fit_file_free(&f);
    const double one[20] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const double ten[8] = {10, 10, 10, 10, 10, 10, 10, 10};
    static const char *const laws[][2] = {{"routed", "does not say"},
                                          {"leverage", "does not say"},
                                          {"upcycling", "what is D1"},
                                          {"powersum", "what is X1"}};
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        f = law_file(laws[i][0], one, one, ten);
        CHECK(from(&f, (struct ask){.C = 1e20}, &doc) == ERR_INPUT);
        CHECK(strstr(err_message(), laws[i][1]) != NULL);
        fit_file_free(&f);
    }
}

// Columns of one's own: the shape is then the law's affair.
static void test_powersum(void)
{
    const double value[] = {1.5, 40, .3, 300, .3}; // of d and D
    struct fit_file f =
        law_file("powersum", value, (double[]){64, 1e8}, (double[]){8192, 1e12});
    json_t *doc;
    CHECK(from(&f, (struct ask){.C = 1e20, .map = "X1=d,X2=D"}, &doc) == OK);
    CHECK(json_array_size(json_object_get(doc, "bands")) == 0);
    CHECK(dim(doc, "L_d") == 1); // layers cost tokens and bring nothing
    json_decref(doc);
    fit_file_free(&f);
}

// ---- Megatron

static void test_megatron(void)
{
    struct arch a = {.L_d = 3,
                     .L_m = 58,
                     .d = 7168,
                     .d_qkv = 128,
                     .d_d = 18432,
                     .d_m = 2048,
                     .N_q = 128,
                     .N_kv = 8,
                     .S = 4096,
                     .N_e = 256,
                     .K = 8,
                     .n_shared = 2,
                     .V = 129280};
    struct job j;
    char *text;
    job_init(&j);
    struct job_model m = j.model;
    CHECK(megatron_arguments(&a, &m, &text) == OK);
    CHECK_STR(text, "--num-layers 61\n--hidden-size 7168\n--ffn-hidden-size 18432\n"
                    "--num-attention-heads 128\n--group-query-attention\n"
                    "--num-query-groups 8\n--kv-channels 128\n--position-embedding-type rope\n"
                    "--rotary-base 10000\n--rotary-percent 1.0\n--num-experts 256\n"
                    "--moe-router-topk 8\n--moe-ffn-hidden-size 2048\n"
                    "--moe-layer-freq [0]*3+[1]*58\n"
                    "--moe-shared-expert-intermediate-size 4096\n"
                    "--moe-router-score-function softmax\n"
                    "--moe-router-load-balancing-type aux_loss\n--swiglu\n"
                    "--normalization RMSNorm\n--norm-epsilon 1e-6\n--disable-bias-linear\n"
                    "--attention-dropout 0.0\n--hidden-dropout 0.0\n"
                    "--untie-embeddings-and-output-weights\n--seq-length 4096\n"
                    "--max-position-embeddings 4096\n");
    free(text);
    m.norm_topk = false;
    m.tied = m.qk_norm = true;
    a.L_d = a.n_shared = 0;
    a.N_kv = a.N_q;
    CHECK(megatron_arguments(&a, &m, &text) == OK);
    CHECK(strstr(text, "--moe-router-pre-softmax\n") && strstr(text, "--qk-layernorm\n"));
    CHECK(strstr(text, "--moe-layer-freq 1\n") && !strstr(text, "shared"));
    CHECK(!strstr(text, "--untie") && !strstr(text, "query-groups"));
    free(text);
    m.router = ROUTER_SIGMOID_BIAS; // always renormalised there
    CHECK(megatron_arguments(&a, &m, &text) == ERR_INPUT);
    m.norm_topk = true;
    CHECK(megatron_arguments(&a, &m, &text) == OK);
    CHECK(strstr(text, "--moe-router-enable-expert-bias\n") != NULL);
    free(text);
    a.K = 1;
    CHECK(megatron_arguments(&a, &m, &text) == ERR_INPUT);
    a.L_d = 61;
    a.L_m = 0;
    CHECK(megatron_arguments(&a, &m, &text) == OK);
    CHECK(!strstr(text, "--num-experts") && !strstr(text, "moe"));
    free(text);
}

int main(void)
{
    fit_init();
    test_params();
    test_optimum();
    test_bands();
    test_chinchilla();
    test_constraints_kept();
    test_costs();
    test_refusals();
    test_powersum();
    test_megatron();
    return test_summary();
}
