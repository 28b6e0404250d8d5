// SPDX-License-Identifier: Apache-2.0
// Matrices of one size are taken together, as many as a bound on scratch allows: an expert's
// alone would not fill a device.
#include "kernels/cuda.h"
#include <cmath>

#define MOMENTUM 0.95
#define EPS 1e-7
#define RMS 0.2
#define NS_STEPS 5
#define NS_A 3.4445f
#define NS_B -4.7750f
#define NS_C 2.0315f

#define THREADS 256
#define PARTS 256 // of a matrix at most, whose squares a block adds up
#define SCRATCH_REALS ((int64_t)1 << 26)
#ifdef MOESWEEP_EMULATE
#define TOGETHER_REALS ((int64_t)3000) // several goes for the few matrices of tests, too
#else
#define TOGETHER_REALS SCRATCH_REALS
#endif

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Reals of one matrix: two of its shape, two squares of its smaller side, PARTS doubles.
static int64_t reals_of_one(int64_t rows, int64_t cols)
{
    int64_t side = min64(rows, cols);
    return 2 * rows * cols + 2 * side * side + 2 * PARTS;
}

// Matrices that `reals` of scratch allow at a time.
static int64_t together(int64_t count, int64_t rows, int64_t cols, int64_t reals)
{
    int64_t fit = reals / reals_of_one(rows, cols);
    return min64(count, fit > 1 ? fit : 1);
}

int64_t cuda_muon_scratch(int64_t count, int64_t rows, int64_t cols)
{
    return together(count, rows, cols, SCRATCH_REALS) * reals_of_one(rows, cols);
}

// ---- element by element: blockIdx.y is the matrix
// -----------------------------------------------

// The momentum, and x: what is made orthogonal; squares [matrices, PARTS]: sums of its squares.
static __global__ void __launch_bounds__(THREADS)
    muon_begin(float *m, float *x, double *squares, const float *g, int64_t n)
{
    SHARED(double, scratch, [32]);
    const float mu = (float)MOMENTUM, nu = (float)(1 - MOMENTUM);
    int64_t matrix = blockIdx.y, base = matrix * n;
    double sum = 0;
    for (int64_t i = gpu_index(); i < n; i += gridDim.x * THREADS) {
        float gi = g[base + i], mi = mu * m[base + i] + nu * gi, xi = nu * gi + mu * mi;
        m[base + i] = mi;
        x[base + i] = xi;
        sum += (double)xi * (double)xi;
    }
    sum = gpu_block_sum(sum, scratch);
    if (threadIdx.x == 0)
        squares[matrix * PARTS + blockIdx.x] = sum;
}

// x over its Frobenius norm.
static __global__ void __launch_bounds__(THREADS)
    muon_normalize(float *x, const double *squares, int64_t n)
{
    double sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++)
        sum += squares[blockIdx.y * PARTS + i];
    double norm = sqrt(sum);
    float by = (float)(1 / (norm > EPS ? norm : EPS));
    for (int64_t i = gpu_index(); i < n; i += gridDim.x * THREADS)
        x[blockIdx.y * n + i] *= by;
}

// poly = a I + b square [side, side]; the product with itself is added to it.
static __global__ void __launch_bounds__(THREADS)
    muon_poly(float *poly, const float *square, int64_t side)
{
    for (int64_t i = gpu_index(); i < side * side; i += gridDim.x * THREADS)
        poly[blockIdx.y * side * side + i] =
            NS_B * square[blockIdx.y * side * side + i] + (i % (side + 1) == 0 ? NS_A : 0);
}

static __global__ void __launch_bounds__(THREADS)
    muon_end(float *p, bf16 *rounded, const float *x, int64_t n, float keep, float rate)
{
    for (int64_t i = blockIdx.y * n + gpu_index(); i < (blockIdx.y + 1) * n;
         i += gridDim.x * THREADS) {
        float pi = keep * p[i] - rate * x[i];
        p[i] = pi;
        if (rounded)
            gpu_store(rounded + i, pi);
    }
}

