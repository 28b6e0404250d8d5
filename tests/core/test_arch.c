// SPDX-License-Identifier: Apache-2.0
// Counts against the paper's tables, the tensor table against the counts, checks of bad values.
#include "core/executed.h"
#include "core/tensor.h"
#include "tests/core/support.h"

// Acceptance: every published row, integers exactly, ratios to the printed digits.
static struct executed executed(const struct arch *a, bool tied, int64_t batch_tokens)
{
    struct job j = executed_job(a, tied, batch_tokens);
    return executed_of(&j);
}

static void test_published_rows(void)
{
    static const struct {
        double C, M; // the scale's target, 1e9 FLOPs per token
    } scales[] = {{1e18, 0.2672}, {3e18, 0.4856}, {1e19, 0.9345}, {3e19, 1.6983}};
    struct published rows[N_PUBLISHED];
    read_published(rows);
    for (int i = 0; i < N_PUBLISHED; i++) {
        const struct published *p = &rows[i];
        CHECK(arch_check(&p->arch) == OK);
        struct counts c = arch_counts(&p->arch);
        CHECK(c.N_a == p->N_a);
        CHECK(c.N == p->N);
        CHECK(c.M == p->M);
        CHECK(p->arch.L_d + p->arch.L_m == p->L);
        // Half a unit of the last printed digit, and the rounding of the halves themselves.
        double digit = 0.5e-4 * (1 + 1e-9);
        CHECK_NEAR(c.x, p->x, digit);
        CHECK_NEAR(c.y, p->y, digit);
        CHECK_NEAR(c.r_a, p->r_a, digit);
        CHECK_NEAR(c.r_d, p->r_d, digit);
        CHECK_NEAR(c.r_m, p->r_m, digit);
        int known = 0;
        for (int k = 0; k < 4; k++) {
            if (scales[k].C == p->C) {
                // The target is printed with four decimals, the deviation in percent with two.
                double target = scales[k].M * 1e9, slack = 0.005 + 100 * 0.5e-4 / scales[k].M;
                CHECK_NEAR(100 * ((double)c.M / target - 1), p->M_dev_pct, 1.02 * slack);
                known++;
            }
        }
        CHECK(known == 1);
    }
}

// Identities among the counts, for any architecture.
static void test_identities(void)
{
    struct rng r;
    rng_seed(&r, 1, 0);
    for (int i = 0; i < 2000; i++) {
        struct arch a = random_arch(&r);
        CHECK(arch_check(&a) == OK);
        struct counts c = arch_counts(&a);
        // Sums of few rounded terms: a few units in the last place of 1.
        CHECK_NEAR(c.r_a + c.r_d + c.r_m, 1, 8e-16);
        CHECK_REL(c.r, (c.r_d + c.r_m) / c.r_a, 1e-12);
        CHECK(c.x > 6 && c.y >= 1);
        double nu = (double)a.N_kv / (double)a.N_q;
        CHECK_REL(c.x, 6 / (1 - c.r_a / (1 + 2 * (double)a.d * (1 + nu) / (double)a.S)), 1e-11);
        double idle = (double)(a.N_e - a.K);
        CHECK_REL((double)c.N, (double)c.N_a + (double)c.M / 6 * c.r_m * idle / c.G, 1e-11);
        CHECK(c.y <= (double)(a.N_e + a.n_shared) / c.G * (1 + 1e-15));
        CHECK_REL(1 - c.z, c.G / (double)(a.N_e + a.n_shared), 1e-13);
        CHECK(c.s * c.G == (double)a.n_shared || fabs(c.s * c.G - (double)a.n_shared) < 1e-12);
    }
}

// One by one, by hand: two layers, small enough to count on paper.
static void test_by_hand(void)
{
    struct arch a = {.L_d = 1,
                     .L_m = 1,
                     .d = 4,
                     .d_qkv = 2,
                     .d_d = 5,
                     .d_m = 3,
                     .N_q = 2,
                     .N_kv = 1,
                     .S = 8,
                     .N_e = 4,
                     .K = 2,
                     .n_shared = 1,
                     .V = 10};
    struct counts c = arch_counts(&a);
    int64_t attn = 4 * (4 + 2 + 2 + 4), dense = 3 * 4 * 5, expert = 3 * 4 * 3; // per layer
    CHECK(c.N_a == 2 * attn + dense + 3 * expert);
    CHECK(c.N == 2 * attn + dense + 5 * expert);
    CHECK(c.M == 6 * c.N_a + 6 * 8 * 2 * 2 * 2);
    struct executed e = executed(&a, false, 16);
    int64_t extra = 2 * 10 * 4 + 5 * 4 + 4 * 4; // embedding and unembedding, five norms, router
    CHECK(e.params == c.N + extra);
    CHECK(e.active_params == c.N_a + 4 + 10 * 4 + 5 * 4 + 4 * 4);
    // Position t sees t + 1 keys, 4.5 on average; 2 FLOPs each for q.k and for p.v, backward
    // twice.
    double scores = 3 * 4 * 4.5 * 2 * 2 * 2;
    CHECK(e.flops_per_token == 6 * (double)(c.N_a + 16 + 40) + scores);
    CHECK(e.mem_weights == 4 * e.params && e.mem_grads == 4 * e.params);
    CHECK(e.mem_optimizer == 8 * e.params && e.mem_activations > 0);
    CHECK(e.mem_total == 16 * e.params + e.mem_activations + 8 * 16 + EXECUTED_BASE);
    struct executed tied = executed(&a, true, 16);
    CHECK(tied.params == e.params - 40);
    CHECK(tied.flops_per_token == e.flops_per_token);
}

