// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/mpirun.h"
#include "orchestrator/capture.h"
#include "orchestrator/command.h"
#include "orchestrator/link.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double ANSWER = 30; // s; a first start from a busy file server

static enum err ask_version(const struct mpirun *m, char *out, size_t size)
{
    const char *argv[MPIRUN_WORDS + 2];
    int n = 0, code = 0;
    while (m->command[n] && n < MPIRUN_WORDS) {
        argv[n] = m->command[n];
        n++;
    }
    argv[n] = "--version";
    argv[n + 1] = NULL;
    return capture(argv, ANSWER, 1, out, size, &code);
}

enum err mpirun_find(const char *command, struct mpirun *out)
{
    char text[4096], *at;
    memset(out, 0, sizeof *out);
    TRY(command_split(command ? command : "mpirun", "{job}", 1, &out->command));
    mpirun_environment();
    if (ask_version(out, text, sizeof text) != OK) {
        mpirun_free(out);
        return err_prefix(ERR_FAILED, "the MPI launcher does not answer (install Open MPI, "
                                      "load its module, or name it with --mpirun)");
    }
    at = strstr(text, "(Open MPI) ");
    if (at && sscanf(at, "(Open MPI) %d.%d", &out->major, &out->minor) == 2)
        snprintf(out->version, sizeof out->version, "Open MPI %.*s",
                 (int)strcspn(at + 11, " \n"), at + 11);
    out->ulfm = out->major >= 5 && link_ulfm();
    return OK;
}

void mpirun_free(struct mpirun *m)
{
    free(m->command);
    m->command = NULL;
}

bool mpirun_recovers(const struct mpirun *m)
{
    return m->major == 4 || m->ulfm;
}

const char *mpirun_on_death(const struct mpirun *m)
{
    return m->major == 4 ? "when a rank dies, the others go on (--enable-recovery)"
           : m->ulfm     ? "when a rank dies, the others go on (--with-ft ulfm)"
                         : "when a rank dies, all end and are started again";
}

int mpirun_words(const struct mpirun *m, const char *ranks_text, const char **words)
{
    int n = 0;
    while (m->command[n] && n < MPIRUN_WORDS - 8) {
        words[n] = m->command[n];
        n++;
    }
    if (m->major > 0) {
        // The manager shares a processor, and trainers may have several threads: the operating
        // system places them better than a binding that was made for ranks.
        words[n++] = "--oversubscribe";
        words[n++] = "--bind-to";
        words[n++] = "none";
    }
    if (m->major == 4)
        words[n++] = "--enable-recovery";
    if (m->ulfm) {
        words[n++] = "--with-ft";
        words[n++] = "ulfm";
    }
    words[n++] = m->major > 0 ? "-np" : "-n";
    words[n++] = ranks_text;
    return n;
}

void mpirun_environment(void)
{
    static const char *const names[] = {
        "OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "PRTE_ALLOW_RUN_AS_ROOT",
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"};
    if (geteuid() == 0)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            setenv(names[i], "1", 1);
    // More than the 20 s that a trainer gets (supervise.c).
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "30", 0);
    setenv("PRTE_MCA_odls_base_sigkill_timeout", "30", 0);
}
