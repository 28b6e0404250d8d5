// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.cuh"

#define THREADS 512 // of a block at most
#ifdef MOESWEEP_EMULATE
#define CHUNK_BYTES ((int64_t)1 << 16) // several chunks for the few rows of tests, too
#else
#define CHUNK_BYTES CUDA_LOGITS_BYTES
#endif

// The largest of some logits, and the sum of their exponentials relative to it.
struct top_sum {
    float top, sum;
};
static __device__ inline top_sum add_logit(top_sum a, float z)
{
    if (z <= a.top)
        a.sum += expf(z - a.top);
    else { // NaN, too: it stays
        a.sum = a.sum * expf(a.top - z) + 1;
        a.top = z;
    }
    return a;
}

// Rows of logits and of their gradient begin LD_OF(V) apart, at whole accesses: products then
// have wide ones whatever V is, too.
#define LD_OF(V) (((V) + 7) / 8 * 8)

// One block a row: loss[row], and with grad dz [V] = (softmax(z) - onehot(target)) / n, zeros
// up to the next row. dz may be z.
template <class T, bool grad>
static __global__ void __launch_bounds__(THREADS)
    xent_rows(double *loss, T *dz, const float *z, const int32_t *target, int64_t V,
              float scale)
{
    SHARED(float, scratch, [32]);
    int64_t row = blockIdx.x, at = target[row];
    z += row * LD_OF(V);
    float z_target = z[at];
    top_sum mine = {-INFINITY, 0};
    for (int64_t v = 4 * threadIdx.x; v < V; v += 4 * blockDim.x) {
        float4 four = gpu_load4(z + v);
        mine = add_logit(mine, four.x);
        mine = v + 1 < V ? add_logit(mine, four.y) : mine;
        mine = v + 2 < V ? add_logit(mine, four.z) : mine;
        mine = v + 3 < V ? add_logit(mine, four.w) : mine;
    }
    float top = gpu_block_max(mine.top, scratch);
    float share = mine.top == -INFINITY ? mine.sum : mine.sum * expf(mine.top - top);
    float sum = gpu_block_sum(share, scratch);
    if (threadIdx.x == 0)
        loss[row] = log((double)sum) + ((double)top - (double)z_target);
    if (!grad)
        return;
    dz += row * LD_OF(V);
    float factor = scale / sum;
    auto gradient = [=](int64_t v, float zv) {
        float p = expf(zv - top) * factor;
        return v == at ? p - scale : v < V ? p : 0;
    };
    for (int64_t v = 4 * threadIdx.x; v < LD_OF(V); v += 4 * blockDim.x) {
        float4 four = gpu_load4(z + v);
        gpu_store4(dz + v, make_float4(gradient(v, four.x), gradient(v + 1, four.y),
                                       gradient(v + 2, four.z), gradient(v + 3, four.w)));
    }
}

// *loss = sum / n (with more: += that), added in an order that depends on T only.
static __global__ void __launch_bounds__(256)
    sum_losses(double *loss, const double *each, int64_t T, double n, bool more)
{
    SHARED(double, sums, [256]);
    double sum = 0;
    for (int64_t t = threadIdx.x; t < T; t += 256)
        sum += each[t];
    sums[threadIdx.x] = sum;
    for (unsigned step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step)
            sums[threadIdx.x] += sums[threadIdx.x + step];
    }
    if (threadIdx.x == 0)
        *loss = (more ? *loss : 0) + sums[0] / n;
}

static int64_t chunk_rows(int64_t T, int64_t V, int64_t bytes)
{
    int64_t rows = bytes / (LD_OF(V) * (gpu.bf16 ? 6 : 4));
    rows = rows > 64 ? rows / 64 * 64 : rows > 0 ? rows : 1;
    return rows < T ? rows : T;
}

static float *gradient_of(float *z, int64_t, float)
{
    return z; // in place
}
static bf16 *gradient_of(float *, int64_t n, bf16)
{
    return gpu_scratch<bf16>(n);
}

template <class T>
static void by_chunks(double *loss, real *dx, real *dw, const T *x, const T *w,
                      const int32_t *target, int64_t rows, int64_t n, int64_t C, int64_t V,
                      bool add)
{
    int64_t most = chunk_rows(rows, V, CHUNK_BYTES), ld = LD_OF(V);
    unsigned threads = V > 2048 ? THREADS : V > 512 ? 128 : 32;
    double *each = gpu_scratch<double>(rows);
    float *z = gpu_scratch<float>(most * ld);
    T *dz = gradient_of(z, most * ld, T());
    for (int64_t r = 0; r < rows; r += most) {
        int64_t m = rows - r < most ? rows - r : most;
        gpu_gemm(false, true, m, V, C, gpu_matrix_of(x + r * C, C), gpu_matrix_of(w, C), false,
                 gpu_matrix_of(z, ld));
        if (!dx) {
            LAUNCH((xent_rows<T, false>), (unsigned)m, threads, 0, gpu.stream, each + r, dz, z,
                   target + r, V, 1 / (float)n);
            continue;
        }
        LAUNCH((xent_rows<T, true>), (unsigned)m, threads, 0, gpu.stream, each + r, dz, z,
               target + r, V, 1 / (float)n);
        gpu_gemm(false, false, m, C, V, gpu_matrix_of(dz, ld), gpu_matrix_of(w, C), false,
                 gpu_matrix_of(dx + r * C, C));
        gpu_gemm(true, false, V, C, m, gpu_matrix_of(dz, ld), gpu_matrix_of(x + r * C, C),
                 add || r > 0, gpu_matrix_of(dw, C));
    }
    LAUNCH(sum_losses, 1, 256, 0, gpu.stream, loss, each, rows, (double)n, add);
}

extern "C" void cuda_unembed_xent(double *loss, real *dx, real *dw, const act *x, const real *w,
                                  const int32_t *target, int64_t T, int64_t n, int64_t C,
                                  int64_t V, bool add, enum gemm_kind, real *)
{
    gpu_scope scope;
    if (gpu.bf16)
        by_chunks(loss, dx, dw, reinterpret_cast<const bf16 *>(x), gpu_rounded(w, V * C),
                  target, T, n, C, V, add);
    else
        by_chunks(loss, dx, dw, x, w, target, T, n, C, V, add);
}

size_t cuda_unembed_workspace(const struct ops_sizes *n)
{
    int64_t logits = chunk_rows(n->T, n->V, CUDA_LOGITS_BYTES) * LD_OF(n->V);
    return gpu_scratch_size(n->T, sizeof(double)) + gpu_scratch_size(logits, sizeof(float)) +
           gpu_factor_size(logits) + gpu_factor_size(n->params > 0 ? 0 : n->V * n->d);
}
