// SPDX-License-Identifier: GPL-3.0-or-later
// The document of analyze_run for people. A star marks what is beyond the data.
#include "core/json.h"
#include "orchestrator/analyze.h"
#include "orchestrator/assign.h"
#include <math.h>

struct words {
    char s[96];
};

// "6.78 (6.5 to 7.1)"; how often where not all resamples have it; a dash for none.
static struct words words(const json_t *v)
{
    struct words w;
    const double value = jnum(v, "value"), lo = jnum(v, "lo"), hi = jnum(v, "hi");
    const double share = jnum(v, "share");
    if (!isfinite(value))
        snprintf(w.s, sizeof w.s, "-");
    else if (!isfinite(lo) || !isfinite(hi))
        snprintf(w.s, sizeof w.s, "%.4g", value);
    else if (share < 1)
        snprintf(w.s, sizeof w.s, "%.4g (%.4g to %.4g; in %.0f %%)", value, lo, hi,
                 100 * share);
    else
        snprintf(w.s, sizeof w.s, "%.4g (%.4g to %.4g)", value, lo, hi);
    return w;
}

static struct words of(const json_t *row, const char *key)
{
    return words(json_object_get(row, key));
}

static const char *star(const json_t *row)
{
    return jnum(row, "beyond") > 1 ? " *" : "";
}

static void print_effects(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *rows = json_object_get(doc, "effects");
    if (!json_array_size(rows))
        return;
    printf("\neffect of each variable, the others held\n"
           "  %-5s %-38s over the data, %%\n",
           "", "% of the law per % of it");
    json_array_foreach(rows, i, v)
    {
        printf("  %-5s %-38s %s", jstr(v, "var"), of(v, "elasticity").s, of(v, "change").s);
        printf("   from %.4g to %.4g\n", jnum(v, "from"), jnum(v, "to"));
    }
}

static void print_optima(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *rows = json_object_get(doc, "optima");
    if (!json_array_size(rows))
        return;
    printf("\noptimum along each, and the range within %g %% of it\n",
           100 * jnum(doc, "tolerance"));
    json_array_foreach(rows, i, v)
    {
        const json_t *share = json_object_get(v, "share_of_N");
        if (!isfinite(jnum(json_object_get(v, "optimum"), "value"))) {
            printf("  %-5s none between %.4g and %.4g\n", jstr(v, "var"),
                   jnum_at(json_object_get(v, "searched"), 0),
                   jnum_at(json_object_get(v, "searched"), 1));
            continue;
        }
        printf("  %-5s %-34s %.4g to %.4g%s\n", jstr(v, "var"), of(v, "optimum").s,
               jnum(json_object_get(v, "within_lo"), "value"),
               jnum(json_object_get(v, "within_hi"), "value"), star(v));
        if (share)
            printf("  N_a/N %s%s\n", words(share).s, star(v));
    }
}

static void print_budgets(const json_t *doc)
{
    static const char *const names[] = {"M", "N", "N_a", "D", "loss"};
    size_t i;
    json_t *v;
    const json_t *rows = json_object_get(doc, "budgets");
    if (!json_array_size(rows))
        return;
    puts("\ncompute-optimal");
    json_array_foreach(rows, i, v)
    {
        printf("  C = %.4g%s\n", jnum(v, "C"), star(v));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (json_object_get(v, names[k]))
                printf("    %-5s %s\n", names[k], of(v, names[k]).s);
        printf("    size ~ C^%s\n", of(v, "exponent").s);
    }
}

static void print_dense_one(const json_t *one)
{
    const char *scale = jstr(one, "scale");
    size_t i;
    json_t *v;
    printf("  E = %.4g\n", jnum(one, "E"));
    json_array_foreach(json_object_get(one, "leverage"), i, v)
        printf("    %s = %-10.4g a dense model of the same loss takes %s times that%s\n", scale,
               jnum(v, "at"), words(v).s, star(v));
    if (!jtrue(one, "pays")) {
        printf("    does not beat a dense model at %s = %.4g\n", scale, jnum(one, "pays_at"));
        return;
    }
    if (jnum(json_object_get(one, "pays_from"), "value") > 0)
        printf("    pays from %s = %s%s\n", scale, of(one, "pays_from").s,
               star(json_object_get(one, "pays_from")));
    if (jtrue(one, "endless"))
        printf("    and does not stop paying up to a million times %s = %.4g\n", scale,
               jnum(one, "pays_at"));
    else
        printf("    stops paying at %s = %s%s\n", scale, of(one, "pays_to").s,
               star(json_object_get(one, "pays_to")));
}

