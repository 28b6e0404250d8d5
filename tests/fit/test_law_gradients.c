// SPDX-License-Identifier: GPL-3.0-or-later
// The table of laws: every entry has a case, its gradient is the value's, and the parameters
// called linear are.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_form.h"
#include "tests/fit/law_cases.h"
#include "tests/test.h"

static double value(const struct law *l, const double *truth, const double *x, int j, double v)
{
    double p[LAW_MAX_PARAMS];
    memcpy(p, truth, sizeof p);
    p[j] = v;
    return law_value(l, p, x, NULL);
}

// Central differences, extrapolated once (Richardson): error O(h^4) f^(5) / 4! h^4, rounding
// about eps f / h. With h = 1e-3 of the parameter (exponents multiply logarithms up to 28, so
// (h ln x)^4 is 1e-8 at the worst exponent of .4) and terms that are a part of f, 1e-7 of f /
// parameter is above both; what the test must find is a wrong sign, factor or term.
static void test_gradient(const struct law *l, const double *p, const double *x)
{
    double g[LAW_MAX_PARAMS], f = law_value(l, p, x, g);
    const struct law_param *info;
    int n = law_params(l, &info);
    CHECK(isfinite(f));
    CHECK(f == law_value(l, p, x, NULL));
    for (int j = 0; j < n; j++) {
        double h = 1e-3 * (p[j] != 0 ? fabs(p[j]) : 1), d[2];
        for (int k = 0; k < 2; k++) {
            double s = h / (k + 1);
            d[k] = (value(l, p, x, j, p[j] + s) - value(l, p, x, j, p[j] - s)) / (2 * s);
        }
        double want = (4 * d[1] - d[0]) / 3;
        double tol = 1e-7 * (fabs(want) + fabs(f) / fabs(h / 1e-3));
        if (!(fabs(g[j] - want) <= tol))
            fprintf(stderr, "%s, parameter %s:\n", law_name(l), info[j].name);
        CHECK_NEAR(g[j], want, tol);
    }
}

// f(p + 2 s) - 2 f(p + s) + f(p) = 0 in a linear parameter: of the logarithm, where the entry
// says so.
static void test_linear(const struct law *l, const double *truth, const double *x)
{
    for (int j = 0; j < l->n_params; j++) {
        double f[3], size = 0;
        for (int k = 0; k < 3; k++) {
            double v = l->tune[j].ln && l->log_linear ? truth[j] * exp(.1 * k)
                                                      : truth[j] + .1 * k * fabs(truth[j]);
            f[k] = value(l, truth, x, j, v);
            f[k] = l->log_linear ? log(f[k]) : f[k];
            size = fmax(size, fabs(f[k]));
        }
        double bend = fabs(f[2] - 2 * f[1] + f[0]);
        if (l->param[j].linear && !(bend <= 1e-13 * size)) // rounding of three values
            fprintf(stderr, "%s, parameter %s:\n", law_name(l), l->param[j].name);
        if (l->param[j].linear)
            CHECK_NEAR(bend, 0, 1e-13 * size);
    }
}

static void test_case(const struct law_case *c, struct rng *r)
{
    const struct law *l = law_find(c->law, c->columns);
    CHECK(l != NULL);
    if (!l)
        return;
    int v = law_vars(l, NULL);
    for (int k = 0; k < 200; k++) {
        double x[LAW_MAX_VARS], p[LAW_MAX_PARAMS] = {0};
        for (int j = 0; j < v; j++) {
            const struct axis *a = &c->axis[j];
            double u = rng_uniform(r);
            x[j] = a->step ? a->lo + (a->hi - a->lo) * u : a->lo * pow(a->hi / a->lo, u);
        }
        // Random points around the truth: a factor of up to 1.2 in every parameter.
        for (int j = 0; j < l->n_params; j++)
            p[j] = c->truth[j] * exp(.36 * (rng_uniform(r) - .5));
        test_gradient(l, p, x);
        test_linear(l, p, x);
    }
}

