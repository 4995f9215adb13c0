"""Makes small wrong changes to the code, one at a time, builds, runs the tests, and says which changes were noticed.

The changes are in tests/mutants/. Each is made in a worktree of its own (build-mutants/tree, at the commit that is checked
out), of which only what the change touches is built again. First the tests that could notice run, which the table names;
if they pass, the whole suite does. Outcomes are kept in build-mutants/outcomes.json, by commit and change: the same command
goes on where it was stopped. Exit status: 0 every change was noticed, or none is out of place with --check; 1 some were not;
2 usage; 130 interrupted."""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import mutants

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KILLED, SURVIVED = "killed", "SURVIVED"
STALE, BROKEN, UNJUDGED = "out of place", "does not compile", "not judged"


def run(command, folder, limit, log):
    """The exit status of a command whose output goes to the log; None if it took longer than the limit."""
    log.write(f"\n$ {' '.join(command)}\n")
    log.flush()
    with subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            return process.wait(limit)
        except BaseException as why:  # what the command has started must not outlive it
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(why, subprocess.TimeoutExpired):
                return None
            raise


class Campaign:
    def __init__(self, options):
        self.options = options
        self.work = os.path.abspath(options.work)
        self.tree = os.path.join(self.work, "tree")
        self.outcomes_file = os.path.join(self.work, "outcomes.json")
        os.makedirs(self.work, exist_ok=True)
        self.log = open(os.path.join(self.work, "log"), "a", encoding="utf-8")
        self.commit = subprocess.check_output(["git", "rev-parse", options.commit], cwd=ROOT, text=True).strip()
        self.outcomes = {}
        if os.path.exists(self.outcomes_file):
            with open(self.outcomes_file, encoding="utf-8") as file:
                self.outcomes = json.load(file)
        self.seconds = {}  # that tests take without a change

    def prepare(self):
        if not os.path.exists(os.path.join(self.tree, ".git")):
            subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
            self.must(["git", "worktree", "add", "--force", "--detach", self.tree, self.commit], ROOT)
        self.must(["git", "checkout", "--quiet", "--force", "--detach", self.commit], self.tree)
        self.must(["cmake", "--preset", "release", *self.options.cmake], self.tree)

    def must(self, command, folder):
        if run(command, folder, None, self.log) != 0:
            raise mutants.Mistake(f"failed: {' '.join(command)}; {self.log.name} says why")

    def build(self, targets):
        command = ["cmake", "--build", "--preset", "release", "-j", str(self.options.jobs)]
        return run(command + (["--target", *sorted(targets)] if targets else []), self.tree, None, self.log) == 0

    def test(self, program, spec, limit=None):
        """Do these tests pass? None if they did not end in time."""
        if program == "ctest":
            command = ["ctest", "--preset", "release", "--no-tests=error", "--stop-on-failure", "-R", spec]
        else:
            command = [os.path.join(self.tree, "build", program), spec, "--abort", "-w", "NoTests"]
        status = run(command, self.tree, limit, self.log)
        return None if status is None else status == 0

    @staticmethod
    def targets(tests):
        """What has to be built for tests; nothing: everything."""
        programs = {program for program, _ in tests}
        if "ctest" in programs:
            return set()
        return programs | ({"mcn"} if "test_tools" in programs else set())

    def baseline(self, tests):
        """What is wrong with tests without a change, if anything: if they fail then, they prove nothing."""
        if not self.build(self.targets(tests)):
            raise mutants.Mistake(f"the unchanged code does not build; {self.log.name} says why")
        for program, spec in tests:
            if (program, spec) in self.seconds:
                continue
            start = time.monotonic()
            if not self.test(program, spec):
                return f"without a change, {program}: {spec} fails or has no test"
            self.seconds[program, spec] = time.monotonic() - start
        return None

    def outcome(self, mutant):
        text, problem = mutants.changed(mutant, self.tree)
        if problem:
            return STALE, problem
        if problem := self.baseline(mutant.tests):
            return UNJUDGED, problem
        path = os.path.join(self.tree, mutant.file)
        with open(path, encoding="utf-8") as file:
            before = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            if not self.build(self.targets(mutant.tests)):
                return BROKEN, ""
            for program, spec in mutant.tests:
                passed = self.test(program, spec, 60 + 10 * self.seconds[program, spec])
                if not passed:
                    return KILLED, f"{program}: {spec}" + (" (did not end)" if passed is None else "")
            if self.options.quick:
                return SURVIVED, "of the tests that could notice"
            if not self.build(set()):
                return BROKEN, ""
            passed = self.test("ctest", ".", self.options.suite_limit)
            return (SURVIVED, "") if passed else (KILLED, "the rest of the suite")
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)

    def key(self, mutant):
        change = json.dumps([mutant.file, mutant.old, mutant.new, mutant.tests, self.options.quick])
        return f"{self.commit} {hashlib.sha256(change.encode()).hexdigest()[:16]}"

    def run(self, table):
        self.prepare()
        rows = []
        for number, mutant in enumerate(table, 1):
            key = self.key(mutant)
            if key not in self.outcomes:
                start = time.monotonic()
                outcome, note = self.outcome(mutant)
                self.outcomes[key] = {"name": mutant.name, "outcome": outcome, "note": note,
                                      "seconds": round(time.monotonic() - start)}
                with open(self.outcomes_file + ".new", "w", encoding="utf-8") as file:
                    json.dump(self.outcomes, file, indent=1)
                os.replace(self.outcomes_file + ".new", self.outcomes_file)
            found = self.outcomes[key]
            rows.append((mutant, found))
            print(f"{number}/{len(table)} {mutant.name}: {found['outcome']}"
                  f"{', ' + found['note'] if found['note'] else ''} ({found['seconds']} s)", flush=True)
        return rows


