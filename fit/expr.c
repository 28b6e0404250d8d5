// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/expr.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op_kind {
    OP_NUMBER,
    OP_COLUMN,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_POW,
    OP_NEG,
    OP_LN,
    OP_LOG2,
    OP_LOG10,
    OP_EXP,
    OP_SQRT
};

struct op {
    enum op_kind kind;
    int col;
    double number;
};

// Reverse Polish; a stack of n_ops is always enough.
struct expr {
    int n;
    struct op op[EXPR_MAX_OPS];
};

struct parser {
    const char *text, *at, *what;
    const struct table *t;
    struct expr *e;
    int depth;
};

static enum err wrong(const struct parser *p, const char *expected)
{
    struct table_quote found = table_quote(p->at);
    char text[64];
    snprintf(text, sizeof text, "'%s'", found.s);
    return err_set(ERR_INPUT, "%s '%s': at character %d: expected %s, found %s", p->what,
                   table_quote(p->text).s, (int)(p->at - p->text) + 1, expected,
                   *p->at ? text : "the end");
}

static void skip(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static enum err emit(struct parser *p, struct op op)
{
    ENSURE(p->e->n < EXPR_MAX_OPS, ERR_INPUT,
           "%s '%s': expected at most %d numbers, columns and operations", p->what,
           table_quote(p->text).s, EXPR_MAX_OPS);
    p->e->op[p->e->n++] = op;
    return OK;
}

static bool name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static enum err take_name(struct parser *p, char *name, size_t size)
{
    const char *start = p->at;
    bool quoted = *start == '"';
    size_t n = 0;
    p->at += quoted;
    for (; quoted ? *p->at && *p->at != '"' : name_byte(*p->at); p->at++) {
        if (n + 1 >= size) {
            p->at = start;
            return wrong(p, "a name of at most 255 bytes");
        }
        name[n++] = *p->at;
    }
    name[n] = '\0';
    if (quoted && *p->at++ != '"') {
        p->at--;
        return wrong(p, "a closing quote");
    }
    return OK;
}

static bool function_of(const char *name, enum op_kind *kind)
{
    static const struct {
        const char *name;
        enum op_kind kind;
    } functions[] = {{"ln", OP_LN},
                     {"log2", OP_LOG2},
                     {"log10", OP_LOG10},
                     {"exp", OP_EXP},
                     {"sqrt", OP_SQRT}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) {
            *kind = functions[i].kind;
            return true;
        }
    return false;
}

static enum err sum(struct parser *p);

static enum err parenthesis(struct parser *p)
{
    p->at++;
    TRY(sum(p));
    if (*p->at != ')')
        return wrong(p, "')' or an operation");
    p->at++;
    return OK;
}

static enum err named(struct parser *p)
{
    char name[256];
    const char *start = p->at;
    TRY(take_name(p, name, sizeof name));
    skip(p);
    enum op_kind kind;
    if (*start != '"' && *p->at == '(') {
        if (!function_of(name, &kind)) {
            p->at = start;
            return wrong(p, "ln, log2, log10, exp or sqrt before '('");
        }
        TRY(parenthesis(p));
        return emit(p, (struct op){.kind = kind});
    }
    int col = table_find(p->t, name);
    if (col >= 0)
        return emit(p, (struct op){.kind = OP_COLUMN, .col = col});
    char columns[480];
    table_names(p->t, columns, sizeof columns);
    return err_set(ERR_INPUT, "%s '%s': at character %d: %s has no column '%s'; it has %s",
                   p->what, table_quote(p->text).s, (int)(start - p->text) + 1, p->t->path,
                   table_quote(name).s, columns);
}

static enum err primary(struct parser *p)
{
    skip(p);
    if (*p->at == '(')
        return parenthesis(p);
    bool digit =
        isdigit((unsigned char)*p->at) || (*p->at == '.' && isdigit((unsigned char)p->at[1]));
    if (!digit && (*p->at == '"' || name_byte(*p->at)))
        return named(p);
    if (!digit)
        return wrong(p, "a number, a column or '('");
    // strtod would take "0x", "1e5" as we want it, and nothing else of a name.
    char *end;
    double v = strtod(p->at, &end);
    if (!isfinite(v) || name_byte(*end) || memchr(p->at, 'x', (size_t)(end - p->at)) ||
        memchr(p->at, 'X', (size_t)(end - p->at)))
        return wrong(p, "a number (a name that begins with a digit needs double quotes)");
    p->at = end;
    return emit(p, (struct op){.kind = OP_NUMBER, .number = v});
}

static enum err signed_power(struct parser *p)
{
    skip(p);
    if (++p->depth > EXPR_MAX_DEPTH)
        return wrong(p, "less nesting");
    if (*p->at == '-' || *p->at == '+') {
        bool negative = *p->at++ == '-';
        TRY(signed_power(p));
        if (negative)
            TRY(emit(p, (struct op){.kind = OP_NEG}));
    } else {
        TRY(primary(p));
        skip(p);
        if (*p->at == '^') {
            p->at++;
            TRY(signed_power(p));
            TRY(emit(p, (struct op){.kind = OP_POW}));
        }
    }
    p->depth--;
    skip(p);
    return OK;
}

static enum err product(struct parser *p)
{
    TRY(signed_power(p));
    while (*p->at == '*' || *p->at == '/') {
        enum op_kind kind = *p->at++ == '*' ? OP_MUL : OP_DIV;
        TRY(signed_power(p));
        TRY(emit(p, (struct op){.kind = kind}));
    }
    return OK;
}

static enum err sum(struct parser *p)
{
    TRY(product(p));
    while (*p->at == '+' || *p->at == '-') {
        enum op_kind kind = *p->at++ == '+' ? OP_ADD : OP_SUB;
        TRY(product(p));
        TRY(emit(p, (struct op){.kind = kind}));
    }
    return OK;
}

// One expression, up to what is none of it.
static enum err parse(struct parser *p, struct expr **out)
{
    *out = NULL;
    p->e = malloc(sizeof *p->e);
    ENSURE(p->e, ERR_FAILED, "out of memory");
    p->e->n = 0;
    p->depth = 0;
    enum err e = sum(p);
    if (e != OK)
        free(p->e);
    else
        *out = p->e;
    return e;
}

enum err expr_parse(const char *text, const char *what, const struct table *t,
                    struct expr **out)
{
    struct parser p = {.text = text, .at = text, .what = what, .t = t};
    TRY(parse(&p, out));
    if (!*p.at)
        return OK;
    expr_free(*out);
    *out = NULL;
    return wrong(&p, "an operation or the end");
}

void expr_free(struct expr *e)
{
    free(e);
}

static double function_value(enum op_kind kind, double x)
{
    switch (kind) {
    case OP_NEG:
        return -x;
    case OP_LN:
        return log(x);
    case OP_LOG2:
        return log2(x);
    case OP_LOG10:
        return log10(x);
    case OP_EXP:
        return exp(x);
    default:
        return sqrt(x);
    }
}

static double operation_value(enum op_kind kind, double a, double b)
{
    switch (kind) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    default:
        return pow(a, b);
    }
}

