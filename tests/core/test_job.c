// SPDX-License-Identifier: Apache-2.0
// Jobs and results: exact round trips, ids, and input that is wrong in every way.
#include "core/job.h"
#include "tests/core/support.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    CHECK(j != NULL);
    return j;
}

static const char minimal[] =
    "{\"v\":1,\"arch\":{\"L_d\":1,\"L_m\":1,\"d\":24,\"d_qkv\":16,\"d_m\":12,\"N_q\":2,\"S\":"
    "64,"
    "\"N_e\":16,\"K\":2},\"data\":{\"paths\":[\"a/b.txt\"]},"
    "\"train\":{\"tokens\":303616,\"batch_tokens\":512,\"lr\":0.006}}";

static double random_number(struct rng *r, double lo, double hi)
{
    return lo + (hi - lo) * rng_uniform(r);
}

static void random_job(struct rng *r, struct job *j)
{
    job_init(j);
    j->arch = random_arch(r);
    j->data.n_paths = (int)pick(r, 1, 3);
    j->data.paths = calloc((size_t)j->data.n_paths, sizeof *j->data.paths);
    for (int i = 0; i < j->data.n_paths; i++) {
        char name[64];
        snprintf(name, sizeof name, "dir%d/\"text\" \\ %d \xc3\xa9.txt", (int)pick(r, 0, 9), i);
        j->data.paths[i] = strdup(name);
    }
    j->data.held = random_number(r, 0.001, 0.5);
    j->train.batch_tokens = j->arch.S * pick(r, 1, 9);
    j->train.tokens = j->train.batch_tokens * pick(r, 1, 1000) + pick(r, 0, 100);
    j->train.lr = random_number(r, 1e-6, 1);
    j->train.schedule = (enum job_schedule)pick(r, 0, 2);
    j->train.optimizer = (enum job_optimizer)pick(r, 0, 1);
    j->train.precision = (enum job_precision)pick(r, 0, 1);
    j->train.batch_ramp = rng_uniform(r);
    j->train.micro_tokens = pick(r, 0, 1) ? pick(r, 1, 1 << 20) : 0;
    j->train.warmup = random_number(r, 0, 0.5);
    j->train.decay = random_number(r, 0, 0.5);
    j->train.wd = random_number(r, 0, 1);
    j->train.beta1 = rng_uniform(r);
    j->train.beta2 = rng_uniform(r);
    j->train.clip = random_number(r, 0, 10);
    j->train.aux = rng_uniform(r);
    j->train.seed = pick(r, 0, INT64_MAX - 1);
    j->model.router = (enum job_router)pick(r, 0, 1);
    j->model.norm_topk = pick(r, 0, 1);
    j->model.tied = pick(r, 0, 1);
    j->model.qk_norm = pick(r, 0, 1);
    j->model.rope_base = random_number(r, 1, 1e6);
    j->model.init_scale = random_number(r, 0.01, 3);
    if (pick(r, 0, 1)) {
        snprintf(j->init.from, sizeof j->init.from, "dense/%d", (int)pick(r, 0, 999));
        j->init.noise = rng_uniform(r);
        if (pick(r, 0, 1))
            snprintf(j->init.hash, sizeof j->init.hash, "%016llx", (long long)rng_u64(r));
    }
    j->threads = (int)pick(r, 1, 64);
    j->checkpoint.keep = pick(r, 0, 1);
    snprintf(j->checkpoint.dir, sizeof j->checkpoint.dir, "jobs/%d", (int)pick(r, 0, 999));
    j->checkpoint.every_s = random_number(r, 0, 1000);
    j->val.tokens = pick(r, 1, 1 << 30);
    j->val.every = pick(r, 0, 100);
    const int64_t steps = job_steps(j), points = job_curve_passed(steps, steps);
    for (int64_t at = pick(r, 1, 60); at < points && j->n_stop < JOB_MAX_STOPS;
         at += pick(r, 1, 20))
        j->stop[j->n_stop++] =
            (struct job_point){job_curve_step(steps, at), random_number(r, 0.1, 9)};
    job_set_id(j);
}

