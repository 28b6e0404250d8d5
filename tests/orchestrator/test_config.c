// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration: what it reads, what it refuses and how it says so, what it writes back.
// With the argument --tables it prints the tables of keys for docs/configuration.md instead.
#include "orchestrator/config_internal.h"
#include "tests/core/token_files.h"
#include "tests/test.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] =
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

struct bad {
    const char *was, *now; // replaced in the good text
    const char *at;        // whose line is named; NULL: that of `now`
    const char *key;       // named in the message
    const char *words;     // that the message holds
};

static const struct bad bads[] = {
    // unknown, missing, doubled
    {"seed = ", "sede = ", NULL, "sede", "unknown key"},
    {"held = 0.2", "hold = 0.2", NULL, "data.hold", "unknown key"},
    {"seeds = 2", "sedes = 2", NULL, "phases[0].sedes", "unknown key"},
    {"grow = 1", "grew = 1", NULL, "phases[1].fits[0].grew", "unknown key"},
    {"exponent = 0.4", "power = 0.4", NULL, "start.M.power", "unknown key"},
    {"scales = [1e8, 3e8];", "", NULL, "scales", "found nothing"},
    {"lr = 0.01; ", "", NULL, "train.lr", "found nothing"},
    {"name = \"shape\";", "", "{ \n", "phases[1].name", "found nothing"},
    {"S = 16; ", "", NULL, "arch.S", "neither"},
    {"seed = 3", "name = \"u\";\nseed = 3", "name = \"u\"", "", "duplicate setting"},
    // types
    {"name = \"t\"", "name = 3", NULL, "name", "found 3"},
    {"name = \"t\"", "name = \"a b\"", NULL, "name", "letters, digits"},
    {"held = 0.2", "held = \"x\"", NULL, "data.held",
     "expected number, above 0 to 0.5, found \"x\""},
    {"S = 16", "S = 16.5", NULL, "arch.S", "found 16.5"},
    {"S = 16", "S = \"16\"", NULL, "arch.S", "found \"16\""},
    {"tokens = 2000", "tokens = 2.7", NULL, "val.tokens", "expected integer, 1 to"},
    {"adopt = false", "adopt = 0", NULL, "phases[1].fits[0].adopt", "expected true or false"},
    {"seeds = 2", "seeds = [2]", NULL, "phases[0].seeds", "found a list of 1"},
    {"val = { tokens = 2000; };", "val = 2000;", NULL, "val", "expected a group"},
    {"form = \"density\"", "form = \"cubic\"", NULL, "phases[1].fits[0].form",
     "\"logquad\" or"},
    // the 32-bit trap
    {"seed = 3000000000L", "seed = 3000000000", NULL, "seed", "3000000000L"},
    {"scales = [1e8, 3e8]", "scales = [100000000,\n 3000000000]", " 3000000000", "scales[1]",
     "end in L"},
    {"factor = 1.5; points = 3", "points = 3000000000", NULL, "phases[0].axes[0].points",
     "end in L"},
    {"seed = 3000000000L", "seed = 99999999999999999999L", NULL, "seed", "64 bits"},
    {"seed = 3000000000L", "seed = 0x1FFFFFFFF", NULL, "seed", "end in L"},
    // ranges and absurd sizes
    {"seeds = 2", "seeds = -1", NULL, "phases[0].seeds", "found -1"},
    {"seed = 3000000000L", "seed = -1", NULL, "seed", "found -1"},
    {"S = 16", "S = -16", NULL, "arch.S", "found -16"},
    {"S = 16", "S = 0", NULL, "arch.S", "found 0"},
    {"S = 16", "S = 1000000000", NULL, "arch.S", "16777216"},
    {"d_m = [1, 64]", "d_m = [64, 1]", NULL, "free.d_m", "lo <= hi"},
    {"d_m = [1, 64]", "d_m = [-1, 64]", NULL, "free.d_m[0]", "found -1"},
    {"d_m = [1, 64]", "d_m = [33, 40, 32]", NULL, "free.d_m", "multiple of its step"},
    {"d_m = [1, 64]", "d_f = [1, 64]", NULL, "free.d_f", "a dimension"},
    {"batch_tokens = 64", "batch_tokens = 0", NULL, "train.batch_tokens", "found 0"},
    {"batch_tokens = 64", "batch_tokens = 1e8", NULL, "train.batch_tokens", "at most"},
    {"lr = 0.01", "lr = 1e999", NULL, "train.lr", "expected"},
    {"lr = 0.01", "lr = { value = 1; at = 0; exponent = 1; }", NULL, "train.lr.at", "above 0"},
    {"lr = 0.01", "lr = \"chinchilla\"", NULL, "train.lr", "step-law"},
    {"x = 7;", "x = 5.9;", NULL, "start.x", "found 5.9"},
    {"x = 7;", "q = 5.9;", NULL, "start.q", "a coordinate"},
    {"M = { value = 8000; at = 1e8; exponent = 0.4; }; ", "", NULL, "start.M", "found nothing"},
    // dimensions against each other
    {"K = 2", "K = 40", "free =", "free.N_e", "reaches K"},
    {"N_e = [3, 32]; ", "", "arch =", "arch.N_e", "neither"},
    {"N_q = 2; N_kv = 1", "N_q = 3; N_kv = 2", NULL, "arch.N_q",
     "a multiple of N_kv = 2, found 3"},
    {"K = 2;", "K = 2; N_e = 8;", "free =", "free.N_e", "does not fix"},
    {"set = { y = 3.0;", "set = { N_e = 1;", NULL, "phases[1].set.N_e",
     "at least K = 2, found 1"},
    {"set = { y = 3.0;", "set = { N_kv = 4;", NULL, "phases[1].set.N_kv",
     "a divisor of N_q = 2"},
    {"{ var = \"d\"; fractions = [0.0, 1.0]; }", "{ var = \"N_e\";\n values = [1, 8]; }",
     " values = [1, 8]", "phases[1].axes[1].values[0]", "at least K = 2, found 1"},
    {"d_qkv = [2, 32, 2]; ", "d_qkv = [3, 3]; ", NULL, "free.d_qkv", "even"},
    {"L_d = 1; L_m = 1", "L_d = 0; L_m = 0", NULL, "arch.L_m", "at least one layer"},
    {"S = 16;", "S = 16; V = 64;", NULL, "arch.V", "no vocabulary for text"},
    // the corpus
    {"corpus.txt", "absent.txt", NULL, "data.paths[0]", "does not exist"},
    {"corpus.txt", "empty.txt", NULL, "data.paths[0]", "an empty file"},
    {"corpus.txt", ".", NULL, "data.paths[0]", "a folder"},
    {"corpus.txt", "single.txt", NULL, "data.paths", "at least two documents"},
    {"corpus.txt", "short.txt", NULL, "data.paths", "training tokens"},
    {"tokens = 2000", "tokens = 200000", NULL, "val.tokens",
     "held out of the corpus, found 200000"},
    {"held = 0.2;", "held = 0.2; max_epochs = 0.1;", NULL, "data.paths", "training tokens"},
    {"[\"corpus.txt\"]", "[]", NULL, "data.paths", "list of at most 4096"},
    {"paths = [\"corpus.txt\"];", "", NULL, "data.paths", "found nothing"},
    {"held = 0.2", "held = 0.9", NULL, "data.held", "found 0.9"},
    // a checkpoint to start from
    {"seed = 3", "init = { from = \"absent\"; };\nseed = 3", NULL, "init.from",
     "expected a checkpoint, found "},
    {"seed = 3", "init = { from = \".\"; };\nseed = 3", NULL, "init.from", "found a folder"},
    {"seed = 3", "init = { from = \"corpus.txt\"; };\nseed = 3", NULL, "init.from",
     "expected a checkpoint of moetrain, found "},
    {"seed = 3", "init = { from = 7; };\nseed = 3", NULL, "init.from", "path of a checkpoint"},
    {"seed = 3", "init = { noise = 0.1; };\nseed = 3", NULL, "init.noise",
     "expected 0 without init.from, found 0.1"},
    // scales
    {"scales = [1e8, 3e8]", "scales = [3e8, 1e8]", NULL, "scales[1]", "ascending"},
    {"scales = [1e8, 3e8]", "scales = [1e8,\n 1e8]", " 1e8", "scales[1]", "ascending"},
    {"scales = [1e8, 3e8]", "scales = [-1e8]", NULL, "scales[0]", "found -100000000"},
    {"scales = [1e8, 3e8]", "scales = []", NULL, "scales", "found a list of 0"},
    {"    scales = [3e8]", "    scales = [4e8]", NULL, "phases[1].scales[0]",
     "the sweep's scales"},
    {"scales = [1e8, 3e8]", "scales = [100000000, 3e8]", NULL, "", "all without a point"},
    // phases
    {"after = [\"size\"]", "after = [\"shape\"]", NULL, "phases[1].after[0]",
     "the phase itself"},
    {"after = [\"size\"]", "after = [\"width\"]", NULL, "phases[1].after[0]",
     "found \"width\""},
    {"seeds = 2;", "after = [\"shape\"];", NULL, "phases[0].after[0]", "stands before"},
    {"name = \"shape\"", "name = \"size\"", NULL, "phases[1].name", "no other phase"},
    {"var = \"x\"", "var = \"xx\"", NULL, "phases[1].axes[0].var", "found \"xx\""},
    {"var = \"x\"", "var = \"V\"", NULL, "phases[1].axes[0].var", "found \"V\""},
    {"{ var = \"d\"; fractions = [0.0, 1.0]; }", "{ var = \"x\"; values = [7.0]; }", NULL,
     "phases[1].axes[1].var", "no other axis"},
    {"axis = \"x\"", "axis = \"y\"", NULL, "phases[1].fits[0].axis", "one of the phase's axes"},
    {"values = [6.5, 8.0]", "fractions = [0.5]", NULL, "phases[1].axes[0].fractions",
     "for d alone"},
    {"values = [6.5, 8.0]", "values = [8.0, 6.5]", NULL, "phases[1].axes[0].values[1]",
     "ascending"},
    {"values = [6.5, 8.0]", "values = [6.5]; around = 7.0", NULL, "phases[1].axes[0]",
     "found 2"},
    {"values = [6.5, 8.0]", "values = [6.5]; points = 3", NULL, "phases[1].axes[0].points",
     "around"},
    {"around = \"adopted\"", "around = \"found\"", NULL, "phases[0].axes[0].around",
     "\"adopted\""},
    {"points = 3", "points = 65", NULL, "phases[0].axes[0].points", "found 65"},
    {"seed = 3000000000L;", "seed = 3; width = 2;", NULL, "width", "moetrain uses one GPU"},
    {"seed = 3000000000L;", "seed = 3; width = 1.5;", NULL, "width",
     "an integer from 1 to 4096"},
    {"breaks = [2e8]; values = [0.01, 0.005]", "breaks = [2e8]; values = [0.01]", NULL,
     "phases[1].set.lr", "1 breaks and 1 values"},
    {"seeds = 2;", "seeds = 2; early_stop = { at = [0.5]; };", NULL, "phases[0].early_stop",
     "a phase with `after` or `rounds`"},
    {"after = [\"size\"]", "early_stop = { at = [0.5, 0.4]; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.at[1]", "ascending"},
    {"after = [\"size\"]", "early_stop = { at = [1.0]; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.at[0]", "above 0 to below 1, found 1"},
    {"after = [\"size\"]", "early_stop = { at = [0.0]; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.at[0]", "above 0 to below 1, found 0"},
    {"after = [\"size\"]",
     "early_stop = { at = [0.1, 0.2, 0.3, 0.4, 0.5]; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.at", "list of 1 to 4 numbers"},
    {"after = [\"size\"]", "early_stop = { at = [0.5]; margin = 0.0; }; after = [\"size\"]",
     NULL, "phases[1].early_stop.margin", "above 0 to 10, found 0"},
    {"after = [\"size\"]", "early_stop = { margin = 0.1; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.margin", "this key beside at"},
    {"after = [\"size\"]", "early_stop = { at = [0.5]; from = 1; }; after = [\"size\"]", NULL,
     "phases[1].early_stop.from", "an unknown key"},
    {"after = [\"size\"]",
     "early_stop = { at = [0.5]; }; analysis = \"fairness\"; after = [\"size\"]", NULL,
     "phases[1].early_stop", "a phase without `analysis`"},
    {"after = [\"size\"]", "early_stop = 0.5; after = [\"size\"]", NULL, "phases[1].early_stop",
     "a group { .. }"},
    // the rest
    {"seed = 3", "trainer = \"moetrain\";\nseed = 3", NULL, "trainer", "{job}"},
    {"batch_tokens = 64;", "batch_tokens = 64; decay = 0.95;", NULL, "train.decay",
     "at most 1"},
    {"K = 2;", "K == 2;", NULL, "", "syntax error"},
    {"seed = 3000000000L;", "@include \"nowhere.cfg\"", NULL, "@include", "nowhere.cfg"},
    {"seed = 3000000000L;", "@include \".\"", NULL, "@include", "found a folder"},
    {"held = 0.2;", "held = 0.2; kind = \"external\";", NULL, "data.kind",
     "\"text\" for moetrain"},
    // files of tokens
    {"held = 0.2;", "held = 0.2; eot = 0;", NULL, "data.eot", "kind nanogpt or llmc beside it"},
    {"held = 0.2;", "held = 0.2; kind = \"megatron\"; eot = 0;", NULL, "data.eot",
     "kind nanogpt or llmc"},
    {"held = 0.2;", "held = 0.2; kind = \"llmc\";", NULL, "data.paths",
     "corpus.txt: expected the magic number"},
    {"held = 0.2;", "held = 0.2; kind = \"megatron\";", NULL, "data.paths[0]",
     "a file of tokens, found"},
    {"[\"corpus.txt\"]; held = 0.2;", "[\"t.bin\"]; held = 0.2; kind = \"nanogpt\";", NULL,
     "data.paths", "at least two documents (one a file"},
    {"[\"corpus.txt\"]; held = 0.2;",
     "[\"t.bin\"]; held = 0.2; kind = \"nanogpt\"; eot = 0; tokens = 5;", NULL, "data.tokens",
     "no count for files of tokens"},
    {"[\"corpus.txt\"]; held = 0.2; };",
     "[\"t.bin\"]; held = 0.2; kind = \"nanogpt\"; eot = 0; max_epochs = 0.1; };", NULL,
     "data.paths", "training tokens"},
    {"[\"corpus.txt\"]; held = 0.2; };\nscales = [1e8, 3e8];\narch = {",
     "[\"t.bin\"]; held = 0.2; kind = \"nanogpt\"; eot = 0; };\nscales = [1e8, 3e8];\n"
     "arch = { V = 22;",
     "arch = { V", "arch.V", "more than 24, the largest token of the files, found 22"},
};