enum table_cell expr_value(const struct expr *e, const struct table *t, int64_t row,
                           double *value, int *col)
{
    double stack[EXPR_MAX_OPS];
    int n = 0;
    for (int i = 0; i < e->n; i++) {
        const struct op *op = &e->op[i];
        if (op->kind == OP_COLUMN) {
            enum table_cell cell = table_cell(t, op->col, row);
            if (cell != CELL_NUMBER) {
                *col = op->col;
                return cell;
            }
            stack[n++] = t->col[op->col].number[row];
        } else if (op->kind == OP_NUMBER) {
            stack[n++] = op->number;
        } else if (op->kind >= OP_NEG) {
            stack[n - 1] = function_value(op->kind, stack[n - 1]);
        } else {
            n--;
            stack[n - 1] = operation_value(op->kind, stack[n - 1], stack[n]);
        }
    }
    *value = stack[0];
    return CELL_NUMBER;
}

int expr_column(const struct expr *e)
{
    return e->n == 1 && e->op[0].kind == OP_COLUMN ? e->op[0].col : -1;
}

// ---- maps

static enum err map_entry(struct parser *p, struct expr_map *m)
{
    char name[256];
    skip(p);
    if (!name_byte(*p->at))
        return wrong(p, "name=expression");
    const char *start = p->at;
    TRY(take_name(p, name, sizeof name));
    skip(p);
    if (*p->at != '=')
        return wrong(p, "'=' after a name");
    p->at++;
    ENSURE(expr_map_find(m, name) < 0, ERR_INPUT, "%s '%s': at character %d: %s is given twice",
           p->what, table_quote(p->text).s, (int)(start - p->text) + 1, table_quote(name).s);
    ENSURE(m->n < EXPR_MAX_NAMES, ERR_INPUT, "%s: expected at most %d names", p->what,
           EXPR_MAX_NAMES);
    TRY(parse(p, &m->e[m->n]));
    m->name[m->n] = strdup(name);
    if (!m->name[m->n]) {
        expr_free(m->e[m->n]);
        return err_set(ERR_FAILED, "out of memory");
    }
    m->n++;
    return OK;
}

