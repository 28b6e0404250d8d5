// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.cuh"

// Threads take four neighbours each, by one access where both addresses allow that.
template <bool aligned>
static __global__ void __launch_bounds__(256) widen(float *y, const bf16 *x, int64_t n)
{
    int64_t i = gpu_index() * 4;
    if (aligned && i + 4 <= n) {
        gpu_store4(y + i, gpu_load4(x + i));
        return;
    }
    for (int64_t end = i + 4 < n ? i + 4 : n; i < end; i++)
        y[i] = gpu_load(x + i);
}

// x [n] in floats.
static const float *floats(const act *x, int64_t n)
{
    if (!gpu.bf16)
        return x;
    const bf16 *from = reinterpret_cast<const bf16 *>(x);
    float *y = gpu_scratch<float>(n); // aligned
    if (gpu_aligned(from, 8))
        LAUNCH(widen<true>, gpu_blocks(n, 1024), 256, 0, gpu.stream, y, from, n);
    else
        LAUNCH(widen<false>, gpu_blocks(n, 1024), 256, 0, gpu.stream, y, from, n);
    return y;
}

size_t cuda_linear_workspace(const struct ops_sizes *n)
{
    // linear_bwd's rounded dy and weights, or x in floats.
    int64_t wide = (n->Hq + 2 * n->Hkv) * n->D;
    wide = wide > n->d ? wide : n->d;
    wide = wide > n->F ? wide : n->F;
    return gpu_scratch_size(n->T * wide, sizeof(float)) +
           gpu_factor_size(n->params > 0 ? 0 : n->d * wide);
}

template <class T, class Y>
static void forward(Y *y, const T *x, const T *w, int64_t rows, int64_t I, int64_t O, bool add)
{
    gpu_gemm(false, true, rows, O, I, gpu_matrix_of(x, I), gpu_matrix_of(w, I), add,
             gpu_matrix_of(y, O));
}

extern "C" void cuda_linear_fwd(act *y, const act *x, const real *w, int64_t T, int64_t I,
                                int64_t O, enum gemm_kind kind)
{
    gpu_scope scope;
    if (gpu.bf16 && kind != GEMM_FULL)
        forward(reinterpret_cast<bf16 *>(y), reinterpret_cast<const bf16 *>(x),
                gpu_rounded(w, O * I), T, I, O, false);
    else
        forward(y, floats(x, T * I), w, T, I, O, false);
}

extern "C" void cuda_linear_fwd_add(real *y, const act *x, const real *w, int64_t T, int64_t I,
                                    int64_t O, enum gemm_kind kind)
{
    gpu_scope scope;
    if (gpu.bf16 && kind != GEMM_FULL)
        forward(y, reinterpret_cast<const bf16 *>(x), gpu_rounded(w, O * I), T, I, O, true);
    else
        forward(y, floats(x, T * I), w, T, I, O, true);
}

template <class T>
static void backward(real *dx, real *dw, const T *dy, const T *x, const T *w, int64_t rows,
                     int64_t I, int64_t O, int flags)
{
    gpu_gemm(false, false, rows, I, O, gpu_matrix_of(dy, O), gpu_matrix_of(w, I),
             flags & LINEAR_ADD_DX, gpu_matrix_of(dx, I));
    gpu_gemm(true, false, O, I, rows, gpu_matrix_of(dy, O), gpu_matrix_of(x, I),
             flags & LINEAR_ADD_DW, gpu_matrix_of(dw, I));
}

extern "C" void cuda_linear_bwd(real *dx, real *dw, const real *dy, const act *x, const real *w,
                                int64_t T, int64_t I, int64_t O, int flags, enum gemm_kind kind)
{
    gpu_scope scope;
    if (gpu.bf16 && kind != GEMM_FULL)
        backward(dx, dw, gpu_rounded(dy, T * O), reinterpret_cast<const bf16 *>(x),
                 gpu_rounded(w, O * I), T, I, O, flags);
    else
        backward(dx, dw, dy, floats(x, T * I), w, T, I, O, flags);
}
