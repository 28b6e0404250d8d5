// SPDX-License-Identifier: GPL-3.0-or-later
// Trainers of every kind of misconduct, as shell scripts.
#include "orchestrator/command.h"
#include "orchestrator/jobfiles.h"
#include "orchestrator/memory.h"
#include "orchestrator/trainer.h"
#include "tests/test.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELLO "echo '{\"t\":\"hello\",\"v\":1,\"pid\":1,\"backend\":\"test\"}'\n"
#define RESULT "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":1.5,\"tokens\":64}'\n"

static char folder[] = "/tmp/moesweep-test-XXXXXX", script[64], note[64];
static char err_file[JOB_PATH_MAX + 96];
static const char *cpus, *gpus; // of the next trainers
static double memory_limit;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct trainer *start_watched(const char *text, double grace, double silence)
{
    FILE *f = fopen(script, "w");
    CHECK(f && fputs(text, f) >= 0);
    if (f)
        fclose(f);
    char command[128];
    snprintf(command, sizeof command, "/bin/sh %s {job}", script);
    struct trainer_spec spec = {.command = command,
                                .threads = 3,
                                .width = 2,
                                .cpus = cpus,
                                .gpus = gpus,
                                .memory_limit = memory_limit,
                                .grace = grace,
                                .silence = silence};
    struct trainer_setup *setup = NULL;
    struct trainer *t = NULL;
    CHECK(trainer_prepare(&spec, &setup) == OK);
    CHECK(setup && trainer_start(setup, note, err_file, &t) == OK);
    trainer_setup_free(setup);
    return t;
}

static struct trainer *start(const char *text, double grace)
{
    return start_watched(text, grace, 0);
}

static void finish(struct trainer *t)
{
    double limit = now() + 60;
    while (!trainer_poll(t, 10) && now() < limit)
        ;
    CHECK(trainer_poll(t, 0));
}

// Runs the script to its end; want is a part of the cause.
static struct trainer *ends(const char *text, enum job_status status, const char *want)
{
    struct trainer *t = start(text, 20);
    finish(t);
    const struct job_result *r = trainer_result(t);
    if (r->status != status || !strstr(r->cause, want))
        fprintf(stderr, "script:\n%s-> %s, \"%s\"\n", text, job_status_name(r->status),
                r->cause);
    CHECK(r->status == status);
    CHECK(strstr(r->cause, want) != NULL);
    CHECK(status == JOB_OK ? isfinite(r->loss) : isnan(r->loss));
    return t;
}

static void check(const char *text, enum job_status status, const char *want)
{
    trainer_free(ends(text, status, want));
}

static void test_good(void)
{
    struct trainer *t =
        ends(HELLO "i=0\nwhile [ $i -lt 300 ]; do i=$((i+1)); echo "
                   "'{\"t\":\"progress\",\"step\":'$i',\"tokens\":'$i'0,\"loss\":2.5,"
                   "\"future\":[]}'\ndone\n"
                   "echo '{\"t\":\"checkpoint\",\"step\":3}'\n"
                   "echo '{\"t\":\"val\",\"step\":3,\"loss\":2}'\n" RESULT,
             JOB_OK, "");
    CHECK(trainer_result(t)->loss == 1.5 && trainer_result(t)->tokens == 64);
    CHECK(trainer_result(t)->peak_bytes > 0);
    CHECK_STR(trainer_backend(t), "test");
    CHECK_STR(trainer_stderr(t), "");
    CHECK(access(err_file, F_OK) != 0);
    CHECK(trainer_state(t).step == 300 && trainer_state(t).tokens == 3000);
    json_t *curve = trainer_curve(t);
    size_t n = json_array_size(curve);
    CHECK(n > 16 && n <= 64);
    for (size_t i = 1; i < n; i++)
        CHECK(json_integer_value(json_array_get(json_array_get(curve, i), 0)) >
              json_integer_value(json_array_get(json_array_get(curve, i - 1), 0)));
    json_decref(curve);
    trainer_free(t);
    // Its own curve wins; a malformed one does not.
    t = ends(
        HELLO
        "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":1,\"curve\":[[1,2.5],[2,null]]}'\n",
        JOB_OK, "");
    curve = trainer_curve(t);
    CHECK(json_array_size(curve) == 2);
    json_decref(curve);
    trainer_free(t);
    t = ends(HELLO
             "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":1,\"curve\":[[1,\"x\"]]}'\n",
             JOB_OK, "");
    curve = trainer_curve(t);
    CHECK(json_array_size(curve) == 0);
    json_decref(curve);
    trainer_free(t);
}

