# SPDX-License-Identifier: Apache-2.0
"""The model of docs/trainer-protocol.md in plain PyTorch, written from the headers of kernels/.

Every matrix is a parameter of its own (q, k, v; gate, up and down of every expert), as an optimizer of
whole matrices needs them. Experts are computed on the rows that chose them.
"""
import math

import torch
import torch.nn.functional as F

EPS = 1e-6


def split(name, t):
    """The matrices that a stored tensor stacks, by name: gate and up halves, experts."""
    kind = name.rsplit(".", 1)[-1]
    if kind == "gate_up":
        gate, up = t.chunk(2, dim=-2)
        return split(name[:-3], gate) | split(name[:-7] + "up", up)
    if t.dim() == 3:
        return {f"{name}.{e}": m for e, m in enumerate(t)}
    return {name: t}


def rms_norm(x, gain):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * gain


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Model:
    def __init__(self, arch, options, params, watch_ties=False):
        """arch, options: as in a job; params: name -> tensor, as split names them."""
        self.a, self.o, self.watch_ties = arch, options, watch_ties
        self.p = {k: v.detach().clone().requires_grad_() for k, v in params.items()}
        half = arch["d_qkv"] // 2
        angle = torch.arange(arch["S"], dtype=torch.float64)[:, None] * options["rope_base"] ** (
            -torch.arange(half, dtype=torch.float64) / half)
        self.cos, self.sin = angle.cos().float(), angle.sin().float()
        self.bias = [torch.zeros(arch["N_e"]) for _ in range(arch["L_m"])]
        self.load = [None] * arch["L_m"]
        self.margin = math.inf  # least distance between a chosen key and the best one not chosen

    def attention(self, layer, x):
        a, w = self.a, lambda n: self.p[f"layers.{layer}.attn.{n}"]
        heads = lambda y: y.view(*x.shape[:2], -1, a["d_qkv"]).transpose(1, 2)
        q, k, v = (heads(F.linear(x, w(n))) for n in "qkv")
        if self.o.get("qk_norm"):
            q, k = rms_norm(q, w("q_norm")), rms_norm(k, w("k_norm"))
        q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=a["N_q"] != a["N_kv"])
        return F.linear(y.transpose(1, 2).flatten(2), w("o"))

    def ffn(self, name, x, expert=""):
        w = lambda n: self.p[f"{name}.{n}{expert}"]
        return F.linear(F.silu(F.linear(x, w("gate"))) * F.linear(x, w("up")), w("down"))

    def route(self, i, z):
        """Experts and weights of each token, and the probabilities of the balancing loss."""
        k = self.a["K"]
        if self.o["router"] == "sigmoid_bias":
            q = z.sigmoid()
            keys = q + self.bias[i]
            p = q / q.sum(-1, keepdim=True)
        else:
            keys = q = p = z.softmax(-1)
        chosen = keys.topk(k, dim=-1).indices
        if self.watch_ties and k < self.a["N_e"]:
            best = keys.detach().topk(k + 1, dim=-1).values
            self.margin = min(self.margin, (best[:, -2] - best[:, -1]).min().item())
        w = q.gather(-1, chosen)
        return chosen, w / w.sum(-1, keepdim=True) if self.o["norm_topk"] else w, p

    def moe(self, layer, x):
        a, name, i = self.a, f"layers.{layer}", layer - self.a["L_d"]
        rows = x.flatten(0, 1)
        chosen, w, p = self.route(i, F.linear(rows, self.p[f"{name}.router"]))
        y = torch.zeros_like(rows)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        self.load[i] = flat.bincount(minlength=a["N_e"])
        slots = order.split(self.load[i].tolist())
        w = w.flatten()
        for e, slot in enumerate(slots):
            if len(slot):
                token = slot // a["K"]
                out = self.ffn(f"{name}.experts", rows[token], f".{e}")
                y.index_add_(0, token, out * w[slot, None])
        if a["n_shared"] > 0:
            y = y + self.ffn(f"{name}.shared", rows)
        share = self.load[i] / (len(rows) * a["K"])
        return y.view_as(x), a["N_e"] * (share * p.mean(0)).sum()

    def __call__(self, tokens, targets):
        """Mean cross-entropy, and the balancing loss summed over layers. tokens: [sequences, S]."""
        a, p, balance = self.a, self.p, torch.zeros(())
        x = F.embedding(tokens, p["embed"])
        for layer in range(a["L_d"] + a["L_m"]):
            x = x + self.attention(layer, rms_norm(x, p[f"layers.{layer}.attn.norm"]))
            h = rms_norm(x, p[f"layers.{layer}.ffn.norm"])
            if layer < a["L_d"]:
                x = x + self.ffn(f"layers.{layer}.ffn", h)
            else:
                y, loss = self.moe(layer, h)
                x, balance = x + y, balance + loss
        z = F.linear(rms_norm(x, p["norm"]), p["embed" if self.o["tied"] else "unembed"])
        return F.cross_entropy(z.flatten(0, 1), targets.flatten()), balance

    def move_biases(self, rate):
        for bias, load in zip(self.bias, self.load):
            bias -= rate * torch.sign(load - load.sum() / len(load))