static void print_dense(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *one = json_object_get(doc, "leverage_one_at_C");
    const json_t *rows = json_object_get(doc, "dense");
    if (json_array_size(rows))
        puts("\nagainst dense models (E = 1)");
    json_array_foreach(rows, i, v) print_dense_one(v);
    if (one)
        printf("\nEL = 1 (no better than dense) at C = %s%s\n", words(one).s, star(one));
}

static void print_trend(const json_t *rows, const char *what)
{
    size_t i;
    json_t *v;
    if (json_array_size(rows))
        printf("  trend %s, r* = alpha_r C^beta_r\n", what);
    json_array_foreach(rows, i, v)
    {
        printf("    z = %-8.4g alpha_r %s   beta_r %s", jnum(v, "z"), of(v, "alpha_r").s,
               of(v, "beta_r").s);
        if (json_object_get(v, "scales"))
            printf("   (%.0f interior minima)", jnum(v, "scales"));
        putchar('\n');
    }
}

static void print_allocation(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *a = json_object_get(doc, "allocation");
    if (!a)
        return;
    puts("\nexpert-attention allocation");
    json_array_foreach(json_object_get(a, "surface"), i, v)
        printf("  z = %-8.4g C = %-10.4g r* of the law %s%s\n", jnum(v, "z"), jnum(v, "C"),
               of(v, "r").s, star(v));
    print_trend(json_object_get(a, "surface_trend"), "of the law");
    json_array_foreach(json_object_get(a, "runs"), i, v) printf(
        "  z = %-8.4g C = %-10.4g raw minimum at r = %-8.4g parabola %s, %s\n", jnum(v, "z"),
        jnum(v, "C"), jnum(v, "raw"), of(v, "parabola").s, jstr(v, "verdict"));
    print_trend(json_object_get(a, "runs_trend"), "of the runs' parabolas");
    const char *name;
    json_t *star_law = json_object_get(a, "r_star");
    if (star_law)
        puts("  all sparsities together: r* = a0 (1-z)^a1 C^(b0 (1-z)^b1)");
    json_object_foreach(star_law, name, v) printf("    %s %s\n", name, words(v).s);
}

static void print_claim(const json_t *doc)
{
    const json_t *c = json_object_get(doc, "claim");
    if (!c)
        return;
    printf("\nclaim: %s\n", jstr(c, "claim"));
    printf("  ten times the compute multiplies G* by %s (p = %.2g)\n",
           of(c, "G_factor_per_decade").s, jnum(c, "p_G"));
    printf("  and adds to s*                         %s (p = %.2g)\n",
           of(c, "s_change_per_decade").s, jnum(c, "p_s"));
    if (isnan(jnum(c, "p")))
        puts("  no verdict: too few resamples");
    else
        printf("  %s (p = %.2g of both; rmse %.4g with, %.4g without a dependence)\n",
               jtrue(c, "rejected") ? "rejected at 5 %" : "not rejected at 5 %", jnum(c, "p"),
               jnum(c, "rmse_log"), jnum(c, "rmse_log_claimed"));
}

void analyze_print(const json_t *doc)
{
    size_t i;
    json_t *v;
    printf("%s: %s\nat ", jstr(doc, "law"), jstr(doc, "formula"));
    assign_print(json_object_get(doc, "at"), stdout);
    printf("\n(95 %% intervals of %.0f resamples in brackets; * beyond the data)\n",
           jnum(doc, "resamples"));
    print_effects(doc);
    print_optima(doc);
    print_budgets(doc);
    print_dense(doc);
    print_allocation(doc);
    print_claim(doc);
    if (json_array_size(json_object_get(doc, "notes")))
        putchar('\n');
    json_array_foreach(json_object_get(doc, "notes"), i, v)
        printf("%s\n", json_string_value(v));
}