static char dir[64];
static int corpus_symbols; // byte values in the last corpus, and end of text

static void put(const char *name, const char *text, size_t size)
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
    put(name, text, size);
    free(text);
}

// The same documents as t.bin and as the pair m: bytes by their rank, end of text is 0.
// swapped: the first two tokens change places.
static void put_tokens(bool swapped)
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

static enum err load(const char *name, const char *text, struct sweep *s)
{
    char path[256];
    put(name, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return config_load(path, s);
}

static char *replaced(const char *text, const char *was, const char *now)
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

static int line_of(const char *text, const char *at)
{
    int line = 1;
    for (const char *c = text; c < at; c++)
        line += *c == '\n';
    return line;
}

// A missing key is reported at the line of its group, or without a line at the top level.
static void test_bad_input(void)
{
    static struct sweep s;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const struct bad *b = &bads[i];
        char *text = replaced(good, b->was, b->now), start[400], why[1200];
        const char *at = text + (strstr(good, b->was) - good);
        if (b->at)
            at = strstr(text, b->at);
        while (*at == '\n')
            at++;
        CHECK(load("bad.cfg", text, &s) == ERR_INPUT);
        bool top_missing = strstr(b->words, "found nothing") && !strchr(b->key, '.');
        int line = line_of(text, at);
        if (top_missing)
            snprintf(start, sizeof start, "%s/bad.cfg: %s: expected", dir, b->key);
        else if (!*b->key)
            snprintf(start, sizeof start, "%s/bad.cfg:%d: ", dir, line);
        else
            snprintf(start, sizeof start, "%s/bad.cfg:%d: %s: ", dir, line, b->key);
        bool ok = strncmp(err_message(), start, strlen(start)) == 0 &&
                  strstr(err_message(), b->words);
        snprintf(why, sizeof why, "'%s' for '%s' gave: %s", b->now, b->was, err_message());
        test_check(ok, __FILE__, __LINE__, why);
        free(text);
    }
}

