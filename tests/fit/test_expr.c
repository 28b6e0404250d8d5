// SPDX-License-Identifier: GPL-3.0-or-later
// Column maps and filters: values against C's own arithmetic, refusals with their place, and
// mutated text.
#include "core/rng.h"
#include "fit/expr.h"
#include "tests/test.h"
#include <sys/mman.h>
#include <unistd.h>

static char path[64]; // a file in memory
static const char csv[] = "params,flops,\"final loss\",name,k,exp\n"
                          "1e6,6e13,3.25,Dense,1,5\n"
                          "4e6,,2.75,S-Base,07,6\n"
                          "9e6,5e14,nan,,3,7\n";

static void value(const struct table *t, const char *text, double want)
{
    struct expr *e;
    double v = NAN;
    int col;
    CHECK(expr_parse(text, "--map", t, &e) == OK);
    if (!e) {
        fprintf(stderr, "    %s: %s\n", text, err_message());
        return;
    }
    CHECK(expr_value(e, t, 0, &v, &col) == CELL_NUMBER);
    if (!(v == want)) // the same operations in the same order: exact
        fprintf(stderr, "    %s: got %.17g, wanted %.17g\n", text, v, want);
    CHECK(v == want);
    expr_free(e);
}

static void says(const char *text, const char *wanted)
{
    if (!strstr(err_message(), wanted)) {
        fprintf(stderr, "    of '%s'\n    message '%s'\n    lacks   '%s'\n", text,
                err_message(), wanted);
        test_failures++;
    }
}

static void refused(const struct table *t, const char *text, const char *wanted)
{
    struct expr *e;
    CHECK(expr_parse(text, "--map", t, &e) == ERR_INPUT && !e);
    says(text, wanted);
}

static void test_values(const struct table *t)
{
    value(t, "params", 1e6);
    value(t, " flops / ( 6 * params ) ", 6e13 / (6 * 1e6));
    value(t, "\"final loss\"*2", 6.5);
    value(t, "-2^2", -4);
    value(t, "2^3^2", 512);
    value(t, "2^-1", .5);
    value(t, "8/4/2", 1);
    value(t, "8-4-2", 2);
    value(t, "1+2*3-4/2", 5);
    value(t, "--3", 3);
    value(t, "1e3+.5", 1000.5);
    value(t, "ln(exp(1))", log(exp(1)));
    value(t, "log10(params)+log2(8)+sqrt(9)", log10(1e6) + 6);
    value(t, "exp", 5); // a column may be called like a function
    value(t, "exp(k)", exp(1));
}

static void test_refused(const struct table *t)
{
    refused(t, "", "at character 1: expected a number, a column or '(', found the end");
    refused(t, "flops/(6*", "at character 10: expected a number");
    refused(t, "(params", "at character 8: expected ')'");
    refused(t, "params)", "at character 7: expected an operation or the end, found ')'");
    refused(t, "params flops", "at character 8: expected an operation or the end");
    refused(t, "6*tokens", "at character 3: ");
    refused(t, "tokens", "has no column 'tokens'; it has params, flops, final loss, name");
    refused(t, "log(params)", "at character 1: expected ln, log2, log10, exp or sqrt");
    refused(t, "\"final", "expected a closing quote");
    refused(t, "0x10", "at character 1: expected a number");
    refused(t, "1e999", "at character 1: expected a number");
    refused(t, "3rd", "at character 1: expected a number");
    char deep[4 * EXPR_MAX_DEPTH + 2];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    refused(t, deep, "less nesting");
    memset(deep, '-', sizeof deep - 1);
    refused(t, deep, "less nesting");
    char lengthy[4 * EXPR_MAX_OPS + 2] = "1";
    for (int i = 0; i < EXPR_MAX_OPS; i++)
        memcpy(lengthy + 1 + 2 * i, "+1", 3);
    refused(t, lengthy, "expected at most 256");
}

static void test_cells(const struct table *t)
{
    struct expr *e;
    double v;
    int col = -1;
    CHECK(expr_parse("flops+\"final loss\"+name", "--map", t, &e) == OK && e);
    CHECK(expr_value(e, t, 1, &v, &col) == CELL_MISSING && col == 1);
    CHECK(expr_value(e, t, 2, &v, &col) == CELL_NONFINITE && col == 2);
    CHECK(expr_value(e, t, 0, &v, &col) == CELL_TEXT && col == 3);
    CHECK(expr_column(e) == -1);
    expr_free(e);
}

