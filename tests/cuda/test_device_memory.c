// SPDX-License-Identifier: Apache-2.0
// The device memory that core predicts against what a model takes of the emulated device.
#include "core/executed.h"
#include "kernels/cuda.h"
#include "tests/core/support.h"
#include "worker/model_impl.h"

// What the device has less of once the model stands, ready to train.
static double taken(const struct job *job)
{
    const struct ops *ops;
    struct model *m;
    bool bf16 = job->train.precision == PRECISION_BF16;
    CHECK(ops_cuda(bf16, &ops) == OK);
    int64_t before = ops->available();
    CHECK(model_create(&job->arch, &job->model, ops, bf16 ? GEMM_BF16 : GEMM_FULL,
                       job_micro_tokens(job), 1, &m) == OK);
    CHECK(model_reserve(m, job->train.optimizer) == OK);
    double bytes = (double)(before - ops->available());
    model_free(m);
    cuda_close();
    return bytes;
}

int main(void)
{
    struct rng r;
    rng_seed(&r, 12, 0);
    for (int i = 0; i < 40; i++) {
        struct arch a = random_arch(&r);
        struct job job = executed_job(&a, pick(&r, 0, 1) == 1, a.S * pick(&r, 1, 9));
        if (i % 3 > 0) // cut into micro-batches, some of one sequence
            job.train.micro_tokens = pick(&r, 1, job.train.batch_tokens);
        job.model.qk_norm = i % 2 == 1;
        job.train.precision = i % 4 < 2 ? PRECISION_BF16 : PRECISION_F32;
        job.train.optimizer = i % 8 < 4 ? OPTIMIZER_MUON : OPTIMIZER_ADAMW;
        strcpy(job.device, "cuda");
        struct executed e = executed_of(&job);
        // Arrays are rounded up to 256 bytes: at most 20 a layer, 20 outside, four arenas and
        // ten of one operation; a feed-forward block has 12 small ones of a pointer an expert.
        double arrays = 20.0 * (double)(a.L_d + a.L_m + 1) + 4 + 10;
        double slack = 256 * (arrays + 12) + 12 * 8 * (double)a.N_e;
        CHECK_NEAR((double)e.mem_device, taken(&job), slack);
        double bytes = job.train.precision == PRECISION_BF16 ? 18 : 16;
        if (job.train.optimizer == OPTIMIZER_ADAMW)
            CHECK((double)(e.mem_weights + e.mem_grads + e.mem_optimizer) ==
                  bytes * (double)e.params);
    }
    return test_summary();
}