static void test_bad_results(void)
{
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"diverged\",\"cause\":\"loss\"}'\n",
          JOB_DIVERGED, "loss");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"oom\"}'\nexit 1\n", JOB_OOM, "");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"pruned\",\"loss\":1.5,\"tokens\":64}'\n",
          JOB_PRUNED, ""); // no loss of a whole run
    check(HELLO "printf '{\"t\":\"result\",\"status\":\"oom\",\"cause\":\"a%0400d\"}\\n' 0\n",
          JOB_OOM, "a000"); // longer than a record keeps
    check(HELLO "e='\303\251\303\251\303\251\303\251'\ne=$e$e$e$e$e$e$e$e\ne=$e$e$e$e$e$e$e$e\n"
                "printf '{\"t\":\"result\",\"status\":\"oom\",\"cause\":\"%s\"}\\n' \"$e\"\n",
          JOB_OOM, "\303\251");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":NaN}'\n", JOB_FAILED,
          "line 2");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":null}'\n", JOB_FAILED,
          "loss");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"ok\",\"loss\":1e999}'\n", JOB_FAILED,
          "line 2");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"fine\"}'\n", JOB_FAILED, "status");
    check(HELLO "echo '{\"t\":\"result\",\"status\":\"stopped\"}'\nexit 3\n", JOB_FAILED,
          "somebody");
    check(HELLO RESULT RESULT, JOB_FAILED, "after the result");
    check(HELLO RESULT "exit 5\n", JOB_FAILED, "exit code 5 after its result");
    check(HELLO RESULT "kill -SEGV $$\n", JOB_FAILED, "SIGSEGV");
}

static void test_protocol(void)
{
    check(RESULT, JOB_FAILED, "expected hello first");
    check("echo '{\"t\":\"hello\",\"v\":2}'\n", JOB_FAILED, "v");
    check("echo '{\"t\":\"hello\"}'\n" RESULT, JOB_FAILED, "v");
    check(HELLO "echo loading data\nsleep 100\n", JOB_FAILED, "\"loading data\"");
    check(HELLO "echo '{\"t\":\"dance\"}'\n", JOB_FAILED, "unknown type \"dance\"");
    check(HELLO "echo '[1]'\n", JOB_FAILED, "line 2");
    check(HELLO "echo\n", JOB_FAILED, "line 2");
    check(HELLO "echo '{\"t\":\"progress\",\"loss\":1}'\n", JOB_FAILED, "step");
    check(HELLO "head -c 100 /dev/zero\necho\n" RESULT, JOB_FAILED, "line 2");
    check(HELLO "printf '{\"t\":\"result\",\"status\":\"ok\",\"loss\":1}'\n", JOB_FAILED,
          "does not end");
    check(HELLO "yes x | tr -d '\\n'\n", JOB_FAILED, "longer than");
    check("exit 0\n", JOB_FAILED, "exit code 0 without a result");
}

static void test_crashes(void)
{
    check(HELLO "kill -SEGV $$\n", JOB_FAILED, "signal 11 (SIGSEGV)");
    check(HELLO "kill -KILL $$\n", JOB_FAILED, "signal 9 (SIGKILL)");
    struct trainer *t =
        ends(HELLO "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i >&2; done\n"
                   "echo 'CUDA error: \"no\"' >&2\nexit 7\n",
             JOB_FAILED, "exit code 7 without a result: CUDA error: \"no\"");
    const char *tail = trainer_stderr(t);
    int lines = 0;
    for (const char *p = tail; *p; p++)
        lines += *p == '\n';
    CHECK(lines == 20);
    CHECK(strncmp(tail, "line 12\n", 8) == 0);
    CHECK(access(err_file, R_OK) == 0);
    trainer_free(t);
    t = ends(HELLO "head -c 3000000 /dev/urandom >&2\necho >&2; echo last >&2\nexit 1\n",
             JOB_FAILED, "last");
    CHECK(strlen(trainer_stderr(t)) <= 4096);
    trainer_free(t);
}

static void test_files(void)
{
    char jobs[64];
    struct jobfiles f = {"", ""};
    snprintf(jobs, sizeof jobs, "%s/jobs", folder);
    CHECK(jobfiles_make(folder, "0a", "{}", 2, &f) == ERR_FAILED);
    CHECK(mkdir(jobs, 0777) == 0 && jobfiles_make(folder, "0a", "{\"a\": 1}", 8, &f) == OK);
    snprintf(err_file, sizeof err_file, "%s", f.err);
    check(HELLO "echo out of luck >&2\nexit 1\n", JOB_FAILED, "out of luck");
    CHECK(access(f.err, R_OK) == 0);
    CHECK(jobfiles_make(folder, "0a", "{}", 2, &f) == OK);
    CHECK(access(f.err, F_OK) != 0); // an earlier attempt's is gone
    check(HELLO RESULT, JOB_OK, "");
    CHECK(access(f.err, F_OK) != 0);
    struct stat written;
    CHECK(stat(f.job, &written) == 0 && written.st_size == 2);
    CHECK(unlink(f.job) == 0 && rmdir(jobs) == 0);
    snprintf(err_file, sizeof err_file, "%s/stderr.txt", folder);
}