// Through text and back: the same text again, so nothing is lost and doubles keep every bit.
static void test_round_trip(void)
{
    struct rng r;
    int n_stops = 0;
    rng_seed(&r, 6, 0);
    for (int i = 0; i < 300; i++) {
        struct job a, b, c;
        random_job(&r, &a);
        json_t *ja = job_to_json(&a);
        char *text = json_dumps(ja, JSON_REAL_PRECISION(17)), *again;
        json_t *read = parse(text);
        CHECK(job_from_json(read, "test", &b) == OK);
        CHECK(memcmp(&a.train, &b.train, sizeof a.train) == 0);
        CHECK(memcmp(&a.arch, &b.arch, sizeof a.arch) == 0);
        CHECK(b.n_stop == a.n_stop && memcmp(&a.stop, &b.stop, sizeof a.stop) == 0);
        n_stops += b.n_stop;
        CHECK(job_copy(&c, &b) == OK && c.data.paths != b.data.paths);
        job_free(&b);
        json_t *jc = job_to_json(&c);
        again = json_dumps(jc, JSON_REAL_PRECISION(17));
        CHECK_STR(again, text);
        job_set_id(&c);
        CHECK_STR(c.id, a.id);
        free(text);
        free(again);
        json_decref(ja);
        json_decref(read);
        json_decref(jc);
        job_free(&a);
        job_free(&c);
    }
    CHECK(n_stops > 100);
}

// The batch grows as job.h says, step by step, and the total is D to within half a batch.
static void check_ramp(const struct job *j)
{
    const struct job_train *t = &j->train;
    const int64_t S = j->arch.S, full = t->batch_tokens / S, n = job_steps(j);
    const int64_t first = (int64_t)fmax(1, round((double)full / 8));
    int64_t seen = 0, largest = 0;
    for (int64_t step = 1; step <= n; step++) {
        int64_t b = (job_tokens_after(j, step) - seen) / S;
        // The exact fraction may lie on either side of a whole number.
        double due = (double)(full - first) *
                     fmin(1, (double)seen / (t->batch_ramp * (double)t->tokens));
        CHECK(b * S == job_tokens_after(j, step) - seen && b >= largest);
        CHECK(b >= first + (int64_t)floor(due - 1e-9) &&
              b <= first + (int64_t)floor(due + 1e-9));
        seen += b * S;
        largest = b;
    }
    CHECK(job_tokens_after(j, 0) == 0 && job_tokens_after(j, n + 5) == seen);
    CHECK(2 * llabs(seen - t->tokens) <= t->batch_tokens);
}

static void test_ramp(void)
{
    struct job j;
    struct rng r;
    job_init(&j);
    j.arch.S = 64;
    j.train.batch_tokens = 512;
    j.train.tokens = 303616;
    for (int64_t step = 0; step <= 593; step++) // no ramp: whole batches
        CHECK(job_tokens_after(&j, step) == 512 * step);
    CHECK(job_steps(&j) == 593 && job_tokens_after(&j, 600) == 512 * 593);
    j.train.tokens = 100, CHECK(job_steps(&j) == 0);
    j.train.tokens = 256, CHECK(job_steps(&j) == 1);
    j.train.tokens = INT64_C(1) << 53, CHECK(job_steps(&j) == INT64_C(1) << 44);
    // 8 sequences a batch, from 1, over half of 112 x 64 tokens: one more every 8 sequences.
    j.train.tokens = 112 * 64, j.train.batch_ramp = .5;
    static const int64_t after[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 19, 22, 25, 29};
    for (int i = 0; i < 16; i++)
        CHECK(job_tokens_after(&j, i + 1) == 64 * after[i]);
    rng_seed(&r, 3, 1);
    for (int i = 0; i < 200; i++) {
        j.arch.S = pick(&r, 1, 40);
        j.train.batch_tokens = j.arch.S * pick(&r, 1, i % 2 ? 9 : 200);
        j.train.tokens = j.train.batch_tokens * pick(&r, 1, 50) + pick(&r, 0, 99);
        j.train.batch_ramp = i % 5 ? rng_uniform(&r) : 1;
        check_ramp(&j);
    }
}

