// SPDX-License-Identifier: Apache-2.0
// Export and import: there and back every weight has the same bits, whatever the options; what
// no stock class expresses is refused with the reason, and nothing is left behind.
#include "tests/test.h"
#include "tests/worker/made.h"
#include "worker/checkpoint.h"
#include "worker/export.h"
#include "worker/import.h"
#include <unistd.h>

static char dir[64];

static bool same_options(const struct job *a, const struct job *b)
{
    if (a->arch.L_m > 0 && memcmp(&a->arch, &b->arch, sizeof a->arch) != 0)
        return false; // without experts their sizes say nothing
    bool routing = a->arch.L_m == 0 || (a->model.router == b->model.router &&
                                        a->model.norm_topk == b->model.norm_topk);
    double base = fabs(a->model.rope_base - b->model.rope_base);
    return routing && a->model.tied == b->model.tied && a->model.qk_norm == b->model.qk_norm &&
           base <= 0 && a->arch.S == b->arch.S && a->arch.d_d == b->arch.d_d;
}

static bool same_checkpoints(const char *one, const char *two)
{
    struct checkpoint a, b;
    bool read = checkpoint_read(one, &a) == OK && checkpoint_read(two, &b) == OK;
    CHECK(read);
    if (!read)
        return false;
    bool same =
        a.n_params == b.n_params && a.n_bias == b.n_bias &&
        memcmp(a.params, b.params, (size_t)a.n_params * sizeof *a.params) == 0 &&
        (a.n_bias == 0 || memcmp(a.bias, b.bias, (size_t)a.n_bias * sizeof *a.bias) == 0) &&
        same_options(&a.job, &b.job) &&
        (a.symbols == NULL ? b.symbols == NULL : json_equal(a.symbols, b.symbols));
    checkpoint_free(&a);
    checkpoint_free(&b);
    return same;
}

// There and back; the class must be the expected one.
static void check_round(const struct job *j, bool text, const char *class)
{
    struct made_path run = made_path(dir, "run"), out = made_path(dir, "out"),
                     back = made_path(dir, "back");
    made_checkpoint(run.text, j, text);
    CHECK(export_run(run.text, out.text) == OK);
    CHECK(import_run(out.text, back.text) == OK);
    CHECK(made_entries(out.text) == (text ? 3 : 2) && made_entries(back.text) == 1);
    CHECK(same_checkpoints(made_path(run.text, "checkpoint").text,
                           made_path(back.text, "checkpoint").text));
    json_t *config = json_load_file(made_path(out.text, "config.json").text, 0, NULL);
    const char *found =
        json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    CHECK_STR(found != NULL ? found : "", class);
    json_decref(config);
    made_remove(run.text);
    made_remove(out.text);
    made_remove(back.text);
}

// Every combination of the options that change the map.
static void test_round_trips(void)
{
    for (int bits = 0; bits < 1 << 8; bits++) {
        struct job j = made_job();
        bool sigmoid = bits & 1, wide = bits & 64, qk = bits & 128;
        bool norm = bits & 16 || (wide && !sigmoid && !qk);
        j.model.router = sigmoid ? ROUTER_SIGMOID_BIAS : ROUTER_SOFTMAX;
        j.model.tied = bits & 2;
        j.arch.L_d = bits & 4 ? 2 : 0;
        j.arch.n_shared = bits & 8 && (sigmoid || !qk) ? 2 : 0;
        j.model.qk_norm = qk;
        j.model.norm_topk = norm;
        j.arch.N_kv = bits & 32 ? 4 : 1;
        j.arch.d_qkv = wide ? 6 : 4; // N_q d_qkv = 24 or d = 16
        j.model.rope_base = 10000.0 / 3;
        check_round(&j, bits % 3 == 0,
                    sigmoid ? "Glm4MoeForCausalLM"
                    : qk    ? "Qwen3MoeForCausalLM"
                    : wide  ? "Ernie4_5_MoeForCausalLM"
                            : "Qwen2MoeForCausalLM");
        job_free(&j);
    }
    struct job dense = made_job();
    dense.arch.L_m = 0;
    check_round(&dense, true, "LlamaForCausalLM");
    dense.model.qk_norm = true;
    check_round(&dense, true, "Qwen3ForCausalLM");
    job_free(&dense);
    struct job one = made_job(); // one layer, one expert
    one.arch.L_d = 0;
    one.arch.L_m = one.arch.K = one.arch.N_e = 1;
    one.model.norm_topk = false;
    check_round(&one, false, "Qwen2MoeForCausalLM");
    job_free(&one);
}

// Message of a refused export; nothing is left.
static void check_refused(const struct job *j, const char *message)
{
    struct made_path run = made_path(dir, "run"), out = made_path(dir, "out");
    made_checkpoint(run.text, j, false);
    CHECK(export_run(run.text, out.text) == ERR_INPUT);
    if (strstr(err_message(), message) == NULL)
        fprintf(stderr, "wanted '%s', got '%s'\n", message, err_message());
    CHECK(strstr(err_message(), message) != NULL && made_entries(out.text) == -1);
    made_remove(run.text);
}

static void test_refusals(void)
{
    struct job j = made_job();
    j.arch.d_qkv = 6;
    j.model.norm_topk = false;
    check_refused(&j, "train with model.norm_topk = true or with d = N_q d_qkv");
    j.model.qk_norm = true;
    check_refused(&j, "arch.n_shared = 0");
    j.model.router = ROUTER_SIGMOID_BIAS;
    j.arch.N_e = 1;
    j.arch.K = 1;
    check_refused(&j, "at least 2 experts");
    job_free(&j);
}

// Nothing existing is overwritten.
static void test_folders(void)
{
    struct job j = made_job();
    struct made_path run = made_path(dir, "run"), out = made_path(dir, "out"),
                     back = made_path(dir, "back"), file = made_path(run.text, "checkpoint");
    made_checkpoint(run.text, &j, true);
    CHECK(export_run(file.text, out.text) == OK); // the file itself names it too
    CHECK(export_run(run.text, out.text) == ERR_INPUT);
    CHECK(strstr(err_message(), "expected an empty folder") != NULL);
    CHECK(made_entries(out.text) == 3);
    CHECK(import_run(out.text, run.text) == ERR_INPUT);
    CHECK(strstr(err_message(), "expected an empty folder") != NULL);
    CHECK(export_run(run.text, made_path(out.text, "a/b").text) == ERR_INPUT);
    CHECK(export_run(run.text, file.text) == ERR_INPUT);
    CHECK(export_run(made_path(dir, "none").text, back.text) == ERR_INPUT);
    CHECK(export_run(made_path(out.text, "config.json").text, back.text) == ERR_INPUT);
    CHECK(import_run(run.text, back.text) == ERR_INPUT);
    CHECK(made_entries(back.text) == -1);
    made_remove(run.text);
    made_remove(out.text);
    job_free(&j);
}

int main(void)
{
    made_scratch(dir);
    test_round_trips();
    test_refusals();
    test_folders();
    made_remove(dir);
    return test_summary();
}
