// SPDX-License-Identifier: GPL-3.0-or-later
// The laws. Adding one: an entry here, its form in law_forms.c, its case in
// tests/fit/law_cases.h. Names of variables and parameters are those of files and commands.
#include "fit/law_form.h"
#include <math.h>
#include <string.h>

#define NO_BOUND ((double)INFINITY)
// clang-format off
// Variables.
#define LN {USE_LN, 0, NO_BOUND}
#define SPARSITY {USE_LN_1M, 0, 1}
#define PLAIN(least) {USE_PLAIN, least, NO_BOUND}
#define SHARE {USE_PLAIN, 0, 1.0000001} // one itself is in
// Parameters, entries of `param`. Linear ones: positive; of any sign; a loss that may well be
// zero. Others: an exponent of a term that falls (at zero it would be a constant); and so on.
#define SCALE(name, unit) {name, unit, 0, NO_BOUND, true}
#define FREE(name, unit) {name, unit, -NO_BOUND, NO_BOUND, true}
#define FLOOR(name) {name, "loss", 0, NO_BOUND, true}
#define EXPONENT(name) {name, "", 1e-3, 4, false}
#define SIGNED(name, limit) {name, "", -(limit), limit, false}
#define POSITIVE(name, unit, lo, hi) {name, unit, lo, hi, false}
// And of `tune`: how it moves and where starts lie.
#define IN_LN {.ln = true}
#define AS_IS {.ln = false}
#define FROM(lo, hi) {false, lo, hi}
#define LN_FROM(lo, hi) {true, lo, hi}
// Exponents of loss terms that fall with size or data: every published one is between these.
#define FALLING FROM(.03, 1.2)
// clang-format on
#define L "loss"