// The id moves with what determines the loss and with nothing else.
static void test_id(void)
{
    struct job a, b;
    json_t *j = parse(minimal);
    CHECK(job_from_json(j, "test", &a) == OK);
    json_decref(j);
    CHECK(a.id[0] == 0 && a.model.norm_topk && a.arch.d_d == 72 && a.arch.V == 0);
    CHECK(job_steps(&a) == 593);
    job_set_id(&a);
    CHECK(strlen(a.id) == 12 && strspn(a.id, "0123456789abcdef") == 12);
#define ID_AFTER(change, same)                                                                 \
    do {                                                                                       \
        CHECK(job_copy(&b, &a) == OK);                                                         \
        change;                                                                                \
        job_set_id(&b);                                                                        \
        CHECK((strcmp(a.id, b.id) == 0) == (same));                                            \
        job_free(&b);                                                                          \
    } while (0)
    ID_AFTER((void)0, true);
    ID_AFTER(b.threads = 7, false); // other sums: other bits
    CHECK(!strstr(minimal, "width"));
    ID_AFTER(b.width = 4, false);
    ID_AFTER(snprintf(b.checkpoint.dir, 8, "else"), true);
    ID_AFTER(b.checkpoint.every_s = 1, true);
    ID_AFTER(b.val.every = 3, true);
    ID_AFTER(snprintf(b.data.paths[0], 8, "c/b.txt"), true);
    ID_AFTER(snprintf(b.data.paths[0], 8, "a/c.txt"), false);
    ID_AFTER(b.train.seed++, false);
    ID_AFTER(b.train.micro_tokens = 128, false);
    ID_AFTER(b.train.lr *= 1 + 3e-16, false);
    ID_AFTER(b.arch.N_e++, false);
    ID_AFTER(b.val.tokens++, false);
    ID_AFTER(b.model.tied = true, false);
    CHECK_STR(a.id, "60dc9c95e229"); // as before there were stops
    ID_AFTER(b.stop[b.n_stop++] = ((struct job_point){12, 2}), false);
    ID_AFTER(b.data.held /= 2, false);
    // Of a checkpoint to start from: its content if that is known, else its path.
    snprintf(a.init.from, sizeof a.init.from, "x/dense");
    job_set_id(&a);
    ID_AFTER(b.init.from[0] = 0, false);
    ID_AFTER(b.init.from[0] = 'y', false);
    ID_AFTER(b.init.noise = .5, false);
    snprintf(a.init.hash, sizeof a.init.hash, "0123456789abcdef");
    job_set_id(&a);
    ID_AFTER(b.init.from[0] = 'y', true);
    ID_AFTER(b.init.hash[0] = '1', false);
    ID_AFTER(b.init.from[0] = 0, false);
    job_free(&a);
}

// The points of a learning curve: at most 48, the last one at the last step; counted by step.
static void test_curve(void)
{
    const int64_t most[] = {1, 2, 47, 48, 49, 95, 97, 593, 100000};
    for (size_t k = 0; k < sizeof most / sizeof *most; k++) {
        const int64_t steps = most[k], n = steps < 48 ? steps : 48;
        int64_t passed = 0;
        CHECK(job_curve_step(steps, n) == steps && job_curve_passed(steps, steps) == n);
        CHECK(job_curve_passed(steps, 0) == 0);
        for (int64_t step = 1; step <= steps; step++) {
            passed += passed < n && job_curve_step(steps, passed + 1) == step;
            CHECK(job_curve_passed(steps, step) == passed);
        }
    }
    // A run ends where a point is above what is allowed at that very step.
    struct job j;
    char why[100] = "";
    job_init(&j);
    j.n_stop = 2;
    j.stop[0] = (struct job_point){10, 3};
    j.stop[1] = (struct job_point){20, 2};
    CHECK(!job_stops_at(&j, (struct job_point){10, 3}, why, sizeof why));
    CHECK(!job_stops_at(&j, (struct job_point){15, 9}, why, sizeof why));
    CHECK(!job_stops_at(&j, (struct job_point){20, 1.9}, why, sizeof why) && !*why);
    CHECK(job_stops_at(&j, (struct job_point){20, 2.5}, why, sizeof why));
    CHECK_STR(why, "training loss 2.5 at step 20 above 2");
    CHECK(job_stops_at(&j, (struct job_point){10, NAN}, why, sizeof why));
}

// Whole sequences, one at least, no more than the batch.
static void test_micro(void)
{
    struct job j;
    job_init(&j);
    j.arch.S = 64, j.train.batch_tokens = 640;
    const struct {
        int64_t micro, expected;
    } cases[] = {{0, 640}, {1, 64}, {64, 64}, {127, 64}, {200, 192}, {640, 640}, {9999, 640}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        j.train.micro_tokens = cases[i].micro;
        CHECK(job_micro_tokens(&j) == cases[i].expected);
    }
    snprintf(j.device, sizeof j.device, "cuda");
    j.train.micro_tokens = 0;
    CHECK(job_micro_tokens(&j) == 640);
    j.arch.S = 1000, j.train.batch_tokens = 1000000;
    CHECK(job_micro_tokens(&j) == JOB_DEVICE_MICRO / 1000 * 1000);
    j.arch.S = 100000;
    CHECK(job_micro_tokens(&j) == 100000);
}

