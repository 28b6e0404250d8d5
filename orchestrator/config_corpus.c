// SPDX-License-Identifier: GPL-3.0-or-later
// The corpus that a configuration names: its files, sizes, vocabulary and content.
#include "core/corpus.h"
#include "core/crc.h"
#include "core/rng.h"
#include "orchestrator/config_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// The absolute name of an existing file; NULL: there is none. A pair of megatron must stay side
// by side under its own names: of PREFIX.bin, which stands for both, only the folder is
// resolved.
static char *absolute(enum job_data kind, const char *path)
{
    if (kind != DATA_MEGATRON)
        return realpath(path, NULL);
    char *prefix = strdup(path), *folder = NULL, *out = NULL;
    if (prefix) {
        corpus_megatron_prefix(prefix);
        char *slash = strrchr(prefix, '/');
        if (slash) {
            *slash = 0;
            folder = realpath(slash == prefix ? "/" : prefix, NULL);
        } else {
            folder = realpath(".", NULL);
        }
        if (folder && asprintf(&out, "%s/%s.bin", folder, slash ? slash + 1 : prefix) < 0)
            out = NULL;
    }
    free(folder);
    free(prefix);
    return out;
}

static enum err check_paths(struct sweep *s, const struct places *p)
{
    const char *expected = s->base.data.kind == DATA_TEXT ? "a text file" : "a file of tokens";
    for (int i = 0; i < s->base.data.n_paths; i++) {
        char key[CONFIG_PATH], *real = absolute(s->base.data.kind, s->base.data.paths[i]);
        const char *path = s->base.data.paths[i];
        struct stat st;
        snprintf(key, sizeof key, "data.paths[%d]", i);
        if (!real || stat(real, &st) != 0) {
            free(real);
            return places_fail(p, key, expected, "%s, which does not exist", path);
        }
        if (!S_ISREG(st.st_mode) || st.st_size == 0) {
            free(real);
            return places_fail(p, key, expected, "%s, %s", path,
                               S_ISDIR(st.st_mode)   ? "a folder (name the files in it)"
                               : S_ISREG(st.st_mode) ? "an empty file"
                                                     : "no regular file");
        }
        if (!text_is_utf8(real)) {
            free(real);
            return places_fail(p, key, "a path in UTF-8", "%s in a folder whose name is none",
                               path);
        }
        free(s->base.data.paths[i]);
        s->base.data.paths[i] = real;
    }
    return OK;
}

// Text by its bytes; files of tokens, which may be large, each by a CRC and its size.
static uint64_t hash_content(const struct corpus *c)
{
    uint64_t hash = RNG_HASH_START;
    for (int64_t i = 0; i < c->n_files; i++) {
        const struct corpus_file *f = &c->file[i];
        uint64_t size = f->size, crc;
        hash = rng_hash(&size, sizeof size, hash);
        if (c->kind == DATA_TEXT) {
            hash = rng_hash(f->map, f->size, hash);
        } else {
            crc = crc32c(f->map, f->size);
            hash = rng_hash(&crc, sizeof crc, hash);
        }
    }
    return hash;
}

// Everything is read here once, so that no run meets a token beyond V hours later.
static enum err find_V(struct sweep *s, const struct places *p, const struct corpus *c)
{
    int64_t largest = c->V - 1, *V = &s->solve.base.V;
    if (c->kind != DATA_TEXT)
        TRY(corpus_largest(c, &largest));
    if (c->kind == DATA_TEXT || *V < 1)
        *V = largest + 1;
    if (largest >= *V) {
        char expected[96];
        snprintf(expected, sizeof expected,
                 "more than %" PRId64 ", the largest token of the files", largest);
        return places_fail(p, "arch.V", expected, "%" PRId64, *V);
    }
    return OK;
}

static enum err take_corpus(struct sweep *s, const struct places *p, const struct corpus *c)
{
    struct job *j = &s->base;
    TRY(find_V(s, p, c));
    s->corpus_train = c->train.n;
    s->corpus_held = c->held.n;
    s->corpus_bytes = corpus_bytes(c);
    s->corpus_hash = hash_content(c);
    int64_t most = s->corpus_held - 1; // the last token is predicted, never read
    if (j->val.tokens > most && places_has(p, "val.tokens")) {
        char expected[96];
        snprintf(expected, sizeof expected,
                 "at most the %" PRId64 " tokens held out of the corpus", most);
        return places_fail(p, "val.tokens", expected, "%" PRId64, j->val.tokens);
    }
    if (j->val.tokens > most)
        j->val.tokens = most;
    return OK;
}

static enum err check_files(struct sweep *s, const struct places *p)
{
    struct job *j = &s->base;
    if (j->data.kind == DATA_TEXT && places_has(p, "arch.V"))
        return places_fail(p, "arch.V", "no vocabulary for text (it follows from the files)",
                           "%" PRId64, s->solve.base.V);
    if (places_has(p, "data.tokens"))
        return places_fail(p, "data.tokens",
                           j->data.kind == DATA_TEXT
                               ? "no count for text (its tokens are counted)"
                               : "no count for files of tokens (they are counted)",
                           "%" PRId64, s->corpus_train);
    if (j->data.n_paths == 0)
        return places_fail(p, "data.paths", "at least one file", "nothing");
    TRY(check_paths(s, p));
    struct corpus_spec spec = corpus_spec_of(j);
    struct corpus c;
    enum err e = corpus_open(&spec, &c);
    if (e == ERR_INPUT)
        return places_fail(p, "data.paths", "a usable corpus", "%s", err_message());
    TRY(e);
    e = take_corpus(s, p, &c);
    corpus_free(&c);
    return e;
}

static enum err check_external(struct sweep *s, const struct places *p)
{
    if (strncmp(s->trainer, "moetrain", strlen("moetrain")) == 0)
        return places_fail(p, "data.kind", "\"text\" for moetrain, or a kind of token files",
                           "\"external\"");
    if (s->solve.base.V < 1)
        return places_fail(p, "arch.V", "the vocabulary of external data", "nothing");
    if (s->corpus_train < 1)
        return places_fail(p, "data.tokens", "the number of tokens of external data",
                           "%" PRId64, s->corpus_train);
    s->corpus_hash = rng_hash(&s->corpus_train, sizeof s->corpus_train, RNG_HASH_START);
    return OK;
}

enum err config_check_corpus(struct sweep *s, const struct places *p)
{
    const struct job *j = &s->base;
    if (j->data.eot >= 0 && j->data.kind != DATA_NANOGPT && j->data.kind != DATA_LLMC)
        return places_fail(p, "data.eot", "kind nanogpt or llmc beside it", "%" PRId64,
                           j->data.eot);
    return j->data.kind == DATA_EXTERNAL ? check_external(s, p) : check_files(s, p);
}