static const struct law table[] = {
    {"chinchilla", "L = E + A/N^alpha + B/D^beta", "Hoffmann 2022, arXiv 2203.15556", 2, 5,
     .var_name = {"N", "D"}, .var = {LN, LN},
     .param = {FLOOR("E"), SCALE("A", L), SCALE("B", L), EXPONENT("alpha"), EXPONENT("beta")},
     .tune = {AS_IS, IN_LN, IN_LN, FALLING, FALLING}, .form = form_chinchilla},
    {"kaplan", "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
     "Kaplan 2020, arXiv 2001.08361", 2, 4, .var_name = {"N", "D"}, .var = {LN, LN},
     .param = {POSITIVE("N_c", "parameters", 1e-200, 1e200), EXPONENT("alpha_N"),
               POSITIVE("D_c", "tokens", 1e-200, 1e200), EXPONENT("alpha_D")},
     .tune = {LN_FROM(.05, 1), FROM(.03, .6), LN_FROM(.05, 1), FROM(.03, .6)},
     .form = form_kaplan, .start = start_kaplan},
    {"routed",
     "log10 L = a log10 N + b log10 Eh + c log10 N log10 Eh + d; "
     "1/Eh = 1/(E - 1 + (1/E_s - 1/E_m)^-1) + 1/E_m",
     "Clark 2022, arXiv 2202.01169", 2, 6, .var_name = {"N", "E"}, .var = {LN, PLAIN(1)},
     .param = {FREE("a", ""), FREE("b", ""), FREE("c", ""), FREE("d", "log10 loss"),
               POSITIVE("E_s", "experts", .05, 1e4), POSITIVE("E_m", "experts", 1, 1e7)},
     .tune = {AS_IS, AS_IS, AS_IS, AS_IS, LN_FROM(.5, 30), LN_FROM(40, 1e4)},
     .log_linear = true, .form = form_routed},
    {"finegrained", "L = c + (k/g^gamma + a)/N^alpha + b/D^beta",
     "Krajewski 2024, arXiv 2402.07871", 3, 7, .var_name = {"N", "D", "g"}, .var = {LN, LN, LN},
     .param = {FLOOR("c"), SCALE("k", L), EXPONENT("gamma"), SCALE("a", L), EXPONENT("alpha"),
               SCALE("b", L), EXPONENT("beta")},
     .tune = {AS_IS, IN_LN, FALLING, IN_LN, FALLING, IN_LN, FALLING}, .form = form_finegrained},
    {"jointmoe",
     "L = a Eh^delta N_a^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c; "
     "1/Eh = 1/(E - 1 + (1/E_s - 1/E_m)^-1) + 1/E_m",
     "Ludziejewski 2025, arXiv 2502.05172", 3, 11, .var_name = {"N_a", "D", "E"},
     .var = {LN, LN, PLAIN(1)},
     .param = {SCALE("a", L), SIGNED("delta", 4), SIGNED("alpha", 4), SIGNED("gamma", 1),
               SCALE("b", L), SIGNED("omega", 4), SIGNED("beta", 4), SIGNED("zeta", 1),
               FLOOR("c"), POSITIVE("E_s", "experts", .05, 1e4),
               POSITIVE("E_m", "experts", 1, 1e7)},
     .tune = {IN_LN, FROM(-.6, .6), FROM(-.6, -.05), FROM(-.03, .03), IN_LN, FROM(-.6, .6),
              FROM(-.6, -.05), FROM(-.03, .03), AS_IS, LN_FROM(.5, 30), LN_FROM(40, 1e4)},
     .form = form_jointmoe},
    {"fivefactor",
     "L = (e G + f/G + m s^2 + n s)(N^-alpha + k N_a^-alpha + h N_a/N) + a N^-alpha + b "
     "D^-beta "
     "+ c N_a^-alpha + eps",
     "Zhao 2025, arXiv 2509.23678", 5, 12, .var_name = {"N", "D", "N_a", "G", "s"},
     .var = {LN, LN, LN, PLAIN(1e-300), SHARE},
     .param = {SCALE("e", L), SCALE("f", L), FREE("m", L), FREE("n", L),
               POSITIVE("k", "ratio", 0, 1e6), POSITIVE("h", "ratio", 0, 1e6), SCALE("a", L),
               EXPONENT("alpha"), SCALE("b", L), EXPONENT("beta"), SCALE("c", L), FLOOR("eps")},
     .tune = {IN_LN, IN_LN, AS_IS, AS_IS, FROM(0, 2), FROM(0, .5), IN_LN, FALLING, IN_LN,
              FALLING, IN_LN, AS_IS},
     .form = form_fivefactor},
    {"fivefactor_c",
     "L = (e G + f C^(2 q_G)/G + m s^2 + (n + q_s ln C) s)(N^-alpha + k N_a^-alpha + h N_a/N) "
     "+ a N^-alpha + b D^-beta + c N_a^-alpha + eps; C = 6 N_a D/1e20",
     "fivefactor with optima that move with scale", 5, 14,
     .var_name = {"N", "D", "N_a", "G", "s"}, .var = {LN, LN, LN, PLAIN(1e-300), SHARE},
     .param = {SCALE("e", L), SCALE("f", L), FREE("m", L), FREE("n", L),
               POSITIVE("k", "", 0, 100), POSITIVE("h", "", 0, 1e6), SCALE("a", L),
               EXPONENT("alpha"), SCALE("b", L), EXPONENT("beta"), SCALE("c", L), FLOOR("eps"),
               SIGNED("q_G", 1), FREE("q_s", L)},
     .tune = {IN_LN, IN_LN, AS_IS, AS_IS, FROM(0, 2), FROM(0, .5), IN_LN, FALLING, IN_LN,
              FALLING, IN_LN, AS_IS, FROM(-.1, .1), AS_IS},
     .form = form_fivefactor_c},
    {"allocation", "L = a/N^alpha + b/D^beta + c (1-z)^gamma/N^lambda + d r/(r+1) + tau",
     "Li 2026, arXiv 2603.10379, with its e^R in c", 4, 9, .var_name = {"N", "D", "z", "r"},
     .var = {LN, LN, SPARSITY, LN},
     .param = {SCALE("a", L), EXPONENT("alpha"), SCALE("b", L), EXPONENT("beta"), SCALE("c", L),
               SIGNED("gamma", 4), EXPONENT("lambda"), FREE("d", L), FLOOR("tau")},
     .tune = {IN_LN, FALLING, IN_LN, FALLING, IN_LN, FROM(-1, 1.2), FALLING, AS_IS, AS_IS},
     .form = form_allocation},
    {"allocation_q",
     "L = a/N^alpha + b/D^beta + c (1-z)^gamma/N^lambda + d (ln r - ln r0)^2 + tau",
     "allocation with a minimum in r", 4, 10, .var_name = {"N", "D", "z", "r"},
     .var = {LN, LN, SPARSITY, LN},
     .param = {SCALE("a", L), EXPONENT("alpha"), SCALE("b", L), EXPONENT("beta"), SCALE("c", L),
               SIGNED("gamma", 4), EXPONENT("lambda"), FREE("d", L), FLOOR("tau"),
               POSITIVE("r0", "ratio", 1e-6, 1e6)},
     .tune = {IN_LN, FALLING, IN_LN, FALLING, IN_LN, FROM(-1, 1.2), FALLING, AS_IS, AS_IS,
              LN_FROM(.1, 10)},
     .form = form_allocation_q},
    {"wang", "L = a/(N^alpha E^gamma) + b/D^beta + tau", "Wang 2024, in arXiv 2603.10379", 3, 6,
     .var_name = {"N", "D", "E"}, .var = {LN, LN, LN},
     .param = {SCALE("a", L), EXPONENT("alpha"), SIGNED("gamma", 4), SCALE("b", L),
               EXPONENT("beta"), FLOOR("tau")},
     .tune = {IN_LN, FALLING, FROM(-.3, 1), IN_LN, FALLING, AS_IS}, .form = form_wang},
    {"abnar", "L = a/N^alpha + b/D^beta + c/(1-z)^lambda + d/((1-z)^delta N^gamma) + tau",
     "Abnar 2025, arXiv 2501.12370", 3, 10, .var_name = {"N", "D", "z"},
     .var = {LN, LN, SPARSITY},
     .param = {SCALE("a", L), EXPONENT("alpha"), SCALE("b", L), EXPONENT("beta"), SCALE("c", L),
               SIGNED("lambda", 4), SCALE("d", L), SIGNED("delta", 4), EXPONENT("gamma"),
               FLOOR("tau")},
     .tune = {IN_LN, FALLING, IN_LN, FALLING, IN_LN, FROM(-1, 3), IN_LN, FROM(-1, 1), FALLING,
              AS_IS},
     .form = form_abnar},
    {"upcycling", "L = A D1^-a1 D2^(-a2 + a3 ln D1) + B N^-beta + E",
     "Liew 2025, arXiv 2502.03009 (the form as remembered)", 3, 7,
     .var_name = {"D1", "D2", "N"}, .var = {LN, LN, LN},
     .param = {SCALE("A", L), SIGNED("a1", 4), SIGNED("a2", 4), SIGNED("a3", 1), SCALE("B", L),
               EXPONENT("beta"), FLOOR("E")},
     .tune = {IN_LN, FROM(0, .6), FROM(0, .6), FROM(-.01, .02), IN_LN, FALLING, AS_IS},
     .form = form_upcycling},
    {"leverage",
     "EL = Ah^(a + d log10 C + gamma (log2 g)^2 + beta log2 g); "
     "1/Ah = 1/(A + (1/A_start - 1/A_max)^-1) + 1/A_max",
     "Ant 2025, arXiv 2507.17702", 3, 6, .var_name = {"A", "g", "C"},
     .var = {{USE_PLAIN, 1e-300, 1.0000001}, LN, LN},
     .param = {FREE("a", ""), FREE("d", ""), FREE("gamma", ""), FREE("beta", ""),
               POSITIVE("A_start", "ratio", 1e-6, 1), POSITIVE("A_max", "ratio", 1e-3, 1e18)},
     .tune = {AS_IS, AS_IS, AS_IS, AS_IS, LN_FROM(1e-4, .3), LN_FROM(1, 1e6)},
     .log_linear = true, .form = form_leverage},
    {"r_star", "r = a0 (1-z)^a1 C^(b0 (1-z)^b1)", "Li 2026, arXiv 2603.10379", 2, 4,
     .var_name = {"C", "z"}, .var = {LN, SPARSITY},
     .param = {SCALE("a0", "r"), FREE("a1", ""), FREE("b0", ""), SIGNED("b1", 4)},
     .tune = {IN_LN, AS_IS, AS_IS, FROM(-2, 2)}, .log_linear = true, .form = form_r_star},
    {"density", "L = a/(x-6) + b x + c", "Wan 2026, arXiv 2603.21862", 1, 3, .var_name = {"x"},
     .var = {PLAIN(6.0000001)}, .param = {FREE("a", L), FREE("b", L), FREE("c", L)},
     .tune = {AS_IS, AS_IS, AS_IS}, .form = form_density},
    {"expansion", "L = a/(y-1) + b/(y_max-y) + c", "Wan 2026, arXiv 2603.21862", 2, 3,
     .var_name = {"y", "y_max"}, .var = {PLAIN(1.0000001), PLAIN(1.0000001)},
     .param = {FREE("a", L), FREE("b", L), FREE("c", L)}, .tune = {AS_IS, AS_IS, AS_IS},
     .form = form_expansion},
    {"width", "L = a + b ln d + c (ln d)^2", "an isoFLOP parabola in ln d", 1, 3,
     .var_name = {"d"}, .var = {LN}, .param = {FREE("a", L), FREE("b", L), FREE("c", L)},
     .tune = {AS_IS, AS_IS, AS_IS}, .form = form_quadratic},
    {"width_q", "L = a + b d + c d^2", "Wan 2026, arXiv 2603.21862", 1, 3, .var_name = {"d"},
     .var = {PLAIN(0)}, .param = {FREE("a", L), FREE("b", L), FREE("c", L)},
     .tune = {AS_IS, AS_IS, AS_IS}, .form = form_quadratic},
    {"power", "y = k X^p", "", 1, 2, .var_name = {"X"}, .var = {LN},
     .param = {SCALE("k", "y"), FREE("p", "")}, .tune = {IN_LN, AS_IS}, .log_linear = true,
     .form = form_power},
    {"power_offset", "y = k X^p + c", "", 1, 3, .var_name = {"X"}, .var = {LN},
     .param = {SCALE("k", "y"), SIGNED("p", 10), FREE("c", "y")},
     .tune = {IN_LN, FROM(-1.5, 1.5), AS_IS}, .form = form_power_offset},
    {"cmd", "D = k_D C^p_D, and with C = M D also M = C^(1-p_D)/k_D",
     "Wan 2026, arXiv 2603.21862", 1, 2, .var_name = {"C"}, .var = {LN},
     .param = {SCALE("k_D", "tokens"), FREE("p_D", "")}, .tune = {IN_LN, AS_IS},
     .log_linear = true, .form = form_power},
};
enum { N_TABLE = sizeof table / sizeof *table };

