// SPDX-License-Identifier: GPL-3.0-or-later
// A manager and three workers without MPI: threads over fake_link.c, with a shell script as
// trainer. Whatever happens to a worker or to a message, every job gets one result and the law
// is the undisturbed one.
//
// MOESWEEP_SLOW=n: the machine is n times slower than usual (valgrind).
#include "core/json.h"
#include "fit/fit.h"
#include "orchestrator/manage.h"
#include "orchestrator/run.h"
#include "orchestrator/signals.h"
#include "orchestrator/supervise.h"
#include "tests/core/support.h"
#include "tests/orchestrator/fake_link.h"
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

enum { RANKS = 4 }; // the manager and three workers

static char folder[4096], config_file[4200], trainer_file[4200];
static double silence = 1.5;

// ---- the sweep

// Waits, crashes once in every job where a file crash lies beside this script, and says a
// loss that depends on the job.
static const char trainer[] =
    "echo '{\"t\":\"hello\",\"v\":1,\"backend\":\"sh\"}'\n"
    "echo '{\"t\":\"progress\",\"step\":1,\"tokens\":64,\"loss\":3}'\n"
    "if [ -e \"${1%/*}/../../crash\" ] && [ ! -e \"$1.crashed\" ]; then\n"
    "    : >\"$1.crashed\"; echo 'last words' >&2; kill -9 $$\n"
    "fi\n"
    "sleep 0.05\n"
    "lr=$(sed -n 's/.*\"lr\": *\\([-0-9.e]*\\).*/\\1/p' \"$1\")\n"
    "awk -v lr=\"$lr\" 'BEGIN { t = log(lr / 0.005); x = 2 + t * t; printf("
    "\"{\\\"t\\\":\\\"result\\\",\\\"status\\\":\\\"ok\\\",\\\"loss\\\":%.6f,"
    "\\\"tokens\\\":64,\\\"seconds\\\":0.05}\\n\", x) }'\n";

static const char config[] =
    "name = \"threads\"; scales = [1e10]; bootstrap = 50; retries = 2;\n"
    "data = { kind = \"external\"; tokens = 1000000000L; };\n"
    "arch = { L_d = 1; L_m = 1; d = 16; d_qkv = 8; d_d = 32; d_m = 16; N_q = 2; N_kv = 1;\n"
    "  S = 64; N_e = 8; K = 2; V = 64; };\n"
    "start = { M = 4.5e4; };\n"
    "train = { batch_tokens = 256; lr = 0.005; };\n"
    "phases = ( { name = \"rate\"; seeds = 2;\n"
    "  axes = ( { var = \"lr\"; around = { value = 0.004; }; factor = 1.5; points = 5; } );\n"
    "  fits = ( { axis = \"lr\"; form = \"logquad\"; } ); },\n"
    "  { name = \"batch\"; after = [\"rate\"];\n"
    "  axes = ( { var = \"batch_tokens\"; values = [128, 192]; } ); } );\n";
enum { JOBS = 12 };

static void write_files(void)
{
    char text[8192];
    scratch_make(folder, sizeof folder);
    snprintf(config_file, sizeof config_file, "%s/sweep.cfg", folder);
    snprintf(trainer_file, sizeof trainer_file, "%s/trainer.sh", folder);
    write_file(trainer_file, trainer, strlen(trainer));
    int n = snprintf(text, sizeof text, "%strainer = \"/bin/sh %s {job}\";\n", config,
                     trainer_file);
    write_file(config_file, text, (size_t)n);
}

// ---- what happens to it

enum trouble {
    NOTHING,
    KILLED, // rank 2 is gone once its first job has begun
    PAUSED, // rank 2 is stopped then, and goes on when another has its job; a result comes late
    TWICE,  // every result comes twice, the second time at the next beat of its rank
    UNFIT,  // rank 2 cannot write the file of its first job
    STOPPED, // rank 2 gets SIGUSR1 when its first job has begun
    ALL_GONE // every worker is gone once its first job has begun
};

// A result that comes a second time.
struct again {
    struct link_msg m;
    char text[4096]; // "": none waits
};

struct stage {
    enum trouble trouble;
    struct fake_net *net;
    pthread_t threads[RANKS];
    enum err ends[RANKS];
    bool clean[RANKS];
    pthread_mutex_t lock; // of what follows
    bool happened;
    bool gone_on;
    int drops; // messages DROP to rank 2
    struct again again[RANKS];
};

// A result that nobody waits for any more; the law would show it.
static void send_late_result(struct stage *s, int job)
{
    static const char said[] = "{\"status\":\"ok\",\"loss\":77}";
    double now = signals_clock();
    fake_net_inject(s->net, 2,
                    &(struct link_msg){.kind = LINK_RESULT,
                                       .job = job,
                                       .attempt = 1,
                                       .now = now,
                                       .start = now - 1,
                                       .end = now,
                                       .text = said,
                                       .n_text = strlen(said)});
}

