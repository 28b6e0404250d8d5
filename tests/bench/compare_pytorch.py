# SPDX-License-Identifier: Apache-2.0
"""Tokens per second of bench_step against PyTorch on one thread, sizes S and M, in turns.

A step is forward, backward, clipping and AdamW (fused) of tests/conformance/train_model.py: scaled dot
product attention, experts on the rows that chose them. float32, 4096 tokens in sequences of 256, 256
symbols. Processor time, the fastest step of each side over all rounds.

    python compare_pytorch.py BENCH_STEP [--rounds N]      (compare_pytorch.sh makes the python)
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "conformance"))
from train_model import Model  # noqa: E402

TOKENS, S, V = 4096, 256, 256
# As in bench_step.c: d, layers, heads, expert width, experts, K; steps a round
SIZES = {"S": (64, 4, 2, 64, 8, 2, 12), "M": (128, 6, 4, 128, 16, 2, 5)}


def make_model(d, layers, heads, width, experts, k):
    arch = {"L_d": 0, "L_m": layers, "d": d, "d_qkv": d // heads, "d_m": width, "N_q": heads,
            "N_kv": heads, "S": S, "N_e": experts, "K": k, "n_shared": 0}
    options = {"router": "softmax", "norm_topk": False, "tied": False, "rope_base": 10000}
    p = {"embed": (V, d), "unembed": (V, d), "norm": (d,)}
    for i in range(layers):
        p |= {f"layers.{i}.attn.{n}": (d, d) for n in "qkvo"}
        p |= {f"layers.{i}.{n}.norm": (d,) for n in ("attn", "ffn")} | {f"layers.{i}.router": (experts, d)}
        for e in range(experts):
            p |= {f"layers.{i}.experts.{n}.{e}": (width, d) for n in ("gate", "up")}
            p[f"layers.{i}.experts.down.{e}"] = (d, width)
    torch.manual_seed(1)
    draw = lambda s: torch.ones(s) if len(s) == 1 else torch.randn(s) / s[-1] ** 0.5
    return Model(arch, options, {n: draw(s) for n, s in p.items()})


class Trainer:
    def __init__(self, size):
        *dims, self.steps = SIZES[size]
        self.model = make_model(*dims)
        self.params = list(self.model.p.values())
        self.opt = torch.optim.AdamW(self.params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        text = torch.randint(V, (TOKENS + 1,))
        self.batch = text[:-1].view(-1, S), text[1:].view(-1, S)
        self.step()

    def step(self):
        start = time.process_time()
        loss, balance = self.model(*self.batch)
        (loss + 0.01 * balance).backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1)
        self.opt.step()
        self.opt.zero_grad()
        return time.process_time() - start

    def best(self):
        return min(self.step() for _ in range(self.steps))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_step")
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    theirs = {size: Trainer(size) for size in SIZES}
    ours_s, theirs_s = dict.fromkeys(SIZES, 1e9), dict.fromkeys(SIZES, 1e9)
    for _ in range(args.rounds):
        out = subprocess.run([args.bench_step, "--json", "--quick"], check=True, stdout=subprocess.PIPE)
        for row in json.loads(out.stdout)["sizes"]:
            if row["size"] in SIZES:
                ours_s[row["size"]] = min(ours_s[row["size"]], row["seconds"])
        for size, trainer in theirs.items():
            theirs_s[size] = min(theirs_s[size], trainer.best())
    version = torch.__version__.split("+")[0]
    print(f"| size | moetrain, tokens/s | PyTorch {version}, tokens/s | ratio |\n|---|---|---|---|")
    for size in SIZES:
        print(f"| {size} | {TOKENS / ours_s[size]:,.0f} | {TOKENS / theirs_s[size]:,.0f} "
              f"| {theirs_s[size] / ours_s[size]:.2f} |")


if __name__ == "__main__":
    main()
