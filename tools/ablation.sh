#!/usr/bin/env bash
# Puts the paper's claim on trial; tools/ablation.sh --help says how. Needs Python 3 and nothing from PyPI.
set -euo pipefail
command -v python3 >/dev/null || { echo "ablation: needs Python 3" >&2 && exit 2; }
exec python3 "$(dirname "$(readlink -f "$0")")/ablation/trial.py" "$@"