// powersum of 1, 2, .. columns.
#define SUM_PARAMS                                                                             \
    FLOOR("E"), SCALE("A1", L), EXPONENT("p1"), SCALE("A2", L), EXPONENT("p2"),                \
        SCALE("A3", L), EXPONENT("p3"), SCALE("A4", L), EXPONENT("p4"), SCALE("A5", L),        \
        EXPONENT("p5"), SCALE("A6", L), EXPONENT("p6"), SCALE("A7", L), EXPONENT("p7"),        \
        SCALE("A8", L), EXPONENT("p8")
#define SUM_TERM IN_LN, FALLING
#define SUM(n)                                                                                 \
    {                                                                                          \
        "powersum", "L = E + A1 X1^-p1 + A2 X2^-p2 + ..", "", n, 1 + 2 * (n),                  \
            .var_name = {"X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8"},                      \
            .var = {LN, LN, LN, LN, LN, LN, LN, LN}, .param = {SUM_PARAMS},                    \
            .tune = {AS_IS,    SUM_TERM, SUM_TERM, SUM_TERM, SUM_TERM,                         \
                     SUM_TERM, SUM_TERM, SUM_TERM, SUM_TERM},                                  \
            .form = form_powersum                                                              \
    }
static const struct law sums[LAW_MAX_VARS] = {SUM(1), SUM(2), SUM(3), SUM(4),
                                              SUM(5), SUM(6), SUM(7), SUM(8)};