// The table is the truth: its paper tensors sum to N, all of it to the executed parameters;
// offsets are dense, names unique.
static void test_tensor_table(void)
{
    struct rng r;
    rng_seed(&r, 2, 0);
    for (int i = 0; i < 500; i++) {
        struct arch a = random_arch(&r);
        bool tied = pick(&r, 0, 1) == 1;
        struct job_model opt = {.tied = tied, .init_scale = 0.5};
        struct tensor *t;
        int n;
        int64_t total = tensor_table(&a, &opt, &t, &n), offset = 0, paper = 0;
        double paper_active = 0, active = 0;
        for (int k = 0; k < n; k++) {
            int64_t count = 1;
            for (int s = 0; s < t[k].ndim; s++)
                count *= t[k].shape[s];
            CHECK(t[k].count == count && count > 0 && t[k].offset == offset);
            offset += count;
            paper += t[k].paper ? count : 0;
            paper_active += t[k].paper ? (double)count * t[k].active : 0;
            active += (double)count * t[k].active;
            CHECK((t[k].ndim == 1) == (t[k].init_sd == 0));
            CHECK(t[k].ndim > 1 || !t[k].decay);
            for (int o = 0; o < k; o++)
                CHECK(strcmp(t[o].name, t[k].name) != 0);
        }
        struct counts c = arch_counts(&a);
        struct executed e = executed(&a, tied, a.S);
        CHECK(total == offset && total == e.params);
        CHECK(paper == c.N);
        CHECK_REL(paper_active, (double)c.N_a, 1e-12);
        CHECK_REL(active, (double)e.active_params, 1e-12);
        free(t);
    }
}

static void test_tensor_details(void)
{
    struct arch a = {.L_d = 1,
                     .L_m = 2,
                     .d = 16,
                     .d_qkv = 4,
                     .d_d = 48,
                     .d_m = 8,
                     .N_q = 2,
                     .N_kv = 1,
                     .S = 8,
                     .N_e = 4,
                     .K = 1,
                     .n_shared = 2,
                     .V = 97};
    static const char *const names[] = {"embed",
                                        "layers.0.attn.norm",
                                        "layers.0.attn.q",
                                        "layers.0.attn.k",
                                        "layers.0.attn.v",
                                        "layers.0.attn.o",
                                        "layers.0.ffn.norm",
                                        "layers.0.ffn.gate_up",
                                        "layers.0.ffn.down",
                                        "layers.1.attn.norm",
                                        "layers.1.attn.q",
                                        "layers.1.attn.k",
                                        "layers.1.attn.v",
                                        "layers.1.attn.o",
                                        "layers.1.ffn.norm",
                                        "layers.1.router",
                                        "layers.1.experts.gate_up",
                                        "layers.1.experts.down",
                                        "layers.1.shared.gate_up",
                                        "layers.1.shared.down"};
    struct tensor *t;
    int n;
    CHECK(tensor_table(&a, &(struct job_model){.init_scale = 2}, &t, &n) > 0);
    CHECK(n == 20 + 11 + 2);
    for (int i = 0; i < 20; i++)
        CHECK_STR(t[i].name, names[i]);
    CHECK_STR(t[n - 2].name, "norm");
    CHECK_STR(t[n - 1].name, "unembed");
    CHECK_REL(t[2].init_sd, 2 / sqrt(16.0), 1e-15);              // q: fan-in d
    CHECK_REL(t[5].init_sd, 2 / sqrt(8.0) / sqrt(6.0), 1e-15);   // o: N_q d_qkv, residual
    CHECK_REL(t[8].init_sd, 2 / sqrt(48.0) / sqrt(6.0), 1e-15);  // dense down: d_d
    CHECK_REL(t[17].init_sd, 2 / sqrt(8.0) / sqrt(6.0), 1e-15);  // experts down: d_m
    CHECK_REL(t[19].init_sd, 2 / sqrt(16.0) / sqrt(6.0), 1e-15); // shared down: n_shared d_m
    CHECK(t[16].active == 0.25 && t[18].active == 1);
    CHECK(!t[0].decay && t[2].decay && t[15].decay && !t[15].paper);
    free(t);
    a.n_shared = 0;
    CHECK(tensor_table(&a, &(struct job_model){.tied = true, .init_scale = 1}, &t, &n) > 0);
    CHECK(n == 1 + 8 + 2 * 9 + 1);
    free(t);
}

