// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/html.h"
#include "core/arch.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Length of the UTF-8 sequence at s, 0 when it is none (overlong, surrogate, torn, beyond
// U+10FFFF).
static int utf8_len(const unsigned char *s)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int n = s[0] < 0x80             ? 1
                  : (s[0] & 0xe0) == 0xc0 ? 2
                  : (s[0] & 0xf0) == 0xe0 ? 3
                  : (s[0] & 0xf8) == 0xf0 ? 4
                                          : 0;
    if (n <= 1)
        return n;
    unsigned code = s[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
        (code & 0xfffe) == 0xfffe)
        return 0;
    return n;
}

static void write_text(FILE *f, const char *s, bool lines)
{
    if (!s)
        return;
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        const int n = utf8_len(c);
        if (n == 0) {
            fputs("\xef\xbf\xbd", f);
            c++;
            continue;
        }
        if (*c == '&')
            fputs("&amp;", f);
        else if (*c == '<')
            fputs("&lt;", f);
        else if (*c == '>')
            fputs("&gt;", f);
        else if (*c == '"')
            fputs("&quot;", f);
        else if (*c == '\'')
            fputs("&#39;", f);
        else if (*c < 0x20 || *c == 0x7f)
            fputc(*c == '\n' && lines ? '\n' : ' ', f);
        else
            fwrite(c, 1, (size_t)n, f);
        c += n;
    }
}

void html_text(FILE *f, const char *s)
{
    write_text(f, s, false);
}

void html_lines(FILE *f, const char *s)
{
    write_text(f, s, true);
}

static struct num dash(void)
{
    return (struct num){"–"};
}

