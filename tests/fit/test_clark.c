// SPDX-License-Identifier: GPL-3.0-or-later
// The routed law on the data of Clark 2022 (58 final losses of S-Base and dense models): our
// re-fit of the reference page, and intervals that hold it.
#include "core/err.h"
#include "fit/fit.h"
#include "fit/law.h"
#include "tests/fit/clark.h"

int main(void)
{
    fit_init();
    struct clark r = clark_load();
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