static void test_files(void)
{
    static struct sweep s;
    char path[256];
    CHECK(config_load("/nonexistent/x.cfg", &s) == ERR_INPUT);
    CHECK(strstr(err_message(), "/nonexistent/x.cfg: expected a readable file") != NULL);
    CHECK(config_load(dir, &s) == ERR_INPUT && strstr(err_message(), "found a folder"));
    CHECK(config_load("/dev/zero", &s) == ERR_INPUT && strstr(err_message(), "special file"));
    put("zero.cfg", "a = 1;\0b", 8);
    snprintf(path, sizeof path, "%s/zero.cfg", dir);
    CHECK(config_load(path, &s) == ERR_INPUT && strstr(err_message(), "zero byte at offset 6"));
    CHECK(load("self.cfg", "@include \"self.cfg\"\n", &s) == ERR_INPUT);
    CHECK(load("deep.cfg", "a = ((((((((((((((((((((((((((((((((((((1", &s) == ERR_INPUT);
    CHECK(load("nothing.cfg", "", &s) == ERR_INPUT && strstr(err_message(), "name: expected"));

    // An error in an included file names that file and its line.
    put("inner.cfg", "# a\nseed = 2.5;\n", 16);
    char *text = replaced(good, "seed = 3000000000L;", "@include \"inner.cfg\"");
    CHECK(load("outer.cfg", text, &s) == ERR_INPUT);
    snprintf(path, sizeof path, "%s/inner.cfg:2: seed: expected integer", dir);
    CHECK(strncmp(err_message(), path, strlen(path)) == 0);
    put("inner.cfg", "# a\nseed = 5;\n   ", 16);
    CHECK(load("outer.cfg", text, &s) == OK && s.seed == 5);
    config_free(&s);
    free(text);
}

