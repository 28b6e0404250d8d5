// SPDX-License-Identifier: GPL-3.0-or-later
// 199 losses of the Gemstones models (dense, over width and depth): chinchilla, powersum over
// width, depth and tokens, and what each misses on the tenth of the largest compute when it was
// not fitted to it.
#include "core/err.h"
#include "core/json.h"
#include "fit/fit.h"
#include "fit/law.h"
#include "tests/test.h"

enum { MAX_ROWS = 256 };
struct row {
    double N, D, width, depth, loss;
};

static int load(struct row *rows)
{
    char path[1024], line[4096];
    int n = 0;
    snprintf(path, sizeof path, "%s/data/gemstones_cool_end.jsonl", getenv("MOESWEEP_SOURCE"));
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    while (fgets(line, sizeof line, f) && n < MAX_ROWS) {
        json_t *j = json_loads(line, 0, NULL);
        CHECK(j != NULL);
        rows[n++] = (struct row){jnum(j, "params_active_precise"), jnum(j, "tokens"),
                                 jnum(j, "width"), jnum(j, "depth"), jnum(j, "final_loss")};
        json_decref(j);
    }
    fclose(f);
    return n;
}

static int by_compute(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;
    return (a->N * a->D > b->N * b->D) - (a->N * a->D < b->N * b->D);
}

struct table {
    double x[MAX_ROWS * 3], y[MAX_ROWS];
};

static void chinchilla(const struct row *r, double *x)
{
    x[0] = r->N;
    x[1] = r->D;
}

static void shape(const struct row *r, double *x)
{
    x[0] = r->width;
    x[1] = r->depth;
    x[2] = r->D;
}

// Root mean square of ln(loss / law) over the last rows, fitted to those before.
static double held_out(const struct law *l, const struct table *t, int n, int last,
                       struct law_options o)
{
    int v = law_vars(l, NULL);
    struct law_data d = {.n = n - last, .x = t->x, .y = t->y};
    struct law_fit f;
    double ss = 0;
    CHECK(law_fit_run(l, &d, &o, &f) == OK && f.converged);
    for (int i = n - last; i < n; i++) {
        double r = log(t->y[i] / law_value(l, f.value, t->x + i * v, NULL));
        ss += r * r;
    }
    law_fit_free(&f);
    return sqrt(ss / last);
}

static double fit(const char *name, const struct row *rows, int n,
                  void (*columns)(const struct row *, double *), int v, double most)
{
    static struct table t;
    const struct law *l = law_find(name, v);
    const struct law_param *info;
    int p = law_params(l, &info);
    struct law_options o = {.objective = LAW_SQUARES_LOG};
    struct law_fit f;
    for (int i = 0; i < n; i++) {
        columns(&rows[i], t.x + i * v);
        t.y[i] = rows[i].loss;
    }
    struct law_data d = {.n = n, .x = t.x, .y = t.y};
    CHECK(law_fit_run(l, &d, &o, &f) == OK);
    printf("%s:", name);
    for (int j = 0; j < p; j++)
        printf(" %s %.6g%s", info[j].name, f.value[j], f.identified[j] ? "" : " (?)");
    double held = held_out(l, &t, n, n / 10, o);
    printf("\n    rmse(ln L) %.5f; on the largest tenth, not fitted: %.5f\n", f.rmse_log, held);
    CHECK(f.converged && f.rmse_log <= most);
    law_fit_free(&f);
    return held;
}

int main(void)
{
    fit_init();
    static struct row rows[MAX_ROWS];
    int n = load(rows);
    CHECK(n == 199);
    qsort(rows, (size_t)n, sizeof *rows, by_compute);
    double a = fit("chinchilla", rows, n, chinchilla, 2, .0158);
    double b = fit("powersum", rows, n, shape, 3, .0085);
    CHECK(b < a); // shape carries over to larger compute
    return test_summary();
}
