// SPDX-License-Identifier: Apache-2.0
#include "kernels/ops.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64 // a cache line, and the widest vector

// Before the address that alloc returns: what calloc gave.
static void **owner(void *p)
{
    return (void **)p - 1;
}

// calloc, which takes large blocks from the system as pages that are zero and untouched: each
// is placed when the thread that needs it writes to it, and a model starts before its
// activations exist. Large arenas ask for huge pages (where the system has them on request):
// streaming through activations costs a tenth less when the processor's prefetching is not
// stopped at every 4 KiB.
static void *alloc(size_t bytes)
{
    const size_t huge = (size_t)1 << 21;
    size_t align = bytes >= huge ? huge : ALIGN;
    if (bytes > SIZE_MAX - align)
        return NULL;
    char *all = calloc(1, bytes + align);
    if (all == NULL)
        return NULL;
    char *p = all + align - (uintptr_t)all % align; // at least 16: calloc's own alignment
#ifdef MADV_HUGEPAGE
    if (align == huge)
        madvise(p, bytes, MADV_HUGEPAGE); // a hint: failing changes nothing
#endif
    *owner(p) = all;
    return p;
}

static void release(void *p)
{
    if (p != NULL)
        free(*owner(p));
}

static void poison(void *p, size_t bytes)
{
#ifdef NDEBUG
    (void)p;
    (void)bytes;
#else
    memset(p, 0xff, bytes); // all ones is a NaN in float and in double
#endif
}

static void move(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static void copy(real *to, const real *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void clear(real *x, int64_t n)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

static enum err reserve(const struct ops_sizes *n)
{
    (void)n;
    return OK;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t scratch(const struct ops_sizes *n)
{
    int64_t attention = max64(attention_scratch(n->S, n->D), (n->Hq + n->Hkv) * n->D);
    return max64(ffn_scratch(n->T, n->d, n->F), max64(attention, unembed_scratch(n->T, n->V)));
}

static void weights_changed(const real *params, int64_t n)
{
    (void)params;
    (void)n;
}

static const struct ops cpu = {
    .name = "cpu",
    .act_bytes = sizeof(act),
    .align = ALIGN,
    .alloc = alloc,
    .poison = poison,
    .release = release,
    .upload = move,
    .download = move,
    .copy = copy,
    .clear = clear,
    .reserve = reserve,
    .scratch = scratch,
    .weights_changed = weights_changed,
    .embed_fwd = embed_fwd,
    .embed_bwd = embed_bwd,
    .rmsnorm_fwd = rmsnorm_fwd,
    .rmsnorm_bwd = rmsnorm_bwd,
    .rmsnorm_heads_fwd = rmsnorm_heads_fwd,
    .rmsnorm_heads_bwd = rmsnorm_heads_bwd,
    .rope_fwd = rope_fwd,
    .rope_bwd = rope_bwd,
    .attention_fwd = attention_fwd,
    .attention_bwd = attention_bwd,
    .linear_fwd = linear_fwd,
    .linear_fwd_add = linear_fwd_add,
    .linear_bwd = linear_bwd,
    .router_fwd = router_fwd,
    .router_bwd = router_bwd,
    .router_mean = router_mean,
    .dispatch_plan = dispatch_plan,
    .dispatch_weights = dispatch_weights,
    .dispatch_weights_bwd = dispatch_weights_bwd,
    .ffn_fwd = ffn_fwd,
    .ffn_bwd = ffn_bwd,
    .unembed_xent = unembed_xent,
    .grad_square = grad_square,
    .grad_scale = grad_scale,
    .adamw_update = adamw_update,
    .muon_scratch = muon_scratch,
    .muon_update = muon_update,
};

const struct ops *ops_cpu(void)
{
    return &cpu;
}