static void test_stop(void)
{
    struct trainer *t =
        start(HELLO "trap 'echo \"{\\\"t\\\":\\\"result\\\",\\\"status\\\":\\\"stopped\\\"}\"; "
                    "exit 3' TERM\n"
                    "echo '{\"t\":\"progress\",\"step\":1}'\n"
                    "while :; do sleep 0.01; done\n",
              20);
    double limit = now() + 30;
    while (trainer_state(t).step == 0 && now() < limit)
        trainer_poll(t, 10);
    trainer_stop(t);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_STOPPED);
    trainer_free(t);

    t = start("trap '' TERM\n" HELLO "while :; do sleep 0.01; done\n", .2);
    while (trainer_state(t).lines == 0 && now() < limit)
        trainer_poll(t, 10);
    trainer_stop(t);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_STOPPED);
    CHECK(strstr(trainer_result(t)->cause, "killed after the grace") != NULL);
    trainer_free(t);
    CHECK(now() < limit);
}

// Output of any kind is a sign of life; a trainer that has ended its work may be silent.
static void test_silence(void)
{
    double from = now();
    struct trainer *t = start_watched(HELLO "sleep 1000\n", 20, .5);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_FAILED);
    CHECK(strstr(trainer_result(t)->cause, "no sign of life from the trainer") != NULL);
    CHECK(now() - from >= .5 && now() - from < 15);
    trainer_free(t);
    t = start_watched(HELLO "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo $i >&2; sleep 0.1; "
                            "done\n" RESULT,
                      20, 2);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_OK);
    trainer_free(t);
    // Time in which nobody looked is not the trainer's silence.
    t = start_watched(HELLO "sleep 3\n" RESULT, 20, 2.5);
    while (trainer_state(t).lines == 0)
        trainer_poll(t, 10);
    sleep(2);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_OK);
    trainer_free(t);
}

static bool gone(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    const char *paren = n ? strrchr(text, ')') : NULL;
    return !paren || paren[2] == 'Z' || paren[2] == 'X'; // a zombie waits for its reaper: gone
}

static pid_t noted_pid(void)
{
    long pid = -1;
    for (double limit = now() + 20; pid < 0 && now() < limit;) {
        FILE *f = fopen(note, "r");
        if (f && fscanf(f, "%ld", &pid) != 1)
            pid = -1;
        if (f)
            fclose(f);
        usleep(2000);
    }
    return (pid_t)pid;
}

static bool gone_soon(pid_t pid)
{
    for (double limit = now() + 10; !gone(pid); usleep(2000))
        if (now() > limit)
            return false;
    return true;
}

static void test_leftovers(void)
{
    // Hangs after its result: the result counts once the grace is over.
    struct trainer *t = start(HELLO RESULT "sleep 1000\n", .2);
    finish(t);
    CHECK(trainer_result(t)->status == JOB_OK);
    trainer_free(t);
    // A grandchild that holds the pipes neither delays the end nor outlives it.
    unlink(note);
    t = start(HELLO "sleep 1000 & echo $! > $1\n" RESULT, 20);
    double from = now();
    finish(t);
    CHECK(now() - from < 15);
    CHECK(trainer_result(t)->status == JOB_OK);
    CHECK(gone_soon(noted_pid()));
    trainer_free(t);
    // Freed while it runs.
    unlink(note);
    t = start("echo $$ > $1\nsleep 1000\n", 20);
    pid_t pid = noted_pid();
    CHECK(pid > 0 && !gone(pid));
    trainer_free(t);
    CHECK(gone_soon(pid));
    // Its supervisor is killed.
    unlink(note);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        start("echo $$ > $1\nexec sleep 1000\n", 20);
        pause();
        _exit(0);
    }
    pid = noted_pid();
    CHECK(pid > 0 && !gone(pid));
    kill(supervisor, SIGKILL);
    waitpid(supervisor, NULL, 0);
    CHECK(gone_soon(pid));
}

