// SPDX-License-Identifier: Apache-2.0
// Kernels that are right compute what they should and raise no alarm, in every build, in
// program order, in reverse, and in 20 random orders (the program runs itself for each).
#include "tests/cuda/sample.h"
#include "tests/test.h"
#include <cublas_v2.h>
#include <string>
#include <unistd.h>
#include <vector>

#define OK(call) CHECK((call) == 0)

template <class T> static T *to_device(const std::vector<T> &v)
{
    void *p;
    OK(cudaMalloc(&p, v.size() * sizeof(T)));
    OK(cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
    return (T *)p;
}

template <class T> static std::vector<T> to_host(const T *p, size_t n)
{
    std::vector<T> v(n);
    OK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
}

static std::vector<float> integers(size_t n) // small ones: their sums are exact
{
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)((int)(i * 7919 % 17) - 8);
    return v;
}

static std::vector<__nv_bfloat16> rounded(const std::vector<float> &x)
{
    std::vector<__nv_bfloat16> v;
    for (float f : x)
        v.push_back(__float2bfloat16(f));
    return v;
}

static void row_sums()
{
    const int rows = 5, columns = 300;
    std::vector<float> x = integers(rows * columns);
    float *y;
    OK(cudaMalloc((void **)&y, rows * sizeof(float)));
    float *f = to_device(x);
    __nv_bfloat16 *h = to_device(rounded(x));
    for (int bf16 = 0; bf16 < 2; bf16++) {
        cuda_row_sums(y, bf16 ? (void *)h : (void *)f, bf16, rows, columns, nullptr);
        std::vector<float> sums = to_host(y, rows);
        for (int r = 0; r < rows; r++) {
            float sum = 0;
            for (int c = 0; c < columns; c++)
                sum += x[r * columns + c];
            CHECK_NEAR(sums[r], sum, 0);
        }
    }
    OK(cudaFree(y));
    OK(cudaFree(f));
    OK(cudaFree(h));
}

static void transpose()
{
    const int rows = 45, columns = 70;
    std::vector<float> x = integers(rows * columns);
    float *d = to_device(x), *y;
    OK(cudaMalloc((void **)&y, x.size() * sizeof(float)));
    cuda_transpose(y, d, rows, columns, nullptr);
    std::vector<float> got = to_host(y, x.size());
    int wrong = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            wrong += got[c * rows + r] != x[r * columns + c];
    CHECK_NEAR(wrong, 0, 0);
    OK(cudaFree(d));
    OK(cudaFree(y));
}

static void histogram()
{
    const int n = 1000, values = 37;
    std::vector<int> x, want(values);
    for (int i = 0; i < n; i++) {
        x.push_back(i * i % values);
        want[x.back()]++;
    }
    int *d = to_device(x), *count;
    OK(cudaMalloc((void **)&count, values * sizeof(int)));
    cuda_histogram(count, d, n, values, nullptr);
    CHECK(to_host(count, values) == want);
    OK(cudaFree(d));
    OK(cudaFree(count));
}

static void warps()
{
    std::vector<float> x = integers(128);
    float *d = to_device(x), *y;
    OK(cudaMalloc((void **)&y, 128 * sizeof(float)));
    cuda_warp_pairs(y, d, nullptr);
    std::vector<float> got = to_host(y, 128);
    for (int i = 0; i < 128; i++)
        CHECK_NEAR(got[i], x[i] + x[i ^ 1], 0);
    OK(cudaFree(d));
    OK(cudaFree(y));
}

static void tile_product()
{
    const int K = 48;
    std::vector<float> a = integers(16 * K), b = integers(K * 16);
    b[5] = 3;
    __nv_bfloat16 *da = to_device(rounded(a)), *db = to_device(rounded(b));
    float *c;
    OK(cudaMalloc((void **)&c, 256 * sizeof(float)));
    cuda_tile_product(c, da, db, K, nullptr);
    std::vector<float> got = to_host(c, 256);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            float sum = 0;
            for (int k = 0; k < K; k++)
                sum += a[i * K + k] * b[k * 16 + j];
            CHECK_NEAR(got[i * 16 + j], 2 * sum, 0);
        }
    OK(cudaFree(da));
    OK(cudaFree(db));
    OK(cudaFree(c));
}

static void streams()
{
    const int64_t n = 100;
    float *host, *x, *middle, *y;
    cudaStream_t first, second;
    cudaEvent_t event, done;
    OK(cudaMallocHost((void **)&host, n * sizeof(float)));
    OK(cudaMalloc((void **)&x, n * sizeof(float)));
    OK(cudaMalloc((void **)&middle, n * sizeof(float)));
    OK(cudaMalloc((void **)&y, n * sizeof(float)));
    OK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    OK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
    for (int64_t i = 0; i < n; i++)
        host[i] = (float)i;
    OK(cudaMemcpyAsync(x, host, n * sizeof(float), cudaMemcpyHostToDevice, first));
    cuda_scale_twice(y, middle, x, n, first, second, event);
    OK(cudaMemcpyAsync(host, y, n * sizeof(float), cudaMemcpyDeviceToHost, second));
    OK(cudaEventRecord(done, second));
    CHECK(cudaEventQuery(done) == cudaErrorNotReady);
#ifndef __SANITIZE_THREAD__    // which would rightly complain about the look
    CHECK_NEAR(host[9], 9, 0); // still queued
#endif
    OK(cudaEventSynchronize(done));
    for (int64_t i = 0; i < n; i++)
        CHECK_NEAR(host[i], 3 * (float)i, 0);
    OK(cudaEventDestroy(event));
    OK(cudaEventDestroy(done));
    OK(cudaStreamDestroy(first));
    OK(cudaStreamDestroy(second));
    OK(cudaFreeHost(host));
    OK(cudaFree(x));
    OK(cudaFree(middle));
    OK(cudaFree(y));
}

