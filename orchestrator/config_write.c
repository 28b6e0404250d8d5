// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep as text, along the table of keys: the resolved configuration, and the flat form (one
// line a key) that the hash and the comparison of two sweeps read.
#include "orchestrator/config_internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct out {
    FILE *f;
    bool flat;
    int depth;
    char path[CONFIG_PATH]; // flat: of the enclosing group
    const struct sweep *s;
    const struct phase *phase; // being written
};

static void write_section(struct out *o, const char *section, const void *base);

// ---- values

// The shortest text that reads back to the same number, never one that looks like an integer.
static const char *num(double v, char buf[32])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    if (!strpbrk(buf, ".e"))
        strcat(buf, ".0");
    return buf;
}

static void put_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(f, "\\x%02x", *c);
        else
            fputc(*c, f);
    }
    fputc('"', f);
}

static void put_nums(FILE *f, const double *v, int n)
{
    char buf[32];
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? ", " : "[", num(v[i], buf));
    fputc(']', f);
}

static void put_int(FILE *f, int64_t v)
{
    fprintf(f, "%" PRId64 "%s", v, v > INT32_MAX || v < INT32_MIN ? "L" : "");
}

static void put_rule(FILE *f, const struct rule *r)
{
    char buf[32];
    if (r->n_steps > 0) {
        fputs("{ breaks = ", f);
        put_nums(f, r->breaks, r->n_steps);
        fputs("; values = ", f);
        put_nums(f, r->values, r->n_steps + 1);
        fputs("; }", f);
        return;
    }
    if (r->at == 0 && r->N_exp == 0 && r->D_exp == 0) {
        fputs(num(r->value, buf), f);
        return;
    }
    fprintf(f, "{ value = %s; ", num(r->value, buf));
    if (r->at > 0)
        fprintf(f, "at = %s; ", num(r->at, buf));
    if (r->at > 0)
        fprintf(f, "exponent = %s; ", num(r->exponent, buf));
    if (r->N_exp != 0)
        fprintf(f, "N = %s; ", num(r->N_exp, buf));
    if (r->D_exp != 0)
        fprintf(f, "D = %s; ", num(r->D_exp, buf));
    fputc('}', f);
}

// ---- lines

static void begin(struct out *o, const char *name)
{
    if (o->flat)
        fprintf(o->f, "%s%s%s = ", o->path, *o->path ? "." : "", name);
    else
        fprintf(o->f, "%*s%s = ", 2 * o->depth, "", name);
}

static void end(struct out *o)
{
    fputs(o->flat ? "\n" : ";\n", o->f);
}

static void open_group(struct out *o, const char *name, const char *bracket,
                       char saved[CONFIG_PATH])
{
    memcpy(saved, o->path, CONFIG_PATH);
    size_t used = strlen(o->path);
    snprintf(o->path + used, sizeof o->path - used, "%s%s", used && *name != '[' ? "." : "",
             name);
    if (!o->flat)
        fprintf(o->f, "%*s%s%s%s\n", 2 * o->depth, "", *name == '[' ? "" : name,
                *name == '[' ? "" : " = ", bracket);
    o->depth++;
}

static void close_group(struct out *o, const char *bracket, const char saved[CONFIG_PATH])
{
    memcpy(o->path, saved, CONFIG_PATH);
    o->depth--;
    if (!o->flat)
        fprintf(o->f, "%*s%s\n", 2 * o->depth, "", bracket);
}

static void write_scalar(struct out *o, const struct key *k, const char *name, const void *base)
{
    const void *field = (const char *)base + k->offset;
    char buf[32];
    begin(o, name);
    switch (k->type) {
    case KEY_INT:
        put_int(o->f, *(const int *)field);
        break;
    case KEY_I64:
        put_int(o->f, *(const int64_t *)field);
        break;
    case KEY_NUM:
        fputs(num(*(const double *)field, buf), o->f);
        break;
    case KEY_BOOL:
        fputs(*(const bool *)field ? "true" : "false", o->f);
        break;
    case KEY_CHOICE: {
        const char *p = k->shape;
        for (int i = *(const int *)field; i > 0; i--)
            p = strchr(p, '|') + 1;
        fprintf(o->f, "\"%.*s\"", (int)strcspn(p, "|"), p);
        break;
    }
    case KEY_RULE:
        put_rule(o->f, field);
        break;
    default:
        put_text(o->f, field);
    }
    end(o);
}

