// SPDX-License-Identifier: GPL-3.0-or-later
// job.json. What is accepted comes back from JSON as it went, with the same id, and its steps
// can be counted.
#include "core/job.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include <string.h>

static void check_job(struct job *j)
{
    struct job again, copy;
    json_t *text = job_to_json(j);
    MUST(job_copy(&copy, j) == OK);
    MUST(job_from_json(text, "again", &again) == OK);
    json_t *twice = job_to_json(&again);
    MUST(json_equal(text, twice));
    job_set_id(j);
    job_set_id(&again);
    MUST(strcmp(j->id, again.id) == 0);
    int64_t steps = job_steps(&copy), all = job_tokens_after(&copy, steps);
    MUST(steps >= 1 && all >= 1);
    MUST(job_tokens_after(&copy, steps / 2) <= all && job_tokens_after(&copy, 0) == 0);
    for (int i = 0; i < again.n_stop; i++)
        MUST(again.stop[i].step > (i > 0 ? again.stop[i - 1].step : 0) &&
             again.stop[i].step < steps && again.stop[i].loss > 0);
    json_decref(text);
    json_decref(twice);
    job_free(&again);
    job_free(&copy);
}

// Steps of a ramp take a time proportional to the batch: a batch of 2^24 sequences is right,
// and nothing but slow here.
static bool slow(const json_t *doc)
{
    const json_t *train = json_object_get(doc, "train");
    return json_object_get(train, "batch_ramp") &&
           json_integer_value(json_object_get(train, "batch_tokens")) > 4096;
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    struct job j;
    json_t *doc = fuzz_json(in, size);
    bool accepted = doc && !slow(doc) && job_from_json(doc, "job.json", &j) == OK;
    json_decref(doc);
    if (!accepted)
        return false;
    check_job(&j);
    job_free(&j);
    return true;
}
