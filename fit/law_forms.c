// SPDX-License-Identifier: GPL-3.0-or-later
// Value and gradient of every law. The order of p and t is that of the entry in law_table.c.
#include "fit/law_form.h"
#include <math.h>

static void put(double *g, int i, double v)
{
    if (g)
        g[i] = v;
}

LAW_FORM(chinchilla) // E A B alpha beta; ln N, ln D
{
    (void)l;
    double u = exp(-p[3] * t[0]), v = exp(-p[4] * t[1]);
    if (g) {
        g[0] = 1;
        g[1] = u;
        g[2] = v;
        g[3] = -p[1] * u * t[0];
        g[4] = -p[2] * v * t[1];
    }
    return p[0] + p[1] * u + p[2] * v;
}

LAW_FORM(kaplan) // N_c alpha_N D_c alpha_D; ln N, ln D
{
    (void)l;
    double ratio = p[1] / p[3], ln_n = log(p[0]) - t[0];
    double u = exp(ratio * ln_n), v = p[2] * exp(-t[1]), sum = u + v, ln_sum = log(sum);
    double f = exp(p[3] * ln_sum);
    if (g) {
        double k = f * p[3] / sum; // d f / d sum
        g[0] = k * u * ratio / p[0];
        g[1] = k * u * ln_n / p[3];
        g[2] = k * v / p[2];
        g[3] = f * ln_sum - k * u * ln_n * ratio / p[3];
    }
    return f;
}

// N_c and D_c are drawn as the shares of the loss at the middle of the data that the two
// variables would bring alone.
void start_kaplan(const double *t_mid, double y_mid, double *p)
{
    p[0] = exp(t_mid[0] + log(p[0] * y_mid) / p[1]);
    p[2] = exp(t_mid[1] + log(p[2] * y_mid) / p[3]);
}

// ln of the saturated number q: 1/qh = 1/(q + (1/start - 1/end)^-1) + 1/end; its derivatives in
// start and end. NaN unless 0 < start < end (both Clark 2022's E - 1 and A of the leverage
// law).
static double saturated(double q, double start, double end, double d[2])
{
    double gap = 1 / start - 1 / end;
    d[0] = d[1] = (double)NAN;
    if (!(gap > 0))
        return (double)NAN;
    double delta = 1 / gap, Q = q + delta, v = 1 / Q + 1 / end, share = delta / Q;
    d[0] = share * share / (start * start * v);
    d[1] = (1 - share) * (1 + share) / (end * end * v);
    return -log(v);
}

LAW_FORM(routed) // a b c d E_s E_m; ln N, E: log10 L = a n + b e + c n e + d
{
    (void)l;
    const double ten = 2.302585092994045684;
    double de[2], n = t[0] / ten, e = saturated(t[1] - 1, p[4], p[5], de) / ten;
    double f = exp(ten * (p[0] * n + p[1] * e + p[2] * n * e + p[3]));
    if (g) {
        double slope = f * (p[1] + p[2] * n);
        g[0] = f * ten * n;
        g[1] = f * ten * e;
        g[2] = f * ten * n * e;
        g[3] = f * ten;
        g[4] = slope * de[0];
        g[5] = slope * de[1];
    }
    return f;
}

LAW_FORM(finegrained) // c k gamma a alpha b beta; ln N, ln D, ln g
{
    (void)l;
    double w = exp(-p[2] * t[2]), u = exp(-p[4] * t[0]), v = exp(-p[6] * t[1]);
    double front = p[1] * w + p[3];
    if (g) {
        g[0] = 1;
        g[1] = w * u;
        g[2] = -p[1] * w * t[2] * u;
        g[3] = u;
        g[4] = -front * u * t[0];
        g[5] = v;
        g[6] = -p[5] * v * t[1];
    }
    return p[0] + front * u + p[5] * v;
}

LAW_FORM(jointmoe) // a delta alpha gamma b omega beta zeta c E_s E_m; ln N_a, ln D, E
{
    (void)l;
    double de[2], e = saturated(t[2] - 1, p[9], p[10], de);
    double u = exp(p[1] * e + (p[2] + p[3] * e) * t[0]);
    double v = exp(p[5] * e + (p[6] + p[7] * e) * t[1]);
    double A = p[0] * u, B = p[4] * v;
    if (g) {
        double slope = A * (p[1] + p[3] * t[0]) + B * (p[5] + p[7] * t[1]);
        g[0] = u;
        g[1] = A * e;
        g[2] = A * t[0];
        g[3] = A * e * t[0];
        g[4] = v;
        g[5] = B * e;
        g[6] = B * t[1];
        g[7] = B * e * t[1];
        g[8] = 1;
        g[9] = slope * de[0];
        g[10] = slope * de[1];
    }
    return A + B + p[8];
}