static void test_map(const struct table *t)
{
    struct expr_map m;
    const char *text = "N=params, D = flops/(6*params),loss=\"final loss\"";
    CHECK(expr_map_parse(text, "--map", t, &m) == OK);
    double v;
    int col;
    CHECK(m.n == 3 && expr_map_find(&m, "D") == 1 && expr_map_find(&m, "E") == -1);
    CHECK(m.n == 3 && expr_value(m.e[1], t, 0, &v, &col) == CELL_NUMBER && v == 1e7);
    CHECK(m.n == 3 && expr_column(m.e[2]) == 2);
    expr_map_free(&m);
    static const char *const bad[][2] = {
        {"", "at character 1: expected name=expression"},
        {"N", "at character 2: expected '=' after a name"},
        {"N=params,", "at character 10: expected name=expression"},
        {"N=params,N=k", "at character 10: N is given twice"},
        {"N=params;D=k", "at character 9: expected an operation, ',' or the end"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(expr_map_parse(bad[i][0], "--map", t, &m) == ERR_INPUT);
        says(bad[i][0], bad[i][1]);
    }
}

// Which of the three rows a filter takes, as bits from the first.
static void takes(const struct table *t, const char *text, int want)
{
    struct filter *f;
    CHECK(filter_parse(text, "--where", t, &f) == OK);
    if (!f) {
        fprintf(stderr, "    %s: %s\n", text, err_message());
        return;
    }
    int got = 0;
    for (int row = 0; row < 3; row++)
        got |= filter_takes(f, t, row) << row;
    if (got != want)
        fprintf(stderr, "    %s: rows %d, wanted %d\n", text, got, want);
    CHECK(got == want);
    filter_free(f);
}

static void test_filters(const struct table *t)
{
    takes(t, "k=1", 1);
    takes(t, "k == 7", 2); // 07 is a number
    takes(t, "k!=1", 6);
    takes(t, "k<=3", 5);
    takes(t, "params>=4e6", 6);
    takes(t, "flops/params<1e8", 5); // a missing cell satisfies no comparison
    takes(t, "name=S-Base", 2);
    takes(t, "name=\"Dense\"", 1);
    takes(t, "name!=Dense", 6);
    takes(t, "name=", 4);
    takes(t, "flops=", 2);
    takes(t, "\"final loss\"=nan", 4);
    takes(t, "\"final loss\">0", 3);
    static const char *const bad[][2] = {
        {"k", "at character 2: expected =, !=, <"},
        {"k<many", "at character 3: expected a number"},
        {"2*k=many", "at character 5: expected a number, as the left side is no column"},
        {"route=1", "has no column 'route'"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct filter *f;
        CHECK(filter_parse(bad[i][0], "--where", t, &f) == ERR_INPUT && !f);
        says(bad[i][0], bad[i][1]);
    }
}

static void test_mutated(const struct table *t)
{
    static const char good[] = "N=params^.5,D=flops/(6*params),loss=ln(\"final loss\")-k";
    static const char spice[] = "()+-*/^\",=<>!. 0e\xff"
                                "k";
    struct rng r;
    rng_seed(&r, 2, 0);
    int taken = 0, refusals = 0;
    for (int i = 0; i < 4000; i++) {
        char text[sizeof good + 8] = "";
        memcpy(text, good, sizeof good);
        for (int k = (int)rng_below(&r, 4); k > 0; k--)
            text[rng_below(&r, sizeof good - 1)] = spice[rng_below(&r, sizeof spice - 1)];
        struct expr_map m;
        enum err e = expr_map_parse(text, "--map", t, &m);
        double v;
        int col;
        for (int k = 0; e == OK && k < m.n; k++)
            for (int row = 0; row < 3; row++)
                expr_value(m.e[k], t, row, &v, &col);
        taken += e == OK;
        refusals += e == ERR_INPUT && err_message()[0];
        expr_map_free(&m);
        struct filter *f;
        e = filter_parse(text + rng_below(&r, sizeof good - 1), "--where", t, &f);
        for (int row = 0; e == OK && row < 3; row++)
            filter_takes(f, t, row);
        taken += e == OK;
        refusals += e == ERR_INPUT;
        filter_free(f);
    }
    CHECK(taken + refusals == 8000 && taken > 500 && refusals > 500);
}

int main(void)
{
    int fd = memfd_create("table", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, csv, sizeof csv - 1) != (ssize_t)(sizeof csv - 1))
        return 1;
    struct table t;
    CHECK(table_read(path, &t) == OK);
    test_values(&t);
    test_refused(&t);
    test_cells(&t);
    test_map(&t);
    test_filters(&t);
    test_mutated(&t);
    table_free(&t);
    close(fd);
    return test_summary();
}
