#!/usr/bin/env bash
# Makes small wrong changes to the code, one at a time, and reports which of them the tests detect.
# tools/mutate.sh --help lists the options. Needs Python 3.11, and nothing from PyPI.
set -euo pipefail
command -v python3 >/dev/null || { echo "mutate: needs Python 3" >&2 && exit 2; }
exec python3 "$(dirname "$(readlink -f "$0")")/mutate/campaign.py" "$@"
