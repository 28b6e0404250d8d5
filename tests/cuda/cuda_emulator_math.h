// SPDX-License-Identifier: Apache-2.0
// CUDA's mathematical functions and intrinsics, each by its accurate counterpart: what the fast
// ones lose on a device is not emulated (docs/emulator.md). Names that the C library has for
// itself are macros.
#ifndef CUDA_EMULATOR_MATH_H
#define CUDA_EMULATOR_MATH_H
#include <cmath>
#include <cstdint>
#include <cstring>

template <class To, class From> inline To emu_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __sincosf(x, s, c) sincosf(x, s, c)

inline float rsqrtf(float x)
{
    return (float)(1 / std::sqrt((double)x));
}
inline double rsqrt(double x)
{
    return 1 / std::sqrt(x);
}
inline float __frsqrt_rn(float x)
{
    return rsqrtf(x);
}
inline float __frcp_rn(float x)
{
    return 1 / x;
}
inline float __fsqrt_rn(float x)
{
    return std::sqrt(x);
}
inline float __fdividef(float x, float y)
{
    return x / y;
}
inline float __fdiv_rn(float x, float y)
{
    return x / y;
}
inline float __fmaf_rn(float x, float y, float z)
{
    return fmaf(x, y, z);
}
inline double __fma_rn(double x, double y, double z)
{
    return fma(x, y, z);
}
// Never contracted into a fused multiply-add.
inline float __fadd_rn(float x, float y)
{
    volatile float sum = x + y;
    return sum;
}
inline float __fsub_rn(float x, float y)
{
    volatile float difference = x - y;
    return difference;
}
inline float __fmul_rn(float x, float y)
{
    volatile float product = x * y;
    return product;
}
inline float __saturatef(float x)
{
    return x > 0 ? x < 1 ? x : 1 : 0;
}
inline float sinpif(float x)
{
    return (float)sin(M_PI * fmod((double)x, 2));
}
inline float cospif(float x)
{
    return (float)cos(M_PI * fmod((double)x, 2));
}
inline void sincospif(float x, float *s, float *c)
{
    *s = sinpif(x);
    *c = cospif(x);
}

inline int __float_as_int(float x)
{
    return emu_bits<int>(x);
}
inline unsigned __float_as_uint(float x)
{
    return emu_bits<unsigned>(x);
}
inline float __int_as_float(int x)
{
    return emu_bits<float>(x);
}
inline float __uint_as_float(unsigned x)
{
    return emu_bits<float>(x);
}
inline int __float2int_rn(float x)
{
    return (int)rintf(x);
}
inline int __float2int_rz(float x)
{
    return (int)x;
}
inline float __int2float_rn(int x)
{
    return (float)x;
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; i++)
        y |= (x >> i & 1u) << (31 - i);
    return y;
}
inline unsigned __umulhi(unsigned x, unsigned y)
{
    return (unsigned)((uint64_t)x * y >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
template <class T> T __ldg(const T *p)
{
    return *p;
}
template <class T> T __ldcs(const T *p)
{
    return *p;
}
template <class T> T __ldcg(const T *p)
{
    return *p;
}
template <class T> void __stcs(T *p, T v)
{
    *p = v;
}
template <class T> void __stcg(T *p, T v)
{
    *p = v;
}

#define EMU_MIN_MAX(T)                                                                         \
    inline T min(T a, T b)                                                                     \
    {                                                                                          \
        return a < b ? a : b;                                                                  \
    }                                                                                          \
    inline T max(T a, T b)                                                                     \
    {                                                                                          \
        return a > b ? a : b;                                                                  \
    }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
inline float min(float a, float b)
{
    return fminf(a, b);
}
inline float max(float a, float b)
{
    return fmaxf(a, b);
}
inline double min(double a, double b)
{
    return fmin(a, b);
}
inline double max(double a, double b)
{
    return fmax(a, b);
}
#endif