static void go_on_when_replaced(struct stage *s, const struct link_msg *m)
{
    s->drops += m->peer == 2 && m->kind == LINK_DROP;
    if (!s->happened || s->gone_on || m->kind != LINK_JOB || m->attempt < 2)
        return;
    s->gone_on = true;
    send_late_result(s, m->job);
    fake_net_pause(s->net, 2, false);
}

// At the next beat of its rank.
static void repeat(struct stage *s, int from, const struct link_msg *m)
{
    struct again *a = &s->again[from];
    if (m->kind == LINK_BEAT && a->text[0]) {
        fake_net_inject(s->net, from, &a->m);
        a->text[0] = '\0';
    } else if (m->kind == LINK_RESULT && !a->text[0] && m->n_text < sizeof a->text) {
        a->m = *m;
        memcpy(a->text, m->text, m->n_text);
        a->m.text = a->text;
    }
}

// The same order for a sweep that lies nowhere.
static void send_elsewhere(struct stage *s, const struct link_msg *m)
{
    struct link_msg changed = *m;
    changed.body = json_deep_copy(m->body);
    json_object_set_new(changed.body, "dir", json_string("/nowhere/at/all"));
    fake_net_inject(s->net, 0, &changed);
}

// With the lock: whether the message passes.
static bool disturb(struct stage *s, int from, const struct link_msg *m)
{
    bool first = !s->happened && from == 2 && m->kind == LINK_STARTED;
    switch (s->trouble) {
    case KILLED:
        if (first)
            fake_net_kill(s->net, 2);
        break;
    case PAUSED:
        if (first)
            fake_net_pause(s->net, 2, true);
        go_on_when_replaced(s, m);
        break;
    case TWICE:
        if (from > 0)
            repeat(s, from, m);
        break;
    case UNFIT:
        first = !s->happened && m->peer == 2 && m->kind == LINK_JOB;
        if (first)
            send_elsewhere(s, m);
        s->happened = s->happened || first;
        return !first;
    case STOPPED:
        if (first)
            pthread_kill(s->threads[2], SIGUSR1);
        break;
    case ALL_GONE:
        if (m->kind == LINK_STARTED)
            fake_net_kill(s->net, from);
        return true;
    default:
        break;
    }
    s->happened = s->happened || first;
    return true;
}

static bool on_message(void *ctx, int from, const struct link_msg *m)
{
    struct stage *s = ctx;
    pthread_mutex_lock(&s->lock);
    bool passes = disturb(s, from, m);
    pthread_mutex_unlock(&s->lock);
    return passes;
}

struct worker {
    struct stage *stage;
    int rank;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct stage *s = w->stage;
    s->ends[w->rank] =
        supervise_run(fake_net_link(s->net, w->rank), silence, &s->clean[w->rank]);
    return NULL;
}

static enum err manage(struct stage *s, const char *out, bool *clean)
{
    struct run_options opt = {.silence = silence, .progress = PROGRESS_NONE};
    struct manager *m = NULL;
    enum err e = manage_open(config_file, out, &opt, fake_net_link(s->net, 0), &m);
    CHECK(e == OK);
    if (e == OK)
        e = manage_run(m, clean);
    manage_free(m);
    return e;
}

// One run of the program over the directory.
static enum err run(enum trouble trouble, const char *out, struct stage *s, bool *clean)
{
    struct worker w[RANKS];
    *s = (struct stage){.trouble = trouble};
    pthread_mutex_init(&s->lock, NULL);
    s->net = fake_net_create(RANKS, on_message, s);
    pthread_mutex_lock(&s->lock); // until all threads are known
    for (int i = 1; i < RANKS; i++) {
        w[i] = (struct worker){s, i};
        CHECK(pthread_create(&s->threads[i], NULL, work, &w[i]) == 0);
    }
    pthread_mutex_unlock(&s->lock);
    enum err e = manage(s, out, clean);
    char message[1024];
    snprintf(message, sizeof message, "%s", err_message());
    for (int i = 1; i < RANKS; i++) { // a rank that was given up and is not clean waits in vain
        fake_net_pause(s->net, i, false);
        if (!*clean)
            fake_net_inject(s->net, 0, &(struct link_msg){.peer = i, .kind = LINK_QUIT});
    }
    for (int i = 1; i < RANKS; i++)
        pthread_join(s->threads[i], NULL);
    fake_net_free(s->net);
    pthread_mutex_destroy(&s->lock);
    return err_set(e, "%s", message);
}

// ---- what comes of it