// C [m, n] = 2 op(A) op(B) - C for all layouts, in float, and bf16 into either.
static void products(cublasHandle_t handle, int m, int n, int k, int types)
{
    const float alpha = 2, beta = -1;
    const cudaDataType_t in = types ? CUDA_R_16BF : CUDA_R_32F;
    const cudaDataType_t out = types == 2 ? CUDA_R_16BF : CUDA_R_32F;
    std::vector<float> a = integers((size_t)(m + 1) * (k + 1)),
                       b = integers((size_t)(k + 2) * (n + 2)),
                       c = integers((size_t)(m + 3) * n);
    void *da = types ? (void *)to_device(rounded(a)) : to_device(a);
    void *db = types ? (void *)to_device(rounded(b)) : to_device(b);
    for (int layout = 0; layout < 4; layout++) {
        bool ta = layout & 1, tb = layout & 2;
        int lda = (ta ? k : m) + 1, ldb = (tb ? n : k) + 2, ldc = m + 3;
        void *dc = out == CUDA_R_16BF ? (void *)to_device(rounded(c)) : to_device(c);
        OK(cublasGemmEx(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                        m, n, k, &alpha, da, in, lda, db, in, ldb, &beta, dc, out, ldc,
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
        std::vector<float> got(c.size());
        if (out == CUDA_R_32F)
            got = to_host((float *)dc, c.size());
        else
            for (size_t i = 0; i < c.size(); i++)
                got[i] = __bfloat162float(to_host((__nv_bfloat16 *)dc, c.size())[i]);
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                float sum = 0;
                for (int l = 0; l < k; l++)
                    sum += (ta ? a[l + i * lda] : a[i + l * lda]) *
                           (tb ? b[j + l * ldb] : b[l + j * ldb]);
                float want = 2 * sum - c[i + j * ldc];
                if (out == CUDA_R_16BF)
                    want = __bfloat162float(__float2bfloat16(want));
                CHECK_NEAR(got[i + j * ldc], want, 0);
            }
        CHECK_NEAR(got[m], c[m], 0); // between the columns
        OK(cudaFree(dc));
    }
    OK(cudaFree(da));
    OK(cudaFree(db));
}

static void grouped(cublasHandle_t handle)
{
    // two groups: two products of 2 x 3 x 4, and one of no column
    cublasOperation_t op[2] = {CUBLAS_OP_N, CUBLAS_OP_N};
    int m[2] = {2, 2}, n[2] = {3, 0}, k[2] = {4, 4}, lda[2] = {2, 2}, ldb[2] = {4, 4},
        size[2] = {2, 1};
    float alpha[2] = {1, 1}, beta[2] = {0, 0};
    std::vector<float> a = integers(2 * 4 * 3), b = integers(4 * 3 * 2), c(2 * 3 * 2, NAN);
    float *da = to_device(a), *db = to_device(b), *dc = to_device(c);
    std::vector<float *> pa = {da, da + 8, da + 16}, pb = {db, db + 12, db + 24},
                         pc = {dc, dc + 6, dc + 12};
    float **ga = to_device(pa), **gb = to_device(pb), **gc = to_device(pc);
    OK(cublasSgemmGroupedBatched(handle, op, op, m, n, k, alpha, ga, lda, gb, ldb, beta, gc,
                                 lda, 2, size));
    std::vector<float> got = to_host(dc, c.size());
    for (int p = 0; p < 2; p++)
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 2; i++) {
                float sum = 0;
                for (int l = 0; l < 4; l++)
                    sum += a[p * 8 + i + l * 2] * b[p * 12 + l + j * 4];
                CHECK_NEAR(got[p * 6 + i + j * 2], sum, 0);
            }
    for (void *p : {(void *)da, (void *)db, (void *)dc, (void *)ga, (void *)gb, (void *)gc})
        OK(cudaFree(p));
}

static int run()
{
    row_sums();
    transpose();
    histogram();
    warps();
    tile_product();
    streams();
    cublasHandle_t handle;
    OK(cublasCreate(&handle));
    for (int types = 0; types < 3; types++) {
        products(handle, 37, 6, 19, types);
        products(handle, 4, 33, 1, types);
        products(handle, 3, 3, 0, types);
    }
    grouped(handle);
    OK(cublasDestroy(handle));
    OK(cudaDeviceSynchronize());
    return test_summary();
}

int main(int argc, char **argv)
{
    if (getenv("MOESWEEP_EMULATE_SCHEDULE"))
        return run();
    int orders = argc > 1 ? atoi(argv[1]) : 20;
    for (int i = -2; i < orders; i++) {
        std::string order = i == -2 ? "forward" : i == -1 ? "reverse" : std::to_string(i);
        std::string command = "MOESWEEP_EMULATE_SCHEDULE=" + order + " '" + argv[0] + "'" +
                              (i == -2 ? "" : " >/dev/null");
        int status = system(command.c_str());
        if (status != 0)
            fprintf(stderr, "schedule %s: status %d\n", order.c_str(), status);
        CHECK(status == 0);
    }
    return test_summary();
}
