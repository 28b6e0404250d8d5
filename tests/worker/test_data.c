// SPDX-License-Identifier: Apache-2.0
// Windows of text: positions are pure, cover a pass exactly once, and stay inside the text.
#include "tests/test.h"
#include "core/err.h"
#include "worker/data.h"

// A text whose token at position p is p mod 65521: a window shows where it was cut. Every
// stretch of it holds 7 tokens and lies on its own, so that windows reach over many.
#define N_MAX 60000
#define PART 7
struct numbers {
    uint16_t tokens[N_MAX + N_MAX / PART + 1]; // a token between two stretches belongs to none
    struct stretch part[N_MAX / PART + 2];
    struct corpus corpus;
};

static struct stream stream_of(struct numbers *b, int64_t first_part, int64_t n)
{
    struct stream s = {.part = b->part + first_part, .n_parts = (n + PART - 1) / PART, .n = n};
    for (int64_t p = 0; p < s.n_parts; p++) {
        uint16_t *at = b->tokens + (first_part + p) * (PART + 1);
        s.part[p] = (struct stretch){(const uint8_t *)at, p * PART};
        for (int64_t i = 0; i < PART; i++)
            at[i] = (uint16_t)((p * PART + i) % 65521);
        at[PART] = UINT16_MAX;
    }
    return s;
}

static struct corpus *numbered(struct numbers *b, int64_t n_train, int64_t n_held)
{
    b->corpus = (struct corpus){.kind = DATA_NANOGPT, .width = 2, .V = 65521};
    b->corpus.train = stream_of(b, 0, n_train);
    b->corpus.held = stream_of(b, b->corpus.train.n_parts, n_held);
    return &b->corpus;
}

// One pass of windows touches positions offset + k S, each once.
static void test_one_pass(const struct corpus *c, int64_t S)
{
    struct data d;
    CHECK(data_init(&d, c, S, S, 7) == OK);
    CHECK(d.windows == (c->train.n / S > 2 ? c->train.n / S - 1 : 1));
    char *seen = calloc((size_t)d.windows, 1);
    int64_t offset = -1;
    for (int64_t g = 0; g < d.windows; g++) {
        int64_t at = data_position(&d, g);
        CHECK(at >= 0 && at + S + 1 <= c->train.n);
        offset = offset < 0 ? at % S : offset;
        CHECK(at % S == offset);
        int64_t k = (at - offset) / S;
        CHECK(k < d.windows && !seen[k]);
        seen[k] = 1;
    }
    free(seen);
}

static void test_purity(const struct corpus *c)
{
    struct data a, b;
    int32_t x[8 * 64], y[8 * 64], x2[8 * 64], y2[8 * 64];
    CHECK(data_init(&a, c, 64, 64, 3) == OK && data_init(&b, c, 64, 64, 3) == OK);
    for (int64_t step = 1; step < 40; step++) // b walks backwards: no hidden state
        CHECK(data_batch(&b, 8 * (39 - step), 8, x2, y2) == OK);
    for (int64_t step = 1; step < 40; step++) {
        CHECK(data_batch(&a, 8 * (step - 1), 8, x, y) == OK);
        CHECK(data_batch(&b, 8 * (step - 1), 8, x2, y2) == OK);
        CHECK(memcmp(x, x2, sizeof x) == 0 && memcmp(y, y2, sizeof y) == 0);
        for (int i = 0; i < 8; i++) {
            CHECK(x[64 * i] == data_position(&a, 8 * (step - 1) + i) % 65521);
            CHECK(memcmp(x + 64 * i + 1, y + 64 * i, 63 * sizeof *x) == 0);
        }
    }
    CHECK(data_batch(&a, 0, 8, x, y) == OK); // the same windows, asked for in two parts
    CHECK(data_batch(&a, 0, 3, x2, y2) == OK);
    CHECK(data_batch(&a, 3, 5, x2 + 3 * 64, y2 + 3 * 64) == OK);
    CHECK(memcmp(x, x2, sizeof x) == 0);
    CHECK(data_init(&b, c, 64, 64, 4) == OK); // another seed, another order
    CHECK(data_batch(&b, 0, 8, x2, y2) == OK);
    CHECK(memcmp(x, x2, sizeof x) != 0);
}

// Passes differ; orders look shuffled: the rank correlation of visit and place over W windows
// has standard deviation 1/sqrt(W - 1); five of them never happen by chance (6e-7).
static void test_shuffle(const struct corpus *c)
{
    struct data d;
    CHECK(data_init(&d, c, 16, 16, 11) == OK);
    double W = (double)d.windows, mean = (W - 1) / 2, var = (W * W - 1) / 12, dot = 0, next = 0;
    int64_t same = 0;
    for (int64_t g = 0; g < d.windows; g++) {
        double at = (double)(data_position(&d, g) / 16);
        double after = (double)(data_position(&d, (g + 1) % d.windows) / 16);
        dot += ((double)g - mean) * (at - mean) / (W * var);
        next += (at - mean) * (after - mean) / (W * var);
        same += data_position(&d, g) / 16 == data_position(&d, d.windows + g) / 16;
    }
    CHECK_NEAR(dot, 0, 5 / sqrt(W - 1));
    CHECK_NEAR(next, 0, 5 / sqrt(W - 1));
    CHECK(same < 10); // mean 1, Poisson: above 9 in 1e-7
}

