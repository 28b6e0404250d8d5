// SPDX-License-Identifier: Apache-2.0
// logits CHECKPOINT FOLDER: our side of the comparison with transformers. Over the validation
// windows of the checkpoint's own job it writes FOLDER/tokens and FOLDER/targets (int32,
// [windows, S]) and FOLDER/logits (float32, [windows, S, V]), and prints {"windows":..,
// "loss":..}.
#include "core/file.h"
#include "tests/worker/logits_of.h"
#include "worker/data.h"
#include <stdio.h>
#include <stdlib.h>

static enum err write_to(const char *folder, const char *name, const void *data, size_t n)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_replace(path, data, n);
}

static enum err write_all(const struct checkpoint *c, const struct corpus *text,
                          const char *folder)
{
    const struct arch *a = &c->job.arch;
    struct data data;
    ENSURE(text->V == a->V, ERR_INPUT, "not the checkpoint's text");
    TRY(data_init(&data, text, a->S, c->job.val.tokens, 0));
    int64_t windows = data.val_windows, n = windows * a->S;
    int32_t *tokens = malloc((size_t)n * sizeof *tokens),
            *targets = malloc((size_t)n * sizeof *targets);
    float *logits = malloc((size_t)(n * a->V) * sizeof *logits);
    ENSURE(tokens && targets && logits, ERR_FAILED, "out of memory");
    TRY(data_held(&data, 0, windows, tokens, targets));
    double loss;
    TRY(logits_of(c, tokens, targets, windows, logits, &loss));
    TRY(write_to(folder, "tokens", tokens, (size_t)n * sizeof *tokens));
    TRY(write_to(folder, "targets", targets, (size_t)n * sizeof *targets));
    TRY(write_to(folder, "logits", logits, (size_t)(n * a->V) * sizeof *logits));
    printf("{\"windows\": %lld, \"loss\": %.17g}\n", (long long)windows, loss);
    free(tokens);
    free(targets);
    free(logits);
    return OK;
}

static enum err run(const char *path, const char *folder)
{
    struct checkpoint c;
    struct corpus text;
    TRY(checkpoint_read(path, &c));
    struct corpus_spec spec = corpus_spec_of(&c.job);
    enum err e = corpus_open(&spec, &text);
    if (e == OK) {
        text.V = text.V > 0 ? text.V : c.job.arch.V; // of tokens the job says it
        e = write_all(&c, &text, folder);
        corpus_free(&text);
    }
    checkpoint_free(&c);
    return e;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: logits CHECKPOINT FOLDER\n");
        return ERR_INPUT;
    }
    enum err e = run(argv[1], argv[2]);
    if (e != OK)
        fprintf(stderr, "logits: %s\n", err_message());
    return (int)e;
}
