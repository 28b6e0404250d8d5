// SPDX-License-Identifier: GPL-3.0-or-later
// Loss against one axis: one fit in detail, or the fits of all scales together.
#ifndef ORCHESTRATOR_REPORT_AXIS_CHART_H
#define ORCHESTRATOR_REPORT_AXIS_CHART_H
#include "orchestrator/report/page.h"

// One fit at scale C: every seed, means, fitted curve, optimum with its interval, band,
// outliers ringed, raw minimum, adopted value.
enum err axis_chart(struct page *p, double C, const json_t *fit);
// All fits (one a scale): curves, means and optima; the optima joined.
enum err axis_overview(struct page *p, const json_t *const *fits, const double *C, int n);
// The legend that goes with both.
void axis_legend(const struct page *p);
// Are losses of several groups shown on one curve, each shifted by its own intercept?
bool axis_shifted(const json_t *fit);
#endif