#define POWERSUM_SHOWN 2 // columns of the powersum in the list of laws

const struct law *law_find(const char *name, int n_vars)
{
    if (strcmp(name, "powersum") == 0)
        return n_vars >= 1 && n_vars <= LAW_MAX_VARS ? &sums[n_vars - 1] : NULL;
    for (int i = 0; i < N_TABLE; i++)
        if (strcmp(name, table[i].name) == 0)
            return &table[i];
    return NULL;
}

const struct law *law_at(int i)
{
    if (i < 0 || i > N_TABLE)
        return NULL;
    return i < N_TABLE ? &table[i] : &sums[POWERSUM_SHOWN - 1];
}

const char *law_name(const struct law *l)
{
    return l->name;
}

const char *law_formula(const struct law *l)
{
    return l->formula;
}

const char *law_source(const struct law *l)
{
    return l->source;
}

int law_vars(const struct law *l, const char *const **names)
{
    if (names)
        *names = l->var_name;
    return l->n_vars;
}

int law_var_find(const struct law *l, const char *name)
{
    const char *const *names;
    const int n = law_vars(l, &names);
    for (int k = 0; k < n; k++)
        if (strcmp(names[k], name) == 0)
            return k;
    return -1;
}

int law_params(const struct law *l, const struct law_param **params)
{
    if (params)
        *params = l->param;
    return l->n_params;
}

void law_transform(const struct law *l, const double *x, double *t)
{
    for (int i = 0; i < l->n_vars; i++)
        t[i] = l->var[i].use == USE_PLAIN ? x[i]
               : l->var[i].use == USE_LN  ? log(x[i])
                                          : log1p(-x[i]);
}

int law_outside(const struct law *l, const double *x)
{
    for (int i = 0; i < l->n_vars; i++) {
        const struct law_var *v = &l->var[i];
        bool inside = x[i] >= v->least && x[i] < v->below;
        if (!inside || (v->use == USE_LN && !(x[i] > 0)))
            return i;
    }
    return -1;
}

double law_value(const struct law *l, const double *params, const double *x, double *gradient)
{
    double t[LAW_MAX_VARS];
    law_transform(l, x, t);
    return l->form(l, params, t, gradient);
}
