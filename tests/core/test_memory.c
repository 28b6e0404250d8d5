// SPDX-License-Identifier: Apache-2.0
// The memory that core predicts against what the trainer's model really lays out.
#include "core/executed.h"
#include "kernels/muon.h"
#include "tests/core/support.h"
#include "worker/model_impl.h"

// Muon's scratch holds two of the largest matrix and two squares of its smaller side; second
// moments of its matrices are never touched.
static void check_muon(struct model *m, struct job *job)
{
    int n;
    int64_t most = 0, unused = 0, rows, cols, adamw = executed_of(job).mem_optimizer;
    const struct tensor *t = model_tensors(m, &n);
    CHECK(model_reserve(m, OPTIMIZER_ADAMW) == OK && m->muon == NULL);
    CHECK(model_reserve(m, OPTIMIZER_MUON) == OK && m->muon != NULL);
    for (int i = 0; i < n; i++)
        if (tensor_hidden(&t[i], &rows, &cols) > 0) {
            int64_t need = muon_scratch(1, rows, cols);
            most = need > most ? need : most;
            unused += 4 * t[i].count;
        }
    job->train.optimizer = OPTIMIZER_MUON;
    int64_t least = adamw - unused + 4 * m->n_parts * most,
            got = executed_of(job).mem_optimizer;
    CHECK(got >= least && got <= least + unused / 2);
}

// Mapped data: everything where something reads all, else at most that, and about the drawn
// windows with their blocks when these are few.
static void check_data(void)
{
    struct arch a = {.S = 100, .V = 9};
    struct job j = executed_job(&a, false, 100);
    CHECK(executed_data_bytes(&j, 12345, 1) == 12345); // text
    j.data.kind = DATA_NANOGPT;
    j.train.tokens = 10000, j.val.tokens = 1000; // 110 windows of 65736 bytes
    int64_t some = executed_data_bytes(&j, INT64_C(1) << 40, 2);
    CHECK_REL((double)some, 110 * (65536 + 202.), 1e-5); // overlaps are one in 10^5
    CHECK(executed_data_bytes(&j, 100000, 2) <= 100000);
    j.data.eot = 3;
    CHECK(executed_data_bytes(&j, INT64_C(1) << 40, 2) == INT64_C(1) << 40);
    j.data.eot = -1, j.arch.V = 0;
    CHECK(executed_data_bytes(&j, INT64_C(1) << 40, 2) == INT64_C(1) << 40);
}

int main(void)
{
    struct rng r;
    rng_seed(&r, 12, 0);
    for (int i = 0; i < 60; i++) {
        struct arch a = random_arch(&r);
        struct job_model opt = {.tied = pick(&r, 0, 1) == 1,
                                .qk_norm = i % 2 == 1,
                                .rope_base = 100,
                                .init_scale = 1};
        int64_t batch = a.S * pick(&r, 1, 3);
        int threads = (int)pick(&r, 1, 4); // sometimes more than sequences
        int64_t micro = i % 3 > 0 ? pick(&r, 1, batch) : 0;
        struct model *m;
        struct job job = executed_job(&a, opt.tied, batch);
        job.train.micro_tokens = micro;
        CHECK(model_create(&a, &opt, ops_cpu(), GEMM_FULL, job_micro_tokens(&job), threads,
                           &m) == OK);
        job.model.qk_norm = opt.qk_norm;
        job.threads = threads;
        struct executed e = executed_of(&job);
        CHECK(e.params == model_n_params(m));
        // Each of the layout's arrays is rounded up to 64 bytes: at most 20 in a layer and 20
        // outside; per layer and outside besides, expert offsets and loads of N_e + 1 numbers
        // of up to 8 bytes.
        double arrays = 20.0 * (double)(m->L + 1);
        double slack = 64 * arrays + 16 * (double)(a.N_e + 1) * (double)(m->L + 1), acts = 0;
        slack *= m->n_parts;
        for (int k = 0; k < m->n_parts; k++)
            acts += (double)m->parts[k].acts_bytes;
        CHECK(e.mem_grads == m->n_parts * e.mem_weights);
        CHECK_NEAR((double)e.mem_activations, acts, slack);
        check_muon(m, &job);
        model_free(m);
    }
    check_data();
    return test_summary();
}
