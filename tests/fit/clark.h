// SPDX-License-Identifier: GPL-3.0-or-later
// The rows of tests/data/clark2022_sbase.csv that Clark 2022's law is fitted to.
#ifndef TESTS_FIT_CLARK_H
#define TESTS_FIT_CLARK_H
#include "tests/test.h"

enum { CLARK_ROWS = 100, CLARK_COLUMNS = 32 };
struct clark {
    int n;
    double x[CLARK_ROWS * 2], loss[CLARK_ROWS];
};

static inline int clark_split(char *line, char **cell)
{
    int n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *p = line; p && n < CLARK_COLUMNS; n++)
        cell[n] = strsep(&p, ",");
    return n;
}

static inline int clark_column(char **head, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(head[i], name) == 0)
            return i;
    fprintf(stderr, "no column %s\n", name);
    exit(1);
}

static inline struct clark clark_load(void)
{
    char path[1024], top[4096], line[4096], *head[CLARK_COLUMNS], *cell[CLARK_COLUMNS];
    static struct clark out;
    snprintf(path, sizeof path, "%s/tests/data/clark2022_sbase.csv", getenv("MOESWEEP_SOURCE"));
    FILE *f = fopen(path, "r");
    if (!f || !fgets(top, sizeof top, f)) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    int n = clark_split(top, head), type = clark_column(head, n, "router_type"),
        k = clark_column(head, n, "k");
    int flop = clark_column(head, n, "flop_increase"),
        often = clark_column(head, n, "routing_frequency");
    int seed = clark_column(head, n, "seed"),
        N = clark_column(head, n, "dense_parameter_count");
    int E = clark_column(head, n, "num_experts"),
        loss = clark_column(head, n, "loss_validation");
    while (fgets(line, sizeof line, f) && out.n < CLARK_ROWS) {
        CHECK(clark_split(line, cell) == n);
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
#endif
