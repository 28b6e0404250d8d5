// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.cuh"
#include "kernels/swiglu.cuh"

#define THREADS 128

// ---- rows to their slots and back -----------------------------------------------------------

// y[i] = x[token[i]], rows of C, one block each.
template <class To, class From, bool quads>
static __global__ void __launch_bounds__(THREADS)
    gather_rows(To *y, const From *x, const int32_t *token, int64_t C)
{
    y += (int64_t)blockIdx.x * C;
    x += (int64_t)token[blockIdx.x] * C;
    if constexpr (quads)
        for (int64_t c = 4 * threadIdx.x; c < C; c += 4 * THREADS)
            gpu_store4(y + c, gpu_load4(x + c));
    else
        for (int64_t c = threadIdx.x; c < C; c += THREADS)
            gpu_store(y + c, gpu_load(x + c));
}

// y[t] += sum over k of x[slot[t, k]], in the order of k; one block a token.
template <bool quads>
static __global__ void __launch_bounds__(THREADS)
    combine_rows(float *y, const float *x, const int32_t *slot, int64_t K, int64_t C)
{
    y += (int64_t)blockIdx.x * C;
    slot += (int64_t)blockIdx.x * K;
    if constexpr (quads)
        for (int64_t c = 4 * threadIdx.x; c < C; c += 4 * THREADS) {
            float4 sum = gpu_load4(x + slot[0] * C + c);
            for (int64_t k = 1; k < K; k++) {
                float4 v = gpu_load4(x + slot[k] * C + c);
                sum = make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
            }
            float4 v = gpu_load4(y + c);
            gpu_store4(y + c, make_float4(v.x + sum.x, v.y + sum.y, v.z + sum.z, v.w + sum.w));
        }
    else
        for (int64_t c = threadIdx.x; c < C; c += THREADS) {
            float sum = x[slot[0] * C + c];
            for (int64_t k = 1; k < K; k++)
                sum += x[slot[k] * C + c];
            y[c] += sum;
        }
}

// Whether rows of C elements of T at p can be read four at a time.
template <class T> static bool whole_quads(const T *p, int64_t C)
{
    return C % 4 == 0 && (uintptr_t)p % (4 * sizeof(T)) == 0;
}

template <class To, class From>
static const To *gather(const From *x, const struct ffn_sizes &n, int64_t R)
{
    To *y = gpu_scratch<To>(R * n.C);
    if (whole_quads(x, n.C))
        LAUNCH((gather_rows<To, From, true>), (unsigned)R, THREADS, 0, gpu.stream, y, x,
               n.token, n.C);
    else
        LAUNCH((gather_rows<To, From, false>), (unsigned)R, THREADS, 0, gpu.stream, y, x,
               n.token, n.C);
    return y;
}

// Slots' rows of x [T, C]: gathered, or where they are.
static const float *rows_of(const float *x, const struct ffn_sizes &n, int64_t R, float)
{
    return n.token ? gather<float>(x, n, R) : x;
}
static const bf16 *rows_of(const bf16 *x, const struct ffn_sizes &n, int64_t R, bf16)
{
    return n.token ? gather<bf16>(x, n, R) : x;
}
static const bf16 *rows_of(const float *x, const struct ffn_sizes &n, int64_t R, bf16)
{
    return n.token ? gather<bf16>(x, n, R) : gpu_rounded(x, R * n.C);
}

static void combine(float *y, const float *x, const struct ffn_sizes &n, int64_t R)
{
    unsigned tokens = (unsigned)(R / n.K);
    if (whole_quads(y, n.C))
        LAUNCH((combine_rows<true>), tokens, THREADS, 0, gpu.stream, y, x, n.slot, n.K, n.C);
    else
        LAUNCH((combine_rows<false>), tokens, THREADS, 0, gpu.stream, y, x, n.slot, n.K, n.C);
}

// ---- products
// ---------------------------------------------------------------------------------

// out[rows of g, width] = a[rows of g, k] op(w_g), w_g at w + g * step, ld apart.
template <class T, class Out>
static void expand(Out *out, int64_t width, const T *a, int64_t k, const T *w, int64_t step,
                   int64_t ld, bool tb, const struct ffn_sizes &n)
{
    gpu_gemm_groups(false, tb, GPU_ROWS, width, k, {gpu_matrix_of(a, k), 0},
                    {gpu_matrix_of(w, ld), step}, false, {gpu_matrix_of(out, width), 0}, n.E,
                    n.offset);
}

// y's tokens += a [R, k] op(w): at once, or through rows of their own.
template <class T>
static void add_rows(float *y, const T *a, int64_t k, const T *w, int64_t ld, bool tb,
                     const struct ffn_sizes &n, int64_t R)
{
    if (!n.token) {
        gpu_gemm(false, tb, R, n.C, k, gpu_matrix_of(a, k), gpu_matrix_of(w, ld), true,
                 gpu_matrix_of(y, n.C));
        return;
    }
    float *rows = gpu_scratch<float>(R * n.C);
    expand(rows, n.C, a, k, w, n.C * k, ld, tb, n);
    combine(y, rows, n, R);
}