static dim3 parts(int64_t n, int64_t count)
{
    unsigned most = gpu_blocks(n, 4 * THREADS);
    return dim3(most < PARTS ? most : PARTS, (unsigned)count);
}

// ---- products
// -------------------------------------------------------------------------------------

// c = op(a) op(b) + beta c over `count` matrices, by columns as cuBLAS has them.
static void products(cublasOperation_t ta, cublasOperation_t tb, int64_t m, int64_t n,
                     int64_t k, float alpha, const float *a, int64_t lda, int64_t stride_a,
                     const float *b, int64_t ldb, int64_t stride_b, float beta, float *c,
                     int64_t ldc, int64_t stride_c, int64_t count)
{
    GPU_CHECK(cublasSgemmStridedBatched(gpu.blas, ta, tb, (int)m, (int)n, (int)k, &alpha, a,
                                        (int)lda, stride_a, b, (int)ldb, stride_b, &beta, c,
                                        (int)ldc, stride_c, (int)count));
}

// next = (a I + b S + c S^2) x, S = x x^T, or from the right with S = x^T x when x is tall. To
// cuBLAS, which goes by columns, x is its transpose, [cols, rows]; squares are symmetric.
static void newton_schulz(float *next, const float *x, int64_t rows, int64_t cols,
                          int64_t count, float *square, float *poly)
{
    bool tall = rows > cols;
    int64_t side = min64(rows, cols), n = rows * cols, area = side * side;
    products(tall ? CUBLAS_OP_N : CUBLAS_OP_T, tall ? CUBLAS_OP_T : CUBLAS_OP_N, side, side,
             tall ? rows : cols, 1, x, cols, n, x, cols, n, 0, square, side, area, count);
    LAUNCH(muon_poly, parts(area, count), THREADS, 0, gpu.stream, poly, square, side);
    products(CUBLAS_OP_N, CUBLAS_OP_N, side, side, side, NS_C, square, side, area, square, side,
             area, 1, poly, side, area, count);
    if (tall)
        products(CUBLAS_OP_N, CUBLAS_OP_N, cols, rows, side, 1, poly, side, area, x, cols, n, 0,
                 next, cols, n, count);
    else
        products(CUBLAS_OP_N, CUBLAS_OP_N, cols, rows, side, 1, x, cols, n, poly, side, area, 0,
                 next, cols, n, count);
}

static void update(float *p, float *m, const float *g, int64_t count, int64_t rows,
                   int64_t cols, const struct muon *o, float *scratch)
{
    int64_t side = min64(rows, cols), n = rows * cols;
    double *squares = reinterpret_cast<double *>(scratch);
    float *x = scratch + count * 2 * PARTS, *y = x + count * n, *square = y + count * n;
    float *poly = square + count * side * side;
    const dim3 grid = parts(n, count);
    LAUNCH(muon_begin, grid, THREADS, 0, gpu.stream, m, x, squares, g, n);
    LAUNCH(muon_normalize, grid, THREADS, 0, gpu.stream, x, squares, n);
    for (int i = 0; i < NS_STEPS; i++) {
        newton_schulz(y, x, rows, cols, count, square, poly);
        float *t = x;
        x = y;
        y = t;
    }
    const float keep = (float)(1 - o->lr * o->wd);
    const float rate = (float)(o->lr * RMS * sqrt((double)(rows > cols ? rows : cols)));
    LAUNCH(muon_end, grid, THREADS, 0, gpu.stream, p, gpu_kept(p), x, n, keep, rate);
}

void cuda_muon_update(real *p, real *m, const real *g, int64_t count, int64_t rows,
                      int64_t cols, const struct muon *o, real *scratch)
{
    const int64_t most =
        min64(together(count, rows, cols, TOGETHER_REALS), 65535); // a grid's height
    for (int64_t i = 0; i < count; i += most) {
        int64_t at = i * rows * cols;
        update(p + at, m + at, g + at, min64(most, count - i), rows, cols, o, scratch);
    }
}