// One change to the minimal job: `object` "" is the top level; value NULL deletes the key.
static enum err changed(const char *object, const char *key, const char *value)
{
    json_t *j = parse(minimal);
    json_t *o = object[0] != 0 ? json_object_get(j, object) : j;
    if (o == NULL) {
        o = json_object();
        json_object_set_new(j, object, o);
    }
    if (value != NULL)
        json_object_set_new(o, key, parse(value));
    else
        json_object_del(o, key);
    struct job job;
    enum err e = job_from_json(j, "job.json", &job);
    if (e == OK)
        job_free(&job);
    else
        CHECK(strncmp(err_message(), "job.json: ", 10) == 0);
    json_decref(j);
    return e;
}

static void test_wrong_values(void)
{
    static const struct {
        const char *object, *key, *value, *message;
    } bad[] = {
        {"", "v", "2", "v: expected an integer from 1 to 1, found 2"},
        {"", "v", NULL, "v: expected"},
        {"", "what", "1", "unknown key \"what\""},
        {"", "id", "\"../../x\"", "hexadecimal"},
        {"", "id", "\"\"", "hexadecimal"},
        {"", "id", "\"0123456789abcdef0\"", "at most 16 bytes"},
        {"", "threads", "0", "threads: expected"},
        {"", "threads", "3000000000", "threads: expected"},
        {"", "width", "0", "width: expected"},
        {"", "device", "\"a name that is too long\"", "device"},
        {"", "arch", NULL, "arch: expected an object, found nothing"},
        {"", "data", "[]", "data: expected an object, found an array"},
        {"", "model", "null", "model: expected an object, found null"},
        {"arch", "K", "17", "arch: K: expected at most N_e = 16, found 17"},
        {"arch", "N_kv", "3", "multiple of N_kv = 3"},
        {"arch", "d", "-5", "arch: d: expected"},
        {"arch", "d", "24.0", "arch: d: expected an integer"},
        {"arch", "E", "4", "arch: unknown key"},
        {"data", "paths", "[]", "paths: expected an array"},
        {"data", "paths", "[\"a\", 3]", "paths: entry 2"},
        {"data", "paths", "[\"\"]", "paths: entry 1"},
        {"data", "paths", "\"a.txt\"", "paths: expected an array"},
        {"data", "held", "0", "held: expected a number above 0"},
        {"data", "held", "0.6", "held: expected a number from 0 to 0.5"},
        {"data", "kind", "\"images\"",
         "kind: expected one of text, nanogpt, llmc, megatron, external, found"},
        {"train", "tokens", "0", "tokens"},
        {"train", "tokens", "100", "at least one batch"},
        {"train", "batch_tokens", "500", "multiple of S = 64"},
        {"train", "lr", "0", "lr: expected a number above 0"},
        {"train", "lr", "\"fast\"", "lr: expected a number"},
        {"train", "lr", "true", "lr: expected a number"},
        {"train", "schedule", "\"step\"", "schedule: expected one of wsd, cosine, linear"},
        {"train", "optimizer", "\"sgd\"", "optimizer: expected one of adamw, muon"},
        {"train", "precision", "\"fp8\"", "precision: expected one of f32, bf16"},
        {"train", "batch_ramp", "1.5", "batch_ramp"},
        {"train", "micro_tokens", "-1", "micro_tokens: expected an integer from 0"},
        {"train", "micro_tokens", "0.5", "micro_tokens: expected an integer"},
        {"data", "eot", "7", "eot: expected with kind nanogpt or llmc only, found 7"},
        {"train", "warmup", "0.9", "warmup + decay: expected at most 1"},
        {"train", "betas", "[0.9]", "betas"},
        {"train", "betas", "[0.9, 1]", "betas"},
        {"train", "betas", "0.9", "betas"},
        {"train", "seed", "-1", "seed"},
        {"model", "router", "\"hash\"", "router: expected one of softmax, sigmoid_bias"},
        {"model", "tied", "1", "tied: expected true or false, found 1"},
        {"model", "init_scale", "0", "init_scale"},
        {"init", "from", "7", "from: expected a string"},
        {"init", "noise", "-1", "noise"},
        {"init", "hash", "\"0123456789abcdef\"",
         "hash: expected 16 lower-case hexadecimal digits "
         "beside from"},
        {"val", "tokens", "0", "tokens"},
        {"val", "every", "1.5", "every"},
        {"checkpoint", "dir", "7", "dir: expected a string"},
        {"checkpoint", "every_s", "-1", "every_s"},
        {"", "stop_above", "[]", "stop_above: expected an array of 1 to 4"},
        {"", "stop_above", "null", "stop_above: expected an array of 1 to 4"},
        {"", "stop_above", "[[12,3],[24,3],[37,3],[49,3],[61,3]]", "an array of 1 to 4"},
        {"", "stop_above", "[[12,0]]",
         "stop_above: expected [step, loss above 0] as element 0"},
        {"", "stop_above", "[[12,3],[24.5,3]]", "loss above 0] as element 1"},
        {"", "stop_above", "[[12,3,4]]", "loss above 0] as element 0"},
        {"", "stop_above", "[[13,3]]",
         "steps of the learning curve, below its last, 593, found 13"},
        {"", "stop_above", "[[24,3],[12,3]]", "ascending steps"},
        {"", "stop_above", "[[593,3]]", "below its last, 593, found 593"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(changed(bad[i].object, bad[i].key, bad[i].value) == ERR_INPUT);
        if (strstr(err_message(), bad[i].message) == NULL)
            fprintf(stderr, "    %s: %s\n", bad[i].message, err_message());
        CHECK(strstr(err_message(), bad[i].message) != NULL);
    }
    CHECK(changed("", "id", "\"0123456789abcdef\"") == OK);
    CHECK(changed("", "stop_above", "[[12,3],[296,2.5],[580,2]]") == OK);
    CHECK(changed("train", "schedule", "\"cosine\"") == OK);
    CHECK(changed("arch", "V", "0") == OK);
    CHECK(changed("arch", "n_shared", "0") == OK);
}

// Any value in any place: refused with a message or accepted, never a crash.
static void test_any_value_anywhere(void)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "-1",
                                         "0",
                                         "1",
                                         "2.5",
                                         "1e300",
                                         "\"\"",
                                         "\"x\"",
                                         "[]",
                                         "{}",
                                         "[[[]]]",
                                         "9223372036854775807",
                                         "-1e-300"};
    static const char *const objects[] = {"arch",  "data",       "train",
                                          "model", "checkpoint", "val"};
    struct job full;
    struct rng r;
    rng_seed(&r, 7, 0);
    random_job(&r, &full);
    json_t *all = job_to_json(&full);
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        const char *key;
        json_t *old;
        json_object_foreach(all, key, old)
            CHECK(changed("", key, values[v]) == OK || err_message()[0] != 0);
        for (size_t o = 0; o < 6; o++)
            json_object_foreach(json_object_get(all, objects[o]), key, old)
                CHECK(changed(objects[o], key, values[v]) == OK || err_message()[0] != 0);
    }
    json_decref(all);
    job_free(&full);
}

