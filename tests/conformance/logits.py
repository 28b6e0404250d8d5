# SPDX-License-Identifier: Apache-2.0
"""Our models against the stock classes of transformers, both ways.

Each model is trained by moetrain for a second, exported, and loaded by
AutoModelForCausalLM.from_pretrained as float32 with eager attention and with sdpa. Compared over the
validation windows:

  logits  largest difference, at most 1e-4. Both sides are float32: with logits of size 10 one rounding
          is 10 x 2^-24 = 6e-7, and a few dozen of them in sequence (layers, sums of up to a hundred
          products in another order) stay below 1e-4.
  control the same with a deliberate mistake, rms_norm_eps of 1e-5 for 1e-6, the smallest that a
          config.json can make: must be above 1e-4, else the bound would see nothing.
  loss    theirs (float64, from their logits) against the result line of moetrain, at most 1e-5: a mean
          over the tokens, so that roundings of both signs cancel.
  back    save_pretrained by transformers, then moetrain import, then export: the same bytes as the first
          export, so every weight came back bit for bit. The same with what transformers saves in
          bfloat16 and float16: each weight is the float32 of that.

Prints a Markdown table; exit code 1 if anything is beyond.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file
from safetensors.torch import load_file

LOGITS, LOSS = 1e-4, 1e-5

# name: (what it shows, arch, model). The base is base_job's: d = 32, heads of 8, 4 of them, two of
# key and value, so that d = N_q d_qkv; one dense and two MoE layers; 8 experts of width 16, one shared.
WIDE = {"d_qkv": 12}  # N_q d_qkv = 48, d = 32
SIGMOID = {"router": "sigmoid_bias"}
MODELS = {
    "switch": ("K = 1", {"K": 1}, {}),
    "top2": ("K = 2", {"K": 2}, {}),
    "all": ("K = 8 of 8, not renormalised", {"K": 8}, {"norm_topk": False}),
    "raw-weights": ("not renormalised", {"K": 2}, {"norm_topk": False}),
    "no-shared": ("no shared expert, all layers MoE", {"n_shared": 0, "L_d": 0}, {}),
    "two-shared": ("two shared experts, tied, MHA", {"n_shared": 2, "N_kv": 4}, {"tied": True}),
    "wide": ("heads wider than d", WIDE, {}),
    "wide-no-shared": ("no shared expert, tied", {**WIDE, "n_shared": 0, "L_d": 0}, {"tied": True}),
    "wide-two-shared": ("two shared experts, K = 1, MHA",
                        {**WIDE, "n_shared": 2, "N_kv": 4, "K": 1}, {"norm_topk": True}),
    "sigmoid": ("sigmoid routing", {**WIDE, "K": 2}, SIGMOID),
    "sigmoid-raw": ("sigmoid, not renormalised, no dense layer, no shared expert",
                    {"L_d": 0, "n_shared": 0, "K": 8, "N_e": 16}, {**SIGMOID, "norm_topk": False}),
    "sigmoid-tied": ("sigmoid, tied, K = 1, two shared experts, two dense layers, MHA",
                     {"K": 1, "n_shared": 2, "N_kv": 4, "L_d": 2}, {**SIGMOID, "tied": True}),
    "qk-norm": ("norms of queries and keys", {**WIDE, "n_shared": 0}, {"qk_norm": True}),
    "qk-norm-raw": ("the same, K = 1, all layers MoE, tied, MHA",
                    {"n_shared": 0, "L_d": 0, "K": 1, "N_kv": 4}, {"qk_norm": True, "tied": True}),
    "qk-norm-sigmoid": ("the same, sigmoid routing, shared expert", WIDE,
                        {**SIGMOID, "qk_norm": True}),
    "qk-norm-dense": ("the same, no MoE layer", {**WIDE, "L_d": 3, "L_m": 0}, {"qk_norm": True}),
    "dense": ("no MoE layer", {**WIDE, "L_d": 3, "L_m": 0}, {}),
}
# Small enough to keep: the script freezes these.
FROZEN = ["switch", "two-shared", "no-shared", "wide", "wide-no-shared", "sigmoid",
          "sigmoid-raw", "sigmoid-tied", "qk-norm", "qk-norm-sigmoid", "dense"]


def base_job(source, arch, model, small):
    text = source / ("tests/data/tiny.txt" if small else "data/kjv.txt")
    S, batch = (16, 256) if small else (64, 1024)
    sizes = {"L_d": 1, "L_m": 2, "d": 32, "d_qkv": 8, "d_m": 16, "d_d": 64, "N_q": 4, "N_kv": 2,
             "S": S, "N_e": 8, "K": 2, "n_shared": 1}
    if small:
        sizes.update({"L_m": 1, "d": 16, "d_qkv": 8, "d_m": 8, "d_d": 24, "N_q": 2, "N_kv": 1,
                      "N_e": 4})
    arch = {**sizes, **arch}
    if small:
        arch["N_kv"] = min(arch["N_kv"], 2)
        arch["L_d"] = min(arch["L_d"], 2)
        arch["N_e"] = min(arch["N_e"], 8)
    return {"v": 1, "arch": arch,
            "data": {"kind": "text", "paths": [str(text)]},
            "train": {"tokens": batch * (60 if small else 200), "batch_tokens": batch, "lr": 0.01},
            "model": {"rope_base": 500.0, **model},
            "val": {"tokens": 2 * S if small else 1024}}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def train(tools, job, folder):
    job["checkpoint"] = {"dir": str(folder / "run"), "every_s": 0, "keep": True}
    (folder / "job.json").write_text(json.dumps(job))
    result = json.loads(run(tools.moetrain, folder / "job.json").splitlines()[-1])
    if result["status"] != "ok":
        sys.exit(f"{folder.name}: {result}")
    run(tools.moetrain, "export", folder / "run", folder / "export")
    return result["loss"]


def ours(tools, folder, arch):
    said = json.loads(run(tools.logits, folder / "run/checkpoint", folder))
    tokens, targets = (numpy.fromfile(folder / n, "<i4").reshape(said["windows"], arch["S"])
                       for n in ("tokens", "targets"))
    logits = numpy.fromfile(folder / "logits", "<f4").reshape(*tokens.shape, -1)
    return tokens, targets, logits, said["loss"]


def theirs(folder, tokens, attention, **changes):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention, local_files_only=True,
        **changes).eval()
    with torch.no_grad():
        return model, model(torch.from_numpy(tokens).long(), use_cache=False).logits.numpy()


def mean_loss(logits, targets):
    z = torch.from_numpy(logits).double().flatten(0, 1)
    return torch.nn.functional.cross_entropy(z, torch.from_numpy(targets).long().flatten()).item()


def there_and_back(tools, model, folder, name):
    """What transformers saved as folder/name, imported and exported: the file of weights."""
    model.save_pretrained(folder / name)
    run(tools.moetrain, "import", folder / name, folder / f"{name}-in")
    run(tools.moetrain, "export", folder / f"{name}-in", folder / f"{name}-out")
    return folder / f"{name}-out/model.safetensors"


def comes_back(tools, model, folder):
    first = folder / "export/model.safetensors"
    same = there_and_back(tools, model, folder, "f32").read_bytes() == first.read_bytes()
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).rpartition(".")[2]
        rounded = {k: v.to(dtype).float() for k, v in load_file(first).items()}
        back = load_file(there_and_back(tools, model.to(dtype), folder, name))
        saved = load_file(folder / name / "model.safetensors")
        same &= all(v.dtype == dtype for v in saved.values()) and back.keys() == rounded.keys()
        same &= all(torch.equal(back[k], rounded[k]) for k in back)
        model = type(model).from_pretrained(folder / "f32", dtype=torch.float32)
    return same


def compare(tools, name):
    what, arch, options = MODELS[name]
    folder = tools.work / name
    folder.mkdir()
    job = base_job(tools.source, arch, options, False)
    told = train(tools, job, folder)
    tokens, targets, logits, _ = ours(tools, folder, job["arch"])
    model, eager = theirs(folder / "export", tokens, "eager")
    sdpa = theirs(folder / "export", tokens, "sdpa")[1]
    wrong = theirs(folder / "export", tokens, "eager", rms_norm_eps=1e-5)[1]
    far = [float(numpy.abs(logits - z).max()) for z in (eager, sdpa, wrong)]
    off = max(abs(mean_loss(z, targets) - told) for z in (eager, sdpa))
    back = comes_back(tools, model, folder)
    good = (far[0] <= LOGITS and far[1] <= LOGITS and far[2] > LOGITS and off <= LOSS
            and back)  # NaN fails
    print(f"| {name} | {what} | {type(model).__name__} | {numpy.abs(logits).max():.1f} | "
          f"{far[0]:.1e} | {far[1]:.1e} | {far[2]:.1e} | {told:.5f} | {off:.1e} | {'yes' if back else 'NO'} |",
          flush=True)
    return good


def freeze(tools, name):
    """One model as transformers saved it, with tokens and its logits, as float32 tensors."""
    _, arch, options = MODELS[name]
    folder, to = tools.work / name, tools.source / "tests/data/conformance" / name
    folder.mkdir()
    job = base_job(tools.source, arch, options, True)
    train(tools, job, folder)
    tokens, targets, logits, _ = ours(tools, folder, job["arch"])
    model, z = theirs(folder / "export", tokens, "eager")
    far = float(numpy.abs(logits - z).max())
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    model.save_pretrained(folder / "saved")
    for file in ("config.json", "model.safetensors"):
        shutil.copy(folder / "saved" / file, to / file)
    save_file({"tokens": tokens.astype("<f4"), "targets": targets.astype("<f4"), "logits": z},
              to / "reference.safetensors")
    print(f"{name}: {type(model).__name__}, largest difference {far:.1e}, "
          f"{sum(f.stat().st_size for f in to.iterdir())} bytes")
    return far <= LOGITS


def main():
    parser = argparse.ArgumentParser()
    for tool in ("moetrain", "logits", "source", "work"):
        parser.add_argument(f"--{tool}", type=pathlib.Path, required=True)
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("names", nargs="*")
    tools = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    if tools.freeze:
        return all([freeze(tools, n) for n in tools.names or FROZEN])
    print(f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| model | what it shows | class | largest logit | difference, eager | sdpa | control |"
          " loss of moetrain | difference | back bit for bit |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    return all([compare(tools, n) for n in tools.names or MODELS])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
