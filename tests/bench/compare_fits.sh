#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# compare_fits.sh BUILD_FOLDER [--rounds N]: moesweep fit against scipy and the chinchilla package
# (compare_fits.py says how), with a Python environment of its own. Exit codes: 0 all demands met, 1 one
# is not, 77 no Python environment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/../conformance/venv.sh" "$1/compare_fits" "$here/requirements-fits.txt")
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 MPLBACKEND=Agg
exec "$python" "$here/compare_fits.py" "$1/bin" "${@:2}"