// Bytes flipped, cut and repeated: what still parses and passes must read back to the same job.
static void test_mutated_bytes(void)
{
    struct rng r;
    rng_seed(&r, 8, 0);
    int parsed = 0, accepted = 0;
    for (int i = 0; i < 30000; i++) {
        char text[2 * sizeof minimal];
        size_t n = sizeof minimal - 1;
        memcpy(text, minimal, n);
        for (int64_t k = pick(&r, 1, 4); k > 0; k--) {
            size_t at = (size_t)pick(&r, 0, (int64_t)n - 1);
            switch (pick(&r, 0, 3)) {
            case 0:
                text[at] = (char)pick(&r, 0, 255);
                break;
            case 1:
                text[at] = "0123456789.-eE\"{}[],:"[pick(&r, 0, 20)];
                break;
            case 2:
                memmove(text + at, text + at + 1, --n - at);
                break;
            default:
                memmove(text + at + 1, text + at, n++ - at);
                break;
            }
        }
        json_t *j = json_loadb(text, n, 0, NULL);
        if (j == NULL)
            continue;
        parsed++;
        struct job a, b;
        if (job_from_json(j, "fuzz", &a) == OK) {
            accepted++;
            json_t *out = job_to_json(&a);
            CHECK(job_from_json(out, "fuzz", &b) == OK);
            job_set_id(&a);
            job_set_id(&b);
            CHECK_STR(a.id, b.id);
            json_decref(out);
            job_free(&a);
            job_free(&b);
        } else {
            CHECK(strncmp(err_message(), "fuzz", 4) == 0);
        }
        json_decref(j);
    }
    CHECK(parsed > 1000 && accepted > 100 && accepted < parsed); // the test sees both sides
}

