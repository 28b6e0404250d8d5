// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration: what it reads and what it writes back (what it refuses: test_refused.c).
// With the argument --tables it prints the tables of keys for docs/configuration.md instead.
#include "orchestrator/config_internal.h"
#include "tests/orchestrator/config_sample.h"
#include "tests/test.h"
#include <dirent.h>

static void test_good(void)
{
    static struct sweep s;
    CHECK(sample_load("good.cfg", sample_good, &s) == OK);
    if (s.n_phases != 2) {
        fprintf(stderr, "%s\n", err_message());
        return;
    }
    CHECK_STR(s.name, "t");
    CHECK(s.seed == 3000000000u);
    CHECK(s.n_scales == 2 && s.scales[0] == 1e8 && s.scales[1] == 3e8);
    CHECK(s.solve.base.S == 16 && s.solve.base.N_kv == 1 && s.solve.base.n_shared == 1);
    CHECK(s.solve.base.d == ARCH_UNSET && s.solve.base.d_d == ARCH_UNSET);
    CHECK(s.solve.base.V == sample_symbols() && s.base.arch.V == sample_symbols());
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
    char *text = sample_replaced(sample_good, " held = 0.2;", " held = 0.05;");
    CHECK(sample_load("default.cfg", text, &s) == OK);
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
    text = sample_replaced(sample_good, "val = { tokens = 2000; };",
                           ""); // its default, or all that is held out
    CHECK(sample_load("default.cfg", text, &s) == OK);
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
    e = sample_load("resolved.cfg", first, &b);
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
    sample_put("again.cfg", text, strlen(text));
    snprintf(path, sizeof path, "%s/again.cfg", sample_dir());
    check_resolved(path);
}

// The corpus as tokens, in two kinds of file: sizes, V and split as for the text, and it is the
// same work whether V is written down or found.
static void test_token_files(void)
{
    static const char *const datas[] = {"[\"t.bin\"]; kind = \"nanogpt\"; eot = 0; held = 0.2;",
                                        "[\"m\"]; kind = \"megatron\"; held = 0.2;"};
    static struct sweep text, s, given;
    CHECK(sample_load("text.cfg", sample_good, &text) == OK);
    for (int i = 0; i < 2; i++) {
        char *found = sample_replaced(sample_good, "[\"corpus.txt\"]; held = 0.2;", datas[i]),
             V[32], *with;
        snprintf(V, sizeof V, "arch = { V = %d;", sample_symbols());
        with = sample_replaced(found, "arch = {", V);
        enum err e = sample_load("tokens.cfg", found, &s);
        if (e != OK)
            fprintf(stderr, "%s\n", err_message());
        CHECK(e == OK && sample_load("given.cfg", with, &given) == OK);
        CHECK(s.base.arch.V == sample_symbols() && s.hash == given.hash);
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
        sample_put_tokens(true);
        found = sample_replaced(sample_good, "[\"corpus.txt\"]; held = 0.2;", datas[i]);
        CHECK(sample_load("tokens.cfg", found, &s) == OK && s.corpus_hash != content);
        config_free(&s);
        free(found);
        sample_put_tokens(false);
    }
    config_free(&text);
}

static void test_rules(void)
{
    static struct sweep s;
    char *text = sample_replaced(sample_good, "batch_tokens = 64; lr = 0.01;",
                                 "batch_tokens = \"step-law\"; lr = \"step-law\";");
    CHECK(sample_load("rules.cfg", text, &s) == OK);
    free(text);
    CHECK(isnan(rule_at(&s.lr, 1e8)));
    CHECK_REL(rule_at_run(&s.lr, 1e8, 1e9, 1e10), 1.79 * pow(1e9, -0.713) * pow(1e10, 0.307),
              1e-14);
    CHECK_REL(rule_at_run(&s.batch_tokens, 1e8, 1e9, 1e10), 0.58 * pow(1e10, 0.571), 1e-14);
    config_free(&s);
    text =
        sample_replaced(sample_good, "N_q = 2;", "N_q = { breaks = [2e8]; values = [2, 4]; };");
    CHECK(sample_load("rules.cfg", text, &s) == OK);
    free(text);
    CHECK(s.solve.base.N_q == ARCH_UNSET && s.n_start == 4 && s.start[0].var.index == DIM_N_q);
    CHECK(rule_at(&s.start[0].rule, 1e8) == 2 && rule_at(&s.start[0].rule, 3e8) == 4);
    config_free(&s);
    text = sample_replaced(sample_good, "N_q = 2;",
                           "N_q = { breaks = [2e8]; values = [2.0, 4.5]; };");
    CHECK(sample_load("rules.cfg", text, &s) == ERR_INPUT &&
          strstr(err_message(), ":4: arch.N_q: expected an"));
    free(text);
}

