// SPDX-License-Identifier: GPL-3.0-or-later
// Two sweeps side by side: the same one twice, one with all losses a percent higher, one with
// another optimum, one that is not finished; as numbers, text and a page.
#include "core/json.h"
#include "orchestrator/versus.h"
#include "tests/orchestrator/html_check.h"
#include "tests/orchestrator/sweep_sample.h"
#include "tests/test.h"
#include <unistd.h>

static char dir[] = "/tmp/moesweep-test-XXXXXX";

// All trainings of the sweep, their losses changed: times factor, and as if the best M were
// shift times as large.
static struct steer *trained(const struct sweep *cfg, double factor, double shift, int most)
{
    struct steer *s = NULL;
    CHECK(steer_create(cfg, &s) == OK && steer_advance(s) == OK);
    for (int done = 0; done < most && !steer_done(s); CHECK(steer_advance(s) == OK))
        for (int i = 0; i < steer_n_jobs(s) && done < most; i++) {
            const struct steer_job *sj = steer_job_at(s, i);
            if (sj->final)
                continue;
            struct job_result r = sample_result(sj);
            double t = log((double)sj->counts.M / 7e4), u = t - log(shift);
            r.loss = factor * (r.loss - t * t + u * u);
            CHECK(steer_result(s, &r) == OK);
            done++;
        }
    return s;
}

static json_t *versus(const struct sweep *ca, const struct steer *a, const struct sweep *cb,
                      const struct steer *b)
{
    json_t *doc = NULL;
    CHECK(versus_json(&(struct versus_side){"a & <b>", ca, a, NULL},
                      &(struct versus_side){"b", cb, b, NULL}, &doc) == OK);
    return doc;
}

static const json_t *sub(const json_t *doc, const char *key)
{
    return json_object_get(doc, key);
}

static void test_same(const struct sweep *cfg)
{
    struct steer *a = trained(cfg, 1, 1, 1000);
    json_t *doc = versus(cfg, a, cfg, a);
    int jobs = steer_n_jobs(a);
    CHECK(json_array_size(sub(doc, "keys")) == 0);
    CHECK(jnum(sub(doc, "runs"), "same") == jobs && jnum(sub(doc, "runs"), "equal") == jobs);
    CHECK(jnum(sub(doc, "structures"), "mean") == 0 && jnum(sub(doc, "structures"), "lo") == 0);
    size_t i;
    json_t *o;
    json_array_foreach(sub(doc, "optima"), i, o)
        CHECK(!json_is_false(sub(o, "agree")) && json_equal(sub(o, "a"), sub(o, "b")));
    CHECK(i == 4 && json_array_size(sub(doc, "laws")) >= 2);
    json_decref(doc);
    steer_free(a);
}

static void test_higher(const struct sweep *cfg)
{
    struct steer *a = trained(cfg, 1, 1, 1000), *b = trained(cfg, 1.01, 1, 1000);
    json_t *doc = versus(cfg, a, cfg, b);
    const json_t *s = sub(doc, "structures");
    // Every loss is a percent higher: the mean exactly, and no spread.
    CHECK_REL(jnum(s, "mean"), log(1.01), 1e-9);
    CHECK_NEAR(jnum(s, "hi") - jnum(s, "lo"), 0, 1e-6);
    CHECK(jnum(sub(doc, "runs"), "equal") == 0);
    CHECK_REL(jnum(sub(doc, "runs"), "largest"), log(1.01), 1e-9);
    // Two seeds a point in the first phase, which become one structure.
    CHECK(jnum(s, "n") < steer_n_jobs(a) && jnum(s, "n") >= 6);
    json_decref(doc);
    steer_free(a);
    steer_free(b);
}

static void test_other(struct sweep *cfg)
{
    static struct sweep other;
    other = *cfg;
    other.base.train.lr = 0;
    other.lr.value *= 2;
    cfg->n_boot = other.n_boot = 200; // enough for intervals
    struct steer *a = trained(cfg, 1, 1, 1000), *b = trained(&other, 1, 1.3, 1000),
                 *none = trained(cfg, 1, 1, 0);
    json_t *doc = versus(cfg, a, &other, b), *M = NULL, *o;
    size_t i;
    CHECK(json_array_size(sub(doc, "keys")) == 1);
    CHECK_STR(jstr(json_array_get(sub(doc, "keys"), 0), "key"), "train.lr");
    CHECK(jnum(sub(doc, "runs"), "same") == 0 && jnum(sub(doc, "structures"), "n") >= 4);
    json_array_foreach(sub(doc, "optima"), i, o) if (strcmp(jstr(o, "axis"), "M") == 0 && !M)
        M = o;
    CHECK(M && jnum(sub(M, "b"), "value") > jnum(sub(M, "a"), "value"));
    CHECK(json_is_false(sub(M, "agree")) || json_is_null(sub(M, "agree")));
    json_decref(doc);
    doc = versus(cfg, a, cfg, none); // nothing to compare with
    CHECK(json_array_size(sub(doc, "optima")) == 0 && jnum(sub(doc, "structures"), "n") == 0);
    json_decref(doc);
    steer_free(a);
    steer_free(b);
    steer_free(none);
}

static char *page_of(const json_t *doc)
{
    char path[80], *text = NULL, why[200];
    size_t cap = 0;
    snprintf(path, sizeof path, "%s/two.html", dir);
    CHECK(versus_page(doc, path) == OK);
    FILE *f = fopen(path, "r");
    CHECK(f && getdelim(&text, &cap, EOF, f) > 0);
    fclose(f);
    unlink(path);
    bool formed = html_check(text, why, sizeof why);
    if (!formed)
        fprintf(stderr, "%s\n", why);
    CHECK(formed && count_of(text, "<script") == 0 && count_of(text, " src=") == 0);
    CHECK(count_of(text, "nan") == count_of(text, "nance"));
    return text;
}

static void test_shown(const struct sweep *cfg)
{
    struct steer *a = trained(cfg, 1, 1, 1000), *none = trained(cfg, 1, 1, 0);
    const struct steer *others[] = {a, none};
    for (int i = 0; i < 2; i++) {
        json_t *doc = versus(cfg, a, cfg, others[i]);
        char *page = page_of(doc), *said = NULL;
        size_t n = 0;
        CHECK(strstr(page, "a &amp; &lt;b&gt;") != NULL);
        CHECK(count_of(page, "<h2") == (i == 0 ? 5 : 4));
        FILE *f = open_memstream(&said, &n);
        versus_print(doc, f);
        fclose(f);
        CHECK(strstr(said, "configurations: the same") != NULL && strstr(said, "nan") == NULL);
        CHECK(strstr(said, i ? "no structure" : "the same loss to the last bit") != NULL);
        free(said);
        free(page);
        json_decref(doc);
    }
    steer_free(a);
    steer_free(none);
}

int main(void)
{
    static struct sweep cfg;
    char path[80];
    CHECK(mkdtemp(dir) != NULL);
    sample_sweep(dir, -1, &cfg);
    test_same(&cfg);
    test_higher(&cfg);
    test_shown(&cfg);
    test_other(&cfg);
    static const char *const left[] = {"journal", "config.resolved.cfg"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, left[i]);
        unlink(path);
    }
    CHECK(rmdir(dir) == 0);
    config_free(&cfg);
    return test_summary();
}
