#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What early stops would have done to a sweep that ran without: which runs they end, what that saves,
and how many of those would have come within the near-optimal band. docs/method.md, Early stop.

    early_stop.py MOESWEEP DIR PHASES [MARGIN..]

DIR is a sweep that is done; PHASES, "density,width", get early_stop = { at = [0.5]; margin = MARGIN; },
one at a time. A copy of DIR is extended so: the learning curves of the whole runs say which would have
ended, and only what an adopted value that moved asks for in later phases is trained, by two workers."""
import csv, io, json, os, re, shutil, subprocess, sys, tempfile

SAME = ["C", "L_d", "L_m", "d", "d_qkv", "d_m", "d_d", "N_q", "N_kv", "N_e", "K", "n_shared", "D",
        "lr", "batch_tokens", "seed"]


def runs(moesweep, folder):
    text = subprocess.run([moesweep, "export", folder, "--csv", "-"], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    return list(csv.DictReader(io.StringIO(text)))


def stopping(text, phase, margin):
    """The resolved configuration with early stops in this phase, and without analyses, which forbid them."""
    text = re.sub(r'\banalysis = "\w+"', 'analysis = "none"', text)
    stop = " early_stop = { at = [0.5]; margin = %g; };" % margin
    text, n = re.subn(r'(\bname = "%s";)' % re.escape(phase), r"\1" + stop, text)
    assert n == 1, phase
    return text


def adopted(law, phase):
    return {c["id"].rsplit(".", 1)[0]: ", ".join("%s = %.4g [%.3g, %.3g] (%s)" % (
        f["axis"], f["adopted"], *[v if v else float("nan") for v in
                                   (f["optimum"]["lo"], f["optimum"]["hi"])], f["verdict"])
        for f in c["fits"] if f["adopted"]) for c in law["cells"] if c["phase"] == phase}


def extended(moesweep, source, config):
    """Runs and law of a copy of the sweep that this configuration extends."""
    with tempfile.TemporaryDirectory() as work:
        out, path = os.path.join(work, "out"), os.path.join(work, "sweep.cfg")
        shutil.copytree(source, out)
        open(path, "w").write(config)
        done = subprocess.run(["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "3", moesweep,
                               "run", path, "--out", out, "--extend"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(done.stdout.decode())
        return runs(moesweep, out), json.load(open(os.path.join(out, "law.json")))


def main():
    moesweep, source, phases = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    margins = [float(m) for m in sys.argv[4:]] or [0.02, 0.05, 0.1]
    whole = {tuple(r[k] for k in SAME): r for r in runs(moesweep, source)}
    config = open(os.path.join(source, "config.resolved.cfg")).read()
    before = json.load(open(os.path.join(source, "law.json")))
    # A cell's near-optimal band: the largest of its fits.
    band = {(c["phase"], c["C"]): max(f["band"]["tolerance"] or 0 for f in c["fits"])
            for c in before["cells"] if c["fits"]}
    for phase in phases:
        for margin in margins:
            after, law = extended(moesweep, source, stopping(config, phase, margin))
            for C in sorted({c["C"] for c in before["cells"] if c["phase"] == phase}):
                # Ancestors are as they were, so each run has its counterpart.
                mine = [(r, whole[tuple(r[k] for k in SAME)]) for r in after
                        if r["phase"] == phase and float(r["C"]) == C]
                stopped = [(r, w) for r, w in mine if r["status"] == "pruned"]
                edge = min(float(w["loss"]) for _, w in mine) * (1 + band[phase, C])
                good = sum(float(w["loss"]) <= edge for _, w in stopped)
                cost = sum(float(w["flops"]) for _, w in mine)
                saved = sum(float(w["flops"]) - float(r["flops"]) for r, w in stopped)
                print("%-10s C = %g margin %g: %d of %d runs stopped, %.0f %% of their phase's compute "
                      "saved; %d of them within %.2g %% of the best" %
                      (phase, C, margin, len(stopped), len(mine), 100 * saved / cost, good,
                       100 * band[phase, C]))
            a, b = adopted(before, phase), adopted(law, phase)
            for cell in sorted(a):
                print("    %s: %s, was %s" % (cell, b[cell], a[cell]))


main()