// Entries are whole: names, bounds with the truth inside, one case each.
static void test_table(void)
{
    for (int i = 0; law_at(i); i++) {
        const struct law *l = law_at(i);
        int cases = 0;
        for (int k = 0; k < N_LAW_CASES; k++)
            cases += strcmp(law_cases[k].law, law_name(l)) == 0;
        if (cases != 1)
            fprintf(stderr, "%s:\n", law_name(l));
        CHECK(cases == 1);
        CHECK(law_find(law_name(l), law_vars(l, NULL)) == l);
        CHECK(l->form != NULL && strlen(law_formula(l)) > 5);
        for (int j = 0; j < l->n_vars; j++)
            CHECK(l->var_name[j] && (l->var[j].below > l->var[j].least));
        for (int j = 0; j < l->n_params; j++) {
            CHECK(l->param[j].name && l->param[j].unit && l->param[j].lo < l->param[j].hi);
            CHECK(strstr(l->formula, l->param[j].name) || strstr(l->formula, ".."));
            CHECK(l->param[j].linear || l->tune[j].from < l->tune[j].to);
        }
    }
    for (int n = 1; n <= LAW_MAX_VARS; n++) {
        const struct law_param *p;
        const struct law *l = law_find("powersum", n);
        CHECK(l && law_vars(l, NULL) == n && law_params(l, &p) == 1 + 2 * n);
    }
    CHECK(!law_find("powersum", 0) && !law_find("powersum", LAW_MAX_VARS + 1));
    CHECK(!law_find("nonsense", 2));
}

// Numbers that the papers print.
static void test_published(void)
{
    // EL(3.1 %, g 12, C 1e22) = 7.25 of arXiv 2507.17702.
    double el = law_value(law_find("leverage", 0), law_cases[11].truth,
                          (double[]){.031, 12, 1e22}, NULL);
    // Its a = 1.23 has three digits: .005 ln Ah of the result, ln Ah = -3.06; d's likewise,
    // .0011.
    CHECK_REL(el, 7.25, .0153 + .0034);
    // D = 3.7420e9 at C = 1e18 of arXiv 2603.21862; its exponent has four digits: e^(41 *
    // 5e-5).
    double D =
        law_value(law_find("cmd", 0), (double[]){22.8929, .4563}, (double[]){1e18}, NULL);
    CHECK_REL(D, 3.7420e9, 2e-3);
    // Both Clark forms at one expert: Eh = E_s, so that log10 L = a n + b log10 E_s + ...
    const double *t = law_cases[2].truth;
    double n = 9, e = log10(t[4]), L = t[0] * n + t[1] * e + t[2] * n * e + t[3];
    double one = law_value(law_find("routed", 0), t, (double[]){1e9, 1}, NULL);
    CHECK_REL(one, pow(10, L), 1e-13);
}

// A row of the table in docs/laws.md.
static void row(const struct law *l, char *out, size_t size)
{
    char vars[128] = "", linear[256] = "", other[512] = "";
    for (int j = 0; j < l->n_vars; j++)
        snprintf(vars + strlen(vars), sizeof vars - strlen(vars), "%s%s", j ? " " : "",
                 l->var_name[j]);
    for (int j = 0; j < l->n_params; j++) {
        const struct law_param *q = &l->param[j];
        if (q->linear)
            snprintf(linear + strlen(linear), sizeof linear - strlen(linear), "%s%s%s",
                     *linear ? " " : "", q->name, q->lo >= 0 ? "" : "±");
        else
            snprintf(other + strlen(other), sizeof other - strlen(other), "%s%s [%g, %g]",
                     *other ? ", " : "", q->name, q->lo, q->hi);
    }
    snprintf(out, size, "| %s | %s | %s | %s | %s | %s |\n", l->name, vars, l->formula, linear,
             other, l->source);
}

static void test_documented(void)
{
    char path[1024], want[2048];
    static char text[200000];
    snprintf(path, sizeof path, "%s/docs/laws.md", getenv("MOESWEEP_SOURCE"));
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    if (!f)
        return;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (int i = 0; law_at(i); i++) {
        row(law_at(i), want, sizeof want);
        if (!strstr(text, want))
            fprintf(stderr, "docs/laws.md lacks (test_fit_law_gradients --table):\n%s", want);
        CHECK(strstr(text, want) != NULL);
    }
}

int main(int argc, char **argv)
{
    fit_init();
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        char line[2048];
        for (int i = 0; law_at(i); i++) {
            row(law_at(i), line, sizeof line);
            fputs(line, stdout);
        }
        return 0;
    }
    test_documented();
    struct rng r;
    rng_seed(&r, 6, 0);
    test_table();
    for (int k = 0; k < N_LAW_CASES; k++)
        test_case(&law_cases[k], &r);
    test_published();
    return test_summary();
}
