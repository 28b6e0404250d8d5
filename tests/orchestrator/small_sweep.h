// SPDX-License-Identifier: GPL-3.0-or-later
// The text of a small configuration, for sweeps that nobody trains: what stands before the
// phases of several tests, and the two phases that two of them have.
#ifndef TESTS_ORCHESTRATOR_SMALL_SWEEP_H
#define TESTS_ORCHESTRATOR_SMALL_SWEEP_H

#define SMALL_SWEEP                                                                            \
    "data = { kind = \"external\"; paths = [\"nowhere\"]; tokens = 1000000000L; };\n"          \
    "scales = [1e10, 3e10];\n"                                                                 \
    "arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; V = 64; };\n"  \
    "free = { d_qkv = [2, 96, 2]; N_e = [3, 96, 1]; d_m = [1, 256, 1]; d = [6, 96, 2]; };\n"   \
    "tolerance = { M = 0.05; x = 0.1; y = 0.1; };\n"                                           \
    "start = { M = { value = 6e4; at = 1e10; exponent = 0.4; }; x = 6.8; y = 2.5; };\n"        \
    "train = { batch_tokens = 256; lr = 0.005; };\n"                                           \
    "trainer = \"/bin/sh train.sh {job}\";\n"

#define SMALL_PHASES                                                                           \
    "bootstrap = 20;\n"                                                                        \
    "phases = ( { name = \"allocation\";\n"                                                    \
    "  axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.3; points = 3; } );\n"         \
    "  fits = ( { axis = \"M\"; form = \"logquad\"; } ); seeds = 2; },\n"                      \
    "  { name = \"width\"; after = [\"allocation\"];\n"                                        \
    "  axes = ( { var = \"d\"; fractions = [0.0, 0.5, 1.0]; } );\n"                            \
    "  fits = ( { axis = \"d\"; form = \"logquad\"; } ); } );\n"

#endif
