// SPDX-License-Identifier: Apache-2.0
// The memory that core predicts against what the trainer's model really lays out.
#include "core/executed.h"
#include "tests/core/support.h"
#include "worker/model_impl.h"

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
        struct model *m;
        CHECK(model_create(&a, &opt, batch, &m) == OK);
        struct job job = executed_job(&a, opt.tied, batch);
        job.model.qk_norm = opt.qk_norm;
        struct executed e = executed_of(&job);
        CHECK(e.params == model_n_params(m));
        // Each of the layout's arrays is rounded up to 64 bytes: at most 20 in a layer and 20
        // outside; per layer and outside besides, expert offsets and loads of N_e + 1 numbers
        // of up to 8 bytes.
        double arrays = 20.0 * (double)(m->L + 1);
        double slack = 64 * arrays + 16 * (double)(a.N_e + 1) * (double)(m->L + 1);
        CHECK_NEAR((double)e.mem_activations, (double)m->acts_bytes, slack);
        model_free(m);
    }
    return test_summary();
}
