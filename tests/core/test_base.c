// SPDX-License-Identifier: Apache-2.0
// Errors and random numbers.
#include "core/err.h"
#include "core/rng.h"
#include "tests/test.h"

static enum err fails(void)
{
    TRY(OK);
    ENSURE(1 == 1, ERR_FAILED, "not this");
    ENSURE(1 == 2, ERR_INPUT, "expected %d, found %d", 1, 2);
    return OK;
}

static void test_messages(void)
{
    CHECK(fails() == ERR_INPUT);
    CHECK_STR(err_message(), "expected 1, found 2");
    CHECK(err_prefix(ERR_INPUT, "file:%d", 7) == ERR_INPUT);
    CHECK_STR(err_message(), "file:7: expected 1, found 2");
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    err_set(ERR_FAILED, "%s", longer);
    CHECK(strlen(err_message()) == 1023);
    err_prefix(ERR_FAILED, "front");
    CHECK(strlen(err_message()) == 1023 && strncmp(err_message(), "front: xxx", 10) == 0);
    err_prefix(ERR_FAILED, "%s", longer);
    CHECK(strlen(err_message()) == 1023);
}

// The generator's published first outputs from the state 1, 2, 3, 4, and FNV-1a's published
// values.
static void test_known_values(void)
{
    struct rng r = {{1, 2, 3, 4}};
    const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240, 1216172134540287360};
    for (int i = 0; i < 5; i++)
        CHECK(rng_u64(&r) == want[i]);
    CHECK(rng_hash("a", 1, RNG_HASH_START) == 0xaf63dc4c8601ec8cULL);
    CHECK(rng_hash("foobar", 6, RNG_HASH_START) == 0x85944171f73967e8ULL);
    CHECK(rng_hash("bar", 3, rng_hash("foo", 3, RNG_HASH_START)) == 0x85944171f73967e8ULL);
}

// Streams differ; moments lie within five standard errors of the distribution's.
static void test_distributions(void)
{
    enum { N = 200000 };
    struct rng r, other;
    double sum = 0, square = 0, normal = 0, normal2 = 0;
    int64_t buckets[7] = {0};
    rng_seed(&r, 42, 0);
    rng_seed(&other, 42, 1);
    CHECK(rng_u64(&r) != rng_u64(&other));
    for (int i = 0; i < N; i++) {
        double u = rng_uniform(&r), g = rng_normal(&r);
        CHECK(u >= 0 && u < 1);
        sum += u;
        square += u * u;
        normal += g;
        normal2 += g * g;
        buckets[rng_below(&r, 7)]++;
    }
    double root = sqrt((double)N);
    CHECK_NEAR(sum / N, 0.5, 5 * sqrt(1.0 / 12) / root);
    CHECK_NEAR(square / N, 1.0 / 3, 5 * sqrt(4.0 / 45) / root); // Var(u^2) = 1/5 - 1/9
    CHECK_NEAR(normal / N, 0, 5 / root);
    CHECK_NEAR(normal2 / N, 1, 5 * sqrt(2.0) / root); // Var(g^2) = 2
    for (int i = 0; i < 7; i++)
        CHECK_NEAR((double)buckets[i] / N, 1.0 / 7, 5 * sqrt(6.0 / 49) / root);
}

int main(void)
{
    test_messages();
    test_known_values();
    test_distributions();
    return test_summary();
}