static void test_environment(void)
{
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    setenv("PMIX_RANK", "1", 1);
    setenv("PRTE_X", "1", 1);
    setenv("MPI_X", "1", 1);
    setenv("KEPT", "1", 1);
    signal(SIGUSR1, SIG_IGN);
    CHECK(dup2(STDERR_FILENO, 9) == 9); // as MPI's descriptors: not close-on-exec
    check(HELLO "env | grep -qE '^(OMPI_|PMIX_|PRTE_|MPI)' && exit 9\n"
                "[ \"$KEPT\" = 1 ] || exit 10\n"
                "[ \"$OMP_NUM_THREADS\" = 3 ] || exit 11\n"
                "[ \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ ] || exit 12\n"
                "ls /proc/self/fd | grep -q 9 && exit 13\n"
                "[ -z \"$(cat)\" ] || exit 14\n" RESULT,
          JOB_OK, "");
    check(HELLO "kill -USR1 $$\nsleep 1\n", JOB_FAILED, "signal 10"); // not ignored any more
    signal(SIGUSR1, SIG_DFL);
}

// Bound to one of the processors that we may use, and to two GPUs of its own; we stay as we
// were.
static void test_bound(void)
{
    cpu_set_t ours, after;
    char one[16], text[512];
    size_t cpu = 0;
    CHECK(sched_getaffinity(0, sizeof ours, &ours) == 0);
    while (!CPU_ISSET(cpu, &ours))
        cpu++;
    snprintf(one, sizeof one, "%zu", cpu);
    setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3", 1);
    cpus = one, gpus = "GPU-a,GPU-b";
    snprintf(text, sizeof text,
             HELLO "grep -q '^Cpus_allowed_list:[[:space:]]*%zu$' /proc/self/status || exit 9\n"
                   "[ \"$CUDA_VISIBLE_DEVICES\" = GPU-a,GPU-b ] || exit 10\n"
                   "[ $(env | grep -c CUDA_VISIBLE) = 1 ] || exit 11\n" RESULT,
             cpu);
    check(text, JOB_OK, "");
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&ours, &after));
    cpus = "0,x", gpus = NULL; // no list: not bound, and the environment as it was
    check(HELLO "[ \"$CUDA_VISIBLE_DEVICES\" = 0,1,2,3 ] || exit 10\n" RESULT, JOB_OK, "");
    cpus = NULL;
    unsetenv("CUDA_VISIBLE_DEVICES");
}

// What it starts counts; what it only reads does not matter here.
static void test_memory(void)
{
    memory_limit = 60e6;
    double from = now();
    check(HELLO "(head -c 150000000 /dev/zero; sleep 1000) | tail -c 150000000 >$1\n", JOB_OOM,
          "its limit is 0.06 GB");
    CHECK(now() - from < 500);
    check(HELLO "(head -c 20000000 /dev/zero; sleep 1) | tail -c 20000000 >/dev/null\n" RESULT,
          JOB_OK, "");
    memory_limit = 0;
    CHECK(memory_of_host() > 1e6);
    CHECK(memory_of_tree(getpid()) > 1e4 && memory_of_tree(getpid()) < memory_of_host());
}

static void test_command(void)
{
    char **argv = NULL;
    CHECK(command_split(
              "a  'b c'\td\"e 'f\"g \\\"h\\ i --job={job},{job} '{job}' {jo} -w{width}x", "J K",
              16, &argv) == OK);
    const char *want[] = {"a",   "b c",  "de 'fg", "\"h i", "--job=J K,J K",
                          "J K", "{jo}", "-w16x"};
    for (int i = 0; i < 8 && argv[i]; i++)
        CHECK_STR(argv[i], want[i]);
    CHECK(argv[8] == NULL);
    free(argv);
    CHECK(command_split("$(rm -rf x) `y` ;z", "J", 1, &argv) == OK); // no shell anywhere
    CHECK_STR(argv[0], "$(rm");
    CHECK_STR(argv[4], ";z");
    free(argv);
    CHECK(command_split("  ", "J", 1, &argv) == ERR_INPUT);
    CHECK(command_split("a 'b", "J", 1, &argv) == ERR_INPUT);
    char path[4096];
    CHECK(command_find("sh", path, sizeof path) == OK && path[0] == '/');
    CHECK(command_find("/bin/sh", path, sizeof path) == OK);
    CHECK(command_find("no-such-program-anywhere", path, sizeof path) == ERR_INPUT);
    CHECK(strstr(err_message(), "no-such-program-anywhere") != NULL);
    CHECK(command_find("/etc/passwd", path, sizeof path) == ERR_INPUT);
    CHECK(command_find("sh", path, 3) == ERR_INPUT);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(script, sizeof script, "%s/script", folder);
    snprintf(err_file, sizeof err_file, "%s/stderr.txt", folder);
    snprintf(note, sizeof note, "%s/job.json", folder);
    test_command();
    test_good();
    test_bad_results();
    test_protocol();
    test_crashes();
    test_files();
    test_stop();
    test_silence();
    test_leftovers();
    test_environment();
    test_bound();
    test_memory();
    unlink(script);
    unlink(err_file);
    unlink(note);
    rmdir(folder);
    return test_summary();
}
