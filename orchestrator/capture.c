// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/capture.h"
#include "orchestrator/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(const char *const *argv, int out, int quiet)
{
    union { // execvp takes no const, and writes nothing
        const char *const *in;
        char *const *out;
    } words = {.in = argv};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    int null = open("/dev/null", O_RDWR);
    if (dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        (!quiet || dup2(null, STDERR_FILENO) >= 0))
        execvp(argv[0], words.out);
    _exit(127);
}

// Until the end of file or the deadline; what does not fit is read and dropped.
static bool read_until(int fd, double deadline, char *out, size_t size)
{
    size_t n = 0;
    char rest[4096];
    for (;;) {
        double left = deadline - signals_clock();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        bool room = n + 1 < size;
        ssize_t got = read(fd, room ? out + n : rest, room ? size - 1 - n : sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return true;
        n += room ? (size_t)got : 0;
        out[n] = '\0';
    }
}

enum err capture(const char *const *argv, double seconds, int quiet, char *out, size_t size,
                 int *code)
{
    int p[2], status = 0;
    out[0] = '\0';
    ENSURE(pipe2(p, O_CLOEXEC) == 0, ERR_FAILED, "pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        child(argv, p[1], quiet);
    close(p[1]);
    bool ended = pid > 0 && read_until(p[0], signals_clock() + seconds, out, size);
    close(p[0]);
    ENSURE(pid > 0, ERR_FAILED, "fork: %s", strerror(errno));
    if (!ended)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ENSURE(ended, ERR_FAILED, "%s: no answer within %.0f s", argv[0], seconds);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ENSURE(*code != 127, ERR_FAILED, "%s: not found", argv[0]);
    return OK;
}
