// SPDX-License-Identifier: GPL-3.0-or-later
// Typed reading along the table of keys: scalars, groups, lists of groups; the rest is
// config_sections.c's.
#include "orchestrator/config_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Names end up in file names, records and tables.
static bool is_name(const char *text)
{
    static const char *allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return *text && text[strspn(text, allowed)] == '\0';
}

static enum err read_scalar(struct reader *r, const struct node *n, void *base)
{
    const struct key *k = n->key;
    void *field = (char *)base + k->offset;
    const char *text = node_text(n);
    int64_t i;
    double v;
    switch (k->type) {
    case KEY_INT:
    case KEY_I64:
        if (!node_i64(n, &i) || !key_in_range(k, (double)i))
            return key_fail(r, n);
        if (k->type == KEY_INT)
            *(int *)field = (int)i;
        else
            *(int64_t *)field = i;
        return OK;
    case KEY_NUM:
        if (!node_num(n, &v) || !key_in_range(k, v))
            return key_fail(r, n);
        *(double *)field = v;
        return OK;
    case KEY_BOOL:
        return node_bool(n, field) ? OK : key_fail(r, n);
    case KEY_CHOICE:
        if (!text || choice_find(k->shape, text) < 0)
            return key_fail(r, n);
        *(int *)field = choice_find(k->shape, text);
        return OK;
    default:
        if (!text || strlen(text) >= k->size || (k->shape && choice_find(k->shape, text) < 0))
            return key_fail(r, n);
        if ((k->flags & KEY_REQUIRED) && !is_name(text))
            return node_fail(r->tree, n, "letters, digits, _, - and .");
        snprintf(field, k->size, "%s", text);
        return OK;
    }
}

static enum err read_value(struct reader *r, const struct node *n, void *base);

static enum err member(struct reader *r, const struct node *group, const char *section, int i,
                       struct node *out)
{
    TRY(node_child(r->tree, group, i, out));
    char full[CONFIG_PATH];
    snprintf(full, sizeof full, "%.80s%s%.70s", section, *section ? "." : "", node_name(out));
    out->key = strcmp(node_name(out), "*") == 0 ? NULL : key_find(full);
    if (!out->key)
        return places_fail(&r->tree->places, out->path,
                           "a key that docs/configuration.md lists", "an unknown key");
    return OK;
}

static enum err read_absent(struct reader *r, const struct node *group, const struct key *k,
                            const char *name, void *base)
{
    struct node none = {.key = k};
    snprintf(none.path, sizeof none.path, "%.80s%s%.70s", group->path, *group->path ? "." : "",
             name);
    if (k->flags & KEY_REQUIRED) {
        char expected[200];
        key_expected(k, expected, sizeof expected);
        return places_fail(&r->tree->places, none.path, expected, "nothing");
    }
    if (k->type == KEY_GROUP) // its keys have defaults of their own
        return read_group(r, &none, k->path, base);
    key_set_default(k, base);
    return OK;
}

enum err read_group(struct reader *r, const struct node *group, const char *section, void *base)
{
    if (!node_is_group(group))
        return node_fail(r->tree, group, "a group { .. }");
    struct node m;
    int n = node_length(group);
    for (int i = 0; i < n; i++)
        TRY(member(r, group, section, i, &m));
    for (int k = 0; k < config_n_keys; k++) {
        const char *name = key_in(&config_keys[k], section);
        bool given = false;
        for (int i = 0; name && i < n; i++) {
            TRY(member(r, group, section, i, &m));
            if (m.key != &config_keys[k])
                continue;
            given = true;
            TRY(read_value(r, &m, base));
        }
        if (name && !given)
            TRY(read_absent(r, group, &config_keys[k], name, base));
    }
    return OK;
}

static enum err read_list(struct reader *r, const struct node *n)
{
    int len = node_length(n);
    if (!node_is_list(n) || !key_in_range(n->key, len))
        return key_fail(r, n);
    for (int i = 0; i < len; i++) {
        struct node e;
        TRY(node_child(r->tree, n, i, &e));
        if (strcmp(n->key->path, "phases") == 0)
            TRY(read_phase(r, &e));
        else if (strcmp(n->key->path, "phases.axes") == 0)
            TRY(read_axis(r, &e));
        else
            TRY(read_fit(r, &e));
    }
    return OK;
}

static enum err read_value(struct reader *r, const struct node *n, void *base)
{
    struct var lr = {.kind = VAR_LR}, batch = {.kind = VAR_BATCH}, *var = NULL;
    switch (n->key->type) {
    case KEY_GROUP:
        return read_group(r, n, n->key->path, base);
    case KEY_LIST:
        return read_list(r, n);
    case KEY_OTHER:
        return read_other(r, n, base);
    case KEY_RULE:
        if (strcmp(n->key->path, "train.lr") == 0)
            var = &lr;
        else if (strcmp(n->key->path, "train.batch_tokens") == 0)
            var = &batch;
        return read_rule(r, n, var, n->key->flags & KEY_OPEN_LO ? 1e-300 : n->key->lo,
                         n->key->hi, n->key->flags & KEY_WHOLE,
                         (void *)((char *)base + n->key->offset));
    default:
        return read_scalar(r, n, base);
    }
}

static void sweep_init(struct sweep *s, const char *path)
{
    memset(s, 0, sizeof *s);
    snprintf(s->path, sizeof s->path, "%s", path);
    job_init(&s->base);
    solve_defaults(&s->solve);
    s->solve.base = arch_unset();
    s->solve.n_free = 0;
    for (int i = 0; i < N_COORDS; i++) {
        s->solve.want[i] = NAN;
        s->solve.tol[i] = strtod(key_find("tolerance.*")->deflt, NULL);
    }
}

enum err config_load(const char *path, struct sweep *out)
{
    sweep_init(out, path);
    ENSURE(strlen(path) < sizeof out->path, ERR_INPUT, "%s: path too long", path);
    TRY(config_text_scan(path));
    struct tree tree = {0};
    struct reader r = {.tree = &tree, .s = out};
    enum err e = tree_parse(path, &tree);
    if (e == OK)
        e = read_group(&r, &tree.root, "", out);
    if (e == OK)
        e = config_check(out, &tree.places);
    tree_free(&tree);
    if (e != OK)
        config_free(out);
    return e;
}

void config_free(struct sweep *s)
{
    job_free(&s->base);
    free(s->prior.run);
    s->prior.run = NULL;
}
