// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/doctor.h"
#include "core/json.h"
#include "orchestrator/capture.h"
#include "orchestrator/gpus.h"
#include "orchestrator/link.h"
#include "orchestrator/mpirun.h"
#include "orchestrator/slurm.h"
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static const double ANSWER = 60; // s; the first CUDA call of a machine may take long
static const double GIB = 1 << 30;
static const double SEGMENT = 4.5 * (1 << 20); // bytes of shared memory for each rank

void doctor_add(json_t *findings, const char *name, const char *verdict, const char *advice,
                const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(findings,
                          json_pack("{s:s, s:s, s:s#, s:s*}", "name", name, "verdict", verdict,
                                    "found", text, strlen(text), "advice", advice));
}

// ---- the machine

json_t *doctor_machine(void)
{
    char host[256] = "";
    cpu_set_t set;
    struct timespec t;
    struct statvfs shm;
    json_t *p = gpus_probe(ANSWER);
    gethostname(host, sizeof host - 1);
    clock_gettime(CLOCK_REALTIME, &t);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    double room =
        statvfs("/dev/shm", &shm) == 0 ? (double)shm.f_bavail * (double)shm.f_frsize : NAN;
    json_t *m = json_pack("{s:s, s:i, s:o, s:o, s:s, s:s, s:o, s:f, s:o, s:b}", "host", host,
                          "processors", n, "memory", json_num(jnum(p, "memory_bytes")),
                          "available", json_num(jnum(p, "memory_available_bytes")), "cpu",
                          jstr(p, "cpu"), "isa", jstr(p, "isa"), "gpus", gpus_uuids(p, ANSWER),
                          "time", (double)t.tv_sec + 1e-9 * (double)t.tv_nsec, "shm",
                          json_num(room), "trainer", p != NULL);
    json_decref(p);
    return m;
}

static void check_memory(json_t *f, const json_t *m)
{
    double free_bytes = jnum(m, "available"), all = jnum(m, "memory");
    if (!isfinite(free_bytes))
        return;
    bool little = free_bytes < GIB;
    doctor_add(f, "memory", little ? DOCTOR_WARN : DOCTOR_OK,
               little ? "end what else runs here, or ask Slurm for more (--sbatch=--mem=..)"
                      : NULL,
               "%.1f of %.1f GiB available", free_bytes / GIB, all / GIB);
}

static void check_clock(json_t *f)
{
    struct timex t = {0};
    bool synchronised = adjtimex(&t) != TIME_ERROR;
    doctor_add(f, "clock", synchronised ? DOCTOR_OK : DOCTOR_NOTE,
               synchronised ? NULL
                            : "nothing depends on it; times of a report may be shifted between "
                              "machines",
               "%s",
               synchronised ? "synchronised" : "the kernel does not know it synchronised");
}

void doctor_check_machine(json_t *f, const json_t *m)
{
    double shm = jnum(m, "shm");
    int n = (int)jnum(m, "processors");
    size_t n_gpus = json_array_size(json_object_get(m, "gpus"));
    bool trainer = jtrue(m, "trainer");
    doctor_add(f, "trainer", trainer ? DOCTOR_OK : DOCTOR_WARN,
               trainer ? NULL : "install moetrain beside moesweep, or name yours as `trainer`",
               "%s", trainer ? "moetrain answers" : "moetrain does not answer");
    doctor_add(f, "processors", DOCTOR_OK, NULL, "%d for us on %s; %s", n, jstr(m, "host"),
               jstr(m, "cpu"));
    check_memory(f, m);
    doctor_add(f, "GPUs", DOCTOR_OK, NULL, n_gpus ? "%zu visible" : "none", n_gpus);
    if (isfinite(shm)) {
        bool little = shm < SEGMENT * (n + 1);
        doctor_add(f, "shared memory", little ? DOCTOR_WARN : DOCTOR_OK,
                   little ? "containers need --shm-size; or OMPI_MCA_btl=self,tcp" : NULL,
                   "%.0f MiB free in /dev/shm; a rank takes about 4.5", shm / (1 << 20));
    }
    check_clock(f);
}

// ---- MPI and Slurm

void doctor_check_mpi(json_t *f, const char *command)
{
    struct mpirun m;
    char library[MPIRUN_VERSION];
    link_library(library, sizeof library);
    if (mpirun_find(command, &m) != OK) {
        doctor_add(f, "mpirun", DOCTOR_BAD,
                   "install Open MPI, load its module, or name it with --mpirun", "%s",
                   err_message());
        return;
    }
    bool other = strcmp(library, m.version) != 0;
    if (!*m.version)
        doctor_add(f, "mpirun", DOCTOR_WARN,
                   "only Open MPI 4.1 and newer has been tried with moesweep",
                   "an MPI other than Open MPI; %s", mpirun_on_death(&m));
    else
        doctor_add(f, "mpirun", other ? DOCTOR_BAD : DOCTOR_OK,
                   other
                       ? "start moesweep with the mpirun of the MPI that it was built with, or "
                         "build it with this one"
                       : NULL,
                   "%s; moesweep uses %s; %s", m.version, library, mpirun_on_death(&m));
    mpirun_free(&m);
}

static void check_time_left(json_t *f)
{
    double left = slurm_time_left();
    if (isnan(left))
        doctor_add(f, "time left", DOCTOR_WARN,
                   "squeue does not say it; only the signal before the limit will stop the "
                   "sweep in order",
                   "unknown");
    else if (isinf(left))
        doctor_add(f, "time left", DOCTOR_OK, NULL, "no limit");
    else
        doctor_add(f, "time left", left < 300 ? DOCTOR_WARN : DOCTOR_OK,
                   left < 300 ? "a sweep that starts now is stopped and queued again soon"
                              : NULL,
                   "%.0f min", left / 60);
}

void doctor_check_slurm(json_t *f)
{
    char text[1024];
    int code = 0;
    const char *version[] = {"sbatch", "--version", NULL};
    const char *list[] = {"srun", "--mpi=list", NULL};
    if (capture(version, ANSWER, 1, text, sizeof text, &code) != OK || code != 0) {
        doctor_add(f, "Slurm", DOCTOR_OK, NULL, "none");
        return;
    }
    text[strcspn(text, "\n")] = '\0';
    doctor_add(f, "Slurm", DOCTOR_OK, NULL, "%s; %s%s", text,
               slurm_job() ? "in job " : "not in a job", slurm_job() ? slurm_job() : "");
    if (capture(list, ANSWER, 1, text, sizeof text, &code) == OK && code == 0 && *text) {
        bool pmix = strstr(text, "pmix") != NULL;
        doctor_add(f, "srun", pmix ? DOCTOR_OK : DOCTOR_NOTE,
                   pmix ? "only with --mpi=pmix; mpirun also survives the death of a rank"
                        : "use mpirun (moesweep launch); ranks started by srun would not find "
                          "each other",
                   "%s", pmix ? "has PMIx" : "has no PMIx");
    }
    if (slurm_job())
        check_time_left(f);
}