// 10 to the power e, as text.
static void power_of_ten(char *out, size_t size, int e)
{
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[16];
    snprintf(plain, sizeof plain, "%d", e);
    size_t used = (size_t)snprintf(out, size, "10");
    for (const char *c = plain; *c && used < size; c++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s", *c == '-' ? "⁻" : digits[*c - '0']);
}

// Groups the digits before the decimal point in threes.
static struct num grouped(const char *plain)
{
    struct num r = {""};
    const char *start = plain + (*plain == '-');
    const size_t whole = strcspn(start, ".");
    size_t used = 0;
    if (*plain == '-')
        used = (size_t)snprintf(r.s, sizeof r.s, "−");
    for (size_t i = 0; start[i] && used + 4 < sizeof r.s; i++) {
        if (i > 0 && i < whole && whole > 4 && (whole - i) % 3 == 0)
            used += (size_t)snprintf(r.s + used, sizeof r.s - used, "\u202f");
        r.s[used++] = start[i];
        r.s[used] = '\0';
    }
    return r;
}

struct num num_fixed(double v, int decimals)
{
    if (!isfinite(v))
        return dash();
    char plain[48];
    if (snprintf(plain, sizeof plain, "%.*f", decimals, v) >= (int)sizeof plain)
        return dash();
    return grouped(plain);
}

struct num num_sig(double v, int digits)
{
    if (!isfinite(v))
        return dash();
    if (v == 0)
        return (struct num){"0"};
    char sci[48];
    snprintf(sci, sizeof sci, "%.*e", digits - 1, v); // rounds first, so that 9.999 is 10.0
    char *e = strchr(sci, 'e');
    const int exponent = atoi(e + 1);
    if (exponent >= -3 && exponent < (digits > 4 ? digits : 4))
        return num_fixed(v, exponent >= digits ? 0 : digits - 1 - exponent);
    *e = '\0';
    struct num r;
    char power[24];
    power_of_ten(power, sizeof power, exponent);
    snprintf(r.s, sizeof r.s, "%.40s × %s", grouped(sci).s, power);
    return r;
}

struct num num_round(double v)
{
    if (!isfinite(v) || v <= 0 || (v >= .01 && v < 1e4)) {
        struct num r = dash();
        if (isfinite(v))
            snprintf(r.s, sizeof r.s, "%.4g", v);
        return r;
    }
    char sci[48];
    snprintf(sci, sizeof sci, "%.3e", v);
    char *e = strchr(sci, 'e');
    const int exponent = atoi(e + 1);
    char *end = e;
    while (end[-1] == '0')
        end--;
    if (end[-1] == '.')
        end--;
    *end = '\0';
    struct num r;
    char power[24];
    power_of_ten(power, sizeof power, exponent);
    if (strcmp(sci, "1") == 0)
        snprintf(r.s, sizeof r.s, "%s", power);
    else
        snprintf(r.s, sizeof r.s, "%.40s × %s", sci, power);
    return r;
}

struct num num_int(double v)
{
    return fabs(v) < 1e15 ? num_fixed(v, 0) : num_sig(v, 4);
}

struct num num_percent(double v, int digits)
{
    struct num r = num_sig(100 * v, digits);
    if (isfinite(v))
        snprintf(r.s + strlen(r.s), sizeof r.s - strlen(r.s), "\u00a0%%");
    return r;
}

struct num num_time(double seconds)
{
    struct num r = dash();
    if (!isfinite(seconds))
        return r;
    const double whole = round(seconds);
    if (seconds < 100)
        snprintf(r.s, sizeof r.s, "%.*f s", seconds < 10 ? 2 : 1, seconds);
    else if (whole < 6000)
        snprintf(r.s, sizeof r.s, "%.0f min %.0f s", floor(whole / 60), fmod(whole, 60));
    else
        snprintf(r.s, sizeof r.s, "%.0f h %02.0f min", floor(whole / 3600),
                 floor(fmod(whole, 3600) / 60));
    return r;
}

// "2.5 × 10⁵ to 3.6 × 10⁵" says its power once: "2.5 to 3.6 × 10⁵".
struct num num_range(double lo, double hi, int digits)
{
    struct num r = {""};
    if (!isfinite(lo) || !isfinite(hi))
        return r;
    struct num a = num_sig(lo, digits);
    const struct num b = num_sig(hi, digits);
    char *a_power = strstr(a.s, " × ");
    const char *b_power = strstr(b.s, " × ");
    if (a_power && b_power && strcmp(a_power, b_power) == 0)
        *a_power = '\0';
    snprintf(r.s, sizeof r.s, "%.44s to %.44s", a.s, b.s);
    return r;
}

struct num num_value(const char *quantity, double v)
{
    const int dim = arch_dim_find(quantity);
    if (dim >= 0 && isfinite(v) && fabs(v) < 1e6)
        return v == floor(v) ? num_int(v) : num_sig(v, 3);
    return num_sig(v, 3);
}

int num_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void table_begin(FILE *f, const char *caption, const char *const *heads, int n)
{
    fputs("<div class=\"scroll\"><table>\n", f);
    if (caption)
        fprintf(f, "<caption>%s</caption>\n", caption);
    fputs("<thead><tr>", f);
    for (int i = 0; i < n; i++)
        fprintf(f, "<th scope=\"col\"%s>%s</th>", heads[i][0] == '#' ? " class=\"n\"" : "",
                heads[i] + (heads[i][0] == '#'));
    fputs("</tr></thead>\n<tbody>\n", f);
}

void table_end(FILE *f)
{
    fputs("</tbody></table></div>\n", f);
}

void cell_text(FILE *f, const char *s)
{
    fputs("<td>", f);
    html_text(f, s);
    fputs("</td>", f);
}

void cell_num(FILE *f, struct num v)
{
    fprintf(f, "<td class=\"n\">%s</td>", v.s);
}

void html_job(FILE *f, const char *id)
{
    fputs("<a class=\"id\" href=\"#run-", f);
    html_text(f, id);
    fputs("\">", f);
    html_text(f, id);
    fputs("</a>", f);
}

void html_jobs(FILE *f, const char *summary, const json_t *ids)
{
    const size_t n = json_array_size(ids);
    fprintf(f, "<details><summary>%s: %zu training%s</summary><p>", summary, n,
            n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (i > 0)
            fputc(' ', f);
        html_job(f, id ? id : "?");
    }
    fputs("</p></details>\n", f);
}

struct num plain_text(const char *s)
{
    struct num out;
    size_t n = 0;
    for (; s && *s && n + 1 < sizeof out.s; s++)
        out.s[n++] = *s >= ' ' && *s <= '~' && !strchr("'\"\\`<>&", *s) ? *s : '?';
    out.s[n] = '\0';
    return out;
}

struct num quantity_label(const char *name)
{
    static const struct {
        const char *name, *label;
    } known[] = {
        {"M", "M, FLOPs per token"},
        {"D", "D, training tokens"},
        {"C", "C, training compute in FLOPs"},
        {"N_a", "N_a, active parameters"},
        {"N", "N, total parameters"},
        {"x", "x = M/N_a, compute density"},
        {"y", "y = N/N_a, expansion"},
        {"r", "r, feed-forward over attention FLOPs"},
        {"G", "G, active experts per token, shared ones included"},
        {"s", "s, shared share of the active experts"},
        {"z", "z, sparsity: 1 - active/total experts"},
        {"g", "g, granularity d_d/d_m"},
        {"lr", "peak learning rate"},
        {"batch_tokens", "batch, tokens per step"},
    };
    struct num out = plain_text(name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            snprintf(out.s, sizeof out.s, "%s", known[i].label);
    const int dim = arch_dim_find(name);
    if (dim >= 0)
        snprintf(out.s, sizeof out.s, "%s, %.70s", name, arch_dim_what((enum arch_dim)dim));
    return out;
}