enum err expr_map_parse(const char *text, const char *what, const struct table *t,
                        struct expr_map *out)
{
    memset(out, 0, sizeof *out);
    struct parser p = {.text = text, .at = text, .what = what, .t = t};
    enum err e;
    do {
        e = map_entry(&p, out);
    } while (e == OK && *p.at == ',' && p.at++);
    if (e == OK && *p.at)
        e = wrong(&p, "an operation, ',' or the end");
    if (e != OK)
        expr_map_free(out);
    return e;
}

int expr_map_find(const struct expr_map *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->name[i], name) == 0)
            return i;
    return -1;
}

void expr_map_free(struct expr_map *m)
{
    for (int i = 0; i < m->n; i++) {
        free(m->name[i]);
        expr_free(m->e[i]);
    }
    memset(m, 0, sizeof *m);
}

// ---- filters

enum relation { IS, IS_NOT, LESS, AT_MOST, MORE, AT_LEAST };

struct filter {
    struct expr *e;
    enum relation relation;
    bool is_number;
    double number;
    char *text;
};

static bool take_relation(struct parser *p, enum relation *r)
{
    static const struct {
        const char *text;
        enum relation r;
    } all[] = {{"==", IS}, {"!=", IS_NOT}, {"<=", AT_MOST}, {">=", AT_LEAST},
               {"=", IS},  {"<", LESS},    {">", MORE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(p->at, all[i].text, strlen(all[i].text)) == 0) {
            *r = all[i].r;
            p->at += strlen(all[i].text);
            return true;
        }
    return false;
}

static enum err filter_value(struct parser *p, struct filter *f)
{
    skip(p);
    size_t n = strlen(p->at);
    while (n && isspace((unsigned char)p->at[n - 1]))
        n--;
    bool quoted = n >= 2 && p->at[0] == '"' && p->at[n - 1] == '"';
    f->text = strndup(p->at + quoted, n - 2 * (size_t)quoted);
    ENSURE(f->text, ERR_FAILED, "out of memory");
    f->is_number = !quoted && table_number(f->text, &f->number);
    if (f->is_number)
        return OK;
    if (f->relation > IS_NOT)
        return wrong(p, "a number");
    return expr_column(f->e) >= 0 ? OK : wrong(p, "a number, as the left side is no column");
}

enum err filter_parse(const char *text, const char *what, const struct table *t,
                      struct filter **out)
{
    struct parser p = {.text = text, .at = text, .what = what, .t = t};
    *out = calloc(1, sizeof **out);
    ENSURE(*out, ERR_FAILED, "out of memory");
    enum err e = parse(&p, &(*out)->e);
    if (e == OK && !take_relation(&p, &(*out)->relation))
        e = wrong(&p, "=, !=, <, <=, > or >=");
    if (e == OK)
        e = filter_value(&p, *out);
    if (e != OK) {
        filter_free(*out);
        *out = NULL;
    }
    return e;
}

void filter_free(struct filter *f)
{
    if (f) {
        expr_free(f->e);
        free(f->text);
        free(f);
    }
}

static bool compare(enum relation r, double a, double b)
{
    switch (r) {
    case IS:
        return a == b;
    case IS_NOT:
        return a != b;
    case LESS:
        return a < b;
    case AT_MOST:
        return a <= b;
    case MORE:
        return a > b;
    default:
        return a >= b;
    }
}

bool filter_takes(const struct filter *f, const struct table *t, int64_t row)
{
    double v;
    int col;
    enum table_cell cell = expr_value(f->e, t, row, &v, &col);
    if (cell == CELL_NUMBER && f->is_number)
        return compare(f->relation, v, f->number);
    bool same = !f->is_number && cell != CELL_NUMBER &&
                strcmp(table_text(t, col, row), f->text) == 0; // missing: ""
    return f->relation == IS ? same : f->relation == IS_NOT && !same;
}
