// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/plan.h"
#include "core/json.h"
#include <math.h>
#include <string.h>

static const char *hours(double h, char buf[32])
{
    if (h < 1.0 / 60)
        snprintf(buf, 32, "%.2g s", h * 3600);
    else if (h < 1)
        snprintf(buf, 32, "%.1f min", h * 60);
    else
        snprintf(buf, 32, h < 1e4 ? "%.1f h" : "%.3g h", h);
    return buf;
}

static const char *bytes(double b, char buf[32])
{
    static const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; b >= 1024 && u < 4; u++)
        b /= 1024;
    snprintf(buf, 32, "%.3g %s", b, units[u]);
    return buf;
}

// gpu: bytes of one GPU, 0: not known.
static void print_structure(const json_t *s, double gpu, FILE *f)
{
    const char *name;
    json_t *v;
    fprintf(f,
            "    %2.0f x M %-9.4g x %-6.4g y %-6.4g L_d %.0f L_m %.0f d %.0f d_qkv %.0f d_m "
            "%.0f N_e "
            "%.0f K %.0f  D %.3g batch %.0f lr %.2g  off",
            jnum(s, "runs"), jnum(s, "M"), jnum(s, "x"), jnum(s, "y"), jnum(s, "L_d"),
            jnum(s, "L_m"), jnum(s, "d"), jnum(s, "d_qkv"), jnum(s, "d_m"), jnum(s, "N_e"),
            jnum(s, "K"), jnum(s, "D"), jnum(s, "batch_tokens"), jnum(s, "lr"));
    json_object_foreach(json_object_get(s, "deviation"), name, v)
        fprintf(f, " %s %+.1f %%", name, 100 * json_number_value(v));
    if (gpu > 0 && jnum(s, "gpu_bytes") > gpu)
        fprintf(f, "  does not fit one GPU: %.3g GB, %.3g without activations",
                1e-9 * jnum(s, "gpu_bytes"), 1e-9 * jnum(s, "gpu_state_bytes"));
    fputc('\n', f);
}

static void print_cell(const json_t *c, double gpu, FILE *f)
{
    char h[32], l[32], m[32];
    fprintf(f, "\n%s at C = %.3g", jstr(c, "phase"), jnum(c, "C"));
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(c, "after"), i, v)
        fprintf(f, "%s%s", i ? ", " : ", after ", json_string_value(v));
    if (jtrue(c, "waits"))
        fputs(" (planned around the start values)", f);
    fprintf(f, ": %.0f structures, %.0f runs", jnum(c, "points"), jnum(c, "runs"));
    if (jnum(c, "known") > 0)
        fprintf(f, " and %.0f that are done", jnum(c, "known"));
    if (jnum(c, "shared") > 0)
        fprintf(f, " and %.0f of earlier phases", jnum(c, "shared"));
    if (jnum(c, "more_runs") > 0)
        fprintf(f, ", up to %.0f more", jnum(c, "more_runs"));
    fprintf(f,
            "\n  %.3g FLOPs (executed %.3g), %.3g tokens, %s of a worker, longest run %s, up "
            "to %s a run",
            jnum(c, "flops"), jnum(c, "executed_flops"), jnum(c, "tokens"),
            hours(jnum(c, "worker_hours"), h), hours(jnum(c, "longest_hours"), l),
            bytes(jnum(c, "memory_bytes"), m));
    if (json_is_number(json_object_get(c, "cost")))
        fprintf(f, ", cost %.4g", jnum(c, "cost"));
    fputc('\n', f);
    if (jnum(c, "stops_early_at") > 0)
        fprintf(f,
                "  hopeless runs end early, after %.0f %% of their steps or later: this is the "
                "most\n",
                100 * jnum(c, "stops_early_at"));
    json_array_foreach(json_object_get(c, "structures"), i, v) print_structure(v, gpu, f);
    json_array_foreach(json_object_get(c, "infeasible"), i, v)
        fprintf(f, "    not trained: %s: %s\n", jstr(v, "point"), jstr(v, "why"));
}

// What a run takes of one GPU, and what that means where its size is known.
static void print_gpu(const json_t *total, double gpu, FILE *f)
{
    if (jnum(total, "gpu_bytes") > 0)
        fprintf(f, "up to %.3g GB of one GPU's memory a run", 1e-9 * jnum(total, "gpu_bytes"));
    if (jnum(total, "too_large") > 0)
        fprintf(f,
                "; %.0f runs do not fit one of %.4g GB: they need several GPUs, which moetrain "
                "does not use together, or a foreign trainer (key trainer)",
                jnum(total, "too_large"), 1e-9 * gpu);
    else if (gpu > 0)
        fprintf(f, "; all runs fit one of %.4g GB", 1e-9 * gpu);
    if (jnum(total, "gpu_bytes") > 0)
        fputc('\n', f);
}