static char *law_of(const char *out)
{
    char path[4300], *text = NULL;
    json_t *law = NULL;
    snprintf(path, sizeof path, "%s/law.json", out);
    CHECK(json_read_file(path, &law) == OK);
    if (law)
        text = json_dumps(law, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(law);
    return text;
}

// Every job has one result; how many attempts were failures.
static int check_results(const char *out)
{
    struct sweep cfg;
    json_t *records = NULL, *rec, *seen = json_object();
    int results = 0, failures = 0;
    size_t i;
    enum err e = run_load(out, &cfg, NULL, &records);
    CHECK(e == OK);
    if (e != OK)
        return -1;
    json_array_foreach(records, i, rec)
    {
        failures += strcmp(jstr(rec, "t"), "failure") == 0;
        if (strcmp(jstr(rec, "t"), "result") != 0)
            continue;
        results++;
        CHECK(strcmp(jstr(rec, "status"), "ok") == 0);
        CHECK(!json_object_get(seen, jstr(rec, "id")));
        json_object_set_new(seen, jstr(rec, "id"), json_true());
    }
    CHECK(results == JOBS);
    json_decref(records);
    json_decref(seen);
    config_free(&cfg);
    return failures;
}

static void check_law(const char *out)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/plain", folder);
    char *here = law_of(out), *plain = law_of(path);
    CHECK(here && plain && strcmp(here, plain) == 0);
    free(here);
    free(plain);
}

static int check_whole(const char *out)
{
    check_law(out);
    return check_results(out);
}

static void test_plain(const char *out)
{
    struct stage s;
    bool clean = false;
    CHECK(run(NOTHING, out, &s, &clean) == OK && clean);
    for (int i = 1; i < RANKS; i++)
        CHECK(s.ends[i] == OK && s.clean[i]);
    CHECK(check_whole(out) == 0);
    // A sweep that is done has nothing left to do.
    CHECK(run(NOTHING, out, &s, &clean) == OK && clean);
    CHECK(check_whole(out) == 0);
}

static void test_killed(const char *out)
{
    struct stage s;
    bool clean = true;
    CHECK(run(KILLED, out, &s, &clean) == OK && !clean);
    CHECK(s.happened && s.ends[2] == ERR_FAILED);
    CHECK(check_whole(out) == 0);
}

static void test_paused(const char *out)
{
    struct stage s;
    bool clean = false;
    CHECK(run(PAUSED, out, &s, &clean) == OK && clean);
    CHECK(s.happened && s.gone_on && s.drops > 0);
    CHECK(check_whole(out) == 0);
}

static void test_twice(const char *out)
{
    struct stage s;
    bool clean = false;
    CHECK(run(TWICE, out, &s, &clean) == OK && clean);
    CHECK(check_whole(out) == 0);
}

static void test_crashes(const char *out)
{
    struct stage s;
    char mark[4300];
    bool clean = false;
    snprintf(mark, sizeof mark, "%s/crash", folder); // trainer.sh looks for it
    write_file(mark, "", 0);
    CHECK(run(NOTHING, out, &s, &clean) == OK && clean);
    unlink(mark);
    CHECK(check_whole(out) == JOBS);
}

static void test_unfit(const char *out)
{
    struct stage s;
    bool clean = false;
    CHECK(run(UNFIT, out, &s, &clean) == OK && clean && s.happened);
    CHECK(check_whole(out) == 0);
}

static void test_stopped(const char *out)
{
    struct stage s;
    bool clean = false;
    CHECK(run(STOPPED, out, &s, &clean) == ERR_STOPPED && s.happened);
    CHECK(strstr(err_message(), "told to stop") != NULL);
    CHECK(run(NOTHING, out, &s, &clean) == OK && clean);
    CHECK(check_whole(out) == 0);
}

static void test_all_gone(const char *out)
{
    struct stage s;
    bool clean = true;
    CHECK(run(ALL_GONE, out, &s, &clean) == ERR_FAILED && !clean);
    CHECK(strstr(err_message(), "sign of life") != NULL);
    CHECK(run(NOTHING, out, &s, &clean) == OK && clean);
    CHECK(check_whole(out) == 0);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*test)(const char *out);
    } tests[] = {{"plain", test_plain},     {"killed", test_killed},   {"paused", test_paused},
                 {"twice", test_twice},     {"crashes", test_crashes}, {"unfit", test_unfit},
                 {"stopped", test_stopped}, {"gone", test_all_gone}};
    const char *slow = getenv("MOESWEEP_SLOW");
    silence *= slow ? atof(slow) : 1;
    signals_block();
    fit_init();
    write_files();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        char out[4200];
        double begin = signals_clock();
        snprintf(out, sizeof out, "%s/%s", folder, tests[i].name);
        tests[i].test(out);
        printf("%s: %.1f s\n", tests[i].name, signals_clock() - begin);
    }
    scratch_remove(folder);
    return test_summary();
}
