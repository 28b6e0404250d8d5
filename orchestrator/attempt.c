// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/attempt.h"
#include "orchestrator/signals.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Seconds. A trainer has 20 for its checkpoint (supervise.c), the manager waits 30 (manage.c).
static const double TURN = 0.2;
static const double DRAIN = 60;     // from a request to stop to SIGTERM
static const double TERM_KILL = 40; // from SIGTERM to SIGKILL of mpirun
static const double SURVIVORS = 25; // for what mpirun leaves behind
static const double ALONE = 2;      // mpirun without rank 0
static const double FINALIZE = 20;  // rank 0 after its last word; a dead rank keeps it for ever
static const double START_UP = 120; // after it no shared memory will come any more
static const double BURST = 1;      // two signals within it are one

struct told {
    long manager; // process of rank 0
    int code;
    char why[1024], session[PATH_MAX + 32];
};

struct watch {
    struct attempt *a;
    struct told told;
    pid_t mpirun;
    bool ended;
    char segments[PATH_MAX]; // path of this job's shared memory but for the rank; "": not seen
    int asked_times;
    double told_at; // when rank 0 had said its exit code
    double began, asked_at, alone_since, term_at, ended_at; // infinite: not yet
};

// ---- rank 0's half

static bool tell(const char *path, const char *text)
{
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return false; // another machine than mpirun's: the status file must do
    bool told = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return told;
}

void attempt_tell_start(const char *path)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    const char *session = getenv("PMIX_SERVER_TMPDIR");
    char text[PATH_MAX + 128];
    if (!path || !rank || strcmp(rank, "0") != 0)
        return;
    snprintf(text, sizeof text, "manager %ld\nsession %s\n", (long)getpid(),
             session ? session : "");
    tell(path, text);
}

bool attempt_tell_code(const char *path, int code)
{
    char text[1100];
    snprintf(text, sizeof text, "why %s\ncode %d\n", err_message(), code);
    return tell(path, text);
}

static void listen(const char *path, struct told *t)
{
    char line[PATH_MAX + 32];
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *end = strchr(line, '\n');
        if (!end)
            break; // half written
        *end = '\0';
        sscanf(line, "manager %ld", &t->manager);
        sscanf(line, "code %d", &t->code);
        if (strncmp(line, "why ", 4) == 0)
            snprintf(t->why, sizeof t->why, "%.1000s", line + 4);
        if (strncmp(line, "session ", 8) == 0)
            snprintf(t->session, sizeof t->session, "%s", line + 8);
    }
    if (f)
        fclose(f);
}

// ---- processes

static sigset_t watched(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    return set;
}

enum err attempt_prepare(void)
{
    sigset_t set = watched();
    ENSURE(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0,
           ERR_FAILED, "cannot watch over processes: %s", strerror(errno));
    return OK;
}

// One signal that asks to stop, or 0 after the time or the end of a child.
static int next_signal(double seconds)
{
    sigset_t set = watched();
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    int sig = sigtimedwait(&set, NULL, &t);
    return sig > 0 && sig != SIGCHLD ? sig : 0;
}

int attempt_wait(double seconds)
{
    double until = signals_clock() + seconds;
    for (double left = seconds; left > 0; left = until - signals_clock()) {
        int sig = next_signal(left);
        if (sig)
            return sig;
    }
    return 0;
}

static void child(const char *const *argv, pid_t parent)
{
    union { // execvp takes no const, and writes nothing
        const char *const *in;
        char *const *out;
    } words = {.in = argv};
    sigset_t none;
    setpgid(0, 0);                    // Ctrl-C is for us: mpirun would kill its ranks
    prctl(PR_SET_PDEATHSIG, SIGUSR1); // handed on to the ranks: a stop in order
    if (getppid() != parent)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (dup2(null, STDIN_FILENO) >= 0)
        execvp(argv[0], words.out);
    fprintf(stderr, "moesweep: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

// State and parent of a process; false: there is none.
static bool process(long pid, char *state, long *parent)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    const char *end = strrchr(text, ')'); // the name before it may hold anything
    return end && sscanf(end + 1, " %c %ld", state, parent) == 2;
}

static bool alive(long pid)
{
    char state;
    long parent;
    return process(pid, &state, &parent) && state != 'Z' && state != 'X';
}

// Calls what for every process of the machine until it says true.
static bool any_process(bool (*what)(long pid, long parent, long of), long of)
{
    bool found = false;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        char state;
        long parent, pid = strtol(e->d_name, NULL, 10);
        found =
            pid > 0 && process(pid, &state, &parent) && state != 'Z' && what(pid, parent, of);
    }
    if (d)
        closedir(d);
    return found;
}

// Ends what has become our child because its parent died.
static bool kill_child(long pid, long parent, long of)
{
    if (parent == of)
        kill((pid_t)pid, SIGKILL);
    return false;
}

static bool is_grandchild(long pid, long parent, long of)
{
    char state;
    long grandparent;
    (void)pid;
    return parent != of && process(parent, &state, &grandparent) && grandparent == of;
}

// True while there are children.
static bool reap(struct watch *w)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == w->mpirun) {
            w->ended = true;
            w->ended_at = signals_clock();
            w->a->mpirun_status = status;
        }
    return pid == 0;
}

// ---- leftovers

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    remove(path);
    return 0;
}

