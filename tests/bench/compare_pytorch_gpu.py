#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training step on the GPU against PyTorch on the same GPU, at the sizes of bench_gpu.

PyTorch: tests/conformance/train_model.py under autocast to bfloat16 with float32 weights, scaled dot
product attention, experts one after another on the rows that chose them, clipping, fused AdamW. The
fastest of five steps each.

    python compare_pytorch_gpu.py BENCH_GPU

Exit code 77: no PyTorch with CUDA.
"""
import json
import pathlib
import subprocess
import sys
import time

try:
    import torch
except ImportError:
    torch = None

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "conformance"))
STEPS = 5


def shapes(a):
    """{name: shape} of the parameters of train_model.Model."""
    d, q, kv = a["d"], a["N_q"] * a["d_qkv"], a["N_kv"] * a["d_qkv"]
    block = lambda name, f, e="": {f"{name}.gate{e}": (f, d), f"{name}.up{e}": (f, d), f"{name}.down{e}": (d, f)}
    p = {"embed": (a["V"], d), "unembed": (a["V"], d), "norm": (d,)}
    for i in range(a["L_d"] + a["L_m"]):
        layer = f"layers.{i}"
        p |= {f"{layer}.attn.{n}": (rows, d) for n, rows in (("q", q), ("k", kv), ("v", kv))}
        p |= {f"{layer}.attn.o": (d, q), f"{layer}.attn.norm": (d,), f"{layer}.ffn.norm": (d,)}
        if i < a["L_d"]:
            p |= block(f"{layer}.ffn", a["d_d"])
            continue
        p[f"{layer}.router"] = (a["N_e"], d)
        for e in range(a["N_e"]):
            p |= block(f"{layer}.experts", a["d_m"], f".{e}")
        if a["n_shared"] > 0:
            p |= block(f"{layer}.shared", a["n_shared"] * a["d_m"])
    return p


def best_step(a, tokens):
    """Seconds of the fastest step."""
    from train_model import Model

    torch.set_default_device("cuda")
    torch.manual_seed(1)
    draw = lambda s: torch.ones(s) if len(s) == 1 else torch.randn(s) / s[-1] ** 0.5
    options = {"router": "softmax", "norm_topk": False, "tied": False, "rope_base": 10000}
    model = Model(a, options, {name: draw(s) for name, s in shapes(a).items()})
    params = list(model.p.values())
    opt = torch.optim.AdamW(params, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    text = torch.randint(a["V"], (tokens + 1,))
    batch = text[:-1].view(-1, a["S"]), text[1:].view(-1, a["S"])
    best = float("inf")
    for _ in range(STEPS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss, balance = model(*batch)
        (loss + 0.01 * balance).backward()
        torch.nn.utils.clip_grad_norm_(params, 1)
        opt.step()
        opt.zero_grad()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def main():
    if torch is None or not torch.cuda.is_available():
        print("no PyTorch with CUDA in this python: not compared")
        return 77
    # One process a size, ours before PyTorch: each has the whole memory.
    print(f"PyTorch {torch.__version__}\n\n| size | tokens/s, moetrain | tokens/s, PyTorch | times faster |\n|---|--:|--:|--:|")
    for size in subprocess.run([sys.argv[1], "--names"], check=True, stdout=subprocess.PIPE, text=True).stdout.split():
        line = subprocess.run([sys.argv[1], "--json", size], stdout=subprocess.PIPE, text=True)
        if line.returncode != 0:
            print(f"| {size} | failed | | |")
            continue
        ours = json.loads(line.stdout)
        try:
            theirs = best_step(ours["arch"], ours["tokens"])
            cells = f"{ours['tokens'] / theirs:.4g} | {theirs / ours['seconds']:.2f}"
        except torch.cuda.OutOfMemoryError:
            cells = "out of memory | "
        torch.cuda.empty_cache()
        print(f"| {size} | {ours['tokens'] / ours['seconds']:.4g} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