// Whatever a file is cut to, the answer is a sweep or a message.
static void test_truncated(void)
{
    static struct sweep s;
    char text[sizeof good];
    for (size_t n = 0; n < sizeof good; n++) {
        memcpy(text, good, n);
        text[n] = '\0';
        enum err e = load("cut.cfg", text, &s);
        CHECK(e == OK || (e == ERR_INPUT && *err_message()));
        if (e == OK)
            config_free(&s);
    }
}

static void test_good(void)
{
    static struct sweep s;
    CHECK(load("good.cfg", good, &s) == OK);
    if (s.n_phases != 2) {
        fprintf(stderr, "%s\n", err_message());
        return;
    }
    CHECK_STR(s.name, "t");
    CHECK(s.seed == 3000000000u);
    CHECK(s.n_scales == 2 && s.scales[0] == 1e8 && s.scales[1] == 3e8);
    CHECK(s.solve.base.S == 16 && s.solve.base.N_kv == 1 && s.solve.base.n_shared == 1);
    CHECK(s.solve.base.d == ARCH_UNSET && s.solve.base.d_d == ARCH_UNSET);
    CHECK(s.solve.base.V == corpus_symbols && s.base.arch.V == corpus_symbols);
    CHECK(s.corpus_train + s.corpus_held == 80 * 2501);
    CHECK(s.solve.n_free == 4 && s.solve.free[1].dim == DIM_N_e && s.solve.free[1].hi == 32 &&
          s.solve.free[1].step == 1 && s.solve.free[3].step == 2);
    CHECK_NEAR(s.solve.tol[COORD_x], 0.03, 0);
    CHECK(isnan(s.solve.want[COORD_M]));
    CHECK(s.n_start == 3 && s.start[0].var.index == COORD_M);
    CHECK_REL(rule_at(&s.start[0].rule, 3e8), 8000 * pow(3, 0.4), 1e-14);
    CHECK(s.base.data.n_paths == 1 && s.base.data.paths[0][0] == '/');

    const struct phase *p = &s.phases[0], *q = &s.phases[1];
    CHECK(p->n_scales == 2 && p->seeds == 2 && p->rounds == 1 && p->n_after == 0);
    CHECK(p->axes[0].source == AXIS_AROUND && p->axes[0].around_adopted && p->axes[0].n == 3);
    CHECK(p->axes[0].factor == 1.5 && p->axes[0].var.kind == VAR_COORD);
    CHECK(p->n_fits == 1 && p->fits[0].form == CURVE_logquad && p->fits[0].adopt);
    CHECK(q->n_scales == 1 && q->scales[0] == 3e8 && q->n_after == 1 && q->after[0] == 0);
    CHECK(q->n_axes == 2 && q->axes[0].n == 2 && q->axes[0].values[1] == 8);
    CHECK(q->axes[1].source == AXIS_FRACTIONS && q->axes[1].var.kind == VAR_DIM &&
          q->axes[1].var.index == DIM_d);
    CHECK(q->fits[0].form == CURVE_density && q->fits[0].grow == 1 && !q->fits[0].adopt);
    CHECK(q->n_set == 2 && q->set[1].var.kind == VAR_LR);
    CHECK(rule_at(&q->set[1].rule, 1.9e8) == 0.01 && rule_at(&q->set[1].rule, 2e8) == 0.005);
    config_free(&s);
}