static void test_results(void)
{
    struct job_result a = {.id = "abc",
                           .status = JOB_OK,
                           .loss = 1.0 / 3,
                           .loss_per_byte = 0.1,
                           .tokens = 5,
                           .init_tokens = 9,
                           .seconds = 0.25,
                           .flops = 1e12,
                           .peak_bytes = 77,
                           .balance = 1.5,
                           .epochs = 2.25,
                           .cause = ""},
                      b;
    json_t *j = job_result_to_json(&a);
    CHECK_STR(json_string_value(json_object_get(j, "t")), "result");
    char *text = json_dumps(j, JSON_REAL_PRECISION(17));
    json_decref(j);
    j = parse(text);
    CHECK(job_result_from_json(j, "line", &b) == OK);
    CHECK(b.loss == a.loss && b.flops == a.flops && b.peak_bytes == 77 && b.balance == 1.5 &&
          b.epochs == 2.25);
    CHECK(b.tokens == 5 && b.init_tokens == 9);
    CHECK_STR(b.id, "abc");
    free(text);
    json_decref(j);
    // A failure: no numbers, and a cause with bytes that are no UTF-8.
    a.status = JOB_DIVERGED;
    a.loss = a.loss_per_byte = NAN;
    snprintf(a.cause, sizeof a.cause, "bad \xff byte");
    j = job_result_to_json(&a);
    CHECK(json_is_null(json_object_get(j, "loss")));
    CHECK(job_result_from_json(j, "line", &b) == OK && isnan(b.loss));
    CHECK_STR(b.cause, "bad ? byte");
    json_decref(j);
    // A learning curve, with a point that is no number; what is no curve is none.
    j = parse("{\"status\":\"pruned\",\"loss\":null,\"curve\":[[3,2.5],[6,null],[9,2]]}");
    CHECK(job_result_from_json(j, "line", &b) == OK && b.status == JOB_PRUNED);
    CHECK(b.n_curve == 3 && b.curve[0].step == 3 && b.curve[0].loss == 2.5);
    CHECK(isnan(b.curve[1].loss) && b.curve[2].step == 9 && b.curve[2].loss == 2);
    json_array_append_new(json_object_get(j, "curve"), json_string("x"));
    CHECK(job_result_from_json(j, "line", &b) == OK && b.n_curve == 0);
    json_object_set_new(j, "curve", json_array());
    for (int i = 1; i <= JOB_CURVE_MAX + 1; i++) {
        json_array_append_new(json_object_get(j, "curve"), json_pack("[i, f]", i, 2.));
        CHECK(job_result_from_json(j, "line", &b) == OK);
        CHECK(b.n_curve == (i <= JOB_CURVE_MAX ? i : 0));
    }
    json_decref(j);
    // A foreign trainer's shortest line, one with more fields, and wrong ones.
    static const struct {
        const char *text;
        enum err e;
    } lines[] = {
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2}", OK},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"host\":\"n1\",\"more\":[1]}", OK},
        {"{\"t\":\"result\",\"status\":\"oom\"}", OK},
        {"{\"t\":\"result\",\"status\":\"ok\"}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":null}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":\"2\"}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":0}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":-2}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"fine\",\"loss\":2}", ERR_INPUT},
        {"{\"t\":\"result\",\"loss\":2}", ERR_INPUT},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2,\"tokens\":-1}", ERR_INPUT},
        {"[]", ERR_INPUT},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        j = parse(lines[i].text);
        CHECK(job_result_from_json(j, "line", &b) == lines[i].e);
        json_decref(j);
    }
    for (int s = JOB_OK; s <= JOB_PRUNED; s++)
        CHECK(strlen(job_status_name((enum job_status)s)) > 0);
}

int main(void)
{
    test_round_trip();
    test_ramp();
    test_id();
    test_curve();
    test_micro();
    test_wrong_values();
    test_any_value_anywhere();
    test_mutated_bytes();
    test_results();
    return test_summary();
}
