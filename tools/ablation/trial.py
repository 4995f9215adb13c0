"""Trains by several methods over several seeds, evaluates, and compares the methods in pairs.

Every run of a seed has the same videos and the same initial weights. Every method has the same tuning: its learning
rate is the best of three by k-NN among training videos, on seed 0, which is none of the trial's. What is there already
is not done again: the same command goes on where it was stopped. Exit status: 0 done; 1 a run failed; 2 usage;
130 interrupted."""

import argparse
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import table

HERE = os.path.dirname(os.path.abspath(__file__))
KNOWN_CLASSES, ALL_CLASSES = 8, 12
LEARNING_RATES = {"x0.5": 0.5, "x1": 1.0, "x2": 2.0}


class Failure(Exception):
    """A run that failed, or a mistake of the caller's."""


class Stopped(Exception):
    """The user wants an end."""


@dataclasses.dataclass
class Row:
    name: str
    options: list  # of `mcn train`: every setting in which rows differ is named, as a preset has its own
    batch: float = 1  # times the first row's
    compute_of: str = ""  # a row whose seconds of the processor this one has, by more iterations


FIRST_ORDER, SECOND_ORDER = "MCN, first order", "MCN, second order"
SAME_COMPUTE, NO_INNER_STEP = "contrastive, MCN's compute", "MCN, alpha1 0"
# Beside those of all rows with the first one.
PAIRS = [(SECOND_ORDER, SAME_COMPUTE), (SECOND_ORDER, NO_INNER_STEP), (SECOND_ORDER, FIRST_ORDER)]


def claim():
    """The rows of the paper's claim. Half the batch has as many negatives as the halves of MCN's."""
    def mcn(order, inner_lr, *more):
        return ["--method", "mcn", "--objective", "support+query", "--inner-steps", "1", "--inner-params", "all",
                "--order", order, "--inner-lr", inner_lr, *more]

    contrastive = ["--method", "contrastive"]
    return [
        Row("contrastive", contrastive),
        Row("contrastive, half the batch", contrastive, batch=0.5),
        Row(SAME_COMPUTE, contrastive, compute_of=SECOND_ORDER),
        Row("joint", ["--method", "joint"]),
        Row(NO_INNER_STEP, mcn("1", "0", "--first-order-for", "0", "--curvature-every", "0")),
        Row(FIRST_ORDER, mcn("1", "auto", "--first-order-for", "0")),
        Row(SECOND_ORDER, mcn("2", "auto", "--first-order-for", "0")),
        Row("MCN, first order, then second", mcn("2", "auto", "--first-order-for", "50%")),
    ]


def rows_of(path):
    """Of a JSON object of options by name; the first row is the one that the others are compared with."""
    try:
        rows = read_json(path)
    except ValueError as error:
        raise Failure(f"{path}: {error}") from error
    if not isinstance(rows, dict) or len(rows) < 2 or not all(
            isinstance(o, list) and all(isinstance(word, str) for word in o) for o in rows.values()):
        raise Failure(f'{path}: expected {{"name": ["--option", "value"], ...}} with two rows or more')
    return [Row(name, options) for name, options in rows.items()]


def folder_name(text):
    return "".join(c if c.isalnum() else "-" for c in text.lower()).replace("--", "-")


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class Commands:
    """Runs `mcn`, several at a time, and stops all of them on a signal."""

    def __init__(self, mcn):
        self.mcn, self.running, self.lock, self.stopped = mcn, set(), threading.Lock(), False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)

    def stop(self, *_):
        # mcn writes a checkpoint at the first signal, and a second one would kill it.
        with self.lock:
            first, self.stopped = not self.stopped, True
            if first:
                for process in self.running:
                    process.send_signal(signal.SIGINT)

    def run(self, arguments, log):
        """The exit status; the seconds of the processor go to a line of LOG.cpu. Stopped if the user wants an end."""
        with open(log, "ab") as output:
            with self.lock:
                if self.stopped:
                    raise Stopped
                # In a session of its own, so that Ctrl-C reaches it once.
                process = subprocess.Popen([self.mcn, *arguments], stdin=subprocess.DEVNULL, stdout=output,
                                           stderr=output, start_new_session=True)
                self.running.add(process)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            with self.lock:
                self.running.discard(process)
        with open(log + ".cpu", "a", encoding="utf-8") as file:
            file.write(f"{usage.ru_utime + usage.ru_stime:.2f}\n")
        if self.stopped:
            raise Stopped
        return process.returncode


