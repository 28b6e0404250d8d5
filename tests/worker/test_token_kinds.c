// SPDX-License-Identifier: Apache-2.0
// One text, given as text and as token files of every kind with the same symbols and documents:
// the same training, bit for bit. And what is particular to tokens: V, bytes that nobody knows,
// a token beyond V, a checkpoint of files that changed.
#include "tests/core/token_files.h"
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include <unistd.h>

// ---- The converter: end-of-text is symbol 0, the byte values that occur follow in order.

struct converted {
    int32_t *tokens;
    int64_t *end, V;
    struct docs docs;
};

static void convert(const char *text, struct converted *out)
{
    int32_t code[256] = {0};
    size_t n = strlen(text), at = 0;
    for (size_t i = 0; i < n; i++)
        code[(uint8_t)text[i]] = 1;
    code['\f'] = 0;
    out->V = 1;
    for (int b = 0; b < 256; b++)
        if (code[b])
            code[b] = (int32_t)out->V++;
    out->tokens = malloc((n + 1) * sizeof *out->tokens);
    out->end = malloc((n + 1) * sizeof *out->end);
    out->docs = (struct docs){out->tokens, out->end, 0};
    for (size_t i = 0; i < n; i++) {
        out->tokens[at++] = code[(uint8_t)text[i]];
        if (text[i] == '\f')
            out->end[out->docs.n++] = (int64_t)at;
    }
    CHECK(n > 0 && text[n - 1] == '\f'); // so the last document is closed too
}

static const struct kind {
    const char *name, *data; // the job's data; @ stands for the folder
} kinds[] = {
    {"nanogpt", "\"kind\":\"nanogpt\",\"paths\":[\"@/nano.bin\"],\"eot\":0"},
    {"gpt-2", "\"kind\":\"llmc\",\"paths\":[\"@/gpt2.bin\"],\"eot\":0"},
    {"llama-3", "\"kind\":\"llmc\",\"paths\":[\"@/llama3.bin\"],\"eot\":0"},
    {"uint16", "\"kind\":\"megatron\",\"paths\":[\"@/m16\"]"},
    {"int32", "\"kind\":\"megatron\",\"paths\":[\"@/m32.idx\"]"},
    // Two shards, cut between documents.
    {"shards", "\"kind\":\"nanogpt\",\"paths\":[\"@/a.bin\",\"@/b.bin\"],\"eot\":0"},
};
#define N_KINDS ((int)(sizeof kinds / sizeof *kinds))

static void write_all(const struct scratch *s, const struct converted *c)
{
    const struct docs *d = &c->docs;
    char path[160];
#define PUT(name, bytes)                                                                       \
    (snprintf(path, sizeof path, "%s/" name, s->dir), write_bytes(path, bytes))
    PUT("nano.bin", bytes_nanogpt(d));
    PUT("gpt2.bin", bytes_llmc(d, 2));
    PUT("llama3.bin", bytes_llmc(d, 4));
    PUT("m16.bin", bytes_megatron_bin(d, 2));
    PUT("m16.idx", bytes_megatron_idx(d, 2));
    PUT("m32.bin", bytes_megatron_bin(d, 4));
    PUT("m32.idx", bytes_megatron_idx(d, 4));
    int64_t cut = d->end[3], ends[1000];
    for (int64_t i = 4; i < d->n && i < 1004; i++)
        ends[i - 4] = d->end[i] - cut;
    PUT("a.bin", bytes_nanogpt(&(struct docs){d->tokens, d->end, 4}));
    PUT("b.bin", bytes_nanogpt(&(struct docs){d->tokens + cut, ends, d->n - 4}));
}

static json_t *job_of(const struct scratch *s, const struct kind *k)
{
    char data[512] = "{\"held\":0.2,";
    size_t n = strlen(data);
    for (const char *p = k->data; *p; p++)
        n += (size_t)snprintf(data + n, sizeof data - n, "%s",
                              *p == '@' ? s->dir : (char[]){*p, 0});
    snprintf(data + n, sizeof data - n, "}");
    json_t *job = job_base(s);
    job_set(job, "data", data);
    return job;
}

