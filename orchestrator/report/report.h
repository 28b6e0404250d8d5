// SPDX-License-Identifier: GPL-3.0-or-later
// The report: one HTML file that opens offline and shows what a sweep found, how, and from
// which trainings. Everything in it comes from the arguments; the file is replaced atomically.
#ifndef ORCHESTRATOR_REPORT_REPORT_H
#define ORCHESTRATOR_REPORT_REPORT_H
#include "core/err.h"
#include "orchestrator/steer.h"
#include <jansson.h>

// Writes DIR/report.html. law: law.json (docs/law-json.md); arch: architecture.json; records:
// the journal's records in order (docs/journal.md). Each may be NULL: its sections then say
// what is missing. Charts need gnuplot on the PATH; without it the tables come alone, with a
// note. Fails as core/file.h does (an old page stays as it was), or when memory is short.
enum err report_write(const char *dir, const json_t *law, const json_t *arch,
                      const struct steer *s, const json_t *records);
// The same from a list of jobs instead of a steer.
enum err report_write_jobs(const char *dir, const json_t *law, const json_t *arch,
                           const struct steer_job *const *jobs, int n_jobs,
                           const json_t *records);
#endif
