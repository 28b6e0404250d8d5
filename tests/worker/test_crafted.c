// SPDX-License-Identifier: Apache-2.0
// Checkpoints by somebody who can sum them: what one claims is checked before it is believed. A
// kept one is rewritten under a right CRC; reading it (export, init.from) is refused with the
// claim, and a run that would continue from it says so and starts at step 0.
#include "core/crc.h"
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include "worker/checkpoint.h"
#include <sys/stat.h>
#include <unistd.h>

// As worker/checkpoint.c lays it out; the JSON, the arrays and the CRC follow.
struct header {
    char magic[8], build[24], job[24];
    uint32_t text, real_size;
    int64_t n_params, n_bias, meta_bytes;
    struct run_state state;
};

struct file {
    struct header h;
    json_t *meta;
    char *arrays;
    size_t n_arrays;
};

static char path[160];

static void read_file(struct file *f)
{
    struct stat st;
    FILE *in = fopen(path, "rb");
    CHECK(in && fstat(fileno(in), &st) == 0 && fread(&f->h, sizeof f->h, 1, in) == 1);
    f->meta = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
    f->n_arrays = (size_t)st.st_size - sizeof f->h - (size_t)f->h.meta_bytes - sizeof(uint32_t);
    f->arrays = malloc(f->n_arrays);
    CHECK(f->meta && f->arrays &&
          fseek(in, -(long)(f->n_arrays + sizeof(uint32_t)), SEEK_END) == 0 &&
          fread(f->arrays, 1, f->n_arrays, in) == f->n_arrays && fclose(in) == 0);
}

static void write_file(const struct file *f, struct header h, const json_t *meta)
{
    char *text = json_dumps(meta, JSON_COMPACT);
    h.meta_bytes = (int64_t)strlen(text);
    uint32_t crc = crc_update(CRC_START, &h, sizeof h);
    crc = crc_update(crc, text, strlen(text));
    crc = crc_update(crc, f->arrays, f->n_arrays);
    FILE *out = fopen(path, "wb");
    CHECK(out && fwrite(&h, sizeof h, 1, out) == 1 && fputs(text, out) >= 0 &&
          fwrite(f->arrays, 1, f->n_arrays, out) == f->n_arrays &&
          fwrite(&crc, sizeof crc, 1, out) == 1 && fclose(out) == 0);
    free(text);
}

static void check_read(const char *words) // NULL: it is taken
{
    struct checkpoint c;
    enum err e = checkpoint_read(path, &c);
    checkpoint_free(&c);
    CHECK(e == (words ? ERR_INPUT : OK));
    CHECK(!words || strstr(err_message(), words));
    if (words && !strstr(err_message(), words))
        fprintf(stderr, "    wanted '%s', got '%s'\n", words, err_message());
}

// The state belongs to a run of the job: both readers look.
static void test_state(const struct scratch *s, const json_t *job, const struct file *f)
{
    static const struct {
        int64_t step, init_tokens;
        const char *words;
    } table[] = {
        {-5, 0, "step: expected 0 to 80 as in its job, found -5"},
        {81, 0, "step: expected 0 to 80 as in its job, found 81"},
        {INT64_MAX, 0, "step: expected 0 to 80 as in its job"},
        {80, -7, "weights: expected 0 to 2^53, found -7"},
        {80, INT64_MAX, "weights: expected 0 to 2^53, found 9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct header h = f->h;
        h.state.step = table[i].step;
        h.state.init_tokens = table[i].init_tokens;
        write_file(f, h, f->meta);
        check_read(table[i].words);
        CHECK(trainer_run(s, job) == 0);
        char *err = slurp(s->err);
        CHECK(strstr(err, "checkpoint refused: ") && strstr(err, table[i].words));
        free(err);
        json_t *result = trainer_check_lines(s);
        CHECK(number(result, "steps") == 80 && number(result, "init_tokens") == 0);
        json_decref(result);
    }
}

// As many layers as a job may have: a table of their tensors alone would take gigabytes.
static void test_model(const struct file *f)
{
    json_t *meta = json_deep_copy(f->meta), *job = json_object_get(meta, "job");
    json_object_set_new(json_object_get(job, "model"), "router", json_string("sigmoid_bias"));
    write_file(f, f->h, meta);
    check_read("parameters and 0 biases, its job has ");
    static const char *const ones[] = {"d", "d_d", "d_m", "N_q", "N_kv", "N_e", "K"};
    json_t *arch = json_object_get(job, "arch");
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        json_object_set_new(arch, ones[i], json_integer(1));
    json_object_set_new(arch, "L_d", json_integer(1 << 24));
    json_object_set_new(arch, "L_m", json_integer(1 << 24));
    write_file(f, f->h, meta);
    check_read("parameters, its job has 33554432 layers");
    json_decref(meta);
}

// Neither waits for a pipe's writer.
static void test_no_file(const struct scratch *s, const json_t *job)
{
    alarm(60);
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0);
    check_read("not a regular file");
    CHECK(trainer_run(s, job) == 0);
    char *err = slurp(s->err);
    CHECK(strstr(err, "not a regular file; starting from step 0"));
    free(err);
    unlink(path);
    CHECK(mkdir(path, 0700) == 0);
    check_read("not a regular file");
    rmdir(path);
    alarm(0);
}

int main(void)
{
    struct scratch s;
    struct file f;
    char dir[128];
    scratch_make(&s, 50000, 20);
    snprintf(path, sizeof path, "%s/checkpoint", s.checkpoints);
    json_t *job = job_base(&s);
    snprintf(dir, sizeof dir, "\"%s\"", s.checkpoints);
    job_set(job, "checkpoint.dir", dir);
    job_set(job, "checkpoint.keep", "true");
    CHECK(trainer_run(&s, job) == 0);
    read_file(&f);
    write_file(&f, f.h, f.meta);
    check_read(NULL); // or all that follows would mean nothing
    test_state(&s, job, &f);
    test_model(&f);
    test_no_file(&s, job);
    json_decref(job), json_decref(f.meta);
    free(f.arrays);
    scratch_free(&s);
    return test_summary();
}
