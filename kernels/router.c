// SPDX-License-Identifier: Apache-2.0
#include "kernels/router.h"
#include "kernels/fastexp.h"

// p = sigmoid(z) + bias (NULL: none)
static void sigmoids(real *p, const real *z, const real *bias, int64_t E)
{
    ROW_LOOP(e, w, E)
    {
        vreal q = v_sigmoid(v_load_n(z + e, w));
        v_store_n(p + e, bias != NULL ? q + v_load_n(bias + e, w) : q, w);
    }
}

// p = softmax(z) or sigmoid(z) / total; returns total.
static real scores(real *p, const real *z, struct router_kind n)
{
    real sum;
    if (n.sigmoid) {
        sigmoids(p, z, NULL, n.E);
        sum = row_sum(p, n.E);
    } else {
        memcpy(p, z, (size_t)n.E * sizeof *p);
        sum = row_exp(p, row_max(z, n.E), n.E);
    }
    row_scale(p, 1 / sum, n.E);
    return n.sigmoid ? sum : 1;
}

static bool better(real a, real b)
{
    return a > b || (b != b && a == a);
}

// The K largest keys in falling order, by insertion: an equal key stays behind an earlier one.
static void top_k(int32_t *choice, const real *key, struct router_kind n)
{
    int64_t found = 0;
    for (int64_t e = 0; e < n.E; e++) {
        if (found == n.K && !better(key[e], key[choice[n.K - 1]]))
            continue;
        int64_t k = found < n.K ? found++ : n.K - 1;
        for (; k > 0 && better(key[e], key[choice[k - 1]]); k--)
            choice[k] = choice[k - 1];
        choice[k] = (int32_t)e;
    }
}

void router_fwd(real *p, int32_t *choice, real *w, real *total, const real *z, const real *bias,
                int64_t T, struct router_kind n)
{
    for (int64_t t = 0; t < T; t++, p += n.E, z += n.E, choice += n.K, w += n.K) {
        if (bias != NULL) { // chosen by other keys than p, which only pass through its place
            sigmoids(p, z, bias, n.E);
            top_k(choice, p, n);
        }
        total[t] = scores(p, z, n);
        if (bias == NULL)
            top_k(choice, p, n);
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