static uint64_t hash_of(const char *was, const char *now)
{
    static struct sweep s;
    char *text = sample_replaced(sample_good, was, now);
    uint64_t hash = 0;
    if (sample_load("hash.cfg", text, &s) == OK) {
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
    sample_put("end.txt", "xxxx", 4);
    sample_put("start.txt", "xx", 2);
    uint64_t moved = hash_of("\"corpus.txt\"", three);
    sample_put("end.txt", "xxx", 3);
    sample_put("start.txt", "xxx", 3);
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
    CHECK(sample_load("a.cfg", sample_good, &a) == OK && config_flat(&a, &flat) == OK);
    CHECK(strstr(flat, "train.batch_tokens") != NULL && strstr(flat, "micro") == NULL &&
          strstr(flat, "stop") == NULL);
    free(flat);
    config_free(&a);
    char *text = sample_replaced(sample_good, "lr = 0.01", "lr = 0.02; wd = 0.0");
    CHECK(sample_load("a.cfg", sample_good, &a) == OK && sample_load("b.cfg", text, &b) == OK);
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
    sample_put("dense", CHECKPOINT_MAGIC "one", 11);
    sample_put("other/dense", CHECKPOINT_MAGIC "one", 11);
    sample_put("changed/dense", CHECKPOINT_MAGIC "two", 11);
    uint64_t h = hash_of("seed =", "init = { from = \"dense\"; };\nseed =");
    CHECK(h != 0 && h != hash_of("seed =", "seed ="));
    CHECK(h == hash_of("seed =", "init = { from = \"other/dense\"; };\nseed ="));
    CHECK(h != hash_of("seed =", "init = { from = \"changed/dense\"; };\nseed ="));
    CHECK(h != hash_of("seed =", "init = { from = \"dense\"; noise = 0.1; };\nseed ="));
    char *text = sample_replaced(sample_good,
                                 "seed =", "init = { from = \"other/../dense\"; };\nseed ="),
         path[256], *real;
    CHECK(sample_load("from.cfg", text, &a) == OK);
    snprintf(path, sizeof path, "%s/dense", sample_dir());
    real = realpath(path, NULL);
    CHECK_STR(a.base.init.from, real);
    CHECK(strlen(a.base.init.hash) == 16);
    snprintf(path, sizeof path, "%s/from.cfg", sample_dir());
    check_resolved(path);
    free(real);
    free(text);
    config_free(&a);
    // Another trainer's may look as they like.
    text = sample_replaced(sample_good, "paths = [\"corpus.txt\"];",
                           "kind = \"external\"; paths = [\"x\"]; tokens = 1000000;");
    char *own = sample_replaced(text, "seed =",
                                "trainer = \"mine {job}\"; init = { from = "
                                "\"corpus.txt\"; };\nseed =");
    char *both = sample_replaced(own, "S = 16;", "S = 16; V = 64;");
    CHECK(sample_load("from.cfg", both, &a) == OK);
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
    if (!sample_make())
        return 1;
    test_good();
    test_defaults();
    test_token_files();
    test_rules();
    test_hash();
    test_init_from();
    test_shipped(source);
    test_docs(source);
    sample_remove();
    return test_summary();
}
