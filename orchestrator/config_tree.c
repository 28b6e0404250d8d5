// SPDX-License-Identifier: GPL-3.0-or-later
// libconfig's tree as nodes that know their place: where each key was written, what a value is,
// and the one form of error. The only file that includes libconfig.
#include "orchestrator/config_internal.h"
#include <libconfig.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum err places_add(struct places *p, const char *path, const char *file, unsigned line)
{
    if (p->n == p->cap) {
        int cap = p->cap ? 2 * p->cap : 64;
        struct place *grown = realloc(p->at, (size_t)cap * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory");
        p->at = grown;
        p->cap = cap;
    }
    struct place at = {.path = strdup(path), .file = strdup(file), .line = line};
    p->at[p->n++] = at;
    ENSURE(at.path && at.file, ERR_FAILED, "out of memory");
    return OK;
}

static const struct place *places_find(const struct places *p, const char *path)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->at[i].path, path) == 0)
            return &p->at[i];
    return NULL;
}

bool places_has(const struct places *p, const char *path)
{
    return places_find(p, path) != NULL;
}

enum err places_fail(const struct places *p, const char *path, const char *expected,
                     const char *found, ...)
{
    char what[512], outer[CONFIG_PATH];
    va_list ap;
    va_start(ap, found);
    vsnprintf(what, sizeof what, found, ap);
    va_end(ap);
    snprintf(outer, sizeof outer, "%s", path);
    const struct place *at = places_find(p, outer);
    while (!at && *outer) {
        size_t n = strlen(outer) - 1;
        while (n > 0 && outer[n] != '.' && outer[n] != '[')
            n--;
        outer[n] = '\0';
        at = places_find(p, outer);
    }
    if (!at)
        return err_set(ERR_INPUT, "%s: %s: expected %s, found %s", p->top, path, expected,
                       what);
    return err_set(ERR_INPUT, "%s:%u: %s: expected %s, found %s", at->file, at->line, path,
                   expected, what);
}

// libconfig names an included file as the @include line does: relative to the top file's
// folder.
static void full_name(const char *top, const char *file, char buf[JOB_PATH_MAX])
{
    const char *slash = strrchr(top, '/');
    if (!file || strcmp(file, top) == 0)
        snprintf(buf, JOB_PATH_MAX, "%s", top);
    else if (*file == '/' || !slash)
        snprintf(buf, JOB_PATH_MAX, "%s", file);
    else
        snprintf(buf, JOB_PATH_MAX, "%.*s%s", (int)(slash - top + 1), top, file);
}

enum err tree_parse(const char *path, struct tree *out)
{
    config_t *c = calloc(1, sizeof *c);
    ENSURE(c, ERR_FAILED, "out of memory");
    config_init(c);
    out->config = c;
    char dir[JOB_PATH_MAX];
    const char *slash = strrchr(path, '/');
    int root = slash == path; // "/x.cfg" lies in "/"
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + root : 1,
             slash ? path : ".");
    config_set_include_dir(c, dir);
    out->places.top = path;
    if (config_read_file(c, path)) {
        out->root = (struct node){.set = config_root_setting(c)};
        return OK;
    }
    const char *text = config_error_text(c);
    char file[JOB_PATH_MAX];
    full_name(path, config_error_file(c), file);
    if (config_error_type(c) != CONFIG_ERR_PARSE)
        return err_set(ERR_INPUT, "%s: %s", path, text);
    const char *hint =
        strstr(text, "mismatched element type")
            ? " (write the numbers of a [ ] all with or all without a point, or use ( ))"
            : "";
    return err_set(ERR_INPUT, "%s:%d: %s%s", file, config_error_line(c), text, hint);
}

void tree_free(struct tree *t)
{
    if (t->config) {
        config_destroy(t->config);
        free(t->config);
    }
    for (int i = 0; i < t->places.n; i++) {
        free(t->places.at[i].path);
        free(t->places.at[i].file);
    }
    free(t->places.at);
}

