// SPDX-License-Identifier: GPL-3.0-or-later
// The limit of MPI for jobs handed out and results handed in, messages as long as ours
// (bench_messages.c), no thought between them. However MPI waits best is the limit: each window
// in blocking calls, which spin or yield as MPI was told to, and with a nap wherever nothing
// has come.
//
//     mpirun -np WORKERS+1 bench_mpi SECONDS
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { JOB_BYTES = 1200, RESULT_BYTES = 420, JOB, RESULT, OVER };

struct raw {
    int rank, size;
    double seconds;
    bool naps;
};

static char job[JOB_BYTES], result[RESULT_BYTES];

// Naps grow with the ranks: what wakes them is the processors' time, too.
static MPI_Status receive(const struct raw *b, char *buf, int size, int from)
{
    MPI_Request r;
    MPI_Status s;
    if (!b->naps) {
        MPI_Recv(buf, size, MPI_BYTE, from, MPI_ANY_TAG, MPI_COMM_WORLD, &s);
        return s;
    }
    MPI_Irecv(buf, size, MPI_BYTE, from, MPI_ANY_TAG, MPI_COMM_WORLD, &r);
    for (int done = 0; MPI_Test(&r, &done, &s), !done;)
        nanosleep(&(struct timespec){.tv_nsec = 5000 * b->size}, NULL);
    return s;
}

static double raw_manager(const struct raw *b, int window)
{
    char buf[RESULT_BYTES];
    int out = 0;
    long done = 0;
    double began = MPI_Wtime(), now = began;
    for (int w = 1; w < b->size; w++)
        for (int i = 0; i < window; i++, out++)
            MPI_Send(job, JOB_BYTES, MPI_BYTE, w, JOB, MPI_COMM_WORLD);
    for (; out > 0; out--) {
        MPI_Status s = receive(b, buf, sizeof buf, MPI_ANY_SOURCE);
        if (++done % 64 == 0)
            now = MPI_Wtime();
        if (now - began < b->seconds) {
            MPI_Send(job, JOB_BYTES, MPI_BYTE, s.MPI_SOURCE, JOB, MPI_COMM_WORLD);
            out++;
        }
    }
    for (int w = 1; w < b->size; w++)
        MPI_Send(job, 0, MPI_BYTE, w, OVER, MPI_COMM_WORLD);
    return (double)done / (MPI_Wtime() - began);
}

static double raw(const struct raw *b, int window)
{
    char buf[JOB_BYTES];
    if (b->rank == 0)
        return raw_manager(b, window);
    for (;;) {
        if (receive(b, buf, sizeof buf, 0).MPI_TAG == OVER)
            return 0;
        MPI_Send(result, RESULT_BYTES, MPI_BYTE, 0, RESULT, MPI_COMM_WORLD);
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"MPI alone, one job a worker",
                                        "MPI alone, two jobs a worker"};
    struct raw b = {.seconds = argc == 2 ? strtod(argv[1], NULL) : 1};
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &b.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &b.size);
    for (int turn = 0; turn < 4; turn++) {
        b.naps = turn >= 2;
        MPI_Barrier(MPI_COMM_WORLD);
        double rate = raw(&b, 1 + turn % 2);
        if (b.rank == 0)
            printf("%d\t%s\t%.0f\n", b.size - 1, names[turn % 2], rate);
    }
    MPI_Finalize();
    return 0;
}
