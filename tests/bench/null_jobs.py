# SPDX-License-Identifier: GPL-3.0-or-later
"""Null jobs per second of other systems: null_jobs.py hyperqueue|libensemble WORKERS JOBS PROGRAM

HyperQueue starts PROGRAM for each job; libEnsemble calls a Python function that returns at once.
"""
import sys
import time


def hyperqueue(workers, jobs, program):
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=workers))
        client = cluster.client()
        for n in (workers, jobs):  # the first ones wait for the worker to register
            job = Job()
            for _ in range(n):
                job.program([program], stdout=None, stderr=None)
            start = time.time()
            client.wait_for_jobs([client.submit(job)])
            rate = n / (time.time() - start)
    return rate


def nothing(points, _, specs):
    import numpy

    return numpy.zeros(len(points), dtype=[("f", float)])


def libensemble(workers, jobs, program):
    import numpy
    from libensemble import Ensemble
    from libensemble.alloc_funcs.give_pregenerated_work import give_pregenerated_sim_work
    from libensemble.specs import AllocSpecs, ExitCriteria, LibeSpecs, SimSpecs

    specs = LibeSpecs(nworkers=workers, comms="local", disable_log_files=True,
                      save_H_and_persis_on_abort=False)
    run = Ensemble(libE_specs=specs, parse_args=False)
    run.sim_specs = SimSpecs(sim_f=nothing, inputs=["x"], out=[("f", float)])
    run.alloc_specs = AllocSpecs(alloc_f=give_pregenerated_sim_work)
    run.exit_criteria = ExitCriteria(sim_max=jobs)
    run.H0 = numpy.zeros(jobs, dtype=[("x", float), ("sim_id", int), ("sim_started", bool),
                                      ("sim_ended", bool)])
    run.H0["sim_id"] = range(jobs)
    history, _, _ = run.run()
    done = history[history["sim_ended"]]
    return len(done) / (done["sim_ended_time"].max() - done["sim_started_time"].min())


if __name__ == "__main__":
    print(f"{globals()[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]):.0f}")
