// SPDX-License-Identifier: Apache-2.0
// Every operation in float against the same operation in double on the same inputs. k roundings
// of sums and products whose values are of the order of the tensor's largest entry leave an
// error of at most
//
//     lambda sqrt(k) 2^-24 max|x|
//
// with probability 1 - 2 exp(-lambda^2/2) per element (Higham and Mary 2019, SIAM J. Sci.
// Comput. 41, theorem 2.4); lambda = 6 makes that 3e-8, for inputs that never change.
// dump_ops.c counts k.
#include "tests/kernels/dump_ops.h"
#include "tests/test.h"

#define LAMBDA 6

static FILE *dump(const char *program)
{
    char path[4096];
    const char *bin = getenv("MOESWEEP_BIN");
    snprintf(path, sizeof path, "'%s/%s'", bin != NULL ? bin : "bin", program);
    FILE *f = popen(path, "r");
    if (f == NULL)
        abort();
    return f;
}

static double *values(FILE *f, int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);
    if (x == NULL || fread(x, sizeof *x, (size_t)n, f) != (size_t)n)
        abort();
    return x;
}

int main(void)
{
    FILE *f32 = dump("dump_ops"), *f64 = dump("dump_ops_f64");
    struct dump_header a, b;
    int outputs = 0;
    while (fread(&a, sizeof a, 1, f32) == 1) {
        CHECK(fread(&b, sizeof b, 1, f64) == 1);
        CHECK_STR(a.name, b.name);
        CHECK(a.n == b.n && a.n > 0);
        if (test_failures > 0)
            return test_summary();
        double *x = values(f32, a.n), *y = values(f64, b.n), largest = 0, worst = 0;
        for (int64_t i = 0; i < a.n; i++) {
            largest = fmax(largest, fabs(y[i]));
            if (!(fabs(x[i] - y[i]) <= worst))
                worst = fabs(x[i] - y[i]);
        }
        double bound = LAMBDA * sqrt(a.roundings) * 0x1p-24 * largest;
        printf("%-20s error %.1e of a bound of %.1e (largest %.2g)\n", a.name, worst, bound,
               largest);
        CHECK(worst <= bound);
        free(x), free(y);
        outputs++;
    }
    CHECK(outputs >= 40); // all of them
    CHECK(fread(&b, sizeof b, 1, f64) == 0);
    CHECK(pclose(f32) == 0);
    CHECK(pclose(f64) == 0);
    return test_summary();
}
