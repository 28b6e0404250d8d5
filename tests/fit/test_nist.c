// SPDX-License-Identifier: GPL-3.0-or-later
// NIST StRD, nonlinear regression: the solver that polishes every law (fit/polish.h) must reach
// the certified values from both starting points of all sets, of all three levels of
// difficulty, to six digits at least. Derivatives by complex steps: exact to rounding.
#include "fit/fit.h"
#include "fit/polish.h"
#include "tests/test.h"
#include <complex.h>

typedef double complex cplx;
enum { MAX_B = 9, MAX_N = 300 };

struct model {
    const char *file;
    int n_b, n_x;
    cplx (*f)(const cplx *b, const double *x);
};

static const double pi = 3.141592653589793238463;
#define MODEL(name) static cplx name(const cplx *b, const double *x)
// b[0] is NIST's b1, and so on.
MODEL(bennett5)
{
    return b[0] * cpow(b[1] + x[0], -1 / b[2]);
}
MODEL(boxbod)
{
    return b[0] * (1 - cexp(-b[1] * x[0]));
} // and Misra1a
MODEL(chwirut)
{
    return cexp(-b[0] * x[0]) / (b[1] + b[2] * x[0]);
}
MODEL(danwood)
{
    return b[0] * cpow(x[0], b[1]);
}
MODEL(eckerle4)
{
    cplx u = (x[0] - b[2]) / b[1];
    return b[0] / b[1] * cexp(-.5 * u * u);
}
MODEL(enso)
{
    double w = 2 * pi * x[0];
    return b[0] + b[1] * cos(w / 12) + b[2] * sin(w / 12) + b[4] * ccos(w / b[3]) +
           b[5] * csin(w / b[3]) + b[7] * ccos(w / b[6]) + b[8] * csin(w / b[6]);
}
MODEL(gauss)
{
    cplx u = (x[0] - b[3]) / b[4], v = (x[0] - b[6]) / b[7];
    return b[0] * cexp(-b[1] * x[0]) + b[2] * cexp(-u * u) + b[5] * cexp(-v * v);
}
MODEL(cubic) // Hahn1, Thurber
{
    cplx above = b[0] + x[0] * (b[1] + x[0] * (b[2] + x[0] * b[3]));
    return above / (1 + x[0] * (b[4] + x[0] * (b[5] + x[0] * b[6])));
}
MODEL(kirby2)
{
    return (b[0] + x[0] * (b[1] + x[0] * b[2])) / (1 + x[0] * (b[3] + x[0] * b[4]));
}
MODEL(lanczos)
{
    return b[0] * cexp(-b[1] * x[0]) + b[2] * cexp(-b[3] * x[0]) + b[4] * cexp(-b[5] * x[0]);
}
MODEL(mgh09)
{
    return b[0] * (x[0] * x[0] + x[0] * b[1]) / (x[0] * (x[0] + b[2]) + b[3]);
}
MODEL(mgh10)
{
    return b[0] * cexp(b[1] / (x[0] + b[2]));
}
MODEL(mgh17)
{
    return b[0] + b[1] * cexp(-x[0] * b[3]) + b[2] * cexp(-x[0] * b[4]);
}
MODEL(misra1b)
{
    cplx u = 1 + .5 * b[1] * x[0];
    return b[0] * (1 - 1 / (u * u));
}
MODEL(misra1c)
{
    return b[0] * (1 - 1 / csqrt(1 + 2 * b[1] * x[0]));
}
MODEL(misra1d)
{
    return b[0] * b[1] * x[0] / (1 + b[1] * x[0]);
}
MODEL(nelson)
{
    return b[0] - b[1] * x[0] * cexp(-b[2] * x[1]);
} // of ln y
MODEL(rat42)
{
    return b[0] / (1 + cexp(b[1] - b[2] * x[0]));
}
MODEL(rat43)
{
    return b[0] / cpow(1 + cexp(b[1] - b[2] * x[0]), 1 / b[3]);
}
MODEL(roszman1)
{
    return b[0] - b[1] * x[0] - catan(b[2] / (x[0] - b[3])) / pi;
}

static const struct model models[] = {
    {"Misra1a", 2, 1, boxbod},    {"Chwirut1", 3, 1, chwirut}, {"Chwirut2", 3, 1, chwirut},
    {"Lanczos3", 6, 1, lanczos},  {"Gauss1", 8, 1, gauss},     {"Gauss2", 8, 1, gauss},
    {"DanWood", 2, 1, danwood},   {"Misra1b", 2, 1, misra1b},  {"Kirby2", 5, 1, kirby2},
    {"Hahn1", 7, 1, cubic},       {"Nelson", 3, 2, nelson},    {"MGH17", 5, 1, mgh17},
    {"Lanczos1", 6, 1, lanczos},  {"Lanczos2", 6, 1, lanczos}, {"Gauss3", 8, 1, gauss},
    {"Misra1c", 2, 1, misra1c},   {"Misra1d", 2, 1, misra1d},  {"Roszman1", 4, 1, roszman1},
    {"ENSO", 9, 1, enso},         {"MGH09", 4, 1, mgh09},      {"Thurber", 7, 1, cubic},
    {"BoxBOD", 2, 1, boxbod},     {"Rat42", 3, 1, rat42},      {"MGH10", 3, 1, mgh10},
    {"Eckerle4", 3, 1, eckerle4}, {"Rat43", 4, 1, rat43},      {"Bennett5", 3, 1, bennett5},
};