static void write_setting(struct out *o, const struct setting *st)
{
    begin(o, st->var.name);
    if (st->var.kind == VAR_DIM && st->rule.n_steps == 0 && st->rule.at == 0)
        put_int(o->f, (int64_t)st->rule.value);
    else
        put_rule(o->f, &st->rule);
    end(o);
}

static void write_nums(struct out *o, const char *name, const double *v, int n)
{
    begin(o, name);
    put_nums(o->f, v, n);
    end(o);
}

static void write_paths(struct out *o, const char *name)
{
    const struct job *j = &o->s->base;
    if (j->data.n_paths == 0)
        return;
    begin(o, name);
    for (int i = 0; i < j->data.n_paths; i++) {
        const char *path = j->data.paths[i], *slash = strrchr(path, '/');
        fputs(i ? ", " : "[", o->f);
        put_text(o->f, o->flat && slash ? slash + 1 : path);
    }
    fputc(']', o->f);
    end(o);
    if (o->flat)
        fprintf(o->f, "data (content) = %016" PRIx64 "\n", o->s->corpus_hash);
}

static void write_init_from(struct out *o, const char *name)
{
    const struct job *j = &o->s->base;
    if (!j->init.from[0])
        return;
    begin(o, o->flat ? "from (content)" : name);
    put_text(o->f, o->flat ? j->init.hash : j->init.from);
    end(o);
}

static void write_prior(struct out *o, const char *name)
{
    const struct prior *pr = &o->s->prior;
    if (!pr->table[0])
        return;
    begin(o, o->flat ? "table (content)" : name);
    if (o->flat)
        fprintf(o->f, "%016" PRIx64, pr->hash);
    else
        put_text(o->f, pr->table);
    end(o);
}

static void write_arch(struct out *o)
{
    const struct sweep *s = o->s;
    bool text = s->base.data.kind == DATA_TEXT;
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(&s->solve.base, (enum arch_dim)i);
        if (v == ARCH_UNSET || (i == DIM_V && text))
            continue;
        begin(o, arch_dim_name((enum arch_dim)i));
        put_int(o->f, v);
        end(o);
    }
    for (int i = 0; i < s->n_start; i++)
        if (s->start[i].var.kind == VAR_DIM && s->start[i].var.index != DIM_d)
            write_setting(o, &s->start[i]);
}

static void write_start(struct out *o)
{
    for (int i = 0; i < o->s->n_start; i++)
        if (o->s->start[i].var.kind == VAR_COORD || o->s->start[i].var.index == DIM_d)
            write_setting(o, &o->s->start[i]);
}

static void write_free(struct out *o)
{
    for (int i = 0; i < o->s->solve.n_free; i++) {
        const struct solve_free *g = &o->s->solve.free[i];
        begin(o, arch_dim_name(g->dim));
        fprintf(o->f, "[%" PRId64 ", %" PRId64 ", %" PRId64 "]", g->lo, g->hi, g->step);
        end(o);
    }
}

static void write_tolerance(struct out *o)
{
    char buf[32];
    for (int i = 0; i < N_COORDS; i++) {
        begin(o, coord_name((enum coord)i));
        fputs(num(o->s->solve.tol[i], buf), o->f);
        end(o);
    }
}

static void write_after(struct out *o, const char *name)
{
    const struct phase *p = o->phase;
    if (p->n_after == 0)
        return;
    begin(o, name);
    for (int i = 0; i < p->n_after; i++) {
        fputs(i ? ", " : "[", o->f);
        put_text(o->f, o->s->phases[p->after[i]].name);
    }
    fputc(']', o->f);
    end(o);
}

static void write_axis_key(struct out *o, const char *name, const struct axis *a)
{
    if (strcmp(name, "var") == 0) {
        begin(o, name);
        put_text(o->f, a->var.name);
        end(o);
    } else if ((strcmp(name, "values") == 0 && a->source == AXIS_VALUES) ||
               (strcmp(name, "fractions") == 0 && a->source == AXIS_FRACTIONS)) {
        write_nums(o, name, a->values, a->n);
    } else if (strcmp(name, "around") == 0 && a->source == AXIS_AROUND) {
        begin(o, name);
        if (a->around_adopted)
            put_text(o->f, "adopted");
        else
            put_rule(o->f, &a->center);
        end(o);
    }
}

