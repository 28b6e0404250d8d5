#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trainer for moesweep in Python's standard library: docs/trainer-protocol.md in two pages.

    reference_trainer.py JOB.json [--broken HOW]

It trains a table of bigram logits on the job's text, whatever the architecture: enough to have a loss
that falls, a checkpoint, and an orderly stop. HOW breaks the protocol on purpose, for tests: chatter,
silent, deaf, forgetful, random, zero, code."""
import hashlib
import json
import math
import os
import random
import signal
import sys
import time


class BadJob(Exception):
    pass


def say(kind, **fields):
    print(json.dumps({"t": kind, **fields}), flush=True)


def need(obj, key, kind, low):
    value = obj.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) or value < low:
        raise BadJob(f"{key}: expected {kind.__name__} of at least {low}, found {value!r}")
    return value


def read_job(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    if job.get("v") != 1:
        raise BadJob(f"v: expected 1, found {job.get('v')!r}")
    train = job.get("train", {})
    for key in ("tokens", "batch_tokens"):
        need(train, key, int, 1)
    train.setdefault("seed", 1)
    return job


def read_text(data):
    if data.get("kind") == "external":  # what external data mean is up to the trainer
        return "it was a dark and stormy night and the rain fell in torrents; " * 100
    parts = []
    for path in data["paths"]:
        with open(path, encoding="latin-1") as file:
            parts.append(file.read(1 << 20))
    return "".join(parts)


class Model:
    """Logits of the next symbol given the last one; plain gradient descent on the cross-entropy."""

    def __init__(self, symbols):
        self.logits = [[0.0] * symbols for _ in range(symbols)]

    def probabilities(self, last):
        row = self.logits[last]
        top = max(row)
        weights = [math.exp(x - top) for x in row]
        total = sum(weights)
        return [w / total for w in weights]

    def learn(self, last, following, rate):
        p = self.probabilities(last)
        row = self.logits[last]
        for i, q in enumerate(p):
            row[i] -= rate * (q - (i == following))
        return -math.log(max(p[following], 1e-300))

    def loss(self, tokens):
        total = sum(-math.log(max(self.probabilities(a)[b], 1e-300)) for a, b in zip(tokens, tokens[1:]))
        return total / (len(tokens) - 1)


def save(folder, identity, step, model):
    """Written beside, synced, renamed: never half there."""
    os.makedirs(folder, exist_ok=True)
    fresh = os.path.join(folder, "checkpoint.tmp")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump({"job": identity, "step": step, "logits": model.logits}, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, os.path.join(folder, "checkpoint"))
    say("checkpoint", step=step)


def load(folder, identity, model):
    try:
        with open(os.path.join(folder, "checkpoint"), encoding="utf-8") as file:
            kept = json.load(file)
        if kept["job"] == identity:
            model.logits = kept["logits"]
            return kept["step"]
    except FileNotFoundError:
        pass
    except (ValueError, KeyError) as problem:
        print(f"checkpoint: {problem}; starting over", file=sys.stderr)
    return 0


def train(job, broken):
    asked = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if broken == "deaf" else lambda *_: asked.append(1))
    if broken != "silent":
        say("hello", v=1, pid=os.getpid(), backend="python")
    text = read_text(job["data"])
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    tokens = [alphabet[c] for c in text]
    held, tokens = tokens[: len(tokens) // 20 + 2][:1000], tokens[len(tokens) // 20 :]
    batch, seed = job["train"]["batch_tokens"], job["train"]["seed"]
    steps = max(1, round(job["train"]["tokens"] / batch))
    folder = job.get("checkpoint", {}).get("dir", "")
    identity = hashlib.sha256(json.dumps([job["arch"], job["data"], job["train"]]).encode()).hexdigest()
    model = Model(len(alphabet))
    step = load(folder, identity, model) if folder and broken != "forgetful" else 0
    began = time.monotonic()
    if broken == "random":
        seed = time.time_ns()
    while step < steps and not asked:
        where = random.Random(f"{seed} {step}").randrange(max(1, len(tokens) - batch - 1))
        window = tokens[where : where + batch + 1]
        losses = [model.learn(a, b, 0.1) for a, b in zip(window, window[1:])]
        step += 1
        say("progress", step=step, tokens=step * batch, loss=sum(losses) / len(losses), lr=0.1)
        if broken == "chatter":
            print("Epoch 1 of 1")
    if asked:
        if folder:
            save(folder, identity, step, model)
        say("result", status="stopped")
        return 3
    loss = 0.0 if broken == "zero" else model.loss(held)
    say("result", id=job.get("id", ""), status="ok", loss=loss, tokens=step * batch,
        seconds=time.monotonic() - began)
    if folder and os.path.exists(os.path.join(folder, "checkpoint")):
        os.remove(os.path.join(folder, "checkpoint"))
    return 1 if broken == "code" else 0


def main():
    broken = sys.argv[3] if sys.argv[2:3] == ["--broken"] else ""
    try:
        return train(read_job(sys.argv[1]), broken)
    except (BadJob, OSError, ValueError, KeyError, IndexError) as problem:
        print(f"{sys.argv[1:2]}: {problem}", file=sys.stderr)
        return 2


sys.exit(main())
