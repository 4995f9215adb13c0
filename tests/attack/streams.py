"""Standard streams that are closed, full, or pipes without another end, for every command.

streams  COMMAND:STREAMS:STATE   STREAMS: in, out, err, both (out and err), all; STATE: closed, full, pipe
No exit code changes, but that of a command whose result is on stdout and could not be written, which is 3. What a
command writes into files is the same.
"""

import os

import trial
from trial import IDENTICAL, LAST, REFUSED, Failure

STREAMS = {"in": (0,), "out": (1,), "err": (2,), "both": (1, 2), "all": (0, 1, 2)}
STATES = ("closed", "full", "pipe")


def commands(lab):
    """Name: (arguments, whether the result is on stdout, what is written)."""
    data = ["--data", lab.data]
    network = [*data, "--checkpoint", LAST, "--clips", 1, "--threads", 1, "--loader-threads", 1, "--index-cache",
               "cache"]
    video = min(path for path in lab.data.rglob("*") if path.suffix in (".avi", ".mp4", ".mkv", ".webm", ".mov"))
    return {
        "help": (["--help"], True, None),
        "version": (["--version"], True, None),
        "help-train": (["help", "train"], True, None),
        "devices": (["devices"], True, None),
        "completion": (["completion", "bash"], True, None),
        "inspect": (["inspect", video], True, None),
        "gradcheck": (["gradcheck", "--dtype", "f32", "--quick", "--threads", 1], True, None),
        "bench-decode": (["bench", "decode", video, "--skip-bad", "--clips", 1], True, None),
        "bench-train": (["bench", "train", "--iterations", 1, "--width", .05, "--size", 16, "--frames", 2,
                         "--threads", 1], True, None),
        "audit": (["audit", *data, "--frames", 4, "--threads", 1], True, None),
        "evaluate": (["evaluate", *network], True, None),
        "dry-run": ([*lab.train(), "--dry-run"], True, None),
        "train": (lab.train(), False, "run"),
        "resume": (lab.train(resume=True), False, "run"),
        "finetune": (["finetune", *network, "--out", "tuned", "--epochs", 1, "--held-out", 50], False, None),
        "embed": (["embed", *network, "--out", "out.npz"], False, "out.npz"),
        "export": (["export", "--checkpoint", LAST, "--out", "out.safetensors"], False, "out.safetensors"),
        "frames": (["frames", video, "--at", "0,3", "--out", "out.npy"], False, "out.npy"),
        "report": (["report", "run", "--out", "page.html", "--pictures", "no"], False, None),
        "synth": (["synth", "--out", "videos", "--classes", 2, "--train", 2, "--test", 2, "--frames", 4, "--height", 32,
                   "--width", 32, "--threads", 1], False, "videos"),
        "unknown": (["frobnicate"], False, None),
        "incomplete": (["bench"], False, None),
        "grad": (["grad", "--problem", "missing", "--out", "out.grad"], False, None),
        "no-data": (["train", "--data", "missing", "--out", "run"], False, None),
    }


class Streams:
    def __init__(self):
        self.sound = {}  # by the name of a command: how it ends where its streams are sound, and what it writes

    def trials(self, lab, rng):
        groups = [[f"{name}:{streams}:{state}" for streams in STREAMS for state in STATES] for name in commands(lab)]
        return trial.spread(groups, rng)

    def folder(self, lab, name):
        return lab.folder(like=None if name == "train" else lab.base)

    def run(self, lab, arguments):
        name, which, state = arguments.split(":")
        command, result_on_stdout, product = commands(lab)[name]
        if name not in self.sound:
            folder = self.folder(lab, name)
            ended = lab.run(command, folder)
            lab.alive(ended)
            if ended.code not in (0, 2, 3):
                raise Failure(f"with sound streams: exit code {ended.code}: {ended.last_line()}")
            self.sound[name] = ended.code, contents(folder, product)
        code, product_then = self.sound[name]
        folder = self.folder(lab, name)
        ended = disturbed(lab, command, folder, STREAMS[which], state)
        lab.alive(ended)
        lost = result_on_stdout and code == 0 and 1 in STREAMS[which]
        if ended.code != (3 if lost else code):
            raise Failure(f"exit code {ended.code}, expected {3 if lost else code}: {ended.last_line()}")
        if name in ("train", "resume"):
            lab.compare(folder)
        elif contents(folder, product) != product_then:
            raise Failure(f"{product} is another one")
        if code != 0 or lost:
            if 2 not in STREAMS[which] and name != "incomplete":  # which shows how it is used
                lab.refusal(ended)
            return REFUSED
        return IDENTICAL


def disturbed(lab, command, folder, descriptors, state):
    streams, ours = {}, []
    names = {0: "stdin", 1: "stdout", 2: "stderr"}
    for descriptor in descriptors:
        if state == "full":
            streams[names[descriptor]] = os.open("/dev/full", os.O_RDWR)
        elif state == "pipe":
            reader, writer = os.pipe()
            streams[names[descriptor]], other = (reader, writer) if descriptor == 0 else (writer, reader)
            os.close(other)
    ours = list(streams.values())

    def close():
        for descriptor in descriptors:
            os.close(descriptor)
    try:
        return lab.run(command, folder, **streams, **({"preexec_fn": close} if state == "closed" else {}))
    finally:
        for descriptor in ours:
            os.close(descriptor)


def contents(folder, product):
    """Names and bytes of what a command has written; videos alone, of a run nothing (it is compared in another way)."""
    if product is None or product == "run":
        return None
    path = folder / product
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [(str(p.relative_to(folder)), p.read_bytes()) for p in files]


KINDS = {"streams": Streams()}
