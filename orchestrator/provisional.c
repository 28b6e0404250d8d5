// SPDX-License-Identifier: GPL-3.0-or-later
// What open cells would say if the results that they wait for did not come.
#include "orchestrator/steer_state.h"
#include <stdlib.h>
#include <string.h>

enum { AT_LEAST = 3 }; // results; fewer fit no curve

// The cell with a memory of its own for what deciding changes.
static enum err fit_copy(const struct steer *s, const struct cell *open, json_t **out)
{
    struct cell c = *open;
    size_t size = (size_t)open->n_entries * sizeof *c.entries;
    c.entries = malloc(size);
    ENSURE(c.entries, ERR_FAILED, "out of memory");
    memcpy(c.entries, open->entries, size);
    memset(c.fits, 0, sizeof c.fits);
    memset(c.fit_entry, 0, sizeof c.fit_entry);
    c.rank_pairs = c.spread_rows = NULL;
    enum err e = decide_cell(s, &c);
    if (e == OK)
        e = decide_cell_json(s, &c, false, out);
    decide_cell_free(&c);
    free(c.entries);
    return e;
}

enum err steer_provisional(const struct steer *s, json_t **out)
{
    json_t *list = json_array();
    enum err e = list ? OK : err_set(ERR_FAILED, "out of memory");
    for (int i = 0; e == OK && i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        int usable = 0;
        for (int k = 0; c->state == CELL_OPEN && k < c->n_entries; k++)
            usable += steer_job_ok(s->jobs[c->entries[k].job]);
        json_t *one = NULL;
        if (usable >= AT_LEAST)
            e = fit_copy(s, c, &one);
        if (one)
            json_array_append_new(list, one);
    }
    if (e == OK)
        *out = list;
    else
        json_decref(list);
    return e;
}