bool node_is_group(const struct node *n)
{
    return !n->set || config_setting_is_group((const config_setting_t *)n->set);
}

bool node_is_list(const struct node *n)
{
    const config_setting_t *s = n->set;
    return s && (config_setting_is_array(s) || config_setting_is_list(s));
}

int node_length(const struct node *n)
{
    return !n->set                               ? 0
           : node_is_group(n) || node_is_list(n) ? config_setting_length(n->set)
                                                 : 1;
}

const char *node_name(const struct node *n)
{
    return config_setting_name((const config_setting_t *)n->set);
}

void node_file(const struct tree *t, const struct node *n, char buf[JOB_PATH_MAX])
{
    full_name(t->places.top, config_setting_source_file((const config_setting_t *)n->set), buf);
}

enum err node_child(struct tree *t, const struct node *n, int i, struct node *out)
{
    *out = *n;
    if (!node_is_group(n) && !node_is_list(n))
        return OK;
    const config_setting_t *e = config_setting_get_elem(n->set, (unsigned)i);
    size_t used = strlen(out->path), left = sizeof out->path - used;
    if (node_is_group(n))
        snprintf(out->path + used, left, "%s%s", used ? "." : "", config_setting_name(e));
    else
        snprintf(out->path + used, left, "[%d]", i);
    out->set = e;
    if (places_has(&t->places, out->path))
        return OK;
    char file[JOB_PATH_MAX];
    node_file(t, out, file);
    return places_add(&t->places, out->path, file, config_setting_source_line(e));
}

bool node_num(const struct node *n, double *v)
{
    const config_setting_t *s = n->set;
    int type = config_setting_type(s);
    if (type == CONFIG_TYPE_FLOAT)
        *v = config_setting_get_float(s);
    else if (type == CONFIG_TYPE_INT)
        *v = config_setting_get_int(s);
    else if (type == CONFIG_TYPE_INT64)
        *v = (double)config_setting_get_int64(s);
    else
        return false;
    return isfinite(*v);
}

bool node_i64(const struct node *n, int64_t *v)
{
    double d;
    if (!node_num(n, &d) || d != floor(d) || fabs(d) > 9007199254740992.0)
        return false;
    *v = (int64_t)d;
    return true;
}

bool node_bool(const struct node *n, bool *v)
{
    const config_setting_t *s = n->set;
    if (config_setting_type(s) != CONFIG_TYPE_BOOL)
        return false;
    *v = config_setting_get_bool(s) != 0;
    return true;
}

bool text_is_utf8(const char *text)
{
    json_t *s = json_string(text);
    json_decref(s);
    return s != NULL;
}

const char *node_text(const struct node *n)
{
    const config_setting_t *s = n->set;
    bool text = config_setting_type(s) == CONFIG_TYPE_STRING;
    return text && text_is_utf8(config_setting_get_string(s)) ? config_setting_get_string(s)
                                                              : NULL;
}

enum err node_fail(const struct tree *t, const struct node *n, const char *expected)
{
    const config_setting_t *s = n->set;
    const struct places *p = &t->places;
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return places_fail(p, n->path, expected, "%lld", config_setting_get_int64(s));
    case CONFIG_TYPE_FLOAT:
        return places_fail(p, n->path, expected, "%.15g", config_setting_get_float(s));
    case CONFIG_TYPE_STRING:
        if (!text_is_utf8(config_setting_get_string(s)))
            return places_fail(p, n->path, expected, "a string that is no UTF-8");
        return places_fail(p, n->path, expected, "\"%.200s\"", config_setting_get_string(s));
    case CONFIG_TYPE_BOOL:
        return places_fail(p, n->path, expected, "%s",
                           config_setting_get_bool(s) ? "true" : "false");
    case CONFIG_TYPE_GROUP:
        return places_fail(p, n->path, expected, "a group { .. }");
    default:
        return places_fail(p, n->path, expected, "a list of %d", config_setting_length(s));
    }
}
