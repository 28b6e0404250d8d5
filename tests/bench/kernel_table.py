#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registers, shared memory and occupancy of every CUDA kernel: kernel_table.py [NVCC]

Compiles kernels/*.cu to PTX and that with ptxas -v, for each architecture. The dynamic shared memory is
that of the launches in kernels/attention_*.cu, all other kernels have none. Exit codes: 0; 1: a
kernel has a stack frame or spills; 2: no nvcc.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent

# Threads, warps, registers, bytes of shared memory and blocks of a multiprocessor
PROCESSORS = {"80": (2048, 65536, 164 << 10, 32), "90": (2048, 65536, 228 << 10, 32),
              "100": (2048, 65536, 228 << 10, 32)}


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def dynamic_shared(name):
    """Bytes, as forward_shared and backward_shared of the two files say."""
    def f32(rows, dp, streams):
        floats = streams * ((16 * rows + 32) * (dp + 4) + 16 * rows * 36)
        return 4 * (floats + (64 if streams == 2 else 0))

    if m := re.match(r"attention_f32::forward<(\d+), (\d+)>", name):
        return f32(int(m[1]), int(m[2]), 1)
    if m := re.match(r"attention_f32::backward<(\d+), (\d+), \w+>", name):
        return f32(int(m[1]), int(m[2]), 2)
    if m := re.match(r"attention_bf16::forward<(\d+)>", name):
        return 2 * 192 * (int(m[1]) + 8) + 4 * 64 * 72
    if m := re.match(r"attention_bf16::backward<(\d+), .*>", name):
        return 2 * 2 * 96 * (int(m[1]) + 8) + 4 * (2 * 64 * 40 + 64)
    return 0


def demangled(names):
    """{mangled: file::kernel<arguments>}"""
    plain = run("c++filt", *[name for _, name in names]).splitlines()
    strip = lambda name: re.sub(r"\(\w+\)(?=[-\w])", "", name.removeprefix("void ")).split("(")[0]
    return {key: f"{key[0]}::{strip(name)}" for key, name in zip(names, plain)}


def usage(nvcc):
    """{(file, kernel): {architecture: (threads, registers, stack, static shared)}}"""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for source in sorted((ROOT / "kernels").glob("*.cu")):
            for arch in PROCESSORS:
                ptx = os.path.join(work, "x.ptx")
                run(nvcc, "-std=c++17", "-O3", "-ptx", f"-arch=compute_{arch}", f"-I{ROOT}", source, "-o", ptx)
                text = pathlib.Path(ptx).read_text()
                entry = r"\.entry (\w+)\s*\([^)]*\)\s*\.maxntid (\d+)"
                threads = {m[1]: int(m[2]) for m in re.finditer(entry, text)}
                log = run(str(pathlib.Path(nvcc).resolve().parent / "ptxas"), f"-arch=sm_{arch}", "-v", ptx, "-o",
                          "/dev/null")
                for part in log.split("Compiling entry function '")[1:]:
                    name = part.split("'")[0]
                    number = lambda pattern: int(m[1]) if (m := re.search(pattern, part)) else 0
                    found.setdefault((source.stem, name), {})[arch] = (
                        threads[name], number(r"Used (\d+) registers"), number(r"(\d+) bytes stack frame"),
                        number(r"(\d+) bytes smem"))
    return found


def occupancy(arch, threads, registers, shared):
    most_threads, all_registers, all_shared, blocks = PROCESSORS[arch]
    warps = threads // 32
    by_registers = all_registers // (-(-registers * 32 // 256) * 256 * warps)
    by_shared = all_shared // (-(-(shared + 1024) // 128) * 128)
    return min(blocks, most_threads // threads, by_registers, by_shared) * threads / most_threads


def main():
    nvcc = shutil.which(sys.argv[1] if len(sys.argv) > 1 else "nvcc")
    if not nvcc:
        print("kernel_table.py: no nvcc", file=sys.stderr)
        return 2
    found = usage(nvcc)
    names, bad = demangled(list(found)), 0
    print("| kernel | threads | shared, KiB | registers, sm_80 / 90 / 100 | occupancy, % |\n|---|--:|--:|---|---|")
    for key in sorted(found, key=names.get):
        cells, occupied, dynamic = [], [], dynamic_shared(names[key])
        for arch, (threads, registers, stack, shared) in found[key].items():
            cells.append(str(registers))
            occupied.append(f"{100 * occupancy(arch, threads, registers, shared + dynamic):.0f}")
            if stack > 0:
                print(f"{names[key]}: {stack} bytes of stack on sm_{arch}", file=sys.stderr)
                bad = 1
        print(f"| `{names[key]}` | {threads} | {(shared + dynamic) / 1024:.1f} | {' / '.join(cells)} | "
              f"{' / '.join(occupied)} |")
    return bad


if __name__ == "__main__":
    sys.exit(main())
