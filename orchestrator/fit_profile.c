// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/fit_profile.h"
#include "core/json.h"
#include "fit/table.h"
#include <string.h>

_Static_assert(LAW_MAX_PARAMS <= 32, "one bit a parameter");

static void list_params(const struct law *l, char *buf, size_t size)
{
    const struct law_param *p;
    const int n = law_params(l, &p);
    size_t used = 0;
    for (int k = 0; k < n && used < size; k++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", k ? ", " : "", p[k].name);
}

static uint32_t exponents(const struct law *l)
{
    const struct law_param *p;
    uint32_t params = 0;
    for (int k = law_params(l, &p) - 1; k >= 0; k--)
        params |= (uint32_t) !*p[k].unit << k;
    return params;
}

enum err fit_profile_parse(const char *text, const struct law *l, uint32_t *params)
{
    const struct law_param *p;
    const int n = law_params(l, &p);
    char all[256] = "";
    *params = strcmp(text, "exponents") == 0 ? exponents(l) : 0;
    if (*params)
        return OK;
    list_params(l, all, sizeof all);
    for (const char *at = text;; at++) {
        const size_t len = strcspn(at, ",");
        int k = 0;
        while (k < n && (strlen(p[k].name) != len || strncmp(p[k].name, at, len) != 0))
            k++;
        ENSURE(k < n, ERR_INPUT, "fit: --profile: expected %s of %s, or exponents; found '%s'",
               all, law_name(l), table_quote(text).s);
        *params |= 1u << k;
        at += len;
        if (!*at)
            return OK;
    }
}

static json_t *profile_json(const struct law_profile *p)
{
    json_t *one = json_object(), *curve = json_array();
    json_object_set_new(one, "lo", json_num(p->lo));
    json_object_set_new(one, "hi", json_num(p->hi));
    for (int i = 0; i < LAW_PROFILE_POINTS; i++)
        json_array_append_new(curve, json_pair(p->at[i], p->rise[i]));
    json_object_set_new(one, "curve", curve);
    return one;
}

enum err fit_profile_add(const struct law_fit *f, const struct law_data *d, uint32_t params,
                         json_t *report)
{
    const struct law_param *p;
    const int n = law_params(f->law, &p);
    double least = f->objective;
    json_t *all = json_object();
    enum err e = OK;
    for (int k = 0; k < n && e == OK; k++) {
        struct law_profile one;
        if (!(params >> k & 1))
            continue;
        e = law_fit_profile_interval(f, d, k, &one);
        json_object_set_new(all, p[k].name, profile_json(&one));
        least = one.least < least ? one.least : least;
    }
    json_object_set_new(report, "profile", all);
    if (f->objective - least > 1e-6 * f->objective)
        json_array_append_new(
            json_object_get(report, "notes"),
            json_sprintf("a profile found an objective of %.9g, below the fit's %.9g: the fit "
                         "is not the best",
                         least, f->objective));
    return e;
}