// A key that is absent has the default that the trainer's own jobs have.
static void test_defaults(void)
{
    static struct sweep s;
    struct job j;
    job_init(&j);
    char *text = replaced(good, " held = 0.2;", " held = 0.05;");
    CHECK(load("default.cfg", text, &s) == OK);
    free(text);
    CHECK(j.data.held == s.base.data.held && j.data.kind == s.base.data.kind);
    CHECK(j.train.schedule == s.base.train.schedule && j.train.warmup == s.base.train.warmup &&
          j.train.decay == s.base.train.decay && j.train.wd == s.base.train.wd &&
          j.train.beta1 == s.base.train.beta1 && j.train.beta2 == s.base.train.beta2 &&
          j.train.clip == s.base.train.clip && j.train.aux == rule_at(&s.aux, 1e8));
    CHECK(j.model.router == s.base.model.router &&
          j.model.norm_topk == s.base.model.norm_topk && j.model.tied == s.base.model.tied &&
          j.model.rope_base == s.base.model.rope_base &&
          j.model.init_scale == s.base.model.init_scale);
    CHECK(j.threads == s.base.threads && strcmp(j.device, s.base.device) == 0 &&
          j.checkpoint.every_s == s.base.checkpoint.every_s && j.val.every == s.base.val.every);
    config_free(&s);
    text =
        replaced(good, "val = { tokens = 2000; };", ""); // its default, or all that is held out
    CHECK(load("default.cfg", text, &s) == OK);
    // The last held-out token is only predicted.
    CHECK(s.corpus_held <= j.val.tokens && s.base.val.tokens == s.corpus_held - 1);
    free(text);
    config_free(&s);
}

