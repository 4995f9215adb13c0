#!/usr/bin/env bash
# Tests the paper's claim: compares methods over several seeds. tools/ablation.sh --help lists the options.
# Needs Python 3, and nothing from PyPI.
set -euo pipefail
command -v python3 >/dev/null || { echo "ablation: needs Python 3" >&2 && exit 2; }
exec python3 "$(dirname "$(readlink -f "$0")")/ablation/trial.py" "$@"
