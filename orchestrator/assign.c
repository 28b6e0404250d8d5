// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/assign.h"
#include "fit/table.h"
#include <math.h>
#include <string.h>

enum { MAX_NAMES = 32 };

static void list_names(const char *const *names, int n, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int k = 0; k < n && used < size; k++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s=..", k ? "," : "", names[k]);
}

static enum err one(const char *cmd, const char *option, const char *text, size_t len,
                    const char *const *names, int n, const char *all, double *out,
                    unsigned *given)
{
    char piece[128];
    ENSURE(len < sizeof piece, ERR_INPUT, "%s: %s: expected %s, found '%s'", cmd, option, all,
           table_quote(text).s);
    snprintf(piece, sizeof piece, "%.*s", (int)len, text);
    char *eq = strchr(piece, '=');
    double v;
    ENSURE(eq && table_number(eq + 1, &v), ERR_INPUT, "%s: %s: expected %s, found '%s'", cmd,
           option, all, table_quote(piece).s);
    *eq = '\0';
    for (int k = 0; k < n; k++)
        if (strcmp(piece, names[k]) == 0) {
            ENSURE(!(*given >> k & 1), ERR_INPUT, "%s: %s: %s is given twice", cmd, option,
                   piece);
            *given |= 1u << k;
            out[k] = v;
            return OK;
        }
    return err_set(ERR_INPUT, "%s: %s: expected %s, found '%s'", cmd, option, all,
                   table_quote(piece).s);
}

enum err assign_parse(const char *cmd, const char *option, const char *text,
                      const char *const *names, int n, double *out)
{
    char all[256];
    unsigned given = 0;
    ASSERT(n <= MAX_NAMES);
    list_names(names, n, all, sizeof all);
    for (const char *p = text; *p;) {
        const size_t len = strcspn(p, ",");
        TRY(one(cmd, option, p, len, names, n, all, out, &given));
        p += len + (p[len] == ',');
    }
    for (int k = 0; k < n; k++)
        ENSURE(!isnan(out[k]), ERR_INPUT, "%s: %s: expected %s, found no %s", cmd, option, all,
               names[k]);
    return OK;
}

void assign_print(json_t *values, FILE *f)
{
    const char *comma = "", *name;
    json_t *v;
    json_object_foreach(values, name, v)
    {
        fprintf(f, "%s%s=%.5g", comma, name, json_number_value(v));
        comma = ",";
    }
}