typedef const char *show_number(double v, char buf[32]);

static const char *plain(double v, char buf[32])
{
    snprintf(buf, 32, "%.4g", v);
    return buf;
}

// "name: value (lo to hi)"; nothing where there is none
static void print_interval(const json_t *forecast, const char *key, const char *name, double by,
                           show_number *show, FILE *f)
{
    char v[32], lo[32], hi[32];
    const json_t *i = json_object_get(forecast, key);
    if (json_is_object(i))
        fprintf(f, "  %-14s %s (%s to %s)\n", name, show(by * jnum(i, "value"), v),
                show(by * jnum(i, "lo"), lo), show(by * jnum(i, "hi"), hi));
}

static void print_forecast(const json_t *plan, FILE *f)
{
    const json_t *c = json_object_get(plan, "forecast"), *disk = json_object_get(plan, "disk");
    const char *from = jstr(c, "from");
    char room[32];
    fprintf(f, "\nforecast, with 95 %% intervals, from %s:\n",
            strcmp(from, "calibrated") == 0 ? "runs of its trainer on this machine"
            : strcmp(from, "given") == 0    ? "the given rate"
                                            : "a guessed rate (--calibrate measures it)");
    print_interval(c, "runs", "runs", 1, plain, f);
    print_interval(c, "makespan_s", "time", 1. / 3600, hours, f);
    print_interval(c, "core_hours", "cores", 1, hours, f);
    print_interval(c, "gpu_hours", "GPUs", 1, hours, f);
    print_interval(c, "memory_bytes", "memory", 1, bytes, f);
    print_interval(c, "disk_bytes", "disk", 1, bytes, f);
    print_interval(c, "cost", "cost", 1, plain, f);
    if (isfinite(jnum(disk, "free_bytes")))
        fprintf(f, "  %s free in %s%s\n", bytes(jnum(disk, "free_bytes"), room),
                jstr(disk, "folder"),
                jnum(disk, "free_bytes") < jnum(json_object_get(c, "disk_bytes"), "hi")
                    ? ": may not be enough"
                    : "");
}

void plan_print(const json_t *plan, FILE *f)
{
    char h[32], l[32], m[32];
    size_t i;
    json_t *c;
    const json_t *t = json_object_get(plan, "total");
    double gpu = jnum(plan, "gpu_memory"); // 0 for null
    fprintf(f, "%s: %s\n", jstr(plan, "name"), jstr(plan, "question"));
    json_array_foreach(json_object_get(plan, "phases"), i, c) print_cell(c, gpu, f);
    fprintf(f, "\nIn all: %.0f runs at once", jnum(t, "runs_now"));
    if (jnum(t, "known") > 0)
        fprintf(f, " (%.0f more are done)", jnum(t, "known"));
    if (jnum(t, "unused") > 0)
        fprintf(f, " (%.0f results that are there are not asked for so far)",
                jnum(t, "unused"));
    if (jnum(t, "runs_later") > 0)
        fprintf(f, ", %.0f when phases before them have decided", jnum(t, "runs_later"));
    if (jnum(t, "more_runs") > 0)
        fprintf(f, ", up to %.0f more where grids grow or phases repeat", jnum(t, "more_runs"));
    fprintf(f,
            "\n%.3g FLOPs as the paper counts (C a run), %.3g executed, up to %s a run as "
            "moetrain lays it out\n",
            jnum(t, "flops"), jnum(t, "executed_flops"), bytes(jnum(t, "memory_bytes"), m));
    print_gpu(t, gpu, f);
    fprintf(f, "%s of a worker at %.2g executed FLOP/s (%s); %.0f workers need at least %s\n",
            hours(jnum(t, "worker_hours"), h), jnum(plan, "rate"),
            jtrue(plan, "rate_guessed")                           ? "a guess; give --rate"
            : json_is_array(json_object_get(plan, "calibration")) ? "as measured"
                                                                  : "as given",
            jnum(plan, "workers"), hours(jnum(t, "hours_at_best"), l));
    if (json_is_number(json_object_get(t, "cost")))
        fprintf(f, "cost: %.6g at the given price of a worker's hour\n", jnum(t, "cost"));
    print_forecast(plan, f);
}
