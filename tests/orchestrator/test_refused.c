// SPDX-License-Identifier: GPL-3.0-or-later
// What the configuration's reader refuses, and how it says so.
#include "orchestrator/config_internal.h"
#include "tests/orchestrator/config_sample.h"
#include "tests/test.h"

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
        char *text = sample_replaced(sample_good, b->was, b->now), start[400], why[1200];
        const char *at = text + (strstr(sample_good, b->was) - sample_good);
        if (b->at)
            at = strstr(text, b->at);
        while (*at == '\n')
            at++;
        CHECK(sample_load("bad.cfg", text, &s) == ERR_INPUT);
        bool top_missing = strstr(b->words, "found nothing") && !strchr(b->key, '.');
        int line = line_of(text, at);
        if (top_missing)
            snprintf(start, sizeof start, "%s/bad.cfg: %s: expected", sample_dir(), b->key);
        else if (!*b->key)
            snprintf(start, sizeof start, "%s/bad.cfg:%d: ", sample_dir(), line);
        else
            snprintf(start, sizeof start, "%s/bad.cfg:%d: %s: ", sample_dir(), line, b->key);
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
    CHECK(config_load(sample_dir(), &s) == ERR_INPUT &&
          strstr(err_message(), "found a folder"));
    CHECK(config_load("/dev/zero", &s) == ERR_INPUT && strstr(err_message(), "special file"));
    sample_put("zero.cfg", "a = 1;\0b", 8);
    snprintf(path, sizeof path, "%s/zero.cfg", sample_dir());
    CHECK(config_load(path, &s) == ERR_INPUT && strstr(err_message(), "zero byte at offset 6"));
    CHECK(sample_load("self.cfg", "@include \"self.cfg\"\n", &s) == ERR_INPUT);
    CHECK(sample_load("deep.cfg", "a = ((((((((((((((((((((((((((((((((((((1", &s) ==
          ERR_INPUT);
    CHECK(sample_load("nothing.cfg", "", &s) == ERR_INPUT &&
          strstr(err_message(), "name: expected"));

    // An error in an included file names that file and its line.
    sample_put("inner.cfg", "# a\nseed = 2.5;\n", 16);
    char *text = sample_replaced(sample_good, "seed = 3000000000L;", "@include \"inner.cfg\"");
    CHECK(sample_load("outer.cfg", text, &s) == ERR_INPUT);
    snprintf(path, sizeof path, "%s/inner.cfg:2: seed: expected integer", sample_dir());
    CHECK(strncmp(err_message(), path, strlen(path)) == 0);
    sample_put("inner.cfg", "# a\nseed = 5;\n   ", 16);
    CHECK(sample_load("outer.cfg", text, &s) == OK && s.seed == 5);
    config_free(&s);
    free(text);
}

// Whatever a file is cut to, the answer is a sweep or a message.
static void test_truncated(void)
{
    static struct sweep s;
    char *text = strdup(sample_good);
    for (size_t n = strlen(sample_good) + 1; n-- > 0;) {
        text[n] = '\0';
        enum err e = sample_load("cut.cfg", text, &s);
        CHECK(e == OK || (e == ERR_INPUT && *err_message()));
        if (e == OK)
            config_free(&s);
    }
    free(text);
}

int main(void)
{
    if (!sample_make())
        return 1;
    test_bad_input();
    test_files();
    test_truncated();
    sample_remove();
    return test_summary();
}
