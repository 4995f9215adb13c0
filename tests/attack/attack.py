"""Attacks mcn: calls that fail, lack of memory, kills, damaged files, hostile media, streams, limits and signals.

attack.py --mcn MCN --library LIBRARY [--kinds faults,kills,...] [--time SECONDS] [--seed N] [--all] [--only KIND:ARGS]

Every trial ends identical (the bytes of an undisturbed run), refused (a line that says why, a documented exit code, and
nothing lost), or is a failure. --time is shared out among the kinds; a seed's trials are the same and in the same order
every time, however many of them there is time for. --all: every trial there is, which takes days.
Exit status: 0 no failure; 1 failures; 2 usage; 77 this machine cannot do it.
"""

import argparse
import os
import pathlib
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
import damage  # noqa: E402
import faults  # noqa: E402
import limits  # noqa: E402
import media  # noqa: E402
import streams  # noqa: E402
import trial  # noqa: E402
from trial import IDENTICAL, REFUSED, say  # noqa: E402

KINDS = {**faults.KINDS, **damage.KINDS, **limits.KINDS, **streams.KINDS, **media.KINDS}
FAILURE = "failure"


def repeated_by(options, name):
    """The command line that repeats a trial."""
    return shlex.join([sys.executable, sys.argv[0], "--mcn", options.mcn, "--library", options.library, "--only", name])


def attempt(lab, options, kind, arguments):
    """Runs one trial; its end. Tells of a failure."""
    lab.commands.clear()
    name = f"{kind}:{arguments}"
    try:
        end = KINDS[kind].run(lab, arguments)
        if options.verbose:
            say(f"{end} {name}")
        return end
    except trial.Failure as failure:
        say(f"FAILURE {name}: {failure}")
    except trial.Skipped as reason:
        say(f"skipped: {name}: {reason}")
        return None
    except (OSError, ValueError, KeyError):
        say(f"FAILURE {name}: of the trial itself: {traceback.format_exc()}")
    say(f"  repeat: {repeated_by(options, name)}")
    if options.only:
        say("\n".join(f"  ran: {command}" for command in lab.commands))
    return FAILURE


def attack(lab, options, kind, seconds):
    """Trials of a kind until the time is over; the counts of their ends."""
    counts = {IDENTICAL: 0, REFUSED: 0, FAILURE: 0}
    began = time.monotonic()
    rng = random.Random(f"{options.seed} {kind}")
    for arguments in KINDS[kind].trials(lab, rng):
        if not options.all and time.monotonic() - began > seconds:
            break
        end = attempt(lab, options, kind, arguments)
        if end is not None:
            counts[end] += 1
    return counts


def table(rows):
    """Counts by kind and end."""
    say(f"{'kind':12} {'trials':>7} {IDENTICAL:>10} {REFUSED:>10} {FAILURE:>10} {'seconds':>8}")
    for kind, counts, seconds in rows:
        say(f"{kind:12} {sum(counts.values()):7} {counts[IDENTICAL]:10} {counts[REFUSED]:10} {counts[FAILURE]:10} "
            f"{seconds:8.0f}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mcn", required=True, help="the command")
    parser.add_argument("--library", required=True, help="the library of faults.cpp (target attack_faults)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of: " + ", ".join(KINDS))
    parser.add_argument("--time", type=float, default=240, metavar="SECONDS", help="for all kinds together (240)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of trials (0)")
    parser.add_argument("--all", action="store_true", help="every trial, whatever time it takes")
    parser.add_argument("--only", metavar="KIND:ARGS", help="one trial, as a failure names it; its folder is kept")
    parser.add_argument("--verbose", action="store_true", help="a line for every trial")
    options = parser.parse_args()
    options.kinds = options.kinds.split(",")
    for kind in [options.only.split(":")[0]] if options.only else options.kinds:
        if kind not in KINDS:
            parser.error(f"expected a kind out of {', '.join(KINDS)}, got {kind}")
    for file in (options.mcn, options.library):
        if not os.path.isfile(file):
            say(f"skipped: {file} is not there")
            sys.exit(77)
    return options


def main():
    options = parse()
    # What is killed on purpose leaves no core behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    work = pathlib.Path(tempfile.mkdtemp(prefix="mcn-attack-"))
    try:
        lab = trial.Lab(options.mcn, str(pathlib.Path(options.library).resolve()), work)
        if options.only:
            kind, _, arguments = options.only.partition(":")
            end = attempt(lab, options, kind, arguments)
            say(f"{end}; its files are in {work}")
            return 1 if end == FAILURE else 0
        rows = []
        left = options.time
        for i, kind in enumerate(options.kinds):
            began = time.monotonic()
            # What a kind with few trials does not use is for those after it.
            try:
                counts = attack(lab, options, kind, left / (len(options.kinds) - i))
            except trial.Skipped as reason:
                say(f"skipped: {kind}: {reason}")
                continue
            seconds = time.monotonic() - began
            left = max(0.0, left - seconds)
            rows.append((kind, counts, seconds))
        if not rows:
            return 77
        table(rows)
        return 1 if any(counts[FAILURE] for _, counts, _ in rows) else 0
    finally:
        if not options.only:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
