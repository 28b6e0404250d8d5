// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.cuh"
#include <vector>

// cuBLAS reads matrices column by column: to it ours are transposed, and C^T = B^T A^T.

static int to_int(int64_t n)
{
    ASSERT(n <= INT32_MAX);
    return (int)n;
}

static cublasOperation_t operation(bool transposed)
{
    return transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

void gpu_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_matrix a, gpu_matrix b,
              bool acc, gpu_matrix c)
{
    const float one = 1, beta = acc ? 1 : 0;
    GPU_CHECK(cublasGemmEx(gpu.blas, operation(tb), operation(ta), to_int(n), to_int(m),
                           to_int(k), &one, b.p, b.type, to_int(b.ld), a.p, a.type,
                           to_int(a.ld), &beta, const_cast<void *>(c.p), c.type, to_int(c.ld),
                           CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

static int64_t bytes(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

// Where group g's operand starts, in bytes.
static int64_t start(gpu_operand o, int64_t g, int64_t row)
{
    return (o.step != 0 ? o.step * g : o.first.ld * row) * bytes(o.first.type);
}

static gpu_matrix of_group(gpu_operand o, int64_t g, int64_t row)
{
    return {static_cast<const char *>(o.first.p) + start(o, g, row), o.first.type, o.first.ld};
}

// One product after another.
static void one_by_one(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_operand a,
                       gpu_operand b, bool acc, gpu_operand c, int64_t groups,
                       const int64_t *offset)
{
    for (int64_t g = 0; g < groups; g++) {
        int64_t row = offset[g], rows = offset[g + 1] - row;
        if (rows > 0)
            gpu_gemm(ta, tb, m == GPU_ROWS ? rows : m, n, k == GPU_ROWS ? rows : k,
                     of_group(a, g, row), of_group(b, g, row), acc, of_group(c, g, row));
    }
}

#if CUBLAS_VERSION >= 120500
// Kernel arguments carry the addresses to the device: no host buffer has to outlive the call.
#define BATCH 128
struct addresses {
    void *at[BATCH];
};

static __global__ void __launch_bounds__(BATCH)
    store_addresses(void **to, struct addresses from, int n)
{
    if ((int)threadIdx.x < n)
        to[threadIdx.x] = from.at[threadIdx.x];
}

static void upload_addresses(void **to, const std::vector<void *> &from)
{
    for (size_t i = 0; i < from.size(); i += BATCH) {
        size_t n = from.size() - i < BATCH ? from.size() - i : BATCH;
        struct addresses batch = {};
        for (size_t j = 0; j < n; j++)
            batch.at[j] = from[i + j];
        LAUNCH(store_addresses, 1, BATCH, 0, gpu.stream, to + i, batch, (int)n);
    }
}

static void *address(gpu_matrix x)
{
    return const_cast<void *>(x.p);
}

// Those of all groups that have rows: a, b, c of one after the other.
struct group_list {
    std::vector<int> m, k;
    std::vector<void *> a, b, c;
};

// False: this cuBLAS does not do it.
static bool in_one_call(bool ta, bool tb, int64_t n, const group_list &list, gpu_matrix a,
                        gpu_matrix b, bool acc, gpu_matrix c)
{
    size_t groups = list.m.size();
    int64_t count = (int64_t)groups;
    void **at_a = gpu_scratch<void *>(count), **at_b = gpu_scratch<void *>(count),
         **at_c = gpu_scratch<void *>(count);
    upload_addresses(at_a, list.a);
    upload_addresses(at_b, list.b);
    upload_addresses(at_c, list.c);
    const std::vector<cublasOperation_t> op_a(groups, operation(ta)),
        op_b(groups, operation(tb));
    const std::vector<int> size(groups, 1), width(groups, to_int(n)), lda(groups, to_int(a.ld)),
        ldb(groups, to_int(b.ld)), ldc(groups, to_int(c.ld));
    const std::vector<float> alpha(groups, 1.0f), beta(groups, acc ? 1.0f : 0.0f);
    cublasStatus_t status = cublasGemmGroupedBatchedEx(
        gpu.blas, op_b.data(), op_a.data(), width.data(), list.m.data(), list.k.data(),
        alpha.data(), at_b, b.type, ldb.data(), at_a, a.type, lda.data(), beta.data(), at_c,
        c.type, ldc.data(), to_int(count), size.data(), CUBLAS_COMPUTE_32F);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED)
        GPU_CHECK(status);
    return status == CUBLAS_STATUS_SUCCESS;
}

// Every row of every group starts at a multiple of 16 bytes.
static bool aligned(gpu_operand o)
{
    int64_t size = bytes(o.first.type);
    return (uintptr_t)o.first.p % 16 == 0 && o.first.ld * size % 16 == 0 &&
           o.step * size % 16 == 0;
}

void gpu_gemm_groups(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_operand a,
                     gpu_operand b, bool acc, gpu_operand c, int64_t groups,
                     const int64_t *offset)
{
    // No grouped product of bf16 gives floats, and its wide accesses want aligned addresses.
    bool grouped =
        groups > 1 && a.first.type == c.first.type && aligned(a) && aligned(b) && aligned(c);
    group_list list;
    for (int64_t g = 0; g < groups; g++) {
        int64_t row = offset[g], rows = offset[g + 1] - row;
        if (rows == 0)
            continue;
        list.m.push_back(to_int(m == GPU_ROWS ? rows : m));
        list.k.push_back(to_int(k == GPU_ROWS ? rows : k));
        list.a.push_back(address(of_group(a, g, row)));
        list.b.push_back(address(of_group(b, g, row)));
        list.c.push_back(address(of_group(c, g, row)));
    }
    grouped = grouped && !list.m.empty() &&
              in_one_call(ta, tb, n, list, a.first, b.first, acc, c.first);
    if (!grouped)
        one_by_one(ta, tb, m, n, k, a, b, acc, c, groups, offset);
}
#else
void gpu_gemm_groups(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_operand a,
                     gpu_operand b, bool acc, gpu_operand c, int64_t groups,
                     const int64_t *offset)
{
    one_by_one(ta, tb, m, n, k, a, b, acc, c, groups, offset);
}
#endif

size_t gpu_gemm_groups_workspace(int64_t groups)
{
    return 3 * gpu_scratch_size(groups, sizeof(void *));
}
