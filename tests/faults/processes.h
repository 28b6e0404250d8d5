// SPDX-License-Identifier: GPL-3.0-or-later
// The processes below this one, from /proc. sweep.h has what looks for them.
#ifndef TESTS_FAULTS_PROCESSES_H
#define TESTS_FAULTS_PROCESSES_H
void processes_print(void); // a line each
#endif