// ---- the table

static void write_other(struct out *o, const struct key *k, const char *name, const void *base)
{
    const char *path = k->path;
    if (strcmp(path, "scales") == 0) {
        write_nums(o, name, o->s->scales, o->s->n_scales);
    } else if (strcmp(path, "data.paths") == 0) {
        write_paths(o, name);
    } else if (strcmp(path, "init.from") == 0) {
        write_init_from(o, name);
    } else if (strcmp(path, "prior.table") == 0) {
        write_prior(o, name);
    } else if (strcmp(path, "arch.*") == 0) {
        write_arch(o);
    } else if (strcmp(path, "free.*") == 0) {
        write_free(o);
    } else if (strcmp(path, "tolerance.*") == 0) {
        write_tolerance(o);
    } else if (strcmp(path, "start.*") == 0) {
        write_start(o);
    } else if (strcmp(path, "phases.scales") == 0) {
        write_nums(o, name, o->phase->scales, o->phase->n_scales);
    } else if (strcmp(path, "phases.after") == 0) {
        write_after(o, name);
    } else if (strcmp(path, "phases.early_stop.at") == 0) {
        write_nums(o, name, o->phase->stop.at, o->phase->stop.n);
    } else if (strcmp(path, "phases.set.*") == 0) {
        for (int i = 0; i < o->phase->n_set; i++)
            write_setting(o, &o->phase->set[i]);
    } else if (strcmp(path, "phases.fits.axis") == 0) {
        const struct fit_spec *fit = base;
        begin(o, name);
        put_text(o->f, o->phase->axes[fit->axis].var.name);
        end(o);
    } else {
        write_axis_key(o, name, base);
    }
}

static void write_element(struct out *o, const char *section, int i, int n, const void *base)
{
    char saved[CONFIG_PATH], index[16];
    snprintf(index, sizeof index, "[%d]", i);
    open_group(o, index, "{", saved);
    write_section(o, section, base);
    close_group(o, i + 1 < n ? "}," : "}", saved);
}

static void write_list(struct out *o, const struct key *k, const char *name)
{
    const struct phase *p = o->phase;
    bool phases = strcmp(k->path, "phases") == 0, axes = strcmp(k->path, "phases.axes") == 0;
    int n = phases ? o->s->n_phases : axes ? p->n_axes : p->n_fits;
    char saved[CONFIG_PATH];
    if (n == 0)
        return;
    open_group(o, name, "(", saved);
    for (int i = 0; i < n; i++) {
        if (phases)
            o->phase = &o->s->phases[i];
        write_element(o, k->path, i, n,
                      phases ? (const void *)o->phase
                      : axes ? (const void *)&p->axes[i]
                             : (const void *)&p->fits[i]);
    }
    close_group(o, ");", saved);
}

// Keys that would say nothing, or not read back, in this sweep.
static bool is_silent(const struct out *o, const struct key *k, const void *base)
{
    if (o->flat && (k->flags & KEY_LOOSE))
        return true;
    if (o->flat && strcmp(k->path, "train.micro_tokens") == 0)
        return o->s->base.train.micro_tokens == 0; // sweeps without it keep their identity
    if (strncmp(k->path, "prior", 5) == 0)
        return !o->s->prior.table[0];
    if (o->flat && strcmp(k->path, "width") == 0) // sweeps without it are what they were before
        return o->s->width.n_steps == 0 && o->s->width.at == 0 && !(o->s->width.value > 1);
    if (strcmp(k->path, "phases.early_stop") == 0) // nor do sweeps without it lose theirs
        return o->phase->stop.n == 0;
    if (strcmp(k->path, "data.tokens") == 0)
        return o->s->base.data.kind != DATA_EXTERNAL;
    if (strcmp(k->path, "phases.axes.factor") == 0 ||
        strcmp(k->path, "phases.axes.points") == 0)
        return ((const struct axis *)base)->source != AXIS_AROUND;
    return false;
}

