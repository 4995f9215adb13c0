"""What the trials of all kinds share: a small training, runs of the command, and the judgement of their ends.

Every trial has one of three ends. IDENTICAL: the bytes of an undisturbed run. REFUSED: a line with a prefix, a
documented exit code, and what was there before still leads to the bytes of an undisturbed run. Anything else raises
Failure.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import struct
import subprocess
import time

IDENTICAL, REFUSED = "identical", "refused"

# Calls that faults.cpp counts, in its order.
CALLS = ("open", "read", "write", "sync", "close", "rename", "link", "unlink", "mkdir", "list", "stat", "seek", "lock",
         "file", "map", "thread", "malloc", "large")
# Figures of metrics.jsonl that tell of time and of the machine.
TIMINGS = {"time", "seconds", "clips_per_second", "wait_seconds", "waited_share", "decode_seconds",
           "clip_decode_seconds", "ring_ready", "resident_mib", "tensors_mib", "curvature_seconds"}
ITERATIONS, BASE = 4, 2
LAST = "run/last.safetensors"
TEMPORARY = "*.tmp-*"


class Failure(Exception):
    """An end that no trial may have."""


class Skipped(Exception):
    """What this machine cannot try."""


class Ended:
    """How a run of the command ended. code: as subprocess has it, negative for a signal; None: it hung."""

    def __init__(self, code, out, err, seconds, counts, log):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.counts, self.log = counts, log

    @property
    def failed_calls(self):
        return self.counts[-1]

    def last_line(self):
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Lab:
    """A data set, an undisturbed training on it, and a folder for every trial."""

    def __init__(self, mcn, library, work, keep=False):
        self.mcn, self.library, self.work = str(pathlib.Path(mcn).resolve()), library, pathlib.Path(work)
        self.keep = keep
        self.work.mkdir(exist_ok=True)
        self.data = self.work / "data"
        self.commands = []  # those of the trial under way, as a shell would take them
        self.number = 0
        self.sanitized = b"__asan_init" in pathlib.Path(self.mcn).read_bytes()
        self.undisturbed = self.work / "undisturbed"
        self.base = self.work / "base"
        self.limit = 600.0
        self.make()

    def make(self):
        self.must("synth", "--out", self.data, "--classes", 2, "--train", 8, "--test", 4, "--frames", 8, "--height", 32,
                  "--width", 32, "--threads", 1, folder=self.work)
        for folder in (self.undisturbed, self.base):
            folder.mkdir()
        begun = self.must(*self.train(), folder=self.undisturbed)
        # A run that hangs is told from one on a busy machine.
        self.limit = max(60.0, 30 * begun.seconds)
        self.seconds = begun.seconds
        self.must(*self.train(iterations=BASE), folder=self.base)
        again = self.folder("again", self.base)
        self.must(*self.train(resume=True), folder=again)
        self.compare(again)

    # ---- the command

    def train(self, resume=False, iterations=ITERATIONS, data=None):
        """Arguments of a training that is as short as it can be and yet has all that a checkpoint holds."""
        return ["train", "--data", data or self.data, "--out", "run", "--preset", "tiny", "--arch", "r2plus1d_10",
                "--width", .05, "--size", 16, "--resize-height", 18, "--resize-width", 24, "--frames", 4, "--stride", 1,
                "--batch", 4, "--method", "mcn", "--order", 2, "--first-order-for", 0, "--curvature-every", 2,
                "--feature-size", 16, "--bank", "memory", "--bank-size", 16, "--warmup", 0, "--schedule", "constant",
                "--evaluate-every", 0, "--checkpoint-every", 1, "--threads", 1, "--loader-threads", 1,
                "--index-cache", "cache", "--report", "curves", "--iterations", iterations,
                *(["--resume", LAST] if resume else [])]

    def folder(self, name="trial", like=None):
        """A new folder for a trial, or a copy of `like`. That of the trial before is removed."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        if like is None:
            folder.mkdir()
        else:
            shutil.copytree(like, folder, symlinks=True)
        self.had_checkpoint = self.has_checkpoint(folder)
        return folder

    def environment(self, attack, counts, log):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MCN_")}
        environment["OMP_NUM_THREADS"] = "1"
        # An exit code of its own; memory that is refused is NULL, as without the sanitizer.
        environment["ASAN_OPTIONS"] = ("detect_leaks=0:exitcode=99:allocator_may_return_null=1:"
                                       "verify_asan_link_order=0")
        environment["UBSAN_OPTIONS"] = "halt_on_error=1:exitcode=99"
        if attack is not None:
            environment.update(LD_PRELOAD=str(self.library), MCN_ATTACK_COUNTS=str(counts), MCN_ATTACK_LOG=str(log))
            if attack:
                environment["MCN_ATTACK"] = attack
        return environment

    def start(self, arguments, folder, attack=None, wrap=(), **more):
        """Starts `mcn ARGUMENTS` in the folder. attack: "" only counts and logs, else what faults.cpp takes."""
        counts, log = self.work / "counts", self.work / "log"
        counts.write_bytes(bytes(8 * (len(CALLS) + 1)))
        log.unlink(missing_ok=True)
        environment = self.environment(attack, counts, log)
        if wrap:  # strace, which gives these to the command and stays without them
            wrap = [*wrap, *(word for name in list(environment) if name.startswith(("LD_PRELOAD", "MCN_ATTACK"))
                             for word in ("-E", f"{name}={environment.pop(name)}"))]
        command = [*map(str, wrap), self.mcn, *map(str, arguments)]
        shown = [f"{name}={shlex.quote(environment[name])}" for name in ("LD_PRELOAD", "MCN_ATTACK")
                 if name in environment]
        self.commands.append(" ".join(["cd", shlex.quote(str(folder)), "&&", *shown, shlex.join(command)]))
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        # In a group of its own, which can be killed with all that is in it (strace and what it traces).
        return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **options)

    def finish(self, process, began):
        try:
            out, err = process.communicate(timeout=self.limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            code = None
        except BaseException:  # the trials are stopped
            os.killpg(process.pid, signal.SIGKILL)
            raise
        counts = list(struct.unpack(f"{len(CALLS) + 1}Q", (self.work / "counts").read_bytes()))
        log = self.work / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return Ended(code, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"),
                     time.monotonic() - began, counts, lines)

    def run(self, arguments, folder, attack=None, **more):
        began = time.monotonic()
        return self.finish(self.start(arguments, folder, attack, **more), began)

    def must(self, *arguments, folder):
        ended = self.run(arguments, folder)
        if ended.code != 0:
            raise Failure(f"an undisturbed run: exit code {ended.code}: {ended.err[-2000:]}")
        return ended

    # ---- judgement

    def alive(self, ended):
        """It came to an end of its own, and no sanitizer has found anything."""
        if ended.code is None:
            raise Failure(f"hangs: no end after {self.limit:.0f} s: {ended.last_line()}")
        for word in ("AddressSanitizer", "runtime error:", "terminate called"):
            if word in ended.err:
                at = ended.err.index(word)
                raise Failure(f"{ended.err[at:at + 300]!r}")
        if ended.code < 0:
            raise Failure(f"ended by {signal.Signals(-ended.code).name}: {ended.last_line()}")

    def refusal(self, ended, codes=(1, 2, 3, 4, 5)):
        """A documented exit code with a line that tells why."""
        if ended.code not in codes:
            raise Failure(f"exit code {ended.code}, expected one of {codes}: {ended.last_line()}")
        found = re.findall(r"^(?:.*\r)?mcn: \[([^\]]+)\] \S.*$", ended.err, re.MULTILINE)
        if not found:
            raise Failure(f"exit code {ended.code} without a line with a prefix: {ended.last_line()!r}")
        if "internal" in found:
            raise Failure(f"exit code {ended.code}, and the line is not meant for users: {ended.last_line()}")

    def compare(self, folder):
        """The folder of a finished training is that of an undisturbed one."""
        for name in (LAST, "run/metrics.jsonl"):
            if not (folder / name).exists():
                raise Failure(f"exit code 0, and {name} is missing")
        if (folder / LAST).read_bytes() != (self.undisturbed / LAST).read_bytes():
            raise Failure(f"exit code 0, and another checkpoint: {difference(folder / LAST, self.undisturbed / LAST)}")
        got, expected = metrics(folder), metrics(self.undisturbed)
        if got != expected:
            raise Failure(f"exit code 0, and other metrics: {len(got)} lines: " +
                          "; ".join(f"{a} for {b}" for a, b in zip(changed(got), changed(expected)) if a != b)[:300])
        bad = folder / "run/bad_videos.jsonl"
        if bad.exists() and bad.stat().st_size > 0:
            raise Failure(f"a sound video is listed as bad: {bad.read_text(errors='replace')[:300]}")
        self.compare_cache(folder)

    def compare_cache(self, folder):
        """What the cache of frame indices holds is true: a wrong entry would change every later run."""
        differs = []
        for file in (folder / "cache").rglob("*") if (folder / "cache").exists() else ():
            other = self.undisturbed / file.relative_to(folder)
            if file.is_file() and ".tmp-" not in file.name:
                if not other.exists() or other.read_bytes() != file.read_bytes():
                    differs.append(file.name)
        if not differs:
            return
        # A file may be indexed in two ways that say the same; so a new run must be the same with them.
        had_checkpoint = self.had_checkpoint
        proof = self.folder("proof")
        shutil.copytree(folder / "cache", proof / "cache")
        ended = self.run(self.train(), proof)
        self.had_checkpoint = had_checkpoint
        if ended.code != 0 or metrics(proof) != metrics(self.undisturbed):
            raise Failure(f"the cache holds a wrong index, {', '.join(differs)}: a new run with it has exit code "
                          f"{ended.code}: {ended.last_line()}")

    def has_checkpoint(self, folder):
        return any((folder / "run").glob("last*.safetensors"))

    def recover(self, folder):
        """Goes on from what the trial has left, as a user would; the end must be that of an undisturbed run."""
        there = self.has_checkpoint(folder)
        if self.had_checkpoint and not there:
            raise Failure("the checkpoint that was there is gone")
        again = self.run(self.train(resume=there), folder)
        self.alive(again)
        if again.code != 0:
            raise Failure(f"what is left cannot go on: exit code {again.code}: {again.last_line()}")
        try:
            self.compare(folder)
        except Failure as failure:
            raise Failure(f"after it, resumed: {failure}") from None
        self.tidy(folder)

    def tidy(self, folder):
        left = [str(path.relative_to(folder)) for path in folder.rglob(TEMPORARY)]
        if left:
            raise Failure(f"left behind after the next run: {', '.join(left)}")

    def judge_training(self, ended, folder, codes=(1, 2, 3, 4, 5)):
        """The end of a training that was disturbed."""
        self.alive(ended)
        if ended.code == 0:
            self.compare(folder)
            if any(folder.rglob(TEMPORARY)):
                self.run(self.train(resume=True), folder)
                self.tidy(folder)
            return IDENTICAL
        self.refusal(ended, codes)
        self.recover(folder)
        return REFUSED


def metrics(folder):
    """Lines of metrics.jsonl without what tells of time."""
    lines = []
    for line in (folder / "run/metrics.jsonl").read_text(errors="replace").splitlines():
        try:
            lines.append({key: value for key, value in json.loads(line).items() if key not in TIMINGS})
        except (ValueError, AttributeError):
            lines.append({"damaged": line[:80]})
    return lines


def changed(lines):
    return [json.dumps(line, sort_keys=True)[:120] for line in lines]


def difference(a, b):
    """How many bytes of two files differ, and where first."""
    a, b = a.read_bytes(), b.read_bytes()
    places = [i for i, (x, y) in enumerate(zip(a, b)) if x != y]
    return f"{len(a)} bytes for {len(b)}, {len(places)} differ" + (f", from {places[0]} on" if places else "")


def spread(groups, rng):
    """Takes from groups in turn, so that a run of any length has tried something of each. Lists are shuffled."""
    queues = [iter(rng.sample(group, len(group))) if isinstance(group, (list, range)) else group for group in groups]
    rng.shuffle(queues)
    while queues:
        for queue in list(queues):
            try:
                yield next(queue)
            except StopIteration:
                queues.remove(queue)


def say(text):
    print(text, flush=True)