void jointmoe_at(const double *p, double E, double *chinchilla)
{
    double d[2], e = saturated(E - 1, p[9], p[10], d);
    chinchilla[0] = p[8];
    chinchilla[1] = p[0] * exp(p[1] * e);
    chinchilla[2] = p[4] * exp(p[5] * e);
    chinchilla[3] = -(p[2] + p[3] * e);
    chinchilla[4] = -(p[6] + p[7] * e);
}

LAW_FORM(fivefactor) // e f m n k h a alpha b beta c eps; ln N, ln D, ln N_a, G, s
{
    (void)l;
    double G = t[3], s = t[4];
    double u = exp(-p[7] * t[0]), w = exp(-p[7] * t[2]), v = exp(-p[9] * t[1]);
    double ratio = exp(t[2] - t[0]);
    double shape = p[0] * G + p[1] / G + p[2] * s * s + p[3] * s;
    double size = u + p[4] * w + p[5] * ratio;
    if (g) {
        g[0] = G * size;
        g[1] = size / G;
        g[2] = s * s * size;
        g[3] = s * size;
        g[4] = shape * w;
        g[5] = shape * ratio;
        g[6] = u;
        g[7] = -(shape + p[6]) * u * t[0] - (shape * p[4] + p[10]) * w * t[2];
        g[8] = v;
        g[9] = -p[8] * v * t[1];
        g[10] = w;
        g[11] = 1;
    }
    return shape * size + p[6] * u + p[8] * v + p[10] * w + p[11];
}

// The same and q_G q_s: f C^(2 q_G) for f, n + q_s ln C for n, C = 6 N_a D in 1e20 FLOPs. So
// the optima move with scale, G* = sqrt(f/e) C^q_G and s* = -(n + q_s ln C)/(2 m), and the
// claim that they do not is q_G = q_s = 0.
LAW_FORM(fivefactor_c)
{
    double at[12], c = log(6) + t[1] + t[2] - log(1e20), grow = exp(2 * p[12] * c);
    for (int j = 0; j < 12; j++)
        at[j] = p[j];
    at[1] *= grow;
    at[3] += p[13] * c;
    double value = form_fivefactor(l, at, t, g);
    if (g) {
        g[12] = g[1] * at[1] * 2 * c;
        g[13] = g[3] * c;
        g[1] *= grow;
    }
    return value;
}

// a alpha b beta c gamma lambda d tau [r0]; ln N, ln D, ln(1-z), ln r. Both share all but the
// factor of d.
static double allocation(const double *p, const double *t, double factor, double *g)
{
    double u = exp(-p[1] * t[0]), v = exp(-p[3] * t[1]), w = exp(p[5] * t[2] - p[6] * t[0]);
    if (g) {
        g[0] = u;
        g[1] = -p[0] * u * t[0];
        g[2] = v;
        g[3] = -p[2] * v * t[1];
        g[4] = w;
        g[5] = p[4] * w * t[2];
        g[6] = -p[4] * w * t[0];
        g[7] = factor;
        g[8] = 1;
    }
    return p[0] * u + p[2] * v + p[4] * w + p[7] * factor + p[8];
}

LAW_FORM(allocation)
{
    (void)l;
    return allocation(p, t, 1 / (1 + exp(-t[3])), g); // r/(r+1)
}

LAW_FORM(allocation_q)
{
    (void)l;
    double off = t[3] - log(p[9]);
    put(g, 9, -2 * p[7] * off / p[9]);
    return allocation(p, t, off * off, g);
}

LAW_FORM(wang) // a alpha gamma b beta tau; ln N, ln D, ln E
{
    (void)l;
    double u = exp(-p[1] * t[0] - p[2] * t[2]), v = exp(-p[4] * t[1]);
    if (g) {
        g[0] = u;
        g[1] = -p[0] * u * t[0];
        g[2] = -p[0] * u * t[2];
        g[3] = v;
        g[4] = -p[3] * v * t[1];
        g[5] = 1;
    }
    return p[0] * u + p[3] * v + p[5];
}