// Where rank 0 has its shared memory: FOLDER/vader_segment.HOST.UID.JOB.RANK in Open MPI 4,
// sm_segment.. in 5. Kept up to the rank; all ranks of the job on this machine have the same.
static void find_segments(struct watch *w)
{
    char path[64], line[PATH_MAX + 128];
    snprintf(path, sizeof path, "/proc/%ld/maps", w->told.manager);
    FILE *f = fopen(path, "re");
    while (f && !*w->segments && fgets(line, sizeof line, f)) {
        char *from = strchr(line, '/'), *base = from ? strrchr(from, '/') + 1 : NULL;
        if (!base ||
            (strncmp(base, "vader_segment.", 14) != 0 && strncmp(base, "sm_segment.", 11) != 0))
            continue;
        base[strcspn(base, " \n")] = '\0';
        strrchr(base, '.')[1] = '\0';
        snprintf(w->segments, sizeof w->segments, "%s", from);
    }
    if (f)
        fclose(f);
}

static void remove_segments(const char *segments)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(segments, '/');
    if (!slash)
        return;
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - segments), segments);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, slash + 1, strlen(slash + 1)) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

// The session's folder ends in mpirun's number (ompi.HOST.UID/pid.N, ompi.N): only that one is
// ours to remove.
static void remove_session(const struct watch *w)
{
    char tail[32];
    const char *session = w->told.session;
    int n = snprintf(tail, sizeof tail, ".%ld", (long)w->mpirun);
    size_t len = strlen(session);
    if (len > (size_t)n && session[0] == '/' && strcmp(session + len - (size_t)n, tail) == 0)
        nftw(session, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

// ---- the loop

static void end_mpirun(struct watch *w, double now)
{
    if (w->ended)
        return;
    if (!isfinite(w->term_at)) {
        w->term_at = now;
        // On SIGTERM Open MPI 4 sleeps for odls_base_sigkill_timeout before it tells its ranks.
        kill(w->mpirun, SIGUSR1);
        kill(w->mpirun, SIGTERM);
    } else {
        kill(w->mpirun, SIGKILL);
    }
}

static void take_signal(struct watch *w, int sig, double now)
{
    if (w->asked_times > 0 && now - w->asked_at < BURST)
        return;
    w->asked_at = now;
    if (w->asked_times++ == 0) {
        w->a->asked = sig;
        fprintf(stderr,
                "moesweep launch: %s: stopping once the trainers have written checkpoints; "
                "again to stop now\n",
                sig == SIGHUP ? "SIGHUP" : signals_name(sig));
        if (!w->ended)
            kill(w->mpirun, SIGUSR1); // mpirun hands it on; others make it kill its ranks
    } else {
        end_mpirun(w, now);
    }
}

static void look_at_manager(struct watch *w, const char *path, double now)
{
    if (w->told.manager == 0 || w->told.code < 0)
        listen(path, &w->told);
    if (w->told.manager != 0 && !*w->segments && now - w->began < START_UP)
        find_segments(w);
    if (w->told.code >= 0)
        w->told_at = fmin(w->told_at, now);
    if (w->told.manager == 0 || (alive(w->told.manager) && now - w->told_at < FINALIZE)) {
        w->alone_since = INFINITY;
    } else if (!isfinite(w->alone_since)) {
        w->alone_since = now;
    } else if (now - w->alone_since > ALONE && !isfinite(w->term_at) && !w->ended) {
        // Where ranks outlive each other, workers would wait for a dead manager for long.
        w->a->manager_died = w->told.code < 0;
        end_mpirun(w, now);
    }
}

static void keep_deadlines(struct watch *w, double now)
{
    if (!w->ended && now - w->asked_at > DRAIN && !isfinite(w->term_at))
        end_mpirun(w, now);
    // Without rank 0 only trainers need time; workers would wait, and mpirun sleeps between
    // its SIGTERM and SIGKILL even if nobody is left.
    bool in_vain = isfinite(w->alone_since) && now - w->term_at > 1 &&
                   !any_process(is_grandchild, w->mpirun);
    if (!w->ended && (now - w->term_at > TERM_KILL || in_vain))
        end_mpirun(w, now);
    // Of what is left without rank 0 and without a trainer nothing comes any more: an ssh that
    // waits for a host which is gone.
    bool idle = isfinite(w->alone_since) && now - w->ended_at > ALONE &&
                !any_process(is_grandchild, getpid());
    if (w->ended && (idle || now - w->ended_at > SURVIVORS))
        any_process(kill_child, getpid());
}

enum err attempt_run(const char *const *argv, const char *path, struct attempt *a)
{
    *a = (struct attempt){.code = -1};
    struct watch w = {.a = a,
                      .told = {.code = -1},
                      .began = signals_clock(),
                      .told_at = INFINITY,
                      .asked_at = INFINITY,
                      .alone_since = INFINITY,
                      .term_at = INFINITY,
                      .ended_at = INFINITY};
    pid_t self = getpid();
    w.mpirun = fork();
    if (w.mpirun == 0)
        child(argv, self);
    ENSURE(w.mpirun > 0, ERR_FAILED, "fork: %s", strerror(errno));
    setpgid(w.mpirun, w.mpirun);
    while (reap(&w)) { // until nobody is left: rank 0 may outlive mpirun, and holds the journal
        int sig = next_signal(TURN);
        double now = signals_clock();
        if (sig)
            take_signal(&w, sig, now);
        look_at_manager(&w, path, now);
        keep_deadlines(&w, now);
    }
    listen(path, &w.told);
    a->manager = (pid_t)w.told.manager;
    a->code = w.told.code;
    snprintf(a->why, sizeof a->why, "%s", w.told.why);
    a->seconds = signals_clock() - w.began;
    remove_segments(w.segments);
    remove_session(&w);
    return OK;
}
