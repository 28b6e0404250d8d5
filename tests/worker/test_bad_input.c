// SPDX-License-Identifier: Apache-2.0
// A wrong job: exit code 2, one line on stderr that names the place, nothing on stdout, nothing
// trained.
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include <sys/stat.h>
#include <unistd.h>

// One value of the base job replaced (NULL: removed); @ in it stands for the scratch folder.
struct wrong {
    const char *path, *value, *message;
};
static const struct wrong table[] = {
    {"lr", "1", "unknown key \"lr\""},
    {"train.learning_rate", "1", "unknown key \"learning_rate\""},
    {"arch.experts", "1", "unknown key \"experts\""},
    {"v", "2", "v: expected"},
    {"id", "\"../x\"", "id: expected"},
    {"arch", NULL, "arch: expected an object"},
    {"train.tokens", NULL, "tokens: expected"},
    {"train.tokens", "\"many\"", "found the string \"many\""},
    {"train.tokens", "1.5", "found 1.5"},
    {"train.tokens", "-5", "found -5"},
    {"train.tokens", "100", "tokens: expected at least one batch"},
    {"train.lr", "0", "lr: expected"},
    {"train.lr", "true", "lr: expected a number"},
    {"train.batch_tokens", "100", "batch_tokens: expected a multiple of S"},
    {"train.schedule", "\"step\"", "schedule: expected one of"},
    {"train.warmup", "0.8", "warmup + decay"},
    {"model.router", "\"hash\"", "router: expected one of"},
    {"arch.K", "5", "K: expected at most N_e = 4, found 5"},
    {"arch.N_kv", "3", "N_q: expected a multiple of N_kv = 3, found 2"},
    {"arch.d_qkv", "7", "d_qkv: expected an even number"},
    {"arch.d", "-16", "found -16"},
    {"arch.d", "99999999999", "found 99999999999"},
    {"arch.S", "0", "found 0"},
    {"arch.V", "5", "arch.V: expected 25, the symbols of the text, found 5"},
    {"arch.L_m", "16000000", "of memory (weights"},
    {"data.kind", "\"images\"", "kind: expected one of"},
    {"data.held", "0.9", "held"},
    {"data.paths", "[]", "paths: expected"},
    {"data.paths", "[\"@/missing.txt\"]", "missing.txt: No such file"},
    {"data.paths", "[\"@/empty.txt\"]", "empty.txt: expected text, found an empty file"},
    {"data.paths", "[\"@\"]", "found a directory"},
    {"data.paths", "[\"@/one.txt\"]", "at least two documents"},
    {"data.paths", "[\"@/short.txt\"]", "training text too short"},
    {"data.eot", "5", "eot: expected with kind nanogpt or llmc only, found 5"},
    {"data", "{\"kind\":\"external\",\"paths\":[\"@\"]}", "data.kind: external data"},
    {"data", "{\"kind\":\"nanogpt\",\"paths\":[\"@/none.bin\"]}", "none.bin: No such file"},
    {"data", "{\"kind\":\"nanogpt\",\"paths\":[\"@\"]}", "found a directory"},
    {"data", "{\"kind\":\"nanogpt\",\"paths\":[\"@/empty.txt\"]}", "found an empty file"},
    {"data", "{\"kind\":\"nanogpt\",\"paths\":[\"@/odd.bin\"]}", "odd.bin: expected uint16"},
    {"data", "{\"kind\":\"nanogpt\",\"paths\":[\"@/pair.bin\"]}", "at least two documents"},
    {"data", "{\"kind\":\"llmc\",\"paths\":[\"@/odd.bin\"]}", "expected a header of 256 int32"},
    {"data", "{\"kind\":\"llmc\",\"paths\":[\"@/text.txt\"]}", "expected the magic number"},
    {"data", "{\"kind\":\"megatron\",\"paths\":[\"@/none\"]}", "none.idx: No such file"},
    {"data", "{\"kind\":\"megatron\",\"paths\":[\"@/lone\"]}", "lone.bin: No such file"},
    {"data", "{\"kind\":\"megatron\",\"paths\":[\"@/pair\"]}", "expected the magic bytes"},
    {"val.tokens", "100000000", "held-out text too short"},
    {"val.tokens", "31", "val.tokens: expected at least one window"},
    {"device", "\"cuda\"", "device: cuda: "}, // no toolkit, or (main) no device
    {"device", "\"abacus\"", "device: expected cpu or cuda, found abacus"},
    {"train",
     "{\"tokens\":9007199254740992,\"batch_tokens\":536870944,\"batch_ramp\":1,\"lr\":1}",
     "batch_ramp: expected 0 or at most 16777216 sequences of S = 32 in a batch, found "
     "16777217"},
    {"init.noise", "0.1", "init: noise: expected 0 without from, found 0.1"},
    {"threads", "0", "threads: expected"},
    {"checkpoint.dir", "\"@/text.txt\"", "checkpoint.dir: expected a folder"},
    {"checkpoint.dir", "\"@/text.txt/below\"", "checkpoint.dir: "},
    {"checkpoint.dir", "\"@/no/such\"", "checkpoint.dir: "},
};

