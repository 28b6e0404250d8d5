// SPDX-License-Identifier: Apache-2.0
// test_ops FLAVOUR SET SEEDS [GROUP]: every output of op_cases_FLAVOUR (the CUDA kernels in an
// emulator's flavour, or f32: the CPU's own, which tests this test) over a set of cases against
// the same operations of the CPU in double. With u = 2^-24, n the roundings on the longest way
// to an element (op_cases.c) and x the output in double, for every tensor:
//
// f32. With e the largest error of an element in the CPU's float, no error exceeds
//
//     max(2 e, min(n, 6 sqrt(n)) u max|x|)
//
// (6 sqrt(n) u: test_precision.c). n = 0: every element is x, or x rounded to float, bit by
// bit.
//
// bf16. With F the output in double for the same bfloat16 inputs, R that of a naive bf16 (in
// double, factors of products rounded to bfloat16, acts that come out stored rounded), in
// Euclidean norms over the tensor's N elements
//
//     |g - F| <= 2 |R - F| + sqrt(N) (the bound of f32, for F)
//
// so that what does not round stays as exact as in f32. Where N >= 64 and |R - F| is at least 8
// times the last term, |g - F| >= |R - F| / 2: it does round; but lse, whose factors are
// bfloat16 already (the CPU rounds queries again once they are scaled). n = 0: every element is
// R's.
//
// NaN and infinity stand where they stand in double. And all schedules of the emulator,
// forward, reverse and SEEDS random ones (-1: forward alone), give the same bits.
#include "tests/kernels/dump_ops.h"
#include "tests/test.h"
#include <stdbool.h>
#include <sys/wait.h>

enum { MOST = 4096 };

static const char *set, *group; // what is run

struct dump {
    int n;
    struct dump_header header[MOST];
    double *x[MOST];
};

static void read_dump(struct dump *d, const char *flavour, const char *way)
{
    char command[4200];
    const char *bin = getenv("MOESWEEP_BIN");
    snprintf(command, sizeof command, "'%s/op_cases_%s' %s %s %s", bin != NULL ? bin : "bin",
             flavour, set, way, group);
    FILE *f = popen(command, "r");
    if (f == NULL)
        abort();
    for (d->n = 0; d->n < MOST && fread(&d->header[d->n], sizeof *d->header, 1, f) == 1;
         d->n++) {
        size_t n = (size_t)d->header[d->n].n;
        d->x[d->n] = malloc(n * sizeof(double));
        if (d->x[d->n] == NULL || fread(d->x[d->n], sizeof(double), n, f) != n)
            break; // it ended early: its status says so
    }
    int status = pclose(f);
    bool whole = WIFEXITED(status) && WEXITSTATUS(status) == 0 && d->n > 0 && d->n < MOST;
    CHECK(whole);
    if (!whole) {
        fprintf(stderr, "%s: status %d after %d outputs, the last %s\n", command, status, d->n,
                d->n > 0 ? d->header[d->n - 1].name : "none");
        exit(test_summary());
    }
}

static void free_dump(struct dump *d)
{
    for (int i = 0; i < d->n; i++)
        free(d->x[i]);
}

static void same_outputs(const struct dump *a, const struct dump *b)
{
    CHECK(a->n == b->n);
    for (int i = 0; i < a->n && i < b->n; i++) {
        CHECK_STR(a->header[i].name, b->header[i].name);
        CHECK(a->header[i].n == b->header[i].n);
    }
    if (test_failures > 0)
        exit(test_summary());
}

// Also where both are NaN or the same infinity.
static double apart(double x, double y)
{
    return x == y || (x != x && y != y) ? 0 : fabs(x - y);
}

static double largest_apart(const double *x, const double *y, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(apart(x[i], y[i]) <= most))
            most = apart(x[i], y[i]);
    return most;
}

static double distance(const double *x, const double *y, int64_t n)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += apart(x[i], y[i]) * apart(x[i], y[i]);
    return sqrt(square);
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            most = fmax(most, fabs(x[i]));
    return most;
}

struct worst {
    double ratio;
    const char *name;
};