static void test_same_training(const struct scratch *s, const struct converted *c)
{
    json_t *job = job_base(s);
    CHECK(trainer_run(s, job) == 0);
    json_t *want = trainer_check_lines(s), *hello = trainer_last(s, "hello");
    CHECK(want != NULL && number(hello, "V") == (double)c->V);
    CHECK(number(want, "loss_per_byte") > number(want, "loss"));
    json_decref(job);
    json_decref(hello);
    for (int k = 0; k < 2 * N_KINDS; k++) {
        char V[32];
        snprintf(V, sizeof V, "%d", (int)c->V);
        job = job_of(s, &kinds[k / 2]);
        job_set(job, "arch.V", k % 2 ? V : "0"); // given, or found
        CHECK(trainer_run(s, job) == 0);
        json_t *got = trainer_check_lines(s);
        hello = trainer_last(s, "hello");
        int same = got != NULL && number(hello, "V") == (double)c->V;
        static const char *const keys[] = {"loss", "curve", "epochs", "balance", "flops"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            same = same &&
                   json_equal(json_object_get(got, keys[i]), json_object_get(want, keys[i]));
        if (!same)
            fprintf(stderr, "%s, V %s\n", kinds[k / 2].name, k % 2 ? "given" : "found");
        CHECK(same);
        CHECK(json_is_null(json_object_get(got, "loss_per_byte")));
        json_decref(job);
        json_decref(hello);
        json_decref(got);
    }
    json_decref(want);
}

// V may be larger than the files need, and is part of the model then.
static void test_large_V(const struct scratch *s, const struct converted *c)
{
    json_t *job = job_of(s, &kinds[0]);
    job_set(job, "arch.V", "300");
    CHECK(trainer_run(s, job) == 0);
    json_t *hello = trainer_last(s, "hello");
    CHECK(number(hello, "V") == 300);
    json_decref(hello);
    // One too small: found when the token is met, and nothing is computed with it.
    char V[32];
    snprintf(V, sizeof V, "%d", (int)c->V - 1);
    job_set(job, "arch.V", V);
    CHECK(trainer_run(s, job) == 2);
    char *err = slurp(s->err);
    CHECK(count_lines(err) == 2 && strstr(err, "passes over") &&
          strstr(err, "nano.bin: token ") && strstr(err, "below V = "));
    CHECK(trainer_last(s, "result") == NULL);
    free(err);
    json_decref(job);
}

// A checkpoint is of the files' content: one token of a training document changed, and it is
// not continued.
static void test_changed_file(const struct scratch *s)
{
    json_t *job = job_of(s, &kinds[1]);
    char dir[128], path[160];
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    job_set(job, "checkpoint.keep", "true");
    CHECK(trainer_run(s, job) == 0);
    for (int changed = 0; changed < 2; changed++) {
        if (changed) {
            snprintf(path, sizeof path, "%s/gpt2.bin", s->dir);
            FILE *f = fopen(path, "r+b");
            CHECK(f && fseek(f, 1024 + 2 * 5000, SEEK_SET) == 0);
            int low = f ? fgetc(f) : 0; // 1 and 2 are letters or spaces: nothing else moves
            CHECK(f && fseek(f, -1, SEEK_CUR) == 0 && fputc(low == 1 ? 2 : 1, f) != EOF &&
                  fclose(f) == 0);
        }
        CHECK(trainer_run(s, job) == 0);
        json_t *hello = trainer_last(s, "hello");
        char *err = slurp(s->err);
        CHECK(number(hello, "resumed_step") == (changed ? 0 : 80));
        CHECK((strstr(err, "checkpoint refused") != NULL) == changed);
        json_decref(hello);
        free(err);
    }
    json_decref(job);
}

// A model of tokens starts from another one of tokens, never from one of text.
static void test_init_from(const struct scratch *s)
{
    char from[160];
    snprintf(from, sizeof from, "\"%s/checkpoint\"", s->checkpoints); // of the test before
    json_t *job = job_of(s, &kinds[0]), *text = job_base(s);
    job_set(job, "init.from", from);
    CHECK(trainer_run(s, job) == 0);
    json_t *result = trainer_last(s, "result");
    CHECK(number(result, "init_tokens") == 20480);
    job_set(text, "init.from", from);
    CHECK(trainer_run(s, text) == 2);
    char *err = slurp(s->err);
    CHECK(strstr(err, "symbols: expected those of text") != NULL);
    free(err);
    json_decref(result);
    json_decref(text);
    json_decref(job);
}

int main(void)
{
    struct scratch s;
    struct converted c;
    scratch_make(&s, 20000, 20);
    char *text = slurp(s.text);
    convert(text, &c);
    write_all(&s, &c);
    test_same_training(&s, &c);
    test_large_V(&s, &c);
    test_changed_file(&s);
    test_init_from(&s);
    free(text);
    free(c.tokens);
    free(c.end);
    scratch_free(&s);
    return test_summary();
}
