// SPDX-License-Identifier: Apache-2.0
// What op_cases.c needs around an operation: buffers in the backend's memory, filled with the
// same numbers in every build, and outputs written to stdout as tests/kernels/dump_ops.h says.
//
// Ways to run, one a process:
//   f32    nothing is rounded but by the arithmetic itself
//   given  acts that a case is given are bfloat16, all else is as in f32
//   bf16   factors of products are rounded, acts that come out are stored rounded too: on a
//          device (2 bytes an act) and, as the naive twin, by the CPU's kernels
#ifndef TESTS_CUDA_OP_RUN_H
#define TESTS_CUDA_OP_RUN_H
#include "kernels/ops.h"
#include <stdarg.h>

struct op_run {
    const struct ops *ops;
    enum gemm_kind kind; // what products run on
    bool bf16;           // in the way bf16
    bool all;            // every case, not a few of each operation
    real *scratch;       // what the operations take as an argument
};
extern struct op_run run;

// The first argument names the set (few, all), the second the way; false: not to be had.
bool op_run_open(int argc, char **argv);

// Begins a case: its outputs' names end in the text; all buffers start `skip` elements behind
// an allocation, so that nothing is aligned to more than an element. n: what it asks of the
// backend.
void op_begin(int skip, const struct ops_sizes *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void op_end(void); // releases the case's buffers

// Numbers that float (acts in given and bf16: bfloat16) holds exactly.
real *op_normal(int64_t n, double sd);
act *op_normal_acts(int64_t n, double sd);
// Whole numbers from -most to most: their sums are exact.
real *op_whole(int64_t n, int most);
act *op_whole_acts(int64_t n, int most);
// Of a host array.
real *op_reals(const double *x, int64_t n);
act *op_acts(const double *x, int64_t n);
int32_t *op_ints(const int32_t *x, int64_t n);
// To be overwritten: NaN, -1.
real *op_unset(int64_t n);
act *op_unset_acts(int64_t n);
int32_t *op_unset_ints(int64_t n);
double *op_unset_double(void);
// Memory for an operation's own use: aligned to anything.
real *op_scratch(int64_t n);
// n reals, at most OP_PARAMS, of memory that lives on from case to case: a model's parameters.
enum { OP_PARAMS = 8192 };
real *op_params(int64_t n, double sd);

// roundings: on the longest way from the inputs to an element; 0: it is exact.
void op_emit(const char *name, const real *x, int64_t n, double roundings);
// In bf16 the CPU's are rounded first, in place: as they are stored.
void op_emit_acts(const char *name, act *x, int64_t n, double roundings);
void op_emit_ints(const char *name, const int32_t *x, int64_t n);
void op_emit_host(const char *name, const double *x, int64_t n, double roundings);

#define COUNT(a) (sizeof(a) / sizeof *(a))
// i over all shapes of a list, or the first few.
#define EACH(i, shapes, few) for (size_t i = 0; i < (run.all ? COUNT(shapes) : (few)); i++)

// op_cases_routing.c
void routers(void);
void dispatches(void);
void ffns(void);
#endif