static void put(const struct scratch *s, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void check_refused(const struct scratch *s, int rc, const char *what,
                          const char *message)
{
    char *out = slurp(s->out), *err = slurp(s->err);
    int ok = rc == 2 && out[0] == 0 && count_lines(err) == 1 && strstr(err, message) &&
             strncmp(err, "moetrain: ", 10) == 0;
    if (!ok)
        fprintf(stderr, "%s: exit code %d, stdout '%.80s', stderr '%s', wanted '%s'\n", what,
                rc, out, err, message);
    CHECK(ok);
    free(out);
    free(err);
}

static void test_values(const struct scratch *s)
{
    for (int i = 0; i < (int)(sizeof table / sizeof *table); i++) {
        char value[256] = "";
        size_t n = 0;
        for (const char *p = table[i].value; p && *p && n + sizeof s->dir < sizeof value; p++) {
            const char *part = *p == '@' ? s->dir : (char[]){*p, 0};
            n += (size_t)snprintf(value + n, sizeof value - n, "%s", part);
        }
        json_t *job = job_base(s);
        job_set(job, table[i].path, table[i].value ? value : NULL);
        char what[80];
        snprintf(what, sizeof what, "%s = %.40s", table[i].path, value);
        check_refused(s, trainer_run(s, job), what, table[i].message);
        json_decref(job);
    }
}

static void test_files(const struct scratch *s)
{
    char path[160];
    snprintf(path, sizeof path, "%s/missing.json", s->dir);
    check_refused(s, trainer_wait(trainer_start(s, path, NULL)), "no file", "No such file");
    check_refused(s, trainer_wait(trainer_start(s, s->dir, NULL)), "a folder", "directory");
    check_refused(s, trainer_wait(trainer_start(s, "-", NULL)), "empty stdin",
                  "/dev/stdin:1:0");
    check_refused(s, trainer_wait(trainer_start(s, "--nonsense", NULL)), "flag", "expected");
    put(s, "job.json", "{\"v\": 1,\n \"arch\": {]}");
    check_refused(s, trainer_wait(trainer_start(s, s->job, NULL)), "syntax", "job.json:2:");
    put(s, "job.json", "[1]");
    check_refused(s, trainer_wait(trainer_start(s, s->job, NULL)), "array",
                  "expected an object");
    put(s, "job.json", "{\"v\":1,\"v\":1}");
    check_refused(s, trainer_wait(trainer_start(s, s->job, NULL)), "twice", "duplicate");
}

int main(void)
{
    struct scratch s;
    setenv("CUDA_VISIBLE_DEVICES", "", 1); // a machine without a GPU
    scratch_make(&s, 20000, 10);
    put(&s, "empty.txt", "");
    put(&s, "one.txt", "one document without any form feed in it");
    put(&s, "short.txt", "short\ftext\f");
    put(&s, "odd.bin", "odd");
    put(&s, "lone.idx", "an index without its tokens, as long as a header");
    put(&s, "pair.idx", "no index at all, but as long as a header of one is");
    put(&s, "pair.bin", "tokens");
    test_values(&s);
    test_files(&s);
    CHECK(access(s.checkpoints, F_OK) != 0);
    scratch_free(&s);
    return test_summary();
}
