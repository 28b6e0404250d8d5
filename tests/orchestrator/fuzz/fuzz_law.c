// SPDX-License-Identifier: GPL-3.0-or-later
// Law files as `moesweep predict` reads them. What is accepted has a value, intervals and an
// optimum anywhere, finite or NaN.
#include "fit/compute.h"
#include "orchestrator/fit_report.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include <math.h>

static void check_law(const struct fit_file *f)
{
    const struct law *l = f->fit.law;
    double x[LAW_MAX_VARS], v, lo, hi;
    int size, tokens;
    for (int k = 0; k < law_vars(l, NULL); k++)
        x[k] = f->lo[k] > 0 ? f->lo[k] : 16;
    law_fit_predict(&f->fit, x, &v, &lo, &hi);
    MUST(isnan(lo) || isnan(hi) || lo <= hi);
    law_fit_predict_new(&f->fit, x, &v, &lo, &hi);
    MUST(isnan(lo) || isnan(hi) || lo <= hi);
    if (compute_vars(l, &size, &tokens))
        compute_optimum(l, f->fit.value, 1e18, x);
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    struct fit_file f;
    json_t *doc = fuzz_json(in, size);
    bool accepted = doc && fit_file_from_json(doc, "law.json", &f) == OK;
    json_decref(doc);
    if (!accepted)
        return false;
    check_law(&f);
    fit_file_free(&f);
    return true;
}