// The resolved text reads back to the same sweep, and resolves to itself.
static void check_resolved(const char *path)
{
    static struct sweep a, b;
    char *first = NULL, *second = NULL;
    enum err e = config_load(path, &a);
    if (e != OK)
        fprintf(stderr, "%s\n", err_message());
    CHECK(e == OK);
    if (e != OK)
        return;
    CHECK(config_resolved(&a, &first) == OK);
    e = load("resolved.cfg", first, &b);
    if (e != OK)
        fprintf(stderr, "%s\n", err_message());
    CHECK(e == OK);
    if (e == OK) {
        CHECK(config_resolved(&b, &second) == OK);
        CHECK_STR(second, first);
        CHECK(a.hash == b.hash && a.n_phases == b.n_phases && a.corpus_hash == b.corpus_hash);
        config_free(&b);
    }
    free(first);
    free(second);
    config_free(&a);
}

static void check_resolved_text(const char *text)
{
    char path[256];
    put("again.cfg", text, strlen(text));
    snprintf(path, sizeof path, "%s/again.cfg", dir);
    check_resolved(path);
}

// The corpus as tokens, in two kinds of file: sizes, V and split as for the text, and it is the
// same work whether V is written down or found.
static void test_token_files(void)
{
    static const char *const datas[] = {"[\"t.bin\"]; kind = \"nanogpt\"; eot = 0; held = 0.2;",
                                        "[\"m\"]; kind = \"megatron\"; held = 0.2;"};
    static struct sweep text, s, given;
    CHECK(load("text.cfg", good, &text) == OK);
    for (int i = 0; i < 2; i++) {
        char *found = replaced(good, "[\"corpus.txt\"]; held = 0.2;", datas[i]), V[32], *with;
        snprintf(V, sizeof V, "arch = { V = %d;", corpus_symbols);
        with = replaced(found, "arch = {", V);
        enum err e = load("tokens.cfg", found, &s);
        if (e != OK)
            fprintf(stderr, "%s\n", err_message());
        CHECK(e == OK && load("given.cfg", with, &given) == OK);
        CHECK(s.base.arch.V == corpus_symbols && s.hash == given.hash);
        CHECK(s.corpus_train == text.corpus_train && s.corpus_held == text.corpus_held);
        CHECK(s.base.data.paths[0][0] == '/' && s.hash != text.hash);
        const char *name = strrchr(s.base.data.paths[0], '/');
        CHECK_STR(name, i ? "/m.bin" : "/t.bin");
        check_resolved_text(found);
        free(found);
        free(with);
        config_free(&given);
        uint64_t content = s.corpus_hash;
        config_free(&s);
        // The content counts, not only sizes: two tokens of the first document swapped.
        put_tokens(true);
        found = replaced(good, "[\"corpus.txt\"]; held = 0.2;", datas[i]);
        CHECK(load("tokens.cfg", found, &s) == OK && s.corpus_hash != content);
        config_free(&s);
        free(found);
        put_tokens(false);
    }
    config_free(&text);
}

static void test_rules(void)
{
    static struct sweep s;
    char *text = replaced(good, "batch_tokens = 64; lr = 0.01;",
                          "batch_tokens = \"step-law\"; lr = \"step-law\";");
    CHECK(load("rules.cfg", text, &s) == OK);
    free(text);
    CHECK(isnan(rule_at(&s.lr, 1e8)));
    CHECK_REL(rule_at_run(&s.lr, 1e8, 1e9, 1e10), 1.79 * pow(1e9, -0.713) * pow(1e10, 0.307),
              1e-14);
    CHECK_REL(rule_at_run(&s.batch_tokens, 1e8, 1e9, 1e10), 0.58 * pow(1e10, 0.571), 1e-14);
    config_free(&s);
    text = replaced(good, "N_q = 2;", "N_q = { breaks = [2e8]; values = [2, 4]; };");
    CHECK(load("rules.cfg", text, &s) == OK);
    free(text);
    CHECK(s.solve.base.N_q == ARCH_UNSET && s.n_start == 4 && s.start[0].var.index == DIM_N_q);
    CHECK(rule_at(&s.start[0].rule, 1e8) == 2 && rule_at(&s.start[0].rule, 3e8) == 4);
    config_free(&s);
    text = replaced(good, "N_q = 2;", "N_q = { breaks = [2e8]; values = [2.0, 4.5]; };");
    CHECK(load("rules.cfg", text, &s) == ERR_INPUT &&
          strstr(err_message(), ":4: arch.N_q: expected an"));
    free(text);
}

