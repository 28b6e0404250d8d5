// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/trainer.h"
#include "core/json.h"
#include "orchestrator/command.h"
#include "orchestrator/memory.h"
#include "orchestrator/place.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STDERR_LINES = 20, STDERR_BYTES = 4 << 10 };

static const double MEMORY_EVERY = .5; // s between two looks at a trainer's memory
static const double OOM_EVERY = .5;    // s between two of what the kernel has killed

struct trainer_setup {
    char *command;
    int width;
    char **envp;
    char path[PATH_MAX];         // of the program
    sigset_t ignored;            // would stay ignored across exec
    int null;                    // /dev/null
    struct place_before *before; // NULL: not bound
    double memory_limit, grace, silence;
};

struct trainer {
    pid_t pid;
    int out, err; // pipes; -1 once closed
    int end;      // readable once it has ended; -1 where the kernel has no such descriptor
    struct protocol said;
    char tail[STDERR_BYTES + 1]; // the end of standard error
    size_t n_tail;
    char *stderr_file;
    double grace, kill_at; // kill_at: monotonic s, infinite unless it must end by then
    double memory_limit, memory_at, memory; // bytes; next look, s; what was too much, 0: never
    double silence, silent, polled;         // limit; so far; monotonic s of the last look
    int64_t oom_kills;                      // before the start, or a moment earlier
    bool asked_to_stop, killed, ended;
    bool terminated; // by a SIGTERM that was not ours
    struct job_result result;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// As it was a moment ago: the kernel takes its time to count, and short trainers are many.
static int64_t recent_oom_kills(void)
{
    static _Thread_local double counted_at = -INFINITY;
    static _Thread_local int64_t kills;
    if (now() - counted_at > OOM_EVERY) {
        kills = memory_oom_kills();
        counted_at = now();
    }
    return kills;
}

// ---- start

// Between vfork and exec: async-signal-safe calls only, and no memory of ours is changed: it is
// shared until then. (fork would copy the page tables of MPI's shared memory for every run.)
// MPI's sockets and the journal stay ours.
static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, UINT_MAX, 0) == 0)
        return;
#endif
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536
                  ? (int)limit.rlim_cur
                  : 65536;
    for (int fd = first; fd < end; fd++)
        close(fd);
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; // nobody listens
}

