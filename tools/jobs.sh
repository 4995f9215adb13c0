#!/usr/bin/env bash
# Prints how many compilers may run at once: one a core, but at most one for every 2 GiB of free memory.
set -euo pipefail

cores=$(nproc)
memory_gib=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)
jobs=$((memory_gib / 2 < cores ? memory_gib / 2 : cores))
echo $((jobs > 1 ? jobs : 1))