struct set {
    const struct model *m;
    int n;
    double y[MAX_N], x[MAX_N * 2], start[2][MAX_B], certified[MAX_B];
};

static bool eval(const void *context, const double *theta, double *value, double *jacobian)
{
    const struct set *s = context;
    int p = s->m->n_b;
    const double h = 1e-40; // its square is nothing beside any number here
    for (int i = 0; i < s->n; i++) {
        cplx b[MAX_B];
        for (int j = 0; j < p; j++)
            b[j] = theta[j];
        value[i] = creal(s->m->f(b, s->x + 2 * i));
        if (!isfinite(value[i]))
            return false;
        for (int j = 0; jacobian && j < p; j++) {
            b[j] = theta[j] + h * I;
            jacobian[i * p + j] = cimag(s->m->f(b, s->x + 2 * i)) / h;
            b[j] = theta[j];
            if (!isfinite(jacobian[i * p + j]))
                return false;
        }
    }
    return true;
}

static void load(const struct model *m, struct set *s)
{
    char path[1024], line[256];
    snprintf(path, sizeof path, "%s/tests/data/nist/%s.dat", getenv("MOESWEEP_SOURCE"),
             m->file);
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "cannot open %s\n", path);
        exit(1);
    }
    *s = (struct set){.m = m};
    for (int i = 1; fgets(line, sizeof line, f); i++) {
        double sd, *x = s->x + 2 * s->n;
        int j;
        if (i >= 41 && sscanf(line, " b%d =", &j) == 1 && j >= 1 && j <= m->n_b)
            sscanf(line, " b%*d = %lf %lf %lf %lf", &s->start[0][j - 1], &s->start[1][j - 1],
                   &s->certified[j - 1], &sd);
        if (i >= 61 && s->n < MAX_N &&
            sscanf(line, "%lf %lf %lf", &s->y[s->n], x, x + 1) == m->n_x + 1) {
            if (m->f == nelson)
                s->y[s->n] = log(s->y[s->n]);
            s->n++;
        }
    }
    fclose(f);
}

// Terms of a sum of exponentials in the order of their rates, as certified: which term is which
// is no part of the model.
static void sort_terms(double *b, int terms)
{
    for (int i = 0; i < terms; i++)
        for (int k = 0; k + 1 < terms; k++)
            if (b[2 * k + 1] > b[2 * k + 3])
                for (int j = 0; j < 2; j++) {
                    double t = b[2 * k + j];
                    b[2 * k + j] = b[2 * k + 2 + j];
                    b[2 * k + 2 + j] = t;
                }
}

static double digits(const struct set *s, int start, bool *converged)
{
    int p = s->m->n_b;
    double lo[MAX_B], hi[MAX_B], reach[MAX_B], theta[MAX_B], size = 0, least = 11;
    for (int j = 0; j < p; j++) {
        lo[j] = -(double)INFINITY;
        hi[j] = reach[j] = (double)INFINITY;
        theta[j] = s->start[start][j];
    }
    for (int i = 0; i < s->n; i++)
        size += s->y[i] * s->y[i];
    struct polish_problem pr = {.n = s->n,
                                .p = p,
                                .eval = eval,
                                .context = s,
                                .target = s->y,
                                .objective = LAW_SQUARES,
                                .lo = lo,
                                .hi = hi,
                                .reach = reach,
                                .size = size};
    struct polish_work *w = polish_alloc(s->n, p);
    struct polish_result r = polish(w, &pr, theta, 2000);
    polish_free(w);
    *converged = r.converged;
    if (s->m->f == lanczos)
        sort_terms(theta, 3);
    for (int j = 0; j < p; j++) {
        double off = fabs(theta[j] / s->certified[j] - 1);
        least = fmin(least, -log10(fmax(off, 1e-11)));
    }
    return least;
}

int main(void)
{
    fit_init();
    int n_models = sizeof models / sizeof *models;
    printf("%-10s %5s %3s %9s %9s   digits of the worst parameter\n", "set", "rows", "p",
           "start 1", "start 2");
    for (int k = 0; k < n_models; k++) {
        static struct set s;
        load(&models[k], &s);
        CHECK(s.n >= models[k].n_b && s.certified[models[k].n_b - 1] != 0);
        double d[2];
        for (int start = 0; start < 2; start++) {
            bool converged;
            d[start] = digits(&s, start, &converged);
            CHECK(converged);
            if (!(d[start] >= 6))
                fprintf(stderr, "%s from start %d: %.1f digits\n", models[k].file, start + 1,
                        d[start]);
            CHECK(d[start] >= 6);
        }
        printf("%-10s %5d %3d %9.1f %9.1f\n", models[k].file, s.n, models[k].n_b, d[0], d[1]);
    }
    return test_summary();
}
