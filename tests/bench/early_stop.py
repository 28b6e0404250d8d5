#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What early stops would have done to a sweep that ran without: which runs they end, what that saves,
and how many of those would have come within the near-optimal band. docs/method.md, Early stop.

    early_stop.py MOESWEEP DIR PHASES [MARGIN..]

DIR is a sweep that is done; PHASES, "density,width", get early_stop = { at = [0.5]; margin = MARGIN; }.
A copy of DIR is extended so: the learning curves of the whole runs say which would have ended, and
only what an adopted value that moved asks for is trained, by two workers."""
import csv, io, json, os, re, shutil, subprocess, sys, tempfile

SAME = ["C", "L_d", "L_m", "d", "d_qkv", "d_m", "d_d", "N_q", "N_kv", "N_e", "K", "n_shared", "D",
        "lr", "batch_tokens", "seed"]


def runs(moesweep, folder):
    text = subprocess.run([moesweep, "export", folder, "--csv", "-"], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    return list(csv.DictReader(io.StringIO(text)))


def stopping(text, phases, margin):
    """The resolved configuration with early stops in these phases, without analyses, which forbid them."""
    text = re.sub(r"\banalysis = \"\w+\"", "analysis = \"none\"", text)
    for name in phases:
        text, n = re.subn(r'(\bname = "%s";)' % re.escape(name),
                          r"\1 early_stop = { at = [0.5]; margin = %g; };" % margin, text)
        assert n == 1, name
    return text


def adopted(law):
    return {c["id"].rsplit(".", 1)[0]: {**c["adopted"], **{f["axis"] + " verdict": f["verdict"]
                                                          for f in c["fits"]}}
            for c in law["cells"]}


def main():
    moesweep, source, phases = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    margins = [float(m) for m in sys.argv[4:]] or [0.02, 0.05, 0.1]
    whole = {tuple(r[k] for k in SAME): r for r in runs(moesweep, source)}
    config = open(os.path.join(source, "config.resolved.cfg")).read()
    before = json.load(open(os.path.join(source, "law.json")))
    spent = sum(float(r["flops"] or 0) for r in whole.values())
    # A cell's near-optimal band, of its best run.
    band = {(c["phase"], "%g" % c["C"]): max(f["band"]["tolerance"] or 0 for f in c["fits"])
            for c in before["cells"] if c["fits"]}
    for margin in margins:
        with tempfile.TemporaryDirectory() as work:
            out = os.path.join(work, "out")
            shutil.copytree(source, out)
            path = os.path.join(work, "sweep.cfg")
            open(path, "w").write(stopping(config, phases, margin))
            done = subprocess.run(["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "3",
                                   moesweep, "run", path, "--out", out, "--extend"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                sys.exit(done.stdout.decode())
            after = runs(moesweep, out)
            law = json.load(open(os.path.join(out, "law.json")))
        now = sum(float(r["flops"] or 0) for r in after)
        print("margin %g: the sweep executes %.1f %% of %.3g FLOPs" %
              (margin, 100 * now / spent, spent))
        for phase, C in sorted({(r["phase"], r["C"]) for r in after if r["phase"] in phases}):
            mine = [r for r in after if r["phase"] == phase and r["C"] == C]
            stopped = [r for r in mine if r["status"] == "pruned"]
            then = [whole.get(tuple(r[k] for k in SAME)) for r in stopped]
            losses = [float(r["loss"]) for r in whole.values()
                      if r["phase"] == phase and r["C"] == C and r["loss"]]
            edge = min(losses) * (1 + band[phase, "%g" % float(C)])
            good = sum(r is not None and float(r["loss"]) <= edge for r in then)
            full = [whole.get(tuple(r[k] for k in SAME)) for r in mine]
            cost = sum(float(r["flops"]) for r in full if r)
            saved = sum(float(w["flops"]) - float(r["flops"]) for r, w in zip(stopped, then) if w)
            print("  %-12s C = %-8g %2d of %2d runs stopped, %4.1f %% of the phase's compute saved; "
                  "%d of them within %.2g %% of the best" %
                  (phase, float(C), len(stopped), len(mine), 100 * saved / cost, good,
                   100 * band[phase, "%g" % float(C)]))
        a, b = adopted(before), adopted(law)
        for cell in sorted(a):
            if a[cell] != b.get(cell):
                print("  %s: %s, was %s" % (cell, b.get(cell), a[cell]))


main()
