// SPDX-License-Identifier: Apache-2.0
// cuBLAS by plain loops: C = alpha op(A) op(B) + beta C, column-major, float sums over k in
// order. Operands are checked against their allocations when the product is issued (grouped:
// when it runs, as their addresses lie in device memory). Combinations of types are those of
// CUDA 13's cuBLAS that are used here; others are CUBLAS_STATUS_NOT_SUPPORTED, as there.
#include "runtime.h"
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

struct cublasContext {
    cudaStream_t stream;
    cublasMath_t math;
    cublasPointerMode_t pointer_mode;
    cublasAtomicsMode_t atomics;
};

struct operand { // of one product or of a batch
    const void *p;
    cudaDataType_t type;
    int64_t rows, cols, ld; // as it lies in memory
    bool transposed;
};

struct product {
    operand a, b, c;
    int64_t m, n, k;
    float alpha, beta;
    bool tf32;
};

static size_t element_size(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

static float element(const operand &o, int64_t row, int64_t col)
{
    int64_t at = row + col * o.ld;
    return o.type == CUDA_R_32F ? ((const float *)o.p)[at]
                                : __bfloat162float(((const __nv_bfloat16 *)o.p)[at]);
}

static float tf32(float x) // 10 explicit bits of the significand, to nearest
{
    uint32_t bits = emu_bits<uint32_t>(x);
    if ((bits & 0x7f800000) != 0x7f800000)
        bits = (bits + 0x1000) & ~0x1fffu;
    return emu_bits<float>(bits);
}

// ---- checks ---------------------------------------------------------------------------------

static void check_operand(const char *what, const char *name, const operand &o)
{
    if (o.rows == 0 || o.cols == 0)
        return;
    std::string text = std::string(what) + ": operand " + name + " (" + std::to_string(o.rows) +
                       " x " + std::to_string(o.cols) + ", leading dimension " +
                       std::to_string(o.ld) + ")";
    emu_check_device_range(text.c_str(), o.p,
                           (size_t)((o.cols - 1) * o.ld + o.rows) * element_size(o.type));
    if ((uintptr_t)o.p % element_size(o.type) != 0)
        emu_abort("%s: misaligned", text.c_str());
}

static void check_product(const char *what, const product &p)
{
    if (p.m == 0 || p.n == 0)
        return;
    check_operand(what, "A", p.a);
    check_operand(what, "B", p.b);
    check_operand(what, "C", p.c);
}

static cublasStatus_t types_supported(cudaDataType_t a, cudaDataType_t b, cudaDataType_t c,
                                      cublasComputeType_t compute, bool grouped)
{
    bool f32 = a == CUDA_R_32F && c == CUDA_R_32F;
    bool bf16 = a == CUDA_R_16BF && (c == CUDA_R_16BF || (c == CUDA_R_32F && !grouped));
    bool plain = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC;
    if (a != b || !(f32 || bf16))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (grouped && bf16 && compute != CUBLAS_COMPUTE_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!plain && !(f32 && compute == CUBLAS_COMPUTE_32F_FAST_TF32))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

struct shape { // arguments of one product, as cuBLAS takes them
    cublasOperation_t ta, tb;
    int64_t m, n, k, lda, ldb, ldc;
};

static bool shape_valid(const shape &s)
{
    bool ops = (s.ta == CUBLAS_OP_N || s.ta == CUBLAS_OP_T || s.ta == CUBLAS_OP_C) &&
               (s.tb == CUBLAS_OP_N || s.tb == CUBLAS_OP_T || s.tb == CUBLAS_OP_C);
    int64_t rows_a = s.ta == CUBLAS_OP_N ? s.m : s.k, rows_b = s.tb == CUBLAS_OP_N ? s.k : s.n;
    return ops && s.m >= 0 && s.n >= 0 && s.k >= 0 && s.lda >= std::max<int64_t>(1, rows_a) &&
           s.ldb >= std::max<int64_t>(1, rows_b) && s.ldc >= std::max<int64_t>(1, s.m);
}

static product product_of(const shape &s, const void *a, cudaDataType_t a_type, const void *b,
                          cudaDataType_t b_type, void *c, cudaDataType_t c_type, float alpha,
                          float beta, bool round)
{
    bool ta = s.ta != CUBLAS_OP_N, tb = s.tb != CUBLAS_OP_N;
    product p = {};
    p.a = {a, a_type, ta ? s.k : s.m, ta ? s.m : s.k, s.lda, ta};
    p.b = {b, b_type, tb ? s.n : s.k, tb ? s.k : s.n, s.ldb, tb};
    p.c = {c, c_type, s.m, s.n, s.ldc, false};
    p.m = s.m;
    p.n = s.n;
    p.k = s.k;
    p.alpha = alpha;
    p.beta = beta;
    p.tf32 = round && a_type == CUDA_R_32F;
    return p;
}

// ---- the product ----------------------------------------------------------------------------

enum { TILE_M = 32, TILE_N = 4 };
typedef float lanes __attribute__((vector_size(64)));
static const int tile_vectors = TILE_M / 16;

// size rows (or, of B, columns) from first on, as [k][tile], zeros beyond them.
static void pack(float *to, const operand &o, bool by_columns, int64_t first, int64_t size,
                 int tile, int64_t k, bool round)
{
    for (int64_t l = 0; l < k; l++)
        for (int64_t i = 0; i < tile; i++) {
            float x = i >= size    ? 0
                      : by_columns ? element(o, l, first + i)
                                   : element(o, first + i, l);
            to[l * tile + i] = round ? tf32(x) : x;
        }
}

static void multiply_tile(float *sum, const float *a, const float *b, int64_t k)
{
    lanes s[TILE_N][tile_vectors] = {};
    for (int64_t l = 0; l < k; l++)
        for (int j = 0; j < TILE_N; j++)
            for (int v = 0; v < tile_vectors; v++)
                s[j][v] +=
                    *(const lanes *)(const void *)(a + l * TILE_M + v * 16) * b[l * TILE_N + j];
    memcpy(sum, s, sizeof s);
}

static void store(const product &p, int64_t row, int64_t col, float sum)
{
    int64_t at = row + col * p.c.ld;
    float *f = (float *)const_cast<void *>(p.c.p) + at;
    __nv_bfloat16 *h = (__nv_bfloat16 *)const_cast<void *>(p.c.p) + at;
    float value = p.k == 0 ? 0 : p.alpha * sum;
    if (p.beta != 0) // otherwise C is not read: it may be NaN
        value += p.beta * element(p.c, row, col);
    if (p.c.type == CUDA_R_32F)
        *f = value;
    else
        *h = __float2bfloat16(value);
}

static void annotate(const product &p)
{
    for (const operand *o : {&p.a, &p.b, &p.c})
        for (int64_t col = 0; emu_detects_races() && col < o->cols; col++) {
            char *at = (char *)const_cast<void *>(o->p) +
                       (size_t)(col * o->ld) * element_size(o->type);
            size_t size = (size_t)o->rows * element_size(o->type);
            if (o == &p.c)
                emu_race_write(at, size);
            else
                emu_race_read(at, size);
        }
}

static void multiply(const product &p)
{
    annotate(p);
    int64_t tiles_n = (p.n + TILE_N - 1) / TILE_N;
    size_t size_a = (size_t)p.k * TILE_M, size_b = (size_t)(tiles_n * p.k) * TILE_N;
    float *packed_b = (float *)emu_quiet_alloc((size_b + size_a) * sizeof(float), 64);
    float *packed_a = (float *)emu_quiet_alloc(size_a * sizeof(float), 64);
    for (int64_t t = 0; t < tiles_n; t++)
        pack(packed_b + t * TILE_N * p.k, p.b, !p.b.transposed, t * TILE_N,
             std::min<int64_t>(TILE_N, p.n - t * TILE_N), TILE_N, p.k, p.tf32);
    for (int64_t i = 0; i < p.m; i += TILE_M) {
        int64_t rows = std::min<int64_t>(TILE_M, p.m - i);
        pack(packed_a, p.a, p.a.transposed, i, rows, TILE_M, p.k, p.tf32);
        for (int64_t j = 0; j < p.n; j += TILE_N) {
            float sum[TILE_N * TILE_M];
            multiply_tile(sum, packed_a, packed_b + j * p.k, p.k);
            for (int64_t col = j; col < std::min<int64_t>(j + TILE_N, p.n); col++)
                for (int64_t row = i; row < i + rows; row++)
                    store(p, row, col, sum[(col - j) * TILE_M + row - i]);
        }
    }
    emu_quiet_free(packed_a);
    emu_quiet_free(packed_b);
}

static cublasStatus_t strided(cublasHandle_t handle, const char *what, const shape &s,
                              const void *alpha, const void *a, cudaDataType_t a_type,
                              int64_t stride_a, const void *b, cudaDataType_t b_type,
                              int64_t stride_b, const void *beta, void *c,
                              cudaDataType_t c_type, int64_t stride_c, int batch,
                              cublasComputeType_t compute)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!shape_valid(s) || batch < 0 || !alpha || !beta)
        return CUBLAS_STATUS_INVALID_VALUE;
    cublasStatus_t status = types_supported(a_type, b_type, c_type, compute, false);
    if (status != CUBLAS_STATUS_SUCCESS || handle->pointer_mode != CUBLAS_POINTER_MODE_HOST)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    bool round =
        handle->math == CUBLAS_TF32_TENSOR_OP_MATH || compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    product first = product_of(s, a, a_type, b, b_type, c, c_type, *(const float *)alpha,
                               *(const float *)beta, round);
    std::vector<product> products;
    for (int i = 0; i < batch; i++) {
        product p = first;
        p.a.p = (const char *)a + (int64_t)element_size(a_type) * stride_a * i;
        p.b.p = (const char *)b + (int64_t)element_size(b_type) * stride_b * i;
        p.c.p = (const char *)c + (int64_t)element_size(c_type) * stride_c * i;
        check_product(what, p);
        products.push_back(p);
    }
    emu_enqueue(handle->stream, what, [products] {
        for (const product &p : products)
            multiply(p);
    });
    return CUBLAS_STATUS_SUCCESS;
}

