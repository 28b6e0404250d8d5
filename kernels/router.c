// SPDX-License-Identifier: Apache-2.0
#include "kernels/router.h"
#include "kernels/fastexp.h"
#include "kernels/simd.h"

// p = softmax(z) or sigmoid(z) / total; returns total.
static real scores(real *restrict p, const real *restrict z, struct router_kind n)
{
    if (n.sigmoid) {
        for (int64_t e = 0; e < n.E; e++)
            p[e] = fast_sigmoid(z[e]);
    } else {
        real top = row_max(z, n.E);
        for (int64_t e = 0; e < n.E; e++)
            p[e] = fast_exp(z[e] - top);
    }
    real sum = row_sum(p, n.E), inverse = 1 / sum;
    for (int64_t e = 0; e < n.E; e++)
        p[e] *= inverse;
    return n.sigmoid ? sum : 1;
}

static bool taken(const int32_t *choice, int64_t k, int64_t e)
{
    for (int64_t i = 0; i < k; i++)
        if (choice[i] == e)
            return true;
    return false;
}

// The K largest keys in falling order.
static void top_k(int32_t *choice, const real *key, struct router_kind n)
{
    for (int64_t k = 0; k < n.K; k++) {
        int64_t best = -1;
        for (int64_t e = 0; e < n.E; e++)
            if ((best < 0 || key[e] > key[best] || key[best] != key[best]) &&
                !taken(choice, k, e))
                best = e;
        choice[k] = (int32_t)best;
    }
}

void router_fwd(real *p, int32_t *choice, real *w, real *total, const real *z, const real *bias,
                int64_t T, struct router_kind n)
{
    for (int64_t t = 0; t < T; t++, p += n.E, z += n.E, choice += n.K, w += n.K) {
        total[t] = scores(p, z, n);
        if (bias != NULL) {
            // Keys in the units of q; p is restored after the choice.
            for (int64_t e = 0; e < n.E; e++)
                p[e] = fast_sigmoid(z[e]) + bias[e];
            top_k(choice, p, n);
            scores(p, z, n);
        } else {
            top_k(choice, p, n);
        }
        real sum = 0;
        for (int64_t k = 0; k < n.K; k++)
            sum += w[k] = p[choice[k]] * total[t];
        if (n.norm)
            for (int64_t k = 0; k < n.K; k++)
                w[k] /= sum;
    }
}

void router_bwd(real *dz, const real *dw, const real *dp, const real *p, const int32_t *choice,
                const real *w, const real *total, int64_t T, struct router_kind n)
{
    for (int64_t t = 0; t < T; t++, dz += n.E, dw += n.K, p += n.E, choice += n.K, w += n.K) {
        real common = row_dot(dp, p, n.E), picked = 0, sum = 0;
        for (int64_t k = 0; k < n.K; k++) {
            picked += dw[k] * w[k];
            sum += p[choice[k]] * total[t];
        }
        if (!n.norm)
            sum = 1, common += n.sigmoid ? 0 : picked;
        for (int64_t e = 0; e < n.E; e++) {
            real q = p[e] * total[t];
            dz[e] = (n.sigmoid ? q * (1 - q) / total[t] : q) * (dp[e] - common);
        }
        for (int64_t k = 0; k < n.K; k++) {
            real q = p[choice[k]] * total[t];
            real dq = (dw[k] - (n.norm ? picked : 0)) / sum;
            dz[choice[k]] += (n.sigmoid ? q * (1 - q) : q) * dq;
        }
    }
}

void router_mean(real *mean_p, const real *p, int64_t T, int64_t E)
{
    memset(mean_p, 0, (size_t)E * sizeof *mean_p);
    for (int64_t t = 0; t < T; t++)
        for (int64_t e = 0; e < E; e++)
            mean_p[e] += p[t * E + e];
    for (int64_t e = 0; e < E; e++)
        mean_p[e] /= (real)T;
}