static uint64_t hash_of(const char *was, const char *now)
{
    static struct sweep s;
    char *text = replaced(good, was, now);
    uint64_t hash = 0;
    if (load("hash.cfg", text, &s) == OK) {
        hash = s.hash;
        config_free(&s);
    }
    free(text);
    return hash;
}

static void test_hash(void)
{
    static struct sweep a, b;
    char differences[400];
    uint64_t h = hash_of("seed", "seed");
    CHECK(h != 0);
    CHECK(hash_of("seed =", "# why\nseed  =") == h);
    CHECK(hash_of("seed =", "retries = 7; trainer_silence_s = 9; price_per_hour = 2; "
                            "checkpoint_every_s = 1; seed =") == h);
    // A width of 1 is none: sweeps are what they were before there was one.
    CHECK(hash_of("seed =", "width = 1; pin = false; checkpoints = false; memory_limit = 2.0; "
                            "seed =") == h);
    uint64_t foreign = hash_of("seed =", "trainer = \"x {job}\"; seed =");
    CHECK(hash_of("seed =", "trainer = \"x {job}\"; width = 2; seed =") != foreign);
    CHECK(hash_of("seed =", "trainer = \"x {job}\"; "
                            "width = { breaks = [2e8]; values = [1, 2]; }; seed =") != foreign);
    CHECK(hash_of("seeds = 2", "seeds = 3") != h);
    CHECK(hash_of("lr = 0.01", "lr = 0.011") != h);
    CHECK(hash_of("d_m = [1, 64]", "d_m = [1, 63]") != h);
    CHECK(hash_of("lr = 0.01", "lr = 0.01; micro_tokens = 64") != h);
    CHECK(hash_of("\"corpus.txt\"", "\"other/corpus.txt\"") ==
          h); // the same text in another folder
    CHECK(hash_of("\"corpus.txt\"", "\"changed/corpus.txt\"") != h);
    // A document ends where its file does: bytes that move from one to the next are other data.
    const char *three = "\"corpus.txt\", \"end.txt\", \"start.txt\"";
    put("end.txt", "xxxx", 4);
    put("start.txt", "xx", 2);
    uint64_t moved = hash_of("\"corpus.txt\"", three);
    put("end.txt", "xxx", 3);
    put("start.txt", "xxx", 3);
    CHECK(moved != 0 && hash_of("\"corpus.txt\"", three) != moved);
    CHECK(hash_of("seeds = 2;", "seeds = 2; rounds = 2; early_stop = { at = [0.5]; };") != 0);
    CHECK(hash_of("after = [\"size\"]", "early_stop = { }; after = [\"size\"]") == h);
    CHECK(hash_of("after = [\"size\"]", "early_stop = { at = [0.5]; }; after = [\"size\"]") !=
          h);
    CHECK(hash_of("after = [\"size\"]", "early_stop = { at = [0.5]; }; after = [\"size\"]") !=
          hash_of("after = [\"size\"]",
                  "early_stop = { at = [0.5]; margin = 0.06; }; after = [\"size\"]"));
    // A sweep from before there were micro-batches or early stops is still itself.
    char *flat = NULL;
    CHECK(load("a.cfg", good, &a) == OK && config_flat(&a, &flat) == OK);
    CHECK(strstr(flat, "train.batch_tokens") != NULL && strstr(flat, "micro") == NULL &&
          strstr(flat, "stop") == NULL);
    free(flat);
    config_free(&a);
    char *text = replaced(good, "lr = 0.01", "lr = 0.02; wd = 0.0");
    CHECK(load("a.cfg", good, &a) == OK && load("b.cfg", text, &b) == OK);
    config_differences(&a, &b, differences, sizeof differences);
    CHECK_STR(differences, "train.lr: was 0.01, is 0.02; train.wd: was 0.1, is 0.0");
    config_differences(&a, &a, differences, sizeof differences);
    CHECK_STR(differences, "");
    free(text);
    config_free(&a);
    config_free(&b);
}

