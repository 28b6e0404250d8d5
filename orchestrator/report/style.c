// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/style.h"

struct rgb {
    unsigned r, g, b;
};

static struct rgb between(const struct rgb stops[3], int i, int n)
{
    const double at = n > 1 ? 2.0 * i / (n - 1) : 0;
    const int k = at >= 1;
    const double w = at - k;
    const struct rgb *a = &stops[k], *b = &stops[k + 1];
    return (struct rgb){(unsigned)((1 - w) * a->r + w * b->r + .5),
                        (unsigned)((1 - w) * a->g + w * b->g + .5),
                        (unsigned)((1 - w) * a->b + w * b->b + .5)};
}

static struct colour hex(struct rgb c)
{
    struct colour out;
    snprintf(out.s, sizeof out.s, "#%02x%02x%02x", c.r & 255, c.g & 255, c.b & 255);
    return out;
}

static const struct rgb scale_light[3] = {{61, 32, 150}, {184, 42, 140}, {236, 130, 60}};
static const struct rgb scale_dark[3] = {{158, 142, 255}, {240, 122, 205}, {255, 196, 104}};

struct colour colour_scale(int i, int n)
{
    return hex(between(scale_light, i, n));
}

// Okabe and Ito 2008, without black and with yellow last; the dark twins are brightened blues.
static const char *const phase_colours[8][2] = {{"#0072b2", "#4db1f0"}, {"#e69f00", "#f0b429"},
                                                {"#009e73", "#2fc79a"}, {"#cc79a7", "#e39cc3"},
                                                {"#56b4e9", "#8fd0f5"}, {"#d55e00", "#f58549"},
                                                {"#7a7f87", "#a5abb5"}, {"#b8a800", "#f0e442"}};

struct colour colour_phase(int i)
{
    struct colour out;
    snprintf(out.s, sizeof out.s, "%s", phase_colours[i & 7][0]);
    return out;
}

static void twin(FILE *f, const char *light, const char *dark)
{
    fprintf(f, "[stroke=\"%s\"]{stroke:%s}[fill=\"%s\"]{fill:%s}[color=\"%s\"]{color:%s}\n",
            light, dark, light, dark, light, dark);
}

// In two parts, each within the length of a string that every C compiler must take.
static const char sheet_page[] =
    ":root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--dim:#59636e;--line:#d8dee4;"
    "--card:#f6f8fa;--accent:#4a2aa8;--warn:#8a4b00;--warnbg:#fff6e6;--good:#12694a;"
    "--goodbg:#e3f6ee;--badbg:#fdeaea;--bad:#a01c1c}\n"
    "*{box-sizing:border-box}html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}\n"
    "body{margin:0 auto;padding:1.2rem 1.1rem 4rem;max-width:72rem;background:var(--bg);"
    "color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,"
    "'Helvetica Neue',Arial,sans-serif}\n"
    "h1{font-size:2rem;line-height:1.15;margin:.1rem 0 .4rem}h2{margin:3rem 0 .6rem;"
    "padding-top:.8rem;border-top:1px solid var(--line);font-size:1.45rem}"
    "h3{margin:2rem 0 .4rem;font-size:1.15rem}h4{margin:1.4rem 0 .3rem;font-size:1rem}\n"
    "p{margin:.5rem 0;max-width:48rem}a{color:var(--accent)}ul,ol{max-width:48rem;"
    "padding-left:1.3rem}li{margin:.25rem 0}\n"
    ".kicker{color:var(--dim);letter-spacing:.08em;text-transform:uppercase;font-size:.78rem}\n"
    ".question{font-size:1.2rem;color:var(--dim);margin:.2rem 0 1.2rem;max-width:52rem}\n"
    ".answer{border-left:5px solid var(--accent);background:var(--card);padding:.9rem 1.2rem;"
    "border-radius:0 10px 10px 0;font-size:1.12rem}.answer p{max-width:none}\n"
    ".caveats{border-left:5px solid var(--warn);background:var(--warnbg);padding:.6rem 1.2rem;"
    "border-radius:0 10px 10px 0;margin:1rem 0}.caveats h2{border:0;margin:.2rem 0;padding:0;"
    "font-size:1.1rem}.caveats ul{max-width:none}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;"
    "margin:1.2rem 0}.tile{background:var(--card);border-radius:10px;padding:.7rem .9rem}"
    ".tile b{display:block;font-size:1.35rem;line-height:1.3}.tile span{color:var(--dim);"
    "font-size:.84rem}\n"
    "nav{margin:1.2rem 0;display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.92rem}\n"
    ".badge{display:inline-block;border-radius:99px;padding:.02rem .6rem;font-size:.82rem;"
    "font-weight:600;background:var(--card);color:var(--dim);white-space:nowrap}"
    ".badge.good{background:var(--goodbg);color:var(--good)}.badge.warn{"
    "background:var(--warnbg);color:var(--warn)}.badge.bad{background:var(--badbg);"
    "color:var(--bad)}\n";

