// SPDX-License-Identifier: GPL-3.0-or-later
// init.from: the checkpoint that every model of the sweep starts with. Whether its dimensions
// fit is the trainer's to say.
#include "core/file.h"
#include "orchestrator/config_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum err read_init_from(struct reader *r, const struct node *n)
{
    char file[JOB_PATH_MAX], *from = r->s->base.init.from;
    const char *text = node_text(n);
    if (!text)
        return node_fail(r->tree, n, n->key->shape);
    if (!*text)
        return OK; // as the resolved configuration writes none
    node_file(r->tree, n, file);
    const char *slash = strrchr(file, '/');
    int dir = *text == '/' || !slash ? 0 : (int)(slash - file + 1);
    if (snprintf(from, JOB_PATH_MAX, "%.*s%s", dir, file, text) >= JOB_PATH_MAX)
        return node_fail(r->tree, n, "a path of less than 4096 bytes");
    return OK;
}

static bool begins_as_checkpoint(const char *path)
{
    char magic[sizeof CHECKPOINT_MAGIC - 1];
    FILE *f = fopen(path, "rb");
    bool is = f && fread(magic, sizeof magic, 1, f) == 1 &&
              memcmp(magic, CHECKPOINT_MAGIC, sizeof magic) == 0;
    if (f)
        fclose(f);
    return is;
}

enum err check_init(struct sweep *s, const struct places *p)
{
    struct job *j = &s->base;
    char *real;
    uint64_t hash;
    if (!j->init.from[0] && places_has(p, "init.noise") && j->init.noise > 0)
        return places_fail(p, "init.noise", "0 without init.from", "%g", j->init.noise);
    if (!j->init.from[0])
        return OK;
    if (file_hash(j->init.from, &hash) != OK)
        return places_fail(p, "init.from", "a checkpoint", "%s", err_message());
    // Another trainer has checkpoints of its own.
    if (j->data.kind != DATA_EXTERNAL && !begins_as_checkpoint(j->init.from))
        return places_fail(p, "init.from", "a checkpoint of moetrain",
                           "%s, which is none of this version", j->init.from);
    snprintf(j->init.hash, sizeof j->init.hash, "%016" PRIx64, hash);
    real = realpath(j->init.from, NULL);
    if (!real || strlen(real) >= sizeof j->init.from) {
        free(real);
        return places_fail(p, "init.from", "a path of less than 4096 bytes", "%s",
                           j->init.from);
    }
    bool utf8 = text_is_utf8(real);
    if (utf8)
        snprintf(j->init.from, sizeof j->init.from, "%s", real);
    free(real);
    if (!utf8)
        return places_fail(p, "init.from", "a path in UTF-8",
                           "%s in a folder whose name is none", j->init.from);
    return OK;
}
