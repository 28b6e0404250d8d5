// SPDX-License-Identifier: Apache-2.0
// Models that transformers saved (tests/data/conformance, made by tests/conformance/logits.sh
// --freeze): imported, they give the logits that transformers computed.
#include "tests/test.h"
#include "tests/worker/logits_of.h"
#include "tests/worker/made.h"
#include "worker/import.h"
#include "worker/safetensors.h"
#include <dirent.h>
#include <unistd.h>

// Float sums in another order: derived in tests/conformance/logits.py.
#define TOLERANCE 1e-4
// A mean over tokens of what is within TOLERANCE each; roundings of both signs cancel.
#define LOSS_TOLERANCE 1e-5

static char dir[64];

static float *read_floats(const struct safetensors *s, const char *name, int64_t count)
{
    const struct safetensors_entry *e = safetensors_find(s, name);
    float *to = malloc((size_t)count * sizeof *to);
    if (e == NULL || e->count != count || to == NULL || safetensors_read(s, e, to) != OK) {
        fprintf(stderr, "%s: expected %lld numbers\n", name, (long long)count);
        exit(1);
    }
    return to;
}

static int32_t *read_tokens(const struct safetensors *s, const char *name, int64_t count)
{
    float *floats = read_floats(s, name, count);
    int32_t *to = malloc((size_t)count * sizeof *to);
    for (int64_t i = 0; i < count && to != NULL; i++)
        to[i] = (int32_t)floats[i];
    free(floats);
    return to;
}

// Mean cross-entropy of reference logits, in double.
static double loss_of(const float *z, const int32_t *targets, int64_t n, int64_t V)
{
    double loss = 0;
    for (int64_t t = 0; t < n; t++, z += V) {
        double sum = 0;
        for (int64_t v = 0; v < V; v++)
            sum += exp((double)z[v] - (double)z[targets[t]]);
        loss += log(sum) / (double)n;
    }
    return loss;
}

static void compare(const char *name, const struct checkpoint *c, const struct safetensors *s)
{
    const struct arch *a = &c->job.arch;
    int64_t n = safetensors_find(s, "tokens")->count, windows = n / a->S;
    int32_t *tokens = read_tokens(s, "tokens", n), *targets = read_tokens(s, "targets", n);
    float *want = read_floats(s, "logits", n * a->V);
    float *got = malloc((size_t)(n * a->V) * sizeof *got);
    double loss, worst = 0;
    CHECK(windows >= 1 && n % a->S == 0);
    CHECK(logits_of(c, tokens, targets, windows, got, &loss) == OK);
    for (int64_t i = 0; i < n * a->V; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        worst = off <= worst ? worst : off; // NaN stays
    }
    printf("%-16s largest difference %.1e\n", name, worst);
    CHECK_NEAR(worst, 0, TOLERANCE);
    CHECK_NEAR(loss, loss_of(want, targets, n, a->V), LOSS_TOLERANCE);
    free(tokens);
    free(targets);
    free(want);
    free(got);
}

static void check_model(const char *folder, const char *name)
{
    struct made_path from = made_path(folder, name), to = made_path(dir, name);
    struct checkpoint c;
    struct safetensors s;
    bool read = import_run(from.text, to.text) == OK &&
                checkpoint_read(made_path(to.text, "checkpoint").text, &c) == OK &&
                safetensors_open(made_path(from.text, "reference.safetensors").text, &s) == OK;
    if (!read)
        fprintf(stderr, "%s: %s\n", from.text, err_message());
    CHECK(read);
    if (!read)
        return;
    compare(name, &c, &s);
    safetensors_close(&s);
    checkpoint_free(&c);
}

int main(void)
{
    const char *source = getenv("MOESWEEP_SOURCE");
    struct made_path folder =
        made_path(source != NULL ? source : ".", "tests/data/conformance");
    DIR *d = opendir(folder.text);
    int n = 0;
    made_scratch(dir);
    CHECK(d != NULL);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            check_model(folder.text, e->d_name);
            n++;
        }
    if (d != NULL)
        closedir(d);
    CHECK(n >= 8);
    made_remove(dir);
    return test_summary();
}