// group_count groups of products of one shape each; the addresses stand in device memory.
static cublasStatus_t grouped(cublasHandle_t handle, const char *what, const shape *shapes,
                              const float *alpha, const void *const *a, cudaDataType_t a_type,
                              const void *const *b, cudaDataType_t b_type, const float *beta,
                              void *const *c, cudaDataType_t c_type, int groups,
                              const int *size, cublasComputeType_t compute)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t status = types_supported(a_type, b_type, c_type, compute, true);
    if (status != CUBLAS_STATUS_SUCCESS || handle->pointer_mode != CUBLAS_POINTER_MODE_HOST)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    bool round =
        handle->math == CUBLAS_TF32_TENSOR_OP_MATH || compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    std::vector<product> products;
    for (int g = 0; g < groups; g++) {
        if (!shape_valid(shapes[g]) || size[g] < 0)
            return CUBLAS_STATUS_INVALID_VALUE;
        for (int i = 0; i < size[g]; i++)
            products.push_back(product_of(shapes[g], nullptr, a_type, nullptr, b_type, nullptr,
                                          c_type, alpha[g], beta[g], round));
    }
    const void *const *arrays[] = {a, b, c};
    for (const void *const *array : arrays)
        emu_check_device_range("array of addresses of a grouped product", array,
                               products.size() * sizeof *array);
    std::string name = what;
    emu_enqueue(handle->stream, what, [=] {
        for (const void *const *array : arrays)
            emu_race_read(array, products.size() * sizeof *array);
        for (size_t i = 0; i < products.size(); i++) {
            product p = products[i];
            p.a.p = a[i];
            p.b.p = b[i];
            p.c.p = c[i];
            check_product(name.c_str(), p);
            multiply(p);
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

// ---- the API --------------------------------------------------------------------------------

extern "C" {
cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = new cublasContext{nullptr, CUBLAS_DEFAULT_MATH, CUBLAS_POINTER_MODE_HOST,
                                CUBLAS_ATOMICS_NOT_ALLOWED};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *version)
{
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    if (!emu_stream_exists(stream))
        return CUBLAS_STATUS_INVALID_VALUE;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t *stream)
{
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void *p, size_t size)
{
    emu_check_device_range("cublasSetWorkspace", p, size);
    return (uintptr_t)p % 256 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    handle->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode)
{
    *mode = handle->math;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode)
{
    handle->atomics = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode)
{
    handle->pointer_mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                              int m, int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    return strided(handle, "cublasSgemm", {ta, tb, m, n, k, lda, ldb, ldc}, alpha, a,
                   CUDA_R_32F, 0, b, CUDA_R_32F, 0, beta, c, CUDA_R_32F, 0, 1,
                   CUBLAS_COMPUTE_32F);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t ta,
                                         cublasOperation_t tb, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long stride_a, const float *b, int ldb,
                                         long long stride_b, const float *beta, float *c,
                                         int ldc, long long stride_c, int batch)
{
    return strided(handle, "cublasSgemmStridedBatched", {ta, tb, m, n, k, lda, ldb, ldc}, alpha,
                   a, CUDA_R_32F, stride_a, b, CUDA_R_32F, stride_b, beta, c, CUDA_R_32F,
                   stride_c, batch, CUBLAS_COMPUTE_32F);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType a_type, int lda, const void *b, cudaDataType b_type,
                            int ldb, const void *beta, void *c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t)
{
    return strided(handle, "cublasGemmEx", {ta, tb, m, n, k, lda, ldb, ldc}, alpha, a, a_type,
                   0, b, b_type, 0, beta, c, c_type, 0, 1, compute);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta,
                                          cublasOperation_t tb, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType a_type,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType b_type, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType c_type,
                                          int ldc, long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t)
{
    return strided(handle, "cublasGemmStridedBatchedEx", {ta, tb, m, n, k, lda, ldb, ldc},
                   alpha, a, a_type, stride_a, b, b_type, stride_b, beta, c, c_type, stride_c,
                   batch, compute);
}

cublasStatus_t cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t ta[], const cublasOperation_t tb[],
    const int m[], const int n[], const int k[], const void *alpha, const void *const a[],
    cudaDataType_t a_type, const int lda[], const void *const b[], cudaDataType_t b_type,
    const int ldb[], const void *beta, void *const c[], cudaDataType_t c_type, const int ldc[],
    int groups, const int size[], cublasComputeType_t compute)
{
    if (groups < 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (getenv("MOESWEEP_EMULATE_UNGROUPED"))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    std::vector<shape> shapes;
    for (int g = 0; g < groups; g++)
        shapes.push_back({ta[g], tb[g], m[g], n[g], k[g], lda[g], ldb[g], ldc[g]});
    return grouped(handle, "cublasGemmGroupedBatchedEx", shapes.data(), (const float *)alpha, a,
                   a_type, b, b_type, (const float *)beta, c, c_type, groups, size, compute);
}

cublasStatus_t cublasSgemmGroupedBatched(cublasHandle_t handle, const cublasOperation_t ta[],
                                         const cublasOperation_t tb[], const int m[],
                                         const int n[], const int k[], const float alpha[],
                                         const float *const a[], const int lda[],
                                         const float *const b[], const int ldb[],
                                         const float beta[], float *const c[], const int ldc[],
                                         int groups, const int size[])
{
    return cublasGemmGroupedBatchedEx(handle, ta, tb, m, n, k, alpha, (const void *const *)a,
                                      CUDA_R_32F, lda, (const void *const *)b, CUDA_R_32F, ldb,
                                      beta, (void *const *)c, CUDA_R_32F, ldc, groups, size,
                                      CUBLAS_COMPUTE_32F);
}
}
