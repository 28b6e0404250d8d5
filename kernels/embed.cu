// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda.h"

#define THREADS 256
#define WARPS (THREADS / 32)
#define AHEAD 8 // rows whose loads are under way together

// V neighbouring columns: one, or four in one access.
template <int V> struct columns;
template <> struct columns<1> {
    float v;
    __device__ void load(const float *p)
    {
        v = *p;
    }
    __device__ void store(float *p) const
    {
        *p = v;
    }
    __device__ void add(columns o, bool all) // or nothing
    {
        v += all ? o.v : 0;
    }
};
template <> struct columns<4> {
    float4 v;
    __device__ void load(const float *p)
    {
        v = gpu_load4(p);
    }
    __device__ void store(float *p) const
    {
        gpu_store4(p, v);
    }
    __device__ void add(columns o, bool all)
    {
        v = make_float4(v.x + (all ? o.v.x : 0), v.y + (all ? o.v.y : 0),
                        v.z + (all ? o.v.z : 0), v.w + (all ? o.v.w : 0));
    }
};

static bool by_four(const float *a, const float *b, int64_t C)
{
    return C % 4 == 0 && gpu_aligned(a, 16) && gpu_aligned(b, 16);
}

// ---- forward: a warp a token
// --------------------------------------------------------------------

template <int V>
static __global__ void __launch_bounds__(THREADS)
    embed_rows(float *y, const float *w, const int32_t *token, int64_t T, int64_t C)
{
    int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (t >= T)
        return;
    w += token[t] * C;
    for (int64_t c = threadIdx.x % 32 * V; c < C; c += 32 * V) {
        columns<V> x;
        x.load(w + c);
        x.store(y + t * C + c);
    }
}

void cuda_embed_fwd(real *y, const real *w, const int32_t *token, int64_t T, int64_t C)
{
    unsigned blocks = gpu_blocks(T, WARPS);
    if (by_four(y, w, C))
        LAUNCH(embed_rows<4>, blocks, THREADS, 0, gpu.stream, y, w, token, T, C);
    else
        LAUNCH(embed_rows<1>, blocks, THREADS, 0, gpu.stream, y, w, token, T, C);
}

// ---- backward: the tokens are sorted by their row of W
// ------------------------------------------

// order [T]: sorted. A warp at the first of equal tokens adds the rows of all of them, in token
// order, to 32 V columns of W's row. A text's spaces are thousands: the loads of AHEAD rows are
// under way together, for which no branch may stand between them and the compiler must not save
// registers (2 blocks).
template <int V>
static __global__ void __launch_bounds__(THREADS, 2)
    embed_add_rows(float *dw, const float *dy, const int32_t *order, const int32_t *token,
                   int64_t T, int64_t C)
{
    int64_t s = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int64_t c = ((int64_t)blockIdx.y * 32 + threadIdx.x % 32) * V;
    if (s >= T || c >= C)
        return;
    int32_t row = token[order[s]];
    if (s > 0 && token[order[s - 1]] == row)
        return;
    columns<V> sum, x[AHEAD];
    int32_t at[AHEAD], first = order[s];
    bool same[AHEAD] = {};
    sum.load(dw + row * C + c);
    do {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            at[i] = order[min(s + i, T - 1)];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            same[i] = (token[at[i]] == row) & (s + i < T);
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            x[i].load(dy + (same[i] ? at[i] : first) * C + c);
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            sum.add(x[i], same[i]);
        s += AHEAD;
    } while (same[AHEAD - 1]);
    sum.store(dw + row * C + c);
}

size_t cuda_embed_workspace(const struct ops_sizes *n)
{
    return gpu_scratch_size(n->T, sizeof(int32_t)) + gpu_sort_workspace(n->T, n->V);
}

void cuda_embed_bwd(real *dw, const real *dy, const int32_t *token, int64_t T, int64_t C)
{
    gpu_scope scope;
    int32_t *order = gpu_scratch<int32_t>(T);
    gpu_sort(order, token, T, gpu.sizes.V);
    dim3 by4(gpu_blocks(T, WARPS), gpu_blocks(C, 128)), by1(by4.x, gpu_blocks(C, 32));
    if (by_four(dw, dy, C))
        LAUNCH(embed_add_rows<4>, by4, THREADS, 0, gpu.stream, dw, dy, order, token, T, C);
    else
        LAUNCH(embed_add_rows<1>, by1, THREADS, 0, gpu.stream, dw, dy, order, token, T, C);
}
