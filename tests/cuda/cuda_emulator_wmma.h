// SPDX-License-Identifier: Apache-2.0
// The twin of nvcuda::wmma for 16 x 16 x 16 products, bf16 in and float accumulated: each lane
// holds 8 elements of each matrix, spread as mma.m16n8k16 spreads them, and every call takes
// all 32 lanes. Restrictions of the real one are reported: alignment to 32 bytes, leading
// dimensions in multiples of 16 bytes, fragments that nothing was loaded into.
#ifndef CUDA_EMULATOR_WMMA_H
#define CUDA_EMULATOR_WMMA_H

struct emu_fragment_use { // which of the three operands, and in which order memory has it
    bool loaded = false;
};
template <class T> struct emu_fragment : emu_fragment_use {
    static constexpr int num_elements = 8;
    T x[8];
};

// Row and column that lane's element i has: pairs lie along a row of A and C, a column of B.
inline int emu_wmma_row(int lane, int i)
{
    return lane / 4 + 8 * (i / 2 % 2);
}
inline int emu_wmma_col(int lane, int i)
{
    return lane % 4 * 2 + i % 2 + 8 * (i / 4);
}
inline int emu_lane()
{
    unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    return (int)(t % 32);
}
// All lanes come here, each with its own operands; the last one runs work over all of them.
typedef void emu_wmma_work(void *const *lanes);
struct emu_wmma_call {
    emu_wmma_work *work; // null: nothing but the rendezvous
    void *operands;
};
inline void emu_wmma_rendezvous(emu_where where, emu_wmma_work *work, void *operands)
{
    emu_wmma_call call = {work, operands};
    emu_collective(where, EMU_WMMA, 0xffffffff, (uint64_t)(uintptr_t)&call, 0, 32);
}
template <class T> void emu_wmma_memory(emu_where where, const T *p, unsigned ld)
{
    if ((uintptr_t)p % 32 != 0)
        emu_report(where, "wmma: address %p is not aligned to 32 bytes", (const void *)p);
    if (ld * sizeof(T) % 16 != 0)
        emu_report(where, "wmma: leading dimension %u is no multiple of %zu elements", ld,
                   16 / sizeof(T));
    if (ld < 16)
        emu_report(where, "wmma: leading dimension %u is less than 16", ld);
}
// by_columns: element (row, col) lies at p[row + col * ld], not at p[row * ld + col].
template <class T>
void emu_wmma_load(emu_where where, emu_fragment<T> &f, const T *p, unsigned ld,
                   bool by_columns, bool transposed = false)
{
    emu_wmma_memory(where, p, ld);
    int lane = emu_lane();
    for (int i = 0; i < 8; i++) {
        unsigned row = (unsigned)emu_wmma_row(lane, i), col = (unsigned)emu_wmma_col(lane, i);
        if (transposed) {
            unsigned r = row;
            row = col;
            col = r;
        }
        f.x[i] = by_columns ? p[row + col * ld] : p[row * ld + col];
    }
    f.loaded = true;
    emu_wmma_rendezvous(where, nullptr, nullptr);
}
template <class T>
void emu_wmma_store(emu_where where, T *p, const emu_fragment<T> &f, unsigned ld,
                    bool by_columns)
{
    emu_wmma_memory(where, p, ld);
    if (!f.loaded)
        emu_report(where, "wmma: the stored fragment was never written");
    int lane = emu_lane();
    for (int i = 0; i < 8; i++) {
        unsigned row = (unsigned)emu_wmma_row(lane, i), col = (unsigned)emu_wmma_col(lane, i);
        p[by_columns ? row + col * ld : row * ld + col] = f.x[i];
    }
    emu_wmma_rendezvous(where, nullptr, nullptr);
}
struct emu_wmma_operands {
    emu_fragment<float> *d;
    const emu_fragment<__nv_bfloat16> *a, *b;
    const emu_fragment<float> *c;
};
void emu_wmma_product(void *const *lanes);
inline void emu_wmma_mma(emu_where where, emu_fragment<float> &d,
                         const emu_fragment<__nv_bfloat16> &a,
                         const emu_fragment<__nv_bfloat16> &b, const emu_fragment<float> &c)
{
    if (!a.loaded || !b.loaded || !c.loaded)
        emu_report(where, "wmma: operand %s was never written",
                   !a.loaded   ? "a"
                   : !b.loaded ? "b"
                               : "c");
    emu_wmma_operands operands = {&d, &a, &b, &c};
    emu_wmma_rendezvous(where, emu_wmma_product, &operands);
    d.loaded = true;
}
inline void emu_wmma_fill(emu_where where, emu_fragment<float> &f, float value)
{
    for (float &x : f.x)
        x = value;
    f.loaded = true;
    emu_wmma_rendezvous(where, nullptr, nullptr);
}
#endif
