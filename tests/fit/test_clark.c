// SPDX-License-Identifier: GPL-3.0-or-later
// The routed law on the data of Clark 2022 (58 final losses of S-Base and dense models): our
// re-fit of the reference page, and intervals that hold it.
#include "core/err.h"
#include "fit/fit.h"
#include "fit/law.h"
#include "tests/test.h"

enum { MAX_ROWS = 100, MAX_COLUMNS = 32 };
struct rows {
    int n;
    double x[MAX_ROWS * 2], loss[MAX_ROWS];
};

static int split(char *line, char **cell)
{
    int n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *p = line; p && n < MAX_COLUMNS; n++)
        cell[n] = strsep(&p, ",");
    return n;
}

static int column(char **head, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(head[i], name) == 0)
            return i;
    fprintf(stderr, "no column %s\n", name);
    exit(1);
}

static struct rows load(void)
{
    char path[1024], top[4096], line[4096], *head[MAX_COLUMNS], *cell[MAX_COLUMNS];
    static struct rows out;
    snprintf(path, sizeof path, "%s/tests/data/clark2022_sbase.csv", getenv("MOESWEEP_SOURCE"));
    FILE *f = fopen(path, "r");
    if (!f || !fgets(top, sizeof top, f)) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    int n = split(top, head), type = column(head, n, "router_type"), k = column(head, n, "k");
    int flop = column(head, n, "flop_increase"), often = column(head, n, "routing_frequency");
    int seed = column(head, n, "seed"), N = column(head, n, "dense_parameter_count");
    int E = column(head, n, "num_experts"), loss = column(head, n, "loss_validation");
    while (fgets(line, sizeof line, f) && out.n < MAX_ROWS) {
        CHECK(split(line, cell) == n);
        bool wanted = strcmp(cell[type], "S-Base") == 0 || strcmp(cell[type], "Dense") == 0;
        if (!wanted || atof(cell[k]) != 1 || atof(cell[flop]) != 1 || atof(cell[often]) != .5 ||
            atoi(cell[seed]) != 42)
            continue;
        out.x[2 * out.n] = atof(cell[N]);
        out.x[2 * out.n + 1] = atof(cell[E]);
        out.loss[out.n++] = atof(cell[loss]);
    }
    fclose(f);
    return out;
}

int main(void)
{
    fit_init();
    struct rows r = load();
    CHECK(r.n == 58);
    const struct law *l = law_find("routed", 0);
    const struct law_param *info;
    int p = law_params(l, &info);
    struct law_data d = {.n = r.n, .x = r.x, .y = r.loss};
    struct law_options o = {
        .objective = LAW_SQUARES_LOG, .n_boot = 200, .boot = LAW_BOOT_RESIDUALS, .seed = 1};
    struct law_fit f;
    CHECK(law_fit_run(l, &d, &o, &f) == OK);
    static const double want[6] = {-.0830, -.1180, .0099, 1.1136, 2.08, 239};
    for (int j = 0; j < p; j++) {
        printf("%-4s %10.6g  [%.6g, %.6g]%s\n", info[j].name, f.value[j], f.lo[j], f.hi[j],
               f.identified[j] ? "" : "  not identified");
        CHECK_REL(f.value[j], want[j], .02);
        CHECK(f.identified[j] && f.lo[j] < f.value[j] && f.value[j] < f.hi[j]);
    }
    double rmse = f.rmse_log / log(10);
    printf("rmse(log10 L) %.6f, condition %.3g, minima %d\n", rmse, f.condition, f.minima);
    CHECK(f.converged && rmse <= .00325);
    law_fit_free(&f);
    return test_summary();
}
