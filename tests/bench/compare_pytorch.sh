#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# compare_pytorch.sh BUILD_FOLDER [--rounds N]: bench_step against PyTorch on one thread
# (compare_pytorch.py says how), with the Python environment of the conformance tests.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/../conformance/venv.sh" "$1/conformance")
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/compare_pytorch.py" "$1/bin/bench_step" "${@:2}"
