// SPDX-License-Identifier: Apache-2.0
// Operations, and the gradients of a whole model, in bf16. Rounding has no useful derivative,
// so differences do not apply; instead, with F the outputs in double without rounding and R
// those in double with rounded factors (the oracle), the outputs g in float must keep, tensor
// by tensor, in Euclidean norms:
//
// An optimized kernel errs at most twice as much as the naive one: |g - F| <= 2 |R - F|.
//
// It does round, nothing fell back to full precision: |g - F| >= |R - F| / 2.
//
// Every factor is rounded the same way: |g - R| <= |R - F| / 8. A float sum differs from the
// double one by about 2^-22 of its size, so that about 2^-22 / 2^-8 of all factors round to the
// other side, each by a whole unit instead of its 1/sqrt(12) on average: sqrt(12 x 2^-14) =
// 0.027 of the rounding's own distance. Four times as much leaves room for what one such factor
// passes on to those behind it.
//
// Floats without rounding must be closer to F than a tenth of R's distance.
#include "tests/kernels/dump_ops.h"
#include "tests/test.h"

enum { MOST = 64 };

struct dump {
    int n, rc;
    struct dump_header header[MOST];
    double *x[MOST];
};

static void read_dump(struct dump *d, const char *program, const char *kind)
{
    char command[4200];
    const char *bin = getenv("MOESWEEP_BIN");
    snprintf(command, sizeof command, "'%s/%s' %s", bin != NULL ? bin : "bin", program, kind);
    FILE *f = popen(command, "r");
    if (f == NULL)
        abort();
    for (d->n = 0; d->n < MOST && fread(&d->header[d->n], sizeof *d->header, 1, f) == 1;
         d->n++) {
        size_t n = (size_t)d->header[d->n].n;
        d->x[d->n] = malloc(n * sizeof(double));
        if (d->x[d->n] == NULL || fread(d->x[d->n], sizeof(double), n, f) != n)
            abort();
    }
    int status = pclose(f);
    d->rc = status % 256 == 0 ? status / 256 : -1;
}

static void free_dump(struct dump *d)
{
    for (int i = 0; i < d->n; i++)
        free(d->x[i]);
}

static double distance(const struct dump *a, const struct dump *b, int i)
{
    double square = 0;
    for (int64_t j = 0; j < a->header[i].n; j++)
        square += (a->x[i][j] - b->x[i][j]) * (a->x[i][j] - b->x[i][j]);
    return sqrt(square);
}

static void check_kind(const char *program, const char *kind, const struct dump *full,
                       const struct dump *oracle)
{
    struct dump g;
    read_dump(&g, program, kind);
    if (g.rc == 77) {
        printf("%s: not checked, this processor has none\n", kind);
        return;
    }
    CHECK(g.rc == 0 && g.n == oracle->n);
    for (int i = 0; i < g.n && test_failures == 0; i++) {
        if (g.header[i].n == 1)
            continue; // the loss: one number may lie anywhere within its error
        double rounding = distance(oracle, full, i), error = distance(&g, full, i),
               apart = distance(&g, oracle, i);
        printf("%-5s %-28s error %.3f of the oracle's, from it %.3f\n", kind, g.header[i].name,
               error / rounding, apart / rounding);
        CHECK(error <= 2 * rounding);
        CHECK(error >= rounding / 2);
        CHECK(apart <= rounding / 8);
    }
    free_dump(&g);
}

static void check_program(const char *f32, const char *f64, int least)
{
    struct dump full, oracle, single;
    read_dump(&full, f64, "full");
    read_dump(&oracle, f64, "bf16");
    read_dump(&single, f32, "full");
    CHECK(full.rc == 0 && oracle.rc == 0 && single.rc == 0);
    CHECK(full.n >= least && full.n == oracle.n && full.n == single.n);
    for (int i = 0; i < full.n && test_failures == 0; i++)
        CHECK(distance(&single, &full, i) <= distance(&oracle, &full, i) / 10);
    check_kind(f32, "bf16", &full, &oracle);
    check_kind(f32, "amx", &full, &oracle);
    free_dump(&full), free_dump(&oracle), free_dump(&single);
}

int main(void)
{
    check_program("dump_ops", "dump_ops_f64", 20);
    check_program("dump_model", "dump_model_f64", 20);
    return test_summary();
}