static void within(struct worst *w, const char *way, const char *name, double error,
                   double bound)
{
    test_checks++;
    if (!(error <= bound)) {
        test_failures++;
        fprintf(stderr, "%s: %s: error %.3g, allowed %.3g\n", way, name, error, bound);
    }
    if (bound > 0 && error / bound > w->ratio)
        *w = (struct worst){error / bound, name};
}

static void exactly(const char *way, const char *name, const double *g, const double *x,
                    int64_t n)
{
    test_checks++;
    for (int64_t i = 0; i < n; i++)
        if (apart(g[i], (double)(float)x[i]) != 0 && apart(g[i], x[i]) != 0) {
            test_failures++;
            fprintf(stderr, "%s: %s[%lld]: %.9g, expected exactly %.9g\n", way, name,
                    (long long)i, g[i], x[i]);
            return;
        }
}

// f: the CPU's float; naive: R, or with f32 F itself.
static void check_way(const char *way, const struct dump *g, const struct dump *f,
                      const struct dump *exact, const struct dump *naive)
{
    struct worst w = {0, "none"};
    const bool norms = naive != exact;
    for (int i = 0; i < g->n; i++) {
        const char *name = g->header[i].name;
        const double k = g->header[i].roundings, *x = exact->x[i];
        int64_t n = g->header[i].n;
        if (k == 0) {
            exactly(way, name, g->x[i], naive->x[i], n);
            continue;
        }
        double bound = fmax(2 * largest_apart(f->x[i], x, n),
                            fmin(k, 6 * sqrt(k)) * 0x1p-24 * largest(x, n));
        if (norms) {
            double error = distance(g->x[i], x, n), rounding = distance(naive->x[i], x, n);
            within(&w, way, name, error, 2 * rounding + sqrt((double)n) * bound);
            bool rounds = n < 64 || strncmp(name, "lse ", 4) == 0 ||
                          rounding < 8 * sqrt((double)n) * bound || error >= rounding / 2;
            if (!rounds)
                fprintf(stderr, "%s: %s: error %.3g, rounding %.3g\n", way, name, error,
                        rounding);
            CHECK(rounds);
        } else
            within(&w, way, name, largest_apart(g->x[i], x, n), bound);
    }
    printf("%-4s %d outputs, the nearest to its bound: %s, %.2f of it\n", way, g->n, w.name,
           w.ratio);
}

static void check_schedules(const struct dump *g, const char *flavour, const char *way,
                            int seeds)
{
    static struct dump other;
    for (int i = 0; i <= seeds; i++) {
        char schedule[16] = "reverse";
        if (i > 0)
            snprintf(schedule, sizeof schedule, "%d", i);
        setenv("MOESWEEP_EMULATE_SCHEDULE", schedule, 1);
        read_dump(&other, flavour, way);
        same_outputs(g, &other);
        for (int j = 0; j < g->n; j++)
            if (largest_apart(g->x[j], other.x[j], g->header[j].n) != 0) {
                test_failures++;
                fprintf(stderr, "%s: %s: other bits in schedule %s\n", way, g->header[j].name,
                        schedule);
            }
        test_checks++;
        free_dump(&other);
    }
    unsetenv("MOESWEEP_EMULATE_SCHEDULE");
}

int main(int argc, char **argv)
{
    static struct dump g, f, exact, naive;
    if (argc < 4)
        return 2;
    set = argv[2], group = argc > 4 ? argv[4] : "";
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const char *way = bf16 ? "bf16" : "f32", *given = bf16 ? "given" : "f32";
        read_dump(&exact, "f64", given);
        read_dump(&f, "f32", given);
        read_dump(&naive, "f64", way);
        read_dump(&g, argv[1], way);
        same_outputs(&exact, &f), same_outputs(&exact, &naive), same_outputs(&exact, &g);
        check_way(way, &g, &f, &exact, bf16 ? &naive : &exact);
        check_schedules(&g, argv[1], way, atoi(argv[3]));
        free_dump(&exact), free_dump(&f), free_dump(&naive), free_dump(&g);
    }
    return test_summary();
}
