// SPDX-License-Identifier: Apache-2.0
// Windows of text: positions are pure, cover a pass exactly once, and stay inside the text.
#include "tests/test.h"
#include "core/err.h"
#include "worker/data.h"

// A text whose token at position p is p mod 65521: a window shows where it was cut.
#define N_MAX 60000
static struct corpus numbered(uint16_t *buf, int64_t n_train, int64_t n_held)
{
    for (int64_t i = 0; i < n_train + n_held; i++)
        buf[i] = (uint16_t)(i % 65521);
    return (struct corpus){
        .train = buf, .n_train = n_train, .held = buf + n_train, .n_held = n_held, .V = 256};
}

// One pass of windows touches positions offset + k S, each once.
static void test_one_pass(const struct corpus *c, int64_t S)
{
    struct data d;
    CHECK(data_init(&d, c, S, S, 7) == OK);
    CHECK(d.windows == (c->n_train / S > 2 ? c->n_train / S - 1 : 1));
    char *seen = calloc((size_t)d.windows, 1);
    int64_t offset = -1;
    for (int64_t g = 0; g < d.windows; g++) {
        int64_t at = data_position(&d, g);
        CHECK(at >= 0 && at + S + 1 <= c->n_train);
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
        data_batch(&b, 8 * (39 - step), 8, x2, y2);
    for (int64_t step = 1; step < 40; step++) {
        data_batch(&a, 8 * (step - 1), 8, x, y);
        data_batch(&b, 8 * (step - 1), 8, x2, y2);
        CHECK(memcmp(x, x2, sizeof x) == 0 && memcmp(y, y2, sizeof y) == 0);
        for (int i = 0; i < 8; i++) {
            CHECK(x[64 * i] == data_position(&a, 8 * (step - 1) + i) % 65521);
            CHECK(memcmp(x + 64 * i + 1, y + 64 * i, 63 * sizeof *x) == 0);
        }
    }
    data_batch(&a, 0, 8, x, y); // the same windows, asked for in two parts
    data_batch(&a, 0, 3, x2, y2);
    data_batch(&a, 3, 5, x2 + 3 * 64, y2 + 3 * 64);
    CHECK(memcmp(x, x2, sizeof x) == 0);
    CHECK(data_init(&b, c, 64, 64, 4) == OK); // another seed, another order
    data_batch(&b, 0, 8, x2, y2);
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
    data_held(&d, 2, 3, x, y);
    CHECK(x[0] == c->held[32] && x[47] == c->held[79] && y[0] == c->held[33] &&
          y[47] == c->held[80]);
    uint16_t held[] = {5, 0, 6, 7, 0, 8, 9, 0, 1}, train[20] = {1};
    struct corpus small = {.train = train, .n_train = 20, .held = held, .n_held = 9, .V = 10};
    CHECK(data_init(&d, &small, 4, 8, 1) == OK);
    CHECK(data_val_bytes(&d) == 5); // targets 0 6 7 0 8 9 0 1 hold five bytes and three ends
    uint32_t before = data_fingerprint(&d);
    train[19] = 1;
    CHECK(data_fingerprint(&d) != before);
}

static void test_too_short(uint16_t *buf)
{
    struct data d;
    struct corpus c = numbered(buf, 65, 100);
    CHECK(data_init(&d, &c, 64, 64, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "training text too short: 65") != NULL);
    c = numbered(buf, 66, 64);
    CHECK(data_init(&d, &c, 64, 64, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "held-out text too short: 64") != NULL);
    CHECK(data_init(&d, &c, 64, 63, 1) == ERR_INPUT);
    CHECK(strstr(err_message(), "val.tokens") != NULL);
    c = numbered(buf, 66, 65);
    CHECK(data_init(&d, &c, 64, 64, 1) == OK);
}

int main(void)
{
    static uint16_t buf[N_MAX];
    static const int64_t sizes[] = {18, 31, 32, 33, 47, 48, 49, 1000, 4096, 40001};
    for (int i = 0; i < 10; i++) {
        struct corpus c = numbered(buf, sizes[i], 100);
        test_one_pass(&c, 16);
    }
    struct corpus c = numbered(buf, 50000, 10000);
    test_one_pass(&c, 64);
    test_purity(&c);
    test_shuffle(&c);
    test_held(&c);
    test_too_short(buf);
    return test_summary();
}
