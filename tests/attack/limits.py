"""What surrounds a process: limits of the system and signals.

limits   SCENARIO:as:MIB          RLIMIT_AS: address space
         SCENARIO:nofile:N        RLIMIT_NOFILE: open files
         SCENARIO:fsize:BYTES     RLIMIT_FSIZE: the largest file
         SCENARIO:nproc:N         RLIMIT_NPROC: threads of the user, who must not be root
signals  SCENARIO:NAME:SHARE      a signal after that share (in thousandths) of an undisturbed run's time
         SCENARIO:ignored:SHARE   SIGINT, SIGHUP and SIGUSR1, which the process was told to ignore
         SCENARIO:again:SHARE     SIGHUP twenty times, as closing terminals do
         SCENARIO:stopped:SHARE   SIGSTOP for longer than --decode-timeout, then SIGCONT
"""

import os
import resource
import shutil
import signal
import time

import trial
from faults import SCENARIOS, begin
from trial import REFUSED, Failure, Skipped

NOBODY = 65534
MIB = 1 << 20
LOADER = "error while loading shared libraries"


def limited(kind, value):
    """What a child does before it becomes the command."""
    def prepare():
        limit = {"as": resource.RLIMIT_AS, "nofile": resource.RLIMIT_NOFILE, "fsize": resource.RLIMIT_FSIZE,
                 "nproc": resource.RLIMIT_NPROC}[kind]
        resource.setrlimit(limit, (value, value))
        if kind == "nproc" and os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    return prepare


class Limits:
    def trials(self, lab, rng):
        largest = max(path.stat().st_size for path in (lab.undisturbed / "run").iterdir() if path.is_file())
        # A sanitizer needs terabytes of address space.
        memory = range(0) if lab.sanitized else range(*self.address_space(lab))
        groups = []
        for scenario in SCENARIOS:
            groups += 2 * [[f"{scenario}:as:{n}" for n in memory]]
            groups.append([f"{scenario}:nofile:{n}" for n in range(4, 24)])
            groups.append([f"{scenario}:fsize:{n}" for n in rng.sample(range(largest + 4096), 1000)])
            groups.append([f"{scenario}:nproc:{n}" for n in range(1, 5)])
        return trial.spread(groups, rng)

    @staticmethod
    def address_space(lab):
        """MiB: about the least in which the command starts, and somewhat more than a training needs."""
        def smallest(low, high, step, arguments):
            while low + step < high:
                middle = (low + high) // 2
                ended = lab.run(arguments, lab.folder(), preexec_fn=limited("as", middle * MIB))
                low, high = (low, middle) if ended.code == 0 else (middle, high)
            return high
        least = smallest(0, 2048, 4, ["--version"])
        return least, smallest(least, 2048, 32, lab.train()) + 32

    def run(self, lab, arguments):
        scenario, kind, value = arguments.split(":")
        folder, training = begin(lab, scenario)
        value = int(value) * (MIB if kind == "as" else 1)
        if kind == "nproc" and os.getuid() == 0:
            lab.work.chmod(0o755)
            for path in [folder, *folder.rglob("*")]:
                shutil.chown(path, NOBODY, NOBODY)
        try:
            ended = lab.run(training, folder, preexec_fn=limited(kind, value))
        except PermissionError as error:
            raise Skipped(f"the user of --kinds limits cannot run the command: {error}") from None
        if ended.code == 127 and LOADER in ended.err:
            lab.recover(folder)  # before main(), by the loader, with its own line
            return REFUSED
        return lab.judge_training(ended, folder)


STOPPING = ("TERM", "HUP", "INT", "USR1", "XCPU")


class Signals:
    def trials(self, lab, rng):
        groups = []
        for scenario in SCENARIOS:
            for name in (*STOPPING, "ignored", "again", "stopped"):
                groups.append([f"{scenario}:{name}:{rng.randrange(1000)}" for _ in range(500)])
        return trial.spread(groups, rng)

    def run(self, lab, arguments):
        scenario, name, share = arguments.split(":")
        folder, training = begin(lab, scenario)
        more = {}
        if name == "ignored":
            more["preexec_fn"] = lambda: [signal.signal(n, signal.SIG_IGN) for n in
                                          (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)]
        if name == "stopped":
            training += ["--decode-timeout", 1]
        began = time.monotonic()
        process = lab.start(training, folder, **more)
        time.sleep(lab.seconds * int(share) / 1000)
        sent = self.send(process, name)
        ended = lab.finish(process, began)
        if name in ("ignored", "stopped"):
            if ended.code != 0:
                lab.alive(ended)
                raise Failure(f"exit code {ended.code}: {ended.last_line()}")
            return lab.judge_training(ended, folder)
        if ended.code == -sent and not ended.out:
            lab.recover(folder)  # training had not begun: the signal did what it does to every program
            return REFUSED
        if ended.code == 128 + sent and "go on with --resume " in ended.err:
            lab.recover(folder)
            return REFUSED
        if ended.code == 128 + sent and lab.had_checkpoint is False and not lab.has_checkpoint(folder):
            lab.refusal(ended, (128 + sent,))
            lab.recover(folder)
            return REFUSED
        lab.alive(ended)
        if ended.code != 0:
            raise Failure(f"exit code {ended.code}, expected {128 + sent} after a checkpoint: {ended.last_line()}")
        return lab.judge_training(ended, folder)

    @staticmethod
    def send(process, name):
        """Sends what the name of a trial says; the number of the signal that asks for an end."""
        def to(number):
            if process.poll() is None:
                process.send_signal(number)
        if name == "ignored":
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                to(number)
            return 0
        if name == "stopped":
            to(signal.SIGSTOP)
            time.sleep(2.5)
            to(signal.SIGCONT)
            return 0
        if name == "again":
            for _ in range(20):
                to(signal.SIGHUP)
            return signal.SIGHUP
        number = getattr(signal, "SIG" + name)
        to(number)
        return number


KINDS = {"limits": Limits(), "signals": Signals()}
