# SPDX-License-Identifier: GPL-3.0-or-later
"""config.json of moesweep recommend against transformers: each class is built from it on the meta
device, and its parameters are as many as the recommendation says are stored.

A law is fitted to data/gemstones_cool_end.jsonl; the cases pin what it does not see, so that every
class and every kind of layer comes up. Beside what ours has, some classes have parameters that are
constant in ours: the gate of Qwen2-MoE's shared expert (zero) and Ernie 4.5's selection bias (zero).

Prints a line a case; exit code 1 if a count differs, or a layer is of the wrong kind.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import torch
import transformers

CONSTANT = ("shared_expert_gate.", "e_score_correction_bias")
# name: (class, --set besides V, --model)
CASES = {
    "dense": ("llama", "S=2048", "tied=false"),
    "dense, qk-norm, tied": ("qwen3", "S=2048", "qk_norm=true,tied=true"),
    "shared, dense first": ("qwen2_moe", "N_e=64,K=8,n_shared=2,L_d=3", "tied=false"),
    "no shared, raw weights": ("qwen2_moe", "N_e=32,K=4,n_shared=0,L_d=0", "norm_topk=false"),
    "heads that do not fill d": ("ernie4_5_moe", "N_e=64,K=8,d_qkv=64,N_q=6,N_kv=2,d=1024",
                                 "tied=true"),
    "qk-norm": ("qwen3_moe", "N_e=128,K=8,n_shared=0,L_d=1", "qk_norm=true"),
    "sigmoid, two dense": ("glm4_moe", "N_e=160,K=8,n_shared=1,L_d=2", "router=sigmoid_bias"),
}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def check(moesweep, law, folder, kind, dims, model):
    folder.mkdir()
    doc = json.loads(run(moesweep, "recommend", law, "--compute", "1e20", "--set",
                         f"V=50304,{dims}", "--model", model, "--extrapolate", "--hf",
                         folder / "config.json", "--json"))
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(config)
    params = sum(p.numel() for n, p in built.named_parameters()
                 if not any(c in n for c in CONSTANT))
    arch, stored = doc["arch"], doc["counts"]["executed"]["params"]
    moe = [hasattr(layer.mlp, "experts") for layer in built.model.layers]
    good = (config.model_type == kind and params == stored
            and moe == [False] * arch["L_d"] + [True] * arch["L_m"])
    print(f"{'ok ' if good else 'BAD'} {folder.name}: {type(built).__name__}, {params} parameters "
          f"(ours {stored}), {moe.count(False)} dense and {moe.count(True)} MoE layers")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moesweep", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    tools = parser.parse_args()
    law = tools.work / "law.json"
    run(tools.moesweep, "fit", tools.source / "data/gemstones_cool_end.jsonl", "--law", "chinchilla",
        "--map", "N=params_active_precise,D=tokens,loss=final_loss", "--bootstrap", "0", "--save", law)
    good = [check(tools.moesweep, law, tools.work / name, *case) for name, case in CASES.items()]
    sys.exit(0 if all(good) else 1)


main()
