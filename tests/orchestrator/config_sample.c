// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/config_sample.h"
#include "tests/core/token_files.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

const char sample_good[] =
    "name = \"t\";\n"
    "data = { paths = [\"corpus.txt\"]; held = 0.2; };\n"
    "scales = [1e8, 3e8];\n"
    "arch = { S = 16; K = 2; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; };\n"
    "free = { d_qkv = [2, 32, 2]; N_e = [3, 32]; d_m = [1, 64]; d = [4, 32, 2]; };\n"
    "start = { M = { value = 8000; at = 1e8; exponent = 0.4; }; x = 7; y = 2.5; };\n"
    "train = { batch_tokens = 64; lr = 0.01; };\n"
    "val = { tokens = 2000; };\n"
    "phases = (\n"
    "  { name = \"size\";\n"
    "    axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.5; points = 3; } );\n"
    "    fits = ( { axis = \"M\"; } );\n"
    "    seeds = 2; },\n"
    "  { name = \"shape\";\n"
    "    after = [\"size\"];\n"
    "    scales = [3e8];\n"
    "    axes = ( { var = \"x\"; values = [6.5, 8.0]; }, { var = \"d\"; fractions = [0.0, "
    "1.0]; } );\n"
    "    fits = ( { axis = \"x\"; form = \"density\"; grow = 1; adopt = false; } );\n"
    "    set = { y = 3.0; lr = { breaks = [2e8]; values = [0.01, 0.005]; }; }; }\n"
    ");\n"
    "seed = 3000000000L;\n";

static char dir[64];
static int corpus_symbols;

const char *sample_dir(void)
{
    return dir;
}

int sample_symbols(void)
{
    return corpus_symbols;
}

void sample_put(const char *name, const char *text, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, size, f) != size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

// Documents of 2500 bytes over a small vocabulary; 80 are enough for every good sweep here.
static void put_corpus(const char *name, int docs, char last)
{
    size_t doc = 2500, size = (size_t)docs * (doc + 1);
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = i % (doc + 1) == doc ? '\f' : (char)('a' + (i * i / 7 + i) % 23);
    text[size - 2] = last;
    bool seen[256] = {false};
    corpus_symbols = 1;
    for (size_t i = 0; i < size; i++) {
        corpus_symbols += text[i] != '\f' && !seen[(unsigned char)text[i]];
        seen[(unsigned char)text[i]] = true;
    }
    sample_put(name, text, size);
    free(text);
}

// Bytes by their rank, end of text is 0.
void sample_put_tokens(bool swapped)
{
    enum { DOCS = 80, LEN = 2501 };
    char path[256];
    int64_t end[DOCS];
    int32_t *tokens = malloc(DOCS * LEN * sizeof *tokens);
    for (int i = 0; i < DOCS * LEN; i++)
        tokens[i] = i % LEN == LEN - 1
                        ? 0
                        : 1 + (int32_t)(((size_t)i * (size_t)i / 7 + (size_t)i) % 23);
    tokens[DOCS * LEN - 2] = 24; // as the last letter of corpus.txt
    for (int i = 0; i < DOCS; i++)
        end[i] = (i + 1) * LEN;
    if (swapped) {
        int32_t t = tokens[0];
        tokens[0] = tokens[2];
        tokens[2] = t;
    }
    struct docs d = {tokens, end, DOCS};
    snprintf(path, sizeof path, "%s/t.bin", dir);
    write_bytes(path, bytes_nanogpt(&d));
    snprintf(path, sizeof path, "%s/m.bin", dir);
    write_bytes(path, bytes_megatron_bin(&d, 2));
    snprintf(path, sizeof path, "%s/m.idx", dir);
    write_bytes(path, bytes_megatron_idx(&d, 2));
    free(tokens);
}

enum err sample_load(const char *name, const char *text, struct sweep *s)
{
    char path[256];
    sample_put(name, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return config_load(path, s);
}

char *sample_replaced(const char *text, const char *was, const char *now)
{
    const char *at = strstr(text, was);
    if (!at) {
        fprintf(stderr, "the good text has no '%s'\n", was);
        exit(1);
    }
    size_t size = strlen(text) + strlen(now) + 1;
    char *out = malloc(size);
    snprintf(out, size, "%.*s%s%s", (int)(at - text), text, now, at + strlen(was));
    return out;
}

bool sample_make(void)
{
    snprintf(dir, sizeof dir, "/tmp/moesweep-config-XXXXXX");
    char path[256];
    if (!mkdtemp(dir)) {
        perror(dir);
        return false;
    }
    const char *folders[] = {"other", "changed"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, folders[i]);
        mkdir(path, 0700);
    }
    put_corpus("changed/corpus.txt", 80, 'z');
    put_corpus("short.txt", 2, 'x');
    put_corpus("other/corpus.txt", 80, 'x');
    put_corpus("corpus.txt", 80, 'x');
    sample_put_tokens(false);
    sample_put("empty.txt", "", 0);
    sample_put("single.txt", "one document and no more", 24);
    return true;
}

static void clean_up(const char *folder)
{
    DIR *d = opendir(folder);
    char path[512];
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (unlink(path) != 0)
            clean_up(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

void sample_remove(void)
{
    clean_up(dir);
}