static const char sheet_parts[] =
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr));"
    "gap:1.4rem 1.2rem;margin:.8rem 0}.grid.two{grid-template-columns:"
    "repeat(auto-fill,minmax(min(26rem,100%),1fr))}figure{margin:0;min-width:0}figure.big{max-"
    "width:46rem;"
    "margin:.8rem 0}figcaption{font-size:.9rem;line-height:1.45}figcaption b{font-size:1rem}\n"
    "svg.plot{width:100%;height:auto;display:block;overflow:visible}svg.plot a:hover *,"
    "svg.plot a:focus *{stroke:var(--ink);stroke-width:.5}svg.key{vertical-align:-.2em}\n"
    ".wide{overflow-x:auto}.wide svg.plot{min-width:40rem}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.86rem;color:var(--dim);"
    "margin:.5rem 0}.legend span{white-space:nowrap}\n"
    ".scroll{overflow-x:auto;margin:.6rem 0}table{border-collapse:collapse;font-size:.9rem}"
    "caption{text-align:left;color:var(--dim);padding-bottom:.3rem;font-size:.9rem}"
    "th,td{padding:.28rem .7rem;text-align:left;border-bottom:1px solid var(--line);"
    "vertical-align:top}th{font-weight:600;white-space:nowrap}thead th{color:var(--dim)}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "tr:target{background:var(--warnbg);outline:2px solid var(--warn)}\n"
    ".id,code,pre{font:.86em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    "pre{background:var(--card);padding:.7rem 1rem;border-radius:8px;overflow-x:auto}\n"
    "details{margin:.3rem 0;font-size:.88rem}summary{cursor:pointer;color:var(--dim)}"
    ".tight table{font-size:.8rem}.tight td,.tight th{padding:.2rem .42rem;white-space:nowrap}"
    "td details{margin:0}.cols figure{max-width:27rem}"
    "details p{max-width:none;overflow-wrap:anywhere}.dim{color:var(--dim)}"
    ".noplot{color:var(--dim);font-style:italic;font-size:.9rem}\n"
    ".cols{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));"
    "gap:0 2rem}\n"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.3rem 1.2rem;"
    "max-width:56rem;font-size:.94rem}dt{font-weight:600}dd{margin:0}\n"
    "footer{margin-top:3rem;color:var(--dim);font-size:.85rem}\n"
    "@media(max-width:40rem){body{padding:.8rem .8rem 3rem;font-size:15px}h1{font-size:1.6rem}"
    ".answer{font-size:1.03rem;padding:.7rem .8rem}th,td{padding:.25rem .45rem}}\n"
    "@media print{nav{display:none}h2,figure{break-inside:avoid}}\n"
    "svg [fill=black]{fill:var(--ink)}svg [color=black]{color:var(--ink)}"
    "svg [color=white]{color:var(--bg)}\n";

static const char sheet_dark[] =
    ":root{--bg:#101318;--ink:#e6e9ee;--dim:#9aa5b1;--line:#30363d;--card:#191e25;"
    "--accent:#b9a8ff;--warn:#f0b25c;--warnbg:#2a2113;--good:#5fd3a6;--goodbg:#12291f;"
    "--badbg:#331818;--bad:#ff9b94}\n";

void style_write(FILE *f, int n_scales)
{
    fputs(sheet_page, f);
    fputs(sheet_parts, f);
    fputs("@media(prefers-color-scheme:dark){\n", f);
    fputs(sheet_dark, f);
    for (int i = 0; i < n_scales; i++)
        twin(f, colour_scale(i, n_scales).s, hex(between(scale_dark, i, n_scales)).s);
    for (int i = 0; i < 8; i++)
        twin(f, phase_colours[i][0], phase_colours[i][1]);
    twin(f, COLOUR_INK, "#e6e9ee");
    twin(f, COLOUR_DIM, "#9aa5b1");
    twin(f, COLOUR_GRID, "#2a3038");
    twin(f, COLOUR_MARK, "#ff9350");
    fputs("}\n", f);
}