def report(rows):
    """The table in Markdown, and the share by layer."""
    lines = ["", "| mutant | place | outcome |", "| --- | --- | --- |"]
    for mutant, found in rows:
        note = f": {found['note']}" if found["note"] else ""
        lines.append(f"| {mutant.name} | {mutant.file} | {found['outcome']}{note} |".replace("\n", " "))
    lines += ["", "| layer | killed | of | not counted |", "| --- | --- | --- | --- |"]
    layers = list(dict.fromkeys(mutant.layer for mutant, _ in rows))
    for layer in [*layers, "all"]:
        outcomes = [found["outcome"] for mutant, found in rows if layer in ("all", mutant.layer)]
        killed, survived = outcomes.count(KILLED), outcomes.count(SURVIVED)
        share = f" ({100 * killed / (killed + survived):.0f}%)" if killed + survived else ""
        lines.append(f"| {layer} | {killed}{share} | {killed + survived} | {len(outcomes) - killed - survived} |")
    return "\n".join(lines)


def check(table):
    """Are all places there? Prints those that are not."""
    problems = [(m, problem) for m in table if (problem := mutants.changed(m, ROOT)[1])]
    for mutant, problem in problems:
        print(f"{mutant.layer}: {mutant.name}: {problem}")
    print(f"{len(table) - len(problems)} of {len(table)} places are there")
    return 1 if problems else 0


def interrupt(*_):
    raise KeyboardInterrupt


def main(arguments):
    signal.signal(signal.SIGTERM, interrupt)  # what is changed is to be as it was
    parser = argparse.ArgumentParser(prog="tools/mutate.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="mutants or layers (files of tests/mutants, without .toml); all by default")
    parser.add_argument("--check", action="store_true", help="only say which places are no longer there; of the working tree")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--quick", action="store_true", help="run the tests that could notice, and not the whole suite")
    parser.add_argument("--commit", default="HEAD", help="what to change (default: %(default)s)")
    parser.add_argument("--work", default=os.path.join(ROOT, "build-mutants"), help="folder of the worktree and outcomes")
    parser.add_argument("--tables", default=os.path.join(ROOT, "tests", "mutants"), help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of a build (default: %(default)s)")
    parser.add_argument("--suite-limit", type=float, default=7200, help="seconds for the whole suite (default: %(default)s)")
    parser.add_argument("--cmake", action="append", default=[], metavar="ARGUMENT", help="for the configuration")
    options = parser.parse_args(arguments)
    try:
        table = mutants.load(options.tables)
        unknown = set(options.names) - {m.name for m in table} - {m.layer for m in table}
        if unknown:
            raise mutants.Mistake(f"there is no mutant or layer {', '.join(sorted(unknown))}")
        if options.names:
            table = [m for m in table if m.name in options.names or m.layer in options.names]
        if options.list:
            for mutant in table:
                print(f"{mutant.layer}: {mutant.name}: {mutant.file}")
            return 0
        if options.check:
            return check(table)
        rows = Campaign(options).run(table)
    except mutants.Mistake as mistake:
        print(f"mutate: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report(rows))
    return 1 if any(found["outcome"] != KILLED for _, found in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