static void write_section(struct out *o, const char *section, const void *base)
{
    char saved[CONFIG_PATH];
    for (int i = 0; i < config_n_keys; i++) {
        const struct key *k = &config_keys[i];
        const char *name = key_in(k, section);
        if (!name || is_silent(o, k, base))
            continue;
        if (k->type == KEY_GROUP) {
            open_group(o, name, "{", saved);
            write_section(o, k->path, base);
            close_group(o, "};", saved);
        } else if (k->type == KEY_LIST) {
            write_list(o, k, name);
        } else if (k->type == KEY_OTHER) {
            write_other(o, k, name, base);
        } else {
            write_scalar(o, k, name, base);
        }
    }
}

static enum err write_all(const struct sweep *s, bool flat, char **text)
{
    size_t size;
    FILE *f = open_memstream(text, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    struct out o = {.f = f, .flat = flat, .s = s};
    if (!flat)
        fputs("# Resolved by moesweep " MOESWEEP_VERSION ": every key with the value it has.\n",
              f);
    write_section(&o, "", s);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad) {
        free(*text);
        *text = NULL;
        return err_set(ERR_FAILED, "out of memory");
    }
    return OK;
}

enum err config_resolved(const struct sweep *s, char **text)
{
    return write_all(s, false, text);
}

enum err config_flat(const struct sweep *s, char **text)
{
    return write_all(s, true, text);
}

// ---- comparison

// The value on the line that begins with "key = ", its length in *len; NULL if there is none.
static const char *flat_value(const char *text, const char *key, size_t key_len, size_t *len)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, key, key_len) == 0 && strncmp(line + key_len, " = ", 3) == 0) {
            *len = strcspn(line + key_len + 3, "\n");
            return line + key_len + 3;
        }
    return NULL;
}

// Whether an extension may change the key of a line: it, or what it is part of, says so.
static bool extends(const char *line, size_t key_len)
{
    char path[CONFIG_PATH];
    for (const char *end = line; end < line + key_len; end++) {
        end += strcspn(end, ".[ ");
        snprintf(path, sizeof path, "%.*s", (int)(end - line), line);
        const struct key *k = key_find(path);
        if (k && (k->flags & KEY_EXTENDS))
            return true;
        if (*end != '.')
            return false;
    }
    return false;
}

// Lines of a whose value differs in b; with only_missing those that b lacks. fixed: of keys
// alone that an extension must not change.
static void list_differences(const char *a, const char *b, bool only_missing, bool fixed,
                             char *buf, size_t size)
{
    for (const char *line = a; *line; line += strcspn(line, "\n") + 1) {
        size_t key_len = (size_t)(strstr(line, " = ") - line), alen = 0, blen = 0;
        const char *av = flat_value(a, line, key_len, &alen);
        const char *bv = flat_value(b, line, key_len, &blen);
        if (bv && (only_missing || (alen == blen && memcmp(av, bv, alen) == 0)))
            continue;
        if (fixed && extends(line, key_len))
            continue;
        size_t used = strlen(buf);
        snprintf(buf + used, size - used, "%s%.*s: was %.*s, is %.*s", used ? "; " : "",
                 (int)key_len, line, only_missing ? 7 : (int)alen,
                 only_missing ? "not set" : av,
                 only_missing ? (int)alen
                 : bv         ? (int)blen
                              : 7,
                 only_missing ? av
                 : bv         ? bv
                              : "not set");
    }
}

static void differences(const struct sweep *was, const struct sweep *is, bool fixed, char *buf,
                        size_t size)
{
    char *a = NULL, *b = NULL;
    buf[0] = '\0';
    if (config_flat(was, &a) == OK && config_flat(is, &b) == OK) {
        list_differences(a, b, false, fixed, buf, size);
        list_differences(b, a, true, fixed, buf, size);
    }
    free(a);
    free(b);
}

void config_differences(const struct sweep *was, const struct sweep *is, char *buf, size_t size)
{
    differences(was, is, false, buf, size);
}

void config_fixed_differences(const struct sweep *was, const struct sweep *is, char *buf,
                              size_t size)
{
    differences(was, is, true, buf, size);
}
