// SPDX-License-Identifier: Apache-2.0
// A warp a token; lane l has the experts l, l + 32, ..
#include "kernels/cuda.h"

#define THREADS 256
#define WARPS (THREADS / 32)
#define TAKEN 0u // a key below all others

struct router_sizes {
    int64_t T;
    int E, K;
};

static __device__ inline float sigmoid(float z)
{
    return 1 / (1 + expf(-z));
}

// Unsigned numbers that are ordered as v is, both zeros alike and NaN below all.
static __device__ inline unsigned key_of(float v)
{
    unsigned bits = __float_as_uint(v + 0.0f);
    if (v != v)
        return 1;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The largest key of all lanes and, of equal ones, the lowest expert: key and complement.
static __device__ inline unsigned long long best_of_warp(unsigned long long best)
{
    for (int step = 16; step > 0; step /= 2) {
        unsigned long long other = __shfl_xor_sync(0xffffffffu, best, step);
        best = other > best ? other : best;
    }
    return best;
}

static __device__ inline unsigned long long best_of_lane(const unsigned *key, int E)
{
    unsigned long long best = 0;
    for (int e = (int)threadIdx.x % 32; e < E; e += 32) {
        unsigned long long one = (unsigned long long)key[e] << 32 | (0xffffffffu - (unsigned)e);
        best = one > best ? one : best;
    }
    return best;
}

// p = softmax(z) or sigmoid(z) / total; returns total.
template <bool is_sigmoid>
static __device__ inline float scores(float *p, const float *z, int E)
{
    int lane = (int)threadIdx.x % 32;
    float most = -INFINITY, sum = 0;
    for (int e = lane; e < E && !is_sigmoid; e += 32)
        most = fmaxf(most, z[e]);
    most = is_sigmoid ? 0 : gpu_warp_max(most);
    for (int e = lane; e < E; e += 32) {
        p[e] = is_sigmoid ? sigmoid(z[e]) : expf(z[e] - most);
        sum += p[e];
    }
    sum = gpu_warp_sum(sum);
    for (int e = lane; e < E; e += 32)
        p[e] *= 1 / sum;
    return is_sigmoid ? sum : 1;
}

template <bool is_sigmoid>
static __global__ void __launch_bounds__(THREADS)
    route(float *p, int32_t *choice, float *w, float *total, const float *z, const float *bias,
          struct router_sizes n, bool norm)
{
    DYN_SHARED(unsigned, keys); // [warps, E]
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int64_t t = (int64_t)blockIdx.x * (blockDim.x / 32) + warp;
    if (t >= n.T)
        return;
    unsigned *key = keys + warp * n.E;
    p += t * n.E;
    z += t * n.E;
    choice += t * n.K;
    w += t * n.K;
    float all = scores<is_sigmoid>(p, z, n.E), sum = 0;
    for (int e = lane; e < n.E; e += 32) // a lane reads what it wrote itself
        key[e] = key_of(bias ? sigmoid(z[e]) + bias[e] : p[e]);
    unsigned long long best = best_of_lane(key, n.E);
    for (int k = 0; k < n.K; k++) {
        int e = (int)(0xffffffffu - (unsigned)best_of_warp(best));
        float mine = 0;
        if (lane == e % 32) {
            mine = p[e] * all;
            key[e] = TAKEN;
            best = best_of_lane(key, n.E);
            choice[k] = e;
            w[k] = mine;
        }
        sum += __shfl_sync(0xffffffffu, mine, e % 32);
    }
    __syncwarp();
    for (int k = lane; k < n.K && norm; k += 32)
        w[k] /= sum;
    if (lane == 0)
        total[t] = all;
}

template <bool is_sigmoid>
static __global__ void __launch_bounds__(THREADS)
    route_bwd(float *dz, const float *dw, const float *dp, const float *p,
              const int32_t *choice, const float *w, const float *total, struct router_sizes n,
              bool norm)
{
    int lane = (int)threadIdx.x % 32;
    int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (t >= n.T)
        return;
    dz += t * n.E, p += t * n.E;
    dw += t * n.K, choice += t * n.K, w += t * n.K;
    float all = total[t], common = 0, picked = 0, sum = 0;
    for (int e = lane; e < n.E; e += 32)
        common += dp[e] * p[e];
    for (int k = lane; k < n.K; k += 32) {
        picked += dw[k] * w[k];
        sum += p[choice[k]] * all;
    }
    common = gpu_warp_sum(common), picked = gpu_warp_sum(picked), sum = gpu_warp_sum(sum);
    if (!norm)
        sum = 1, common += is_sigmoid ? 0 : picked;
    for (int e = lane; e < n.E; e += 32) {
        float q = p[e] * all;
        dz[e] = (is_sigmoid ? q * (1 - q) / all : q) * (dp[e] - common);
    }
    __syncwarp(); // other lanes' dz is there
    for (int k = lane; k < n.K; k += 32) {
        float q = p[choice[k]] * all, dq = (dw[k] - (norm ? picked : 0)) / sum;
        dz[choice[k]] += (is_sigmoid ? q * (1 - q) : q) * dq;
    }
}

// ---- the host's side ------------------------------------------------------------------------

static float *to_device(const real *host, int64_t n)
{
    float *p = gpu_scratch<float>(n);
    cuda_upload(p, host, (size_t)n * sizeof *p);
    return p;
}

size_t cuda_router_workspace(const struct ops_sizes *n)
{
    return gpu_scratch_size(n->E, sizeof(float)) + gpu_sum_rows_workspace(n->T, n->E);
}

void cuda_router_fwd(real *p, int32_t *choice, real *w, real *total, const real *z,
                     const real *bias, int64_t T, struct router_kind n)
{
    gpu_scope scope;
    const struct router_sizes s = {T, (int)n.E, (int)n.K};
    const float *device_bias = bias ? to_device(bias, n.E) : nullptr;
    // as many warps a block as have room for their keys in 48 KiB
    int64_t fit = (48 << 10) / (n.E * (int64_t)sizeof(unsigned)),
            warps = fit < WARPS ? fit : WARPS;
    ASSERT(warps > 0);
    size_t bytes = (size_t)(warps * n.E) * sizeof(unsigned);
    if (n.sigmoid)
        LAUNCH(route<true>, gpu_blocks(T, warps), (unsigned)warps * 32, bytes, gpu.stream, p,
               choice, w, total, z, device_bias, s, n.norm);
    else
        LAUNCH(route<false>, gpu_blocks(T, warps), (unsigned)warps * 32, bytes, gpu.stream, p,
               choice, w, total, z, nullptr, s, n.norm);
}

void cuda_router_bwd(real *dz, const real *dw, const real *dp, const real *p,
                     const int32_t *choice, const real *w, const real *total, int64_t T,
                     struct router_kind n)
{
    gpu_scope scope;
    const struct router_sizes s = {T, (int)n.E, (int)n.K};
    const float *device_dp = to_device(dp, n.E);
    if (n.sigmoid)
        LAUNCH(route_bwd<true>, gpu_blocks(T, WARPS), THREADS, 0, gpu.stream, dz, dw, device_dp,
               p, choice, w, total, s, n.norm);
    else
        LAUNCH(route_bwd<false>, gpu_blocks(T, WARPS), THREADS, 0, gpu.stream, dz, dw,
               device_dp, p, choice, w, total, s, n.norm);
}

void cuda_router_mean(real *mean_p, const real *p, int64_t T, int64_t E)
{
    gpu_scope scope;
    float *mean = gpu_scratch<float>(E);
    gpu_sum_rows(mean, p, T, E, 1 / (float)T, false);
    cuda_download(mean_p, mean, (size_t)E * sizeof *mean_p);
}