static void test_held(const struct corpus *c)
{
    struct data d;
    int32_t x[3 * 16], y[3 * 16];
    CHECK(data_init(&d, c, 16, 16 * 9 + 5, 1) == OK); // rounded down to nine windows
    CHECK(data_val_tokens(&d) == 144);
    CHECK(data_held(&d, 2, 3, x, y) == OK);
    for (int i = 0; i < 48; i++)
        CHECK(x[i] == 32 + i && y[i] == 33 + i);
    CHECK(isnan(data_val_bytes(&d)));
    // As text: symbols are bytes here.
    uint8_t held[] = {5, 0, 6, 7, 0, 8, 9, 0, 1}, train[20] = {1};
    struct stretch parts[] = {{held, 0}, {train, 0}};
    struct corpus small = {.kind = DATA_TEXT, .width = 1, .V = 10};
    small.held = (struct stream){.part = &parts[0], .n_parts = 1, .n = 9};
    small.train = (struct stream){.part = &parts[1], .n_parts = 1, .n = 20};
    for (int i = 0; i < 10; i++)
        small.code[i] = (uint8_t)i;
    CHECK(data_init(&d, &small, 4, 8, 1) == OK);
    CHECK_NEAR(data_val_bytes(&d), 5, 0); // targets 0 6 7 0 8 9 0 1: five bytes, three ends
}

// A checkpoint's fingerprint is of the files' content, all of it.
static void test_fingerprint(void)
{
    uint8_t bytes[2][300] = {{1}, {2}};
    struct corpus_file files[] = {{.map = bytes[0], .size = 300},
                                  {.map = bytes[1], .size = 299}};
    struct corpus c = {.file = files, .n_files = 2};
    struct data d = {.corpus = &c};
    uint32_t before = data_fingerprint(&d);
    bytes[1][299] = 1; // behind the end
    CHECK(data_fingerprint(&d) == before);
    for (int i = 0; i < 4; i++) {
        uint8_t *at = &bytes[i / 2][i % 2 * 298];
        *at ^= 0x80;
        CHECK(data_fingerprint(&d) != before);
        *at ^= 0x80;
    }
    CHECK(data_fingerprint(&d) == before);
}

// Every token is checked before anybody sees it: the last of a window's targets too.
static void test_too_large(struct numbers *b)
{
    struct data d;
    int32_t x[64], y[64];
    struct corpus *c = numbered(b, 66, 65);
    CHECK(data_init(&d, c, 64, 64, 1) == OK);
    c->file = &(struct corpus_file){.path = "tokens.bin",
                                    .map = (uint8_t *)b->tokens,
                                    .size = sizeof b->tokens,
                                    .tokens = (const uint8_t *)b->tokens};
    c->n_files = 1;
    c->V = 65;
    CHECK(data_held(&d, 0, 1, x, y) == OK && y[63] == 64);
    c->V = 64;
    CHECK(data_held(&d, 0, 1, x, y) == ERR_INPUT);
    CHECK(strstr(err_message(), "tokens.bin: token ") && strstr(err_message(), "found 64"));
    c->V = 10; // the first window begins at 0 or 1
    CHECK(data_batch(&d, 0, 1, x, y) == ERR_INPUT);
    // Stretches take 8 places each: token 10 of the stream lies at 8 + 3.
    CHECK(strstr(err_message(), "tokens.bin: token 11: expected at least 0 and below V = 10, "
                                "found 10"));
}

static void test_too_short(struct numbers *buf)
{
    struct data d;
    struct corpus *c = numbered(buf, 65, 100);
    CHECK(data_init(&d, c, 64, 64, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "training text too short: 65") != NULL);
    c = numbered(buf, 66, 64);
    CHECK(data_init(&d, c, 64, 64, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "held-out text too short: 64") != NULL);
    CHECK(data_init(&d, c, 64, 63, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "val.tokens") != NULL);
    c = numbered(buf, 66, 65);
    CHECK(data_init(&d, c, 64, 64, 1) == OK);
}

int main(void)
{
    static struct numbers b, *buf = &b;
    static const int64_t sizes[] = {18, 31, 32, 33, 47, 48, 49, 1000, 4096, 40001};
    for (int i = 0; i < 10; i++) {
        const struct corpus *c = numbered(buf, sizes[i], 100);
        test_one_pass(c, 16);
    }
    const struct corpus *c = numbered(buf, 50000, 9900);
    test_one_pass(c, 64);
    test_purity(c);
    test_shuffle(c);
    test_held(c);
    test_fingerprint();
    test_too_large(buf);
    test_too_short(buf);
    return test_summary();
}