class Run:
    """A run of `mcn train` in a folder of its own, and its evaluations."""

    def __init__(self, folder, arguments):
        self.folder, self.arguments = folder, arguments

    def file(self, name):
        return os.path.join(self.folder, name)

    def train(self, commands):
        """Whether it came to its end; not where the loss or a weight is no longer finite."""
        try:
            same = read_json(self.file("arguments.json")) == self.arguments
        except (OSError, ValueError):
            same = False
        if same and os.path.exists(self.file("trained")):
            return read_json(self.file("trained"))["finite"]
        if not same:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, exist_ok=True)
        with open(self.file("arguments.json"), "w", encoding="utf-8") as file:
            json.dump(self.arguments, file)
        last = self.file("last.safetensors")
        more = ["--resume", last] if os.path.exists(last) else []
        status = commands.run(["train", "--out", self.folder, *self.arguments, *more], self.file("log"))
        if status not in (0, 5):
            raise Failure(f"mcn train ended with exit status {status}: see {self.file('log')}")
        with open(self.file("trained"), "w", encoding="utf-8") as file:
            json.dump({"finite": status == 0}, file)
        return status == 0

    def evaluate(self, commands, name, arguments):
        path = self.file(name + ".json")
        if not os.path.exists(path):
            status = commands.run(["evaluate", "--checkpoint", self.file("last.safetensors"), "--clips", "4", "--threads",
                                   "1", "--loader-threads", "1", "--json", path, *arguments],
                                  self.file("evaluation-log"))
            if status != 0:
                raise Failure(f"mcn evaluate ended with exit status {status}: see {self.file('evaluation-log')}")
        return read_json(path)

    def setting(self, key):
        with open(self.file("config.toml"), encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition("=")
                if name.strip() == key:
                    return value.strip().strip('"')
        raise Failure(f"{self.file('config.toml')} has no {key}")

    def knn(self):
        """Of the evaluation at the end of training."""
        with open(self.file("evaluations.jsonl"), encoding="utf-8") as file:
            return json.loads(file.readlines()[-1])["knn"]["value"]

    def cpu_seconds(self):
        with open(self.file("log.cpu"), encoding="utf-8") as file:
            return sum(float(line) for line in file)


class Trial:
    def __init__(self, options):
        self.o, self.commands = options, Commands(options.mcn)
        self.rows = rows_of(options.rows) if options.rows else claim()
        if len({folder_name(row.name) for row in self.rows}) < len(self.rows):
            raise Failure(f"{options.rows}: two rows have names that differ in signs alone")
        self.learning_rate = 0.0  # of the first row, before it is tuned

    def path(self, *names):
        return os.path.join(self.o.out, *names)

    def say(self, text):
        print(f"ablation: {text}", file=sys.stderr, flush=True)

    def all(self, jobs):
        """Does all of the jobs, (title, function), some at a time; the first error ends it when the others are done."""
        done, results = 0, {}
        with ThreadPoolExecutor(self.o.jobs) as pool:
            futures = {title: pool.submit(function) for title, function in jobs}
            for title, future in futures.items():
                try:
                    results[title] = future.result()
                except BaseException:
                    for other in futures.values():
                        other.cancel()
                    raise
                done += 1
                self.say(f"{done} of {len(jobs)}: {title}")
        return results

    # Videos.

    def data(self, seed):
        return self.o.data or self.path("videos", f"seed-{seed}")

    def synth(self, name, arguments):
        folder = self.path("videos", name)
        if os.path.isdir(folder):
            return
        shutil.rmtree(folder + ".part", ignore_errors=True)
        arguments = ["synth", "--out", folder + ".part", "--train", "640", "--test", "320", *arguments]
        if (status := self.commands.run(arguments, self.path("videos", "log"))) != 0:
            raise Failure(f"mcn synth ended with exit status {status}: see {self.path('videos', 'log')}")
        os.rename(folder + ".part", folder)

    def make_videos(self):
        os.makedirs(self.path("videos"), exist_ok=True)
        for seed in range(self.o.seeds + 1):
            known = ["--classes", str(KNOWN_CLASSES), "--seed", str(seed)]
            self.synth(f"seed-{seed}", known)
            if seed > 0:
                self.synth(f"faster-{seed}", [*known, "--fps", "15"])
                self.synth(f"all-classes-{seed}", ["--classes", str(ALL_CLASSES), "--seed", str(1000 + seed)])

    # Training.

    def run_of(self, row, seed, learning_rate, more=()):
        threads = ["--threads", "1", "--loader-threads", "1"] if self.o.jobs > 1 else []
        return Run(self.path(f"seed-{seed}", folder_name(row.name) + learning_rate),
                   ["--data", self.data(seed), *self.o.base, *row.options, *threads, "--seed", str(seed),
                    "--report", "no", *more])

    def tuning_run(self, row, factor):
        more = ["--evaluate-every", "100%", "--evaluate-videos", "100000"]
        if factor != "x1":
            more += ["--lr", f"{LEARNING_RATES[factor] * self.learning_rate:.6g}"]
        return self.run_of(row, 0, "-" + factor, more)

    def settle(self):
        """What rows take from runs of other rows."""
        costly = {row.compute_of for row in self.rows} - {""}
        runs = {row.name: self.tuning_run(row, "x1") for row in [self.rows[0], *self.rows] if row.name in costly or
                row is self.rows[0]}
        self.all([(f"tuning, {name}", lambda run=run: run.train(self.commands)) for name, run in runs.items()])
        first = runs[self.rows[0].name]
        self.learning_rate = float(first.setting("lr"))
        for row in self.rows:
            if row.batch != 1:
                row.options = [*row.options, "--batch", str(int(row.batch * int(first.setting("batch"))))]
            if row.compute_of:
                times = runs[row.compute_of].cpu_seconds() / first.cpu_seconds()
                row.options = [*row.options, "--iterations", str(round(int(first.setting("iterations")) * times))]

    def tune(self):
        """The factor of the learning rate of each row."""
        self.settle()
        if self.o.tune == "no":
            return {row.name: "x1" for row in self.rows}
        runs = {(row.name, factor): self.tuning_run(row, factor) for row in self.rows for factor in LEARNING_RATES}
        finite = self.all([((name, factor), lambda run=run: run.train(self.commands))
                           for (name, factor), run in runs.items()])
        chosen = {}
        for row in self.rows:
            scores = {factor: runs[row.name, factor].knn() for factor in LEARNING_RATES if finite[row.name, factor]}
            if not scores:
                raise Failure(f"{row.name}: the loss or a weight is not finite at any of the learning rates")
            chosen[row.name] = max(scores, key=scores.get)
        return chosen

    # Evaluation.

    def unseen_classes(self, seed):
        if self.o.data:
            return ["--data", self.o.unseen] if self.o.unseen else None
        names = {}
        for name in (f"all-classes-{seed}", f"seed-{seed}"):
            with open(self.path("videos", name, "ucfTrainTestlist", "classInd.txt"), encoding="utf-8") as file:
                names[name] = [line.split()[1] for line in file]
        new = [n for n in names[f"all-classes-{seed}"] if n not in names[f"seed-{seed}"]]
        return ["--data", self.path("videos", f"all-classes-{seed}"), "--classes", ",".join(new)]

    def run_of_trial(self, row, seed, factor):
        # A row of a file may name a learning rate of its own, which wins where nothing is tuned.
        tuned = ["--lr", f"{LEARNING_RATES[factor] * self.learning_rate:.6g}"] if self.o.tune == "yes" else []
        return self.run_of(row, seed, "", [*tuned, "--evaluate-every", "0"])

    def measure(self, row, seed, factor):
        """Figures of one run, in percent, and those of random weights."""
        run = self.run_of_trial(row, seed, factor)
        if not run.train(self.commands):
            raise Failure(f"{run.folder}: the loss or a weight is not finite; see {run.file('log')}")
        figures, random = {"CPU s": run.cpu_seconds()}, {}
        sets = {"": ["--data", self.data(seed)], "unseen classes": self.unseen_classes(seed)}
        if not self.o.data:
            sets["faster"] = ["--data", self.data(seed), "--test-data", self.path("videos", f"faster-{seed}")]
        for name, arguments in sets.items():
            if arguments is None:
                continue
            result = run.evaluate(self.commands, folder_name(name) or "evaluation", arguments)
            suffix = ", " + name if name else ""
            for key, value, untrained in (
                    ("linear probe", result["linear"]["value"], result["linear"]["random"]["value"]),
                    ("R@1", result["retrieval"]["value"], result["retrieval"]["random"]["value"]),
                    ("mAP", result["retrieval"]["map"], result["retrieval"]["random_map"])):
                figures[key + suffix], random[key + suffix] = value, untrained
        return figures, random

    def go(self):
        os.makedirs(self.o.out, exist_ok=True)
        with open(self.path("lock"), "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Failure(f"another ablation writes to {self.o.out}") from error
            if not self.o.data:
                self.make_videos()
            chosen = self.tune()
            seeds = range(1, self.o.seeds + 1)
            results = self.all([((row.name, seed), lambda row=row, seed=seed: self.measure(row, seed, chosen[row.name]))
                                for seed in seeds for row in self.rows])
        figures = {table.RANDOM: [results[self.rows[0].name, seed][1] for seed in seeds]}
        for row in self.rows:
            figures[row.name] = [results[row.name, seed][0] for seed in seeds]
        rates = {row.name: self.run_of_trial(row, 1, chosen[row.name]).setting("lr") for row in self.rows}
        with open(self.path("ablation.json"), "w", encoding="utf-8") as file:
            json.dump({"seeds": list(seeds), "learning_rates": rates, "figures": figures}, file, indent=1)
        text = table.markdown(figures, rates, [] if self.o.rows else PAIRS)
        with open(self.path("ablation.md"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(self.path("ablation.svg"), "w", encoding="utf-8") as file:
            file.write(table.plot(figures))
        print(text, end="")
        self.say(f"table: {self.path('ablation.md')}; plot: {self.path('ablation.svg')}")


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text}")
    return int(text)


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="tools/ablation.sh", description=__doc__.split("\n\n")[0],
        epilog=__doc__.split("\n\n")[1], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set to train and evaluate on; by default videos of `mcn synth`, others for "
                                       "every seed, and evaluations on unseen classes and at another speed")
    parser.add_argument("--unseen", metavar="DATA", help="with --data: a data set of other classes to evaluate on, too")
    parser.add_argument("--rows", metavar="FILE", help='other settings to compare: JSON, {"name": ["--option", "value"], ...};'
                                                       " the others are compared with the first")
    parser.add_argument("--tune", choices=["yes", "no"], default="yes", help="whether the learning rate is tuned (yes)")
    parser.add_argument("--seeds", type=positive, default=5, help="of training; fewer than 5 give no verdict (5)")
    parser.add_argument("--out", default="ablation", help="folder of everything (ablation)")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count(), help="runs at a time (one a core)")
    parser.add_argument("--mcn", default=os.path.join(HERE, "..", "..", "build", "mcn"), help="the command (build/mcn)")
    parser.add_argument("base", nargs="*", metavar="-- TRAIN-OPTION",
                        help="options of `mcn train` for every run (--preset tiny)")
    options = parser.parse_args(arguments)
    options.base = options.base or ["--preset", "tiny"]
    if not os.access(options.mcn, os.X_OK):
        parser.error(f"no command {options.mcn}: build it first, see docs/install.md")
    if options.unseen and not options.data:
        parser.error("--unseen is for --data: the synthetic videos have unseen classes of their own")
    try:
        Trial(options).go()
    except Stopped:
        print("ablation: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except (Failure, OSError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
