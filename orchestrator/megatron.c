// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/megatron.h"
#include <inttypes.h>
#include <stdio.h>

// Megatron divides the weights of sigmoid routing by their sum where K > 1, always; and with K
// = 1 softmax comes before the choice of the expert, so that its weight is no constant.
static enum err check(const struct arch *a, const struct job_model *m)
{
    bool sigmoid = m->router == ROUTER_SIGMOID_BIAS;
    if (a->L_m == 0)
        return OK;
    ENSURE(a->K > 1 || !m->norm_topk, ERR_INPUT,
           "recommend: --megatron: one expert's weight over itself is always 1, which Megatron "
           "does not do; expected --model norm_topk=false with K = 1");
    ENSURE(!sigmoid || a->K == 1 || m->norm_topk, ERR_INPUT,
           "recommend: --megatron: Megatron always divides the weights of sigmoid routing by "
           "their sum; expected --model norm_topk=true");
    return OK;
}

static void attention(FILE *f, const struct arch *a, const struct job_model *m)
{
    fprintf(f, "--num-attention-heads %" PRId64 "\n", a->N_q);
    if (a->N_kv != a->N_q)
        fprintf(f, "--group-query-attention\n--num-query-groups %" PRId64 "\n", a->N_kv);
    fprintf(f, "--kv-channels %" PRId64 "\n", a->d_qkv);
    if (m->qk_norm)
        fputs("--qk-layernorm\n", f);
    fprintf(f, "--position-embedding-type rope\n--rotary-base %.0f\n--rotary-percent 1.0\n",
            m->rope_base);
}

static void experts(FILE *f, const struct arch *a, const struct job_model *m)
{
    bool sigmoid = m->router == ROUTER_SIGMOID_BIAS;
    fprintf(f, "--num-experts %" PRId64 "\n--moe-router-topk %" PRId64 "\n", a->N_e, a->K);
    fprintf(f, "--moe-ffn-hidden-size %" PRId64 "\n", a->d_m);
    // A Python expression, one entry a layer; dense layers come first.
    if (a->L_d > 0)
        fprintf(f, "--moe-layer-freq [0]*%" PRId64 "+[1]*%" PRId64 "\n", a->L_d, a->L_m);
    else
        fputs("--moe-layer-freq 1\n", f);
    if (a->n_shared > 0) // of all of them together
        fprintf(f, "--moe-shared-expert-intermediate-size %" PRId64 "\n", a->n_shared * a->d_m);
    fprintf(f, "--moe-router-score-function %s\n", sigmoid ? "sigmoid" : "softmax");
    if (!sigmoid && !m->norm_topk)
        fputs("--moe-router-pre-softmax\n", f);
    fprintf(f, "--moe-router-load-balancing-type %s\n", sigmoid ? "none" : "aux_loss");
    if (sigmoid)
        fputs("--moe-router-enable-expert-bias\n", f);
}

enum err megatron_arguments(const struct arch *a, const struct job_model *m, char **out)
{
    size_t size;
    TRY(check(a, m));
    FILE *f = open_memstream(out, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    fprintf(f, "--num-layers %" PRId64 "\n--hidden-size %" PRId64 "\n", a->L_d + a->L_m, a->d);
    fprintf(f, "--ffn-hidden-size %" PRId64 "\n", a->d_d);
    attention(f, a, m);
    if (a->L_m > 0)
        experts(f, a, m);
    fputs("--swiglu\n--normalization RMSNorm\n--norm-epsilon 1e-6\n--disable-bias-linear\n"
          "--attention-dropout 0.0\n--hidden-dropout 0.0\n",
          f);
    if (!m->tied)
        fputs("--untie-embeddings-and-output-weights\n", f);
    fprintf(f, "--seq-length %" PRId64 "\n--max-position-embeddings %" PRId64 "\n", a->S, a->S);
    bool ok = fclose(f) == 0;
    ENSURE(ok, ERR_FAILED, "out of memory");
    return OK;
}
