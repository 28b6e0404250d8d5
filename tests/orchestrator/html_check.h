// SPDX-License-Identifier: GPL-3.0-or-later
// Is a page well-formed? Every tag closed in order, attributes quoted, entities known, ids
// unique, inner links answered. Stricter than browsers: what passes is XML but for its doctype.
#ifndef TESTS_ORCHESTRATOR_HTML_CHECK_H
#define TESTS_ORCHESTRATOR_HTML_CHECK_H
#include <stdbool.h>
#include <stddef.h>

// true when well-formed; else what is wrong and where, in why[size].
bool html_check(const char *page, char *why, size_t size);
// How often `needle` stands in `page`.
int count_of(const char *page, const char *needle);
#endif
