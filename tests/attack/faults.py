"""Calls that fail, and a process that is killed, at every moment of a short training. All by the library of faults.cpp.

faults       SCENARIO:CALL:WHAT:N:TIMES   call number N of a kind fails by an errno, or moves half of the bytes
allocations  SCENARIO:CALL:N:TIMES        allocation number N is refused
kills        SCENARIO:at:N                SIGKILL before operation N on a file
             SCENARIO:moments:SEED        SIGKILL at random moments, up to three times in a row
SCENARIO is `start`, a new run that indexes its videos, or `resume`, which goes on from a checkpoint. TIMES is 0 for all
calls from number N on. Threads may take turns in another way when a trial is repeated; one of them reads the videos.
"""

import errno
import os
import random
import re
import signal
import time

import trial
from trial import IDENTICAL, REFUSED, Failure

SCENARIOS = ("start", "resume")
# What the kernel may answer. EINTR comes now and then, but not for ever. "half": fewer bytes than asked for.
ANSWERS = {
    "open": ("EMFILE", "ENFILE", "ENOMEM", "EIO", "EACCES", "EINTR"),
    "read": ("EIO", "ENOMEM", "EINTR", "half"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR", "half"),
    "sync": ("EIO", "ENOSPC", "EINTR"),
    "close": ("EIO", "ENOSPC", "EINTR"),
    "rename": ("EIO", "ENOSPC", "EACCES"),
    "link": ("EPERM", "EMLINK", "EIO"),
    "unlink": ("EIO", "EACCES"),
    "mkdir": ("ENOSPC", "EACCES", "EIO"),
    "list": ("EIO", "ENOMEM"),
    "stat": ("EIO", "ENOMEM", "EACCES"),
    "seek": ("EIO",),
    "lock": ("ENOLCK", "EINTR"),
    "map": ("ENOMEM", "EAGAIN"),
    "thread": ("EAGAIN", "ENOMEM"),
}
# How often; 0: from then on.
TIMES = {"EINTR": (1, 5)}
ALLOCATORS = ("malloc", "large")


def begin(lab, scenario):
    """A folder and the arguments of the training in it."""
    return lab.folder(like=None if scenario == "start" else lab.base), lab.train(resume=scenario == "resume")


def calls(lab, scenario):
    """How often an undisturbed training makes each kind of call, and the numbers of calls by kind and file."""
    folder, arguments = begin(lab, scenario)
    ended = lab.run(arguments, folder, attack="")
    if ended.code != 0:
        raise Failure(f"an undisturbed run under the library of faults: exit code {ended.code}: {ended.err[-2000:]}")
    lab.compare(folder)
    if ended.counts[trial.CALLS.index("open")] == 0:
        raise trial.Skipped("the library sees no calls of this program")
    numbers = {}
    for line in ended.log:
        word, call, number, path = (line.split(" ", 3) + [""] * 3)[:4]
        if word == "call":
            numbers.setdefault(call, {}).setdefault(file_of(path, lab), []).append(int(number))
    return dict(zip(trial.CALLS, ended.counts)), numbers


def file_of(path, lab):
    """What a path stands for: one video is like another, and a file like the temporary one that takes its place."""
    name = re.sub(r"\.tmp-.*$", "", os.path.basename(path))
    if path.startswith(("/proc", "/sys")):
        return "the system"
    return os.path.splitext(name)[1] if path.startswith(str(lab.data)) or name.endswith(".index") else name


class Faults:
    def trials(self, lab, rng):
        groups = []
        for scenario in SCENARIOS:
            counts, numbers = calls(lab, scenario)
            for call, answers in ANSWERS.items():
                # Most writes are of checkpoints: every file has its turn.
                files = list(numbers.get(call, {"all": range(1, counts[call] + 1)}).values())
                groups += [trial.spread([[f"{scenario}:{call}:{answer}:{n}:{times}" for n in file
                                          for times in TIMES.get(answer, (1, 0))] for file in files], rng)
                           for answer in answers]
        return trial.spread(groups, rng)

    def run(self, lab, arguments):
        scenario, call, answer, n, times = arguments.split(":")
        number = 0 if answer == "half" else getattr(errno, answer)
        folder, training = begin(lab, scenario)
        ended = lab.run(training, folder, attack=f"{call} {number} {n} {times}")
        bad = folder / "run/bad_videos.jsonl"
        if ended.code == 3 and answer == "EACCES" and bad.exists() and bad.stat().st_size > 0:
            # A file that may not be read is the data set's fault, and stays listed.
            lab.refusal(ended)
            return REFUSED
        return lab.judge_training(ended, folder)


class Allocations:
    def trials(self, lab, rng):
        groups = []
        for scenario in SCENARIOS:
            counts, _ = calls(lab, scenario)
            for call in ALLOCATORS:
                last = counts[call]
                for times in (1, 0):
                    groups.append([f"{scenario}:{call}:{n}:{times}" for n in range(1, last + 1)])
                    # The beginning, where all kinds of things are made once, would drown in the rest.
                    groups.append([f"{scenario}:{call}:{n}:{times}" for n in range(1, min(last, 4000) + 1)])
        return trial.spread(groups, rng)

    def run(self, lab, arguments):
        scenario, call, n, times = arguments.split(":")
        folder, training = begin(lab, scenario)
        return lab.judge_training(lab.run(training, folder, attack=f"{call} {errno.ENOMEM} {n} {times}"), folder)


class Kills:
    def trials(self, lab, rng):
        operations = {scenario: calls(lab, scenario)[0]["file"] for scenario in SCENARIOS}
        groups = [[f"{scenario}:at:{n}" for n in range(1, last + 1)] for scenario, last in operations.items()]
        groups += [[f"{scenario}:moments:{rng.randrange(10**6)}" for _ in range(1000)] for scenario in SCENARIOS]
        return trial.spread(groups, rng)

    def run(self, lab, arguments):
        scenario, how, value = arguments.split(":")
        folder, training = begin(lab, scenario)
        if how == "at":
            ended = lab.run(training, folder, attack=f"file kill {value} 1")
            if ended.code == 0:  # threads have taken turns in another way, with fewer operations
                lab.compare(folder)
                return IDENTICAL
            self.killed(lab, ended)
        else:
            rng = random.Random(int(value))
            for _ in range(rng.randint(1, 3)):
                began = time.monotonic()
                process = lab.start(lab.train(resume=lab.has_checkpoint(folder)), folder)
                time.sleep(rng.uniform(0, 1.1 * lab.seconds))
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGKILL)
                ended = lab.finish(process, began)
                if ended.code != 0:
                    self.killed(lab, ended)
                lab.had_checkpoint = lab.had_checkpoint or lab.has_checkpoint(folder)
        lab.recover(folder)
        return IDENTICAL

    @staticmethod
    def killed(lab, ended):
        if ended.code != -signal.SIGKILL:
            lab.alive(ended)
            raise Failure(f"exit code {ended.code} before it could be killed: {ended.last_line()}")


KINDS = {"faults": Faults(), "allocations": Allocations(), "kills": Kills()}