// The checkpoint's content counts, not its place; every job gets its hash and absolute path.
static void test_init_from(void)
{
    static struct sweep a;
    put("dense", CHECKPOINT_MAGIC "one", 11);
    put("other/dense", CHECKPOINT_MAGIC "one", 11);
    put("changed/dense", CHECKPOINT_MAGIC "two", 11);
    uint64_t h = hash_of("seed =", "init = { from = \"dense\"; };\nseed =");
    CHECK(h != 0 && h != hash_of("seed =", "seed ="));
    CHECK(h == hash_of("seed =", "init = { from = \"other/dense\"; };\nseed ="));
    CHECK(h != hash_of("seed =", "init = { from = \"changed/dense\"; };\nseed ="));
    CHECK(h != hash_of("seed =", "init = { from = \"dense\"; noise = 0.1; };\nseed ="));
    char *text = replaced(good, "seed =", "init = { from = \"other/../dense\"; };\nseed ="),
         path[256], *real;
    CHECK(load("from.cfg", text, &a) == OK);
    snprintf(path, sizeof path, "%s/dense", dir);
    real = realpath(path, NULL);
    CHECK_STR(a.base.init.from, real);
    CHECK(strlen(a.base.init.hash) == 16);
    snprintf(path, sizeof path, "%s/from.cfg", dir);
    check_resolved(path);
    free(real);
    free(text);
    config_free(&a);
    // Another trainer's may look as they like.
    text = replaced(good, "paths = [\"corpus.txt\"];",
                    "kind = \"external\"; paths = [\"x\"]; tokens = 1000000;");
    char *own = replaced(text, "seed =",
                         "trainer = \"mine {job}\"; init = { from = "
                         "\"corpus.txt\"; };\nseed =");
    char *both = replaced(own, "S = 16;", "S = 16; V = 64;");
    CHECK(load("from.cfg", both, &a) == OK);
    CHECK(strlen(a.base.init.hash) == 16);
    config_free(&a);
    free(text), free(own), free(both);
}

// Every configuration that ships: reads, resolves, and opens with a question as a comment.
static void test_shipped(const char *source)
{
    char folder[512], path[1024], first[256] = "";
    snprintf(folder, sizeof folder, "%s/configs", source);
    DIR *d = opendir(folder);
    int n = 0;
    CHECK(d != NULL);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".cfg") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        check_resolved(path);
        FILE *f = fopen(path, "r");
        CHECK(f && fgets(first, sizeof first, f) && first[0] == '#');
        if (f)
            fclose(f);
        n++;
    }
    if (d)
        closedir(d);
    CHECK(n >= 9);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f && fread(text, 1, (1 << 20) - 1, f) == 0)
        text[0] = '\0';
    if (f)
        fclose(f);
    return text;
}

// The documented rows "| `key` |" are the reader's, each with its type, range, default and
// meaning.
static void test_docs(const char *source)
{
    char path[512], *tables = NULL;
    snprintf(path, sizeof path, "%s/docs/configuration.md", source);
    char *docs = read_file(path);
    CHECK(config_key_tables(&tables) == OK);
    int rows = 0, documented = 0;
    for (char *line = tables, *next; *line; line = next) {
        next = line + strcspn(line, "\n") + 1;
        next[-1] = '\0';
        bool found = strstr(docs, line) != NULL;
        if (!found)
            fprintf(stderr,
                    "docs/configuration.md lacks (test_config --tables prints it): %s\n", line);
        CHECK(found);
        rows += strncmp(line, "| `", 3) == 0;
    }
    for (const char *row = strstr(docs, "\n| `"); row; row = strstr(row + 1, "\n| `"))
        documented++;
    CHECK(rows > 50);
    if (documented != rows)
        fprintf(stderr, "%d documented keys, the reader knows %d\n", documented, rows);
    CHECK(documented == rows);
    for (int i = 0; i < N_COORDS; i++) {
        snprintf(path, sizeof path, "`%s`", coord_name((enum coord)i));
        CHECK(strstr(docs, path) != NULL);
    }
    for (int i = 0; i < N_DIMS; i++) {
        snprintf(path, sizeof path, "`%s`", arch_dim_name((enum arch_dim)i));
        CHECK(strstr(docs, path) != NULL);
    }
    free(tables);
    free(docs);
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

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--tables") == 0) {
        char *text;
        if (config_key_tables(&text) != OK)
            return 1;
        fputs(text, stdout);
        free(text);
        return 0;
    }
    const char *source = getenv("MOESWEEP_SOURCE");
    if (!source)
        SKIP("MOESWEEP_SOURCE names no source tree");
    snprintf(dir, sizeof dir, "/tmp/moesweep-config-XXXXXX");
    char path[256];
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
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
    put_tokens(false);
    put("empty.txt", "", 0);
    put("single.txt", "one document and no more", 24);
    test_good();
    test_bad_input();
    test_files();
    test_truncated();
    test_defaults();
    test_token_files();
    test_rules();
    test_hash();
    test_init_from();
    test_shipped(source);
    test_docs(source);
    clean_up(dir);
    return test_summary();
}