// dw_g [m, width] = a_g [rows, m]^T b_g [rows, width], zero for a group without rows; with add
// added to dw_g.
template <class T>
static void weight_grads(float *dw, const T *a, int64_t m, const T *b, int64_t width,
                         const struct ffn_sizes &n, bool add)
{
    gpu_gemm_groups(true, false, m, width, GPU_ROWS, {gpu_matrix_of(a, m), 0},
                    {gpu_matrix_of(b, width), 0}, add, {gpu_matrix_of(dw, width), m * width},
                    n.E, n.offset);
    for (int64_t g = 0; g < n.E && !add; g++)
        if (n.offset[g] == n.offset[g + 1])
            GPU_CHECK(cudaMemsetAsync(dw + g * m * width, 0,
                                      (size_t)(m * width) * sizeof(float), gpu.stream));
}

// ---- the block
// ----------------------------------------------------------------------------------

template <class T>
static void forward(float *y, T *gu, const T *x, const float *s, const T *w_gu, const T *w_d,
                    const struct ffn_sizes &n)
{
    int64_t R = n.offset[n.E], C = n.C, F = n.F;
    expand(gu, 2 * F, rows_of(x, n, R, T()), C, w_gu, 2 * F * C, C, true, n);
    T *h = gpu_scratch<T>(R * F);
    if (whole_quads(gu, F))
        LAUNCH((swiglu_fwd_rows<T, true>), (unsigned)R, SWIGLU_THREADS, 0, gpu.stream, h, gu, s,
               F);
    else
        LAUNCH((swiglu_fwd_rows<T, false>), (unsigned)R, SWIGLU_THREADS, 0, gpu.stream, h, gu,
               s, F);
    add_rows(y, h, F, w_d, F, true, n, R);
}

template <class T>
static void backward(float *dx, float *dw_gu, float *dw_d, float *ds, const float *dy,
                     const T *x, const T *gu, const float *s, const T *w_gu, const T *w_d,
                     const struct ffn_sizes &n, bool add)
{
    int64_t R = n.offset[n.E], C = n.C, F = n.F;
    const T *dy_rows = rows_of(dy, n, R, T()), *x_rows = rows_of(x, n, R, T());
    float *dh = gpu_scratch<float>(R * F);
    T *h = gpu_scratch<T>(R * F), *dgu = gpu_scratch<T>(R * 2 * F);
    expand(dh, F, dy_rows, C, w_d, C * F, F, false, n);
    if (whole_quads(gu, F))
        LAUNCH((swiglu_bwd_rows<T, true>), (unsigned)R, SWIGLU_THREADS, 0, gpu.stream, dgu, ds,
               h, dh, gu, s, F);
    else
        LAUNCH((swiglu_bwd_rows<T, false>), (unsigned)R, SWIGLU_THREADS, 0, gpu.stream, dgu, ds,
               h, dh, gu, s, F);
    weight_grads(dw_d, dy_rows, C, h, F, n, add);
    weight_grads(dw_gu, dgu, 2 * F, x_rows, C, n, add);
    add_rows(dx, dgu, 2 * F, w_gu, C, false, n, R);
}

extern "C" void cuda_ffn_fwd(real *y, act *gu, const act *x, const real *s, const real *w_gu,
                             const real *w_d, struct ffn_sizes n, enum gemm_kind, real *)
{
    gpu_scope scope;
    int64_t each = n.C * n.F;
    if (gpu.bf16)
        forward(y, reinterpret_cast<bf16 *>(gu), reinterpret_cast<const bf16 *>(x), s,
                gpu_rounded(w_gu, n.E * 2 * each), gpu_rounded(w_d, n.E * each), n);
    else
        forward(y, gu, x, s, w_gu, w_d, n);
}

extern "C" void cuda_ffn_bwd(real *dx, real *dw_gu, real *dw_d, real *ds, const real *dy,
                             const act *x, const act *gu, const real *s, const real *w_gu,
                             const real *w_d, struct ffn_sizes n, bool add, enum gemm_kind,
                             real *)
{
    gpu_scope scope;
    int64_t each = n.C * n.F;
    if (gpu.bf16)
        backward(dx, dw_gu, dw_d, ds, dy, reinterpret_cast<const bf16 *>(x),
                 reinterpret_cast<const bf16 *>(gu), s, gpu_rounded(w_gu, n.E * 2 * each),
                 gpu_rounded(w_d, n.E * each), n, add);
    else
        backward(dx, dw_gu, dw_d, ds, dy, x, gu, s, w_gu, w_d, n, add);
}

size_t cuda_ffn_workspace(const struct ops_sizes *n)
{
    const size_t a = gpu.bf16 ? sizeof(bf16) : sizeof(float);
    // cuda_ffn_bwd's: two gathered inputs and the rows of dx; dh, h and dgu.
    return 2 * gpu_scratch_size(n->R * n->d, a) + gpu_scratch_size(n->R * n->d, sizeof(float)) +
           gpu_scratch_size(n->RF, sizeof(float)) + gpu_scratch_size(n->RF, a) +
           gpu_scratch_size(2 * n->RF, a) + 4 * gpu_gemm_groups_workspace(n->E) +
           gpu_factor_size(n->params > 0 ? 0 : n->E * 3 * n->F * n->d) + 256;
}
