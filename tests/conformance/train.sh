#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# train.sh VENV_FOLDER [--doc FILE]: fifty steps of training against PyTorch in fifteen variants (train.py
# says what is compared); --doc puts the table into docs/conformance.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$("$here/venv.sh" "$1")
shift
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/train.py" --bin "$MOESWEEP_BIN" --source "$MOESWEEP_SOURCE" "$@"