// A changed dimension is refused with its name in the message.
static void refuse(enum arch_dim dim, int64_t value, const char *word)
{
    struct rng r;
    rng_seed(&r, 3, 0);
    struct arch a = random_arch(&r);
    a.N_kv = 2;
    a.N_q = 4;
    *arch_dim(&a, dim) = value;
    CHECK(arch_check(&a) == ERR_INPUT);
    if (strstr(err_message(), word) == NULL)
        fprintf(stderr, "    message: %s\n", err_message());
    CHECK(strstr(err_message(), word) != NULL);
}

static void test_bad_values(void)
{
    for (int i = 0; i < N_DIMS; i++) {
        const char *name = arch_dim_name((enum arch_dim)i);
        CHECK(arch_dim_find(name) == i && strlen(arch_dim_what((enum arch_dim)i)) > 0);
        refuse((enum arch_dim)i, ARCH_UNSET, name);
        refuse((enum arch_dim)i, -2, name);
        refuse((enum arch_dim)i, INT64_MIN, name);
        refuse((enum arch_dim)i, INT64_MAX, name);
        refuse((enum arch_dim)i, (INT64_C(1) << 24) + 1, name);
    }
    CHECK(arch_dim_find("no_such") == -1);
    refuse(DIM_d, 0, "d ");
    refuse(DIM_K, 1000, "K: expected at most N_e");
    refuse(DIM_N_q, 3, "multiple of N_kv");
    refuse(DIM_d_qkv, 7, "even");
    struct arch huge = arch_unset();
    for (int i = 0; i < N_DIMS; i++)
        *arch_dim(&huge, (enum arch_dim)i) = INT64_C(1) << 24;
    CHECK(arch_check(&huge) == ERR_INPUT && strstr(err_message(), "2^53") != NULL);
    struct arch empty = arch_unset();
    arch_fill_defaults(&empty);
    CHECK(empty.d_d == ARCH_UNSET && empty.N_kv == ARCH_UNSET);
    CHECK(empty.n_shared == 1 && empty.V == 0);
    empty.d = INT64_MAX; // three times this is no integer: must not overflow
    arch_fill_defaults(&empty);
    CHECK(empty.d_d == ARCH_UNSET);
    struct arch one_head = {.d = 5, .d_d = ARCH_UNSET, .N_q = 1, .N_kv = ARCH_UNSET};
    arch_fill_defaults(&one_head);
    CHECK(one_head.d_d == 15 && one_head.N_kv == 1);
}

static void test_extremes(void)
{
    // As large as counts may be: executed numbers stay finite and ordered.
    struct arch a = {.L_d = 1 << 20,
                     .L_m = 1 << 10,
                     .d = 1 << 10,
                     .d_qkv = 64,
                     .d_d = 1 << 10,
                     .d_m = 64,
                     .N_q = 4,
                     .N_kv = 2,
                     .S = 1 << 20,
                     .N_e = 1 << 12,
                     .K = 1,
                     .n_shared = 1,
                     .V = 1 << 24};
    CHECK(arch_check(&a) == OK);
    struct executed e = executed(&a, false, INT64_MAX);
    CHECK(e.mem_activations == INT64_C(1) << 62 && e.mem_total > e.mem_activations);
    CHECK(e.flops_per_token > (double)arch_counts(&a).M * 0.99);
}

static void test_json(void)
{
    struct rng r;
    rng_seed(&r, 4, 0);
    for (int i = 0; i < 200; i++) {
        struct arch a = random_arch(&r), b;
        json_t *j = arch_to_json(&a);
        CHECK(arch_from_json(j, "test", &b) == OK);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        json_object_set_new(j, "extra", json_integer(1));
        CHECK(arch_from_json(j, "test", &b) == ERR_INPUT);
        CHECK_STR(err_message(), "test: unknown key \"extra\"");
        json_object_del(j, "extra");
        json_object_set_new(j, "d", json_real(2.7));
        CHECK(arch_from_json(j, "test", &b) == ERR_INPUT);
        CHECK(strstr(err_message(), "test: d: expected an integer") != NULL);
        json_decref(j);
        struct job job = executed_job(&a, false, a.S);
        j = executed_report_json(&job);
        struct counts c = arch_counts(&a);
        CHECK(json_integer_value(json_object_get(j, "N")) == c.N);
        CHECK(json_real_value(json_object_get(j, "x")) == c.x);
        CHECK(json_integer_value(json_object_get(j, "d_qkv")) == a.d_qkv);
        json_t *executed = json_object_get(j, "executed");
        CHECK(json_integer_value(json_object_get(executed, "params")) > c.N);
        CHECK(json_is_object(json_object_get(executed, "memory_bytes")));
        json_decref(j);
    }
}

int main(void)
{
    test_published_rows();
    test_identities();
    test_by_hand();
    test_tensor_table();
    test_tensor_details();
    test_bad_values();
    test_extremes();
    test_json();
    return test_summary();
}
