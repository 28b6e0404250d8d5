// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/doctor.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Started as one of several: by mpirun, by srun.
static bool in_world(void)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || (tasks && atoi(tasks) > 1);
}

static int count(const json_t *findings, const char *verdict)
{
    int n = 0;
    for (size_t i = 0; i < json_array_size(findings); i++)
        n += strcmp(jstr(json_array_get(findings, i), "verdict"), verdict) == 0;
    return n;
}

static void print(const json_t *findings)
{
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *f = json_array_get(findings, i);
        printf("  %-5s %-18s %s\n", jstr(f, "verdict"), jstr(f, "name"), jstr(f, "found"));
        if (*jstr(f, "advice"))
            printf("  %-5s %-18s -> %s\n", "", "", jstr(f, "advice"));
    }
}

static enum err tell(json_t *findings, json_t *ranks, int json)
{
    int bad = count(findings, DOCTOR_BAD), warn = count(findings, DOCTOR_WARN);
    if (json) {
        TRY(cmd_print_json(json_pack("{s:i, s:b, s:O, s:O*}", "v", 1, "ok", bad == 0,
                                     "findings", findings, "ranks", ranks)));
    } else {
        print(findings);
        printf("%d bad, %d to be warned of\n", bad, warn);
    }
    ENSURE(bad == 0, ERR_FAILED, "doctor: %d finding%s to be mended before a sweep can run",
           bad, bad == 1 ? "" : "s");
    return OK;
}

static enum err examine(json_t *findings, const char *out, const char *mpirun,
                        const json_t *ranks)
{
    json_t *machine = doctor_machine();
    ENSURE(machine, ERR_FAILED, "out of memory");
    doctor_check_machine(findings, machine);
    json_decref(machine);
    doctor_check_mpi(findings, mpirun);
    doctor_check_slurm(findings);
    doctor_check_folder(findings, out ? out : ".");
    if (ranks)
        doctor_check_ranks(findings, ranks, out);
    return OK;
}

enum err cmd_doctor(int argc, char **argv)
{
    const char *out = NULL, *mpirun = NULL, *trainer = NULL;
    int json = 0;
    json_t *ranks = NULL;
    const struct cmd_option options[] = {{"--out", .text = &out},
                                         {"--mpirun", .text = &mpirun},
                                         {"--trainer", .text = &trainer},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    if (in_world() && !trainer) {
        TRY(doctor_gather(out, &ranks));
        if (!ranks)
            return OK; // rank 0 has the word
    }
    json_t *findings = json_array();
    ENSURE(findings, ERR_FAILED, "out of memory");
    enum err e = trainer ? doctor_check_trainer(findings, trainer)
                         : examine(findings, out, mpirun, ranks);
    if (e == OK)
        e = tell(findings, ranks, json);
    json_decref(findings);
    json_decref(ranks);
    return e;
}