LAW_FORM(abnar) // a alpha b beta c lambda d delta gamma tau; ln N, ln D, ln(1-z)
{
    (void)l;
    double u = exp(-p[1] * t[0]), v = exp(-p[3] * t[1]), w = exp(-p[5] * t[2]);
    double x = exp(-p[7] * t[2] - p[8] * t[0]);
    if (g) {
        g[0] = u;
        g[1] = -p[0] * u * t[0];
        g[2] = v;
        g[3] = -p[2] * v * t[1];
        g[4] = w;
        g[5] = -p[4] * w * t[2];
        g[6] = x;
        g[7] = -p[6] * x * t[2];
        g[8] = -p[6] * x * t[0];
        g[9] = 1;
    }
    return p[0] * u + p[2] * v + p[4] * w + p[6] * x + p[9];
}

LAW_FORM(upcycling) // A a1 a2 a3 B beta E; ln D1, ln D2, ln N
{
    (void)l;
    double u = exp(-p[1] * t[0] + (-p[2] + p[3] * t[0]) * t[1]), v = exp(-p[5] * t[2]);
    if (g) {
        g[0] = u;
        g[1] = -p[0] * u * t[0];
        g[2] = -p[0] * u * t[1];
        g[3] = p[0] * u * t[0] * t[1];
        g[4] = v;
        g[5] = -p[4] * v * t[2];
        g[6] = 1;
    }
    return p[0] * u + p[4] * v + p[6];
}

LAW_FORM(leverage) // a d gamma beta A_start A_max; A, ln g, ln C
{
    (void)l;
    const double ten = 2.302585092994045684, two = .6931471805599453094;
    double da[2], lna = saturated(t[0], p[4], p[5], da), k = t[1] / two, c = t[2] / ten;
    double power = p[0] + p[1] * c + p[2] * k * k + p[3] * k, f = exp(power * lna);
    if (g) {
        g[0] = f * lna;
        g[1] = f * lna * c;
        g[2] = f * lna * k * k;
        g[3] = f * lna * k;
        g[4] = f * power * da[0];
        g[5] = f * power * da[1];
    }
    return f;
}

LAW_FORM(r_star) // a0 a1 b0 b1; ln C, ln(1-z)
{
    (void)l;
    double e = exp(p[3] * t[1]), f = p[0] * exp(p[1] * t[1] + p[2] * e * t[0]);
    if (g) {
        g[0] = f / p[0];
        g[1] = f * t[1];
        g[2] = f * e * t[0];
        g[3] = f * p[2] * e * t[1] * t[0];
    }
    return f;
}

LAW_FORM(density) // a b c; x
{
    (void)l;
    double u = 1 / (t[0] - 6);
    put(g, 0, u);
    put(g, 1, t[0]);
    put(g, 2, 1);
    return p[0] * u + p[1] * t[0] + p[2];
}

LAW_FORM(expansion) // a b c; y, y_max
{
    (void)l;
    if (!(t[0] < t[1]))
        return (double)NAN;
    double u = 1 / (t[0] - 1), v = 1 / (t[1] - t[0]);
    put(g, 0, u);
    put(g, 1, v);
    put(g, 2, 1);
    return p[0] * u + p[1] * v + p[2];
}

LAW_FORM(quadratic) // a b c; ln d or d
{
    (void)l;
    put(g, 0, 1);
    put(g, 1, t[0]);
    put(g, 2, t[0] * t[0]);
    return p[0] + (p[1] + p[2] * t[0]) * t[0];
}

LAW_FORM(power) // k p; ln X
{
    (void)l;
    double u = exp(p[1] * t[0]);
    put(g, 0, u);
    put(g, 1, p[0] * u * t[0]);
    return p[0] * u;
}

LAW_FORM(power_offset) // k p c; ln X
{
    put(g, 2, 1);
    return form_power(l, p, t, g) + p[2];
}

LAW_FORM(powersum) // E A1 p1 A2 p2 ..; ln X1, ln X2, ..
{
    double f = p[0];
    put(g, 0, 1);
    for (int i = 0; i < l->n_vars; i++) {
        double u = exp(-p[2 * i + 2] * t[i]);
        put(g, 2 * i + 1, u);
        put(g, 2 * i + 2, -p[2 * i + 1] * u * t[i]);
        f += p[2 * i + 1] * u;
    }
    return f;
}