static void __attribute__((noreturn))
child(const struct trainer_setup *s, char **argv, int out, int err, pid_t parent)
{
    setpgid(0, 0);
    // The trainer dies with its supervisor, however that ends; the check closes the gap before
    // prctl.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int sig = 1; sig <= SIGSYS; sig++)
        if (sigismember(&s->ignored, sig))
            sigaction(sig, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(s->null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    close_from(3);
    execve(s->path, argv, s->envp);
    say(s->path);
    say(": cannot be executed; is it a program for this machine?\n");
    _exit(127);
}

static enum err pipe_pair(int p[2])
{
    ENSURE(pipe2(p, O_CLOEXEC) == 0, ERR_FAILED, "pipe: %s", strerror(errno));
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    return OK;
}

static enum err spawn(const struct trainer_setup *s, struct trainer *t, char **argv)
{
    int out[2], err[2];
    TRY(pipe_pair(out));
    if (pipe_pair(err) != OK) {
        close(out[0]);
        close(out[1]);
        return ERR_FAILED;
    }
    pid_t parent = getpid();
    t->pid = vfork();
    if (t->pid == 0)
        child(s, argv, out[1], err[1], parent);
    int cause = errno;
    close(out[1]);
    close(err[1]);
    t->out = out[0];
    t->err = err[0];
    ENSURE(t->pid > 0, ERR_FAILED, "fork: %s", strerror(cause));
    setpgid(t->pid, t->pid); // whoever comes first, where vfork is no more than fork
#ifdef SYS_pidfd_open
    t->end = (int)syscall(SYS_pidfd_open, t->pid, 0);
#endif
    return OK;
}

static enum err start(const struct trainer_setup *s, const char *job_file, struct trainer *t)
{
    char **argv;
    TRY(protocol_init(&t->said));
    ENSURE(access(s->path, X_OK) == 0, ERR_FAILED, "%s: %s", s->path, strerror(errno));
    TRY(command_split(s->command, job_file, s->width, &argv));
    enum err e = spawn(s, t, argv);
    free(argv);
    return e;
}

enum err trainer_start(const struct trainer_setup *s, const char *job_file,
                       const char *stderr_file, struct trainer **out)
{
    struct trainer *t = calloc(1, sizeof *t);
    ENSURE(t, ERR_FAILED, "out of memory");
    t->pid = t->out = t->err = t->end = -1;
    t->grace = s->grace;
    t->silence = s->silence;
    t->polled = now();
    t->kill_at = INFINITY;
    t->memory_limit = s->memory_limit;
    t->memory_at = now() + MEMORY_EVERY;
    t->oom_kills = recent_oom_kills();
    t->stderr_file = strdup(stderr_file);
    enum err e = t->stderr_file ? start(s, job_file, t) : err_set(ERR_FAILED, "out of memory");
    if (e != OK) {
        trainer_free(t);
        return e;
    }
    *out = t;
    return OK;
}

static void note_ignored(sigset_t *ignored)
{
    sigemptyset(ignored);
    for (int sig = 1; sig <= SIGSYS; sig++) {
        struct sigaction now;
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            sigaddset(ignored, sig);
    }
}

static enum err prepare(const struct trainer_spec *spec, struct trainer_setup *s)
{
    char **argv;
    TRY(command_split(spec->command, "", spec->width, &argv));
    enum err e = command_find(argv[0], s->path, sizeof s->path);
    free(argv);
    TRY(e);
    TRY(command_environment(spec->threads, spec->gpus, &s->envp));
    s->command = strdup(spec->command);
    ENSURE(s->command, ERR_FAILED, "out of memory");
    s->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ENSURE(s->null >= 0, ERR_FAILED, "/dev/null: %s", strerror(errno));
    note_ignored(&s->ignored);
    if (spec->cpus)
        place_bind(spec->cpus, &s->before);
    return OK;
}

enum err trainer_prepare(const struct trainer_spec *spec, struct trainer_setup **out)
{
    struct trainer_setup *s = malloc(sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory");
    *s = (struct trainer_setup){.width = spec->width,
                                .null = -1,
                                .memory_limit = spec->memory_limit,
                                .grace = spec->grace,
                                .silence = spec->silence};
    enum err e = prepare(spec, s);
    if (e != OK) {
        trainer_setup_free(s);
        return e;
    }
    *out = s;
    return OK;
}

void trainer_setup_free(struct trainer_setup *s)
{
    if (!s)
        return;
    if (s->before)
        place_unbind(s->before);
    if (s->null >= 0)
        close(s->null);
    free(s->envp);
    free(s->command);
    free(s);
}

// ---- ending it

static void kill_group(struct trainer *t)
{
    if (t->pid > 0 && !t->ended)
        kill(-t->pid, SIGKILL);
    t->killed = true;
}

static void end_by(struct trainer *t, double seconds)
{
    double at = now() + seconds;
    if (at < t->kill_at)
        t->kill_at = at;
}

void trainer_stop(struct trainer *t)
{
    if (t->asked_to_stop || t->ended)
        return;
    t->asked_to_stop = true;
    kill(-t->pid, SIGTERM);
    end_by(t, t->grace);
}

// ---- its output

static void take_output(struct trainer *t, const char *data, size_t n)
{
    protocol_take(&t->said, data, n);
    if (t->said.fault[0])
        kill_group(t);
    else if (t->said.has_result)
        end_by(t, t->grace); // it has nothing left to do
}

// Only the end of what it says is kept, however much that is.
static void take_stderr(struct trainer *t, const char *data, size_t n)
{
    if (n >= STDERR_BYTES) {
        data += n - STDERR_BYTES;
        n = STDERR_BYTES;
    }
    size_t keep = STDERR_BYTES - n < t->n_tail ? STDERR_BYTES - n : t->n_tail;
    memmove(t->tail, t->tail + t->n_tail - keep, keep);
    memcpy(t->tail + keep, data, n);
    t->n_tail = keep + n;
}

// Reads what is there; closes at the end of file.
static void drain(struct trainer *t, int *fd,
                  void (*take)(struct trainer *, const char *, size_t))
{
    char buf[16 << 10];
    // Bounded, so that an endless stream cannot keep us here.
    for (int i = 0; i < 64 && *fd >= 0; i++) {
        ssize_t n = read(*fd, buf, sizeof buf);
        if (n > 0) {
            t->silent = 0;
            take(t, buf, (size_t)n);
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            close(*fd);
            *fd = -1;
        } else {
            return;
        }
    }
}

// ---- its end

static void keep_stderr(struct trainer *t)
{
    t->tail[t->n_tail] = '\0';
    for (size_t i = 0; i < t->n_tail;
         i++) { // it becomes a JSON string and is shown on terminals
        unsigned char c = (unsigned char)t->tail[i];
        if ((c < ' ' && c != '\n' && c != '\t') || c >= 0x7f)
            t->tail[i] = '?';
    }
    int lines = 0;
    size_t from = t->n_tail;
    while (from > 0 && lines < STDERR_LINES)
        lines += t->tail[--from] == '\n' && from + 1 < t->n_tail;
    from += lines == STDERR_LINES;
    memmove(t->tail, t->tail + from, t->n_tail - from + 1);
    t->n_tail -= from;
    FILE *f = t->n_tail ? fopen(t->stderr_file, "we") : NULL;
    if (f) {
        fwrite(t->tail, 1, t->n_tail, f);
        fclose(f);
    }
}

static void set_failed(struct trainer *t, enum job_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set_failed(struct trainer *t, enum job_status status, const char *fmt, ...)
{
    t->result.status = status;
    t->result.loss = t->result.loss_per_byte = NAN;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->result.cause, sizeof t->result.cause, fmt, ap);
    va_end(ap);
}

// The last line of standard error says most about an exit code.
static const char *last_words(const struct trainer *t, int *n)
{
    size_t end = t->n_tail;
    while (end > 0 && t->tail[end - 1] == '\n')
        end--;
    size_t from = end;
    while (from > 0 && t->tail[from - 1] != '\n')
        from--;
    *n = (int)(end - from);
    return t->tail + from;
}

// sigabbrev_np would be nicer, but long-lived clusters have an older C library.
static const char *signal_name(int sig)
{
    static const struct {
        int sig;
        const char *name;
    } names[] = {
        {SIGSEGV, " (SIGSEGV)"}, {SIGBUS, " (SIGBUS)"},   {SIGILL, " (SIGILL)"},
        {SIGFPE, " (SIGFPE)"},   {SIGABRT, " (SIGABRT)"}, {SIGKILL, " (SIGKILL)"},
        {SIGTERM, " (SIGTERM)"}, {SIGINT, " (SIGINT)"},   {SIGHUP, " (SIGHUP)"},
        {SIGPIPE, " (SIGPIPE)"}, {SIGXCPU, " (SIGXCPU)"}, {SIGXFSZ, " (SIGXFSZ)"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].sig == sig)
            return names[i].name;
    return "";
}

static void judge_signal(struct trainer *t, int sig)
{
    if (t->memory > 0)
        set_failed(t, JOB_OOM, "ended: it had %.4g GB of memory, its limit is %.4g GB",
                   1e-9 * t->memory, 1e-9 * t->memory_limit);
    else if (sig == SIGKILL && !t->killed && memory_oom_kills() > t->oom_kills)
        set_failed(t, JOB_OOM, "killed by the kernel: the machine ran out of memory");
    else if (t->asked_to_stop)
        set_failed(t, JOB_STOPPED, "stopped on request%s",
                   t->killed ? ", killed after the grace" : "");
    else
        set_failed(t, JOB_FAILED, "killed by signal %d%s", sig, signal_name(sig));
    t->terminated = sig == SIGTERM && !t->asked_to_stop;
}

static void judge_exit(struct trainer *t, int code)
{
    int n = 0;
    const char *words = last_words(t, &n);
    t->terminated = !t->asked_to_stop &&
                    ((t->said.has_result && t->result.status == JOB_STOPPED) ||
                     (!t->said.has_result && code == 128 + SIGTERM)); // a shell's way to say it
    if (t->said.has_result && (code == 0 || t->result.status != JOB_OK)) {
        if (t->result.status == JOB_STOPPED && !t->asked_to_stop)
            set_failed(t, JOB_FAILED, "stopped by somebody else");
    } else if (t->said.has_result) {
        set_failed(t, JOB_FAILED, "exit code %d after its result%s%.*s", code, n ? ": " : "", n,
                   words);
    } else if (code == 128 + SIGKILL && memory_oom_kills() > t->oom_kills) {
        set_failed(t, JOB_OOM, "a part of it was killed by the kernel: out of memory");
    } else if (t->asked_to_stop) {
        set_failed(t, JOB_STOPPED, "stopped on request");
    } else {
        set_failed(t, JOB_FAILED, "exit code %d without a result%s%.*s", code, n ? ": " : "", n,
                   words);
    }
}

static void judge(struct trainer *t, int status, const struct rusage *usage)
{
    if (WIFEXITED(status))
        protocol_end(&t->said);
    keep_stderr(t);
    t->result = t->said.has_result
                    ? t->said.result
                    : (struct job_result){
                          .loss = NAN, .loss_per_byte = NAN, .balance = NAN, .epochs = NAN};
    if (t->result.peak_bytes == 0)
        t->result.peak_bytes = (int64_t)usage->ru_maxrss * 1024;
    if (t->said.fault[0])
        set_failed(t, JOB_FAILED, "%s", t->said.fault);
    else if (WIFSIGNALED(status) && !(t->said.has_result && t->killed))
        judge_signal(t, WTERMSIG(status));
    else
        judge_exit(t, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

static bool reap(struct trainer *t)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)t->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return false;
    // Its number is still taken, so the group cannot be somebody else's: end what it left
    // behind.
    kill(-t->pid, SIGKILL);
    drain(t, &t->out, take_output);
    drain(t, &t->err, take_stderr);
    int status = 0;
    struct rusage usage = {0};
    while (wait4(t->pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    t->ended = true;
    judge(t, status, &usage);
    return true;
}

static void watch_memory(struct trainer *t)
{
    if (!(t->memory_limit > 0) || t->killed || now() < t->memory_at)
        return;
    t->memory_at = now() + MEMORY_EVERY;
    double bytes = memory_of_tree(t->pid);
    if (bytes > t->memory_limit) {
        t->memory = bytes;
        kill_group(t);
    }
}

// Only time in which we looked counts, in pieces of a second at most: when this process was
// stopped or the machine suspended, the trainer was too.
static void watch_silence(struct trainer *t)
{
    double at = now();
    t->silent += fmin(at - t->polled, 1);
    t->polled = at;
    if (!(t->silence > 0) || t->silent < t->silence || t->asked_to_stop || t->said.has_result ||
        t->killed)
        return;
    snprintf(t->said.fault, sizeof t->said.fault, "no sign of life from the trainer for %.0f s",
             t->silence);
    kill_group(t);
}

bool trainer_poll(struct trainer *t, int timeout_ms)
{
    if (t->ended)
        return true;
    struct pollfd fds[3] = {{.fd = t->out, .events = POLLIN},
                            {.fd = t->err, .events = POLLIN},
                            {.fd = t->end, .events = POLLIN}};
    if (t->out < 0 && t->err < 0 && t->end < 0 && timeout_ms > 1)
        timeout_ms = 1; // it is about to end
    if (poll(fds, 3, timeout_ms) > 0) {
        if (fds[0].revents)
            drain(t, &t->out, take_output);
        if (fds[1].revents)
            drain(t, &t->err, take_stderr);
    }
    if (t->said.has_result && t->end >= 0) // it ends at any moment: one look instead of three
        poll(&fds[2], 1, timeout_ms);
    watch_silence(t);
    if (now() > t->kill_at && !t->killed)
        kill_group(t);
    watch_memory(t);
    return reap(t);
}

struct trainer_state trainer_state(const struct trainer *t)
{
    return t->said.state;
}

const struct job_result *trainer_result(const struct trainer *t)
{
    ASSERT(t->ended);
    return &t->result;
}

bool trainer_terminated(const struct trainer *t)
{
    ASSERT(t->ended);
    return t->terminated;
}

const char *trainer_backend(const struct trainer *t)
{
    return t->said.backend;
}

const char *trainer_stderr(const struct trainer *t)
{
    return t->tail;
}

json_t *trainer_curve(const struct trainer *t)
{
    return protocol_curve(&t->said);
}

void trainer_free(struct trainer *t)
{
    if (!t)
        return;
    if (t->pid > 0 && !t->ended) {
        kill_group(t);
        while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (t->out >= 0)
        close(t->out);
    if (t->err >= 0)
        close(t->err);
    if (t->end >= 0)
        close(t->end);
    protocol_free(&t->said);
    free(t->stderr_file);
    free(t);
}
