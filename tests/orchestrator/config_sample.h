// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of the configuration's reader: a folder of corpora, and a good text that tests
// change.
#ifndef TESTS_ORCHESTRATOR_CONFIG_SAMPLE_H
#define TESTS_ORCHESTRATOR_CONFIG_SAMPLE_H
#include "orchestrator/config.h"

extern const char sample_good[];

// The folder with its corpora, the good text's corpus.txt among them; false if none can be
// made.
bool sample_make(void);
void sample_remove(void);
const char *sample_dir(void);
// Byte values in corpus.txt, and end of text.
int sample_symbols(void);
// A file in the folder.
void sample_put(const char *name, const char *text, size_t size);
// The same documents as t.bin and as the pair m. swapped: the first two tokens change places.
void sample_put_tokens(bool swapped);
// The text as a configuration of that name in the folder.
enum err sample_load(const char *name, const char *text, struct sweep *s);
// With the first `was` as `now`. The caller's.
char *sample_replaced(const char *text, const char *was, const char *now);
#endif
