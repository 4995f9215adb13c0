"""Damaged files: a bit that is flipped, a file cut off, a block of zeros, bytes after the end.

flips  checkpoint:USE:HOW:PLACE   USE: `alone`, `kept` (the one before it is there, too), `export`
       index:NUMBER:HOW:PLACE     an entry of the cache of frame indices, by its place in the order of names
       metrics:-:HOW:PLACE        metrics.jsonl of a run that goes on
       report:FILE:HOW:PLACE      a file of a run's folder, shown by `mcn report`
HOW is bit, cut, zeros (64 bytes) or more (bytes of text after the end); PLACE is a bit's number, else a byte's.
"""

import json

import trial
from trial import IDENTICAL, LAST, REFUSED, Failure

METRICS = "run/metrics.jsonl"
HOW = ("bit", "bit", "bit", "cut", "zeros", "more")
REPORTED = ("config.toml", "metrics.jsonl", "last.safetensors")


def damaged(data, how, place):
    """The bytes of a file after what happened to it."""
    data = bytearray(data)
    if how == "bit":
        data[place // 8] ^= 1 << place % 8
    elif how == "cut":
        del data[place:]
    elif how == "zeros":
        data[place:place + 64] = bytes(len(data[place:place + 64]))
    elif how == "more":
        data += b"more" * (1 + place % 16)
    return bytes(data)


def damage(file, how, place):
    before = file.read_bytes()
    file.write_bytes(damaged(before, how, place))
    return before


class Flips:
    def trials(self, lab, rng):
        names = [[f"checkpoint:{use}"] for use in ("alone", "kept", "export")]
        names += [[f"index:{i}" for i in range(len(self.entries(lab.base)))], ["metrics:-"],
                  [f"report:{name}" for name in REPORTED]]
        groups = []
        for group in names:
            for how in HOW:
                groups.append([f"{name}:{how}:{place}" for name in group for place in self.places(lab, name, how, rng)])
        return trial.spread(groups, rng)

    def places(self, lab, name, how, rng):
        """Where a file is damaged. Every bit would be millions: as many as there is ever time for."""
        what, _, which = name.partition(":")
        file = {"checkpoint": lambda: lab.base / LAST, "index": lambda: self.entries(lab.base)[int(which)],
                "metrics": lambda: lab.base / METRICS, "report": lambda: lab.base / "run" / which}[what]()
        last = file.stat().st_size * (8 if how == "bit" else 1)
        some = rng.sample(range(last), min(20000, last))
        if what == "checkpoint" and how == "bit":
            # The header is a small part of the file, and most of what its bits can do is not in the rest.
            header = 8 * (8 + int.from_bytes(file.read_bytes()[:8], "little"))
            some = [place if i % 2 else rng.randrange(header) for i, place in enumerate(some)]
        return some

    @staticmethod
    def entries(folder):
        return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())

    def run(self, lab, arguments):
        what, name, how, place = arguments.split(":")
        return getattr(self, what)(lab, name, how, int(place))

    def checkpoint(self, lab, use, how, place):
        folder = lab.folder(like=lab.base)
        before = damage(folder / LAST, how, place)
        if (folder / LAST).read_bytes() == before:
            return IDENTICAL  # zeros over zeros
        if use == "export":
            return self.export(lab, folder, before)
        kept = [path for path in (folder / "run").glob("last-*.safetensors")]
        if use == "alone":
            for path in kept:
                path.unlink()
        after = (folder / LAST).read_bytes()
        ended = lab.run(lab.train(resume=True), folder)
        lab.alive(ended)
        if ended.code == 0:
            lab.compare(folder)
            # Another one has been used then, or the damage is none. Both have to be said.
            if LAST not in ended.err:
                raise Failure("exit code 0, and nothing is said of the damage")
            return IDENTICAL
        lab.refusal(ended)
        if use == "kept" and kept:
            raise Failure(f"the sound checkpoint before it is not used: {ended.last_line()}")
        if (folder / LAST).read_bytes() != after:
            raise Failure("refused, and the checkpoint is another one now")
        (folder / LAST).write_bytes(before)
        lab.recover(folder)
        return REFUSED

    @staticmethod
    def export(lab, folder, sound):
        ended = lab.run(["export", "--checkpoint", LAST, "--out", "damaged.safetensors"], folder)
        lab.alive(ended)
        if ended.code != 0:
            lab.refusal(ended)
            if (folder / "damaged.safetensors").exists():
                raise Failure("refused, and a file is there")
            return REFUSED
        (folder / LAST).write_bytes(sound)
        lab.must("export", "--checkpoint", LAST, "--out", "sound.safetensors", folder=folder)
        a, b = folder / "damaged.safetensors", folder / "sound.safetensors"
        if a.read_bytes() != b.read_bytes():
            raise Failure(f"another network, without a word: {trial.difference(a, b)}")
        return IDENTICAL

    def index(self, lab, number, how, place):
        folder = lab.folder(like=lab.base)
        damage(self.entries(folder)[int(number)], how, place)
        return lab.judge_training(lab.run(lab.train(resume=True), folder), folder)

    def metrics(self, lab, _, how, place):
        """A damaged line may go, which is said; nothing checks a figure that became another one."""
        folder = lab.folder(like=lab.base)
        before = damage(folder / METRICS, how, place)
        left = readable(folder)
        ended = lab.run(lab.train(resume=True), folder)
        lab.alive(ended)
        if ended.code != 0:
            lab.refusal(ended)
            (folder / METRICS).write_bytes(before)
            lab.recover(folder)
            return REFUSED
        if (folder / LAST).read_bytes() != (lab.undisturbed / LAST).read_bytes():
            raise Failure("exit code 0, and another checkpoint")
        got, truth = trial.metrics(folder), trial.metrics(lab.undisturbed)
        if any("damaged" in line for line in got):
            raise Failure("exit code 0, and a damaged line is kept")
        numbers = [line.get("iteration") for line in got]
        if any(type(n) is not int for n in numbers) or numbers != sorted(set(numbers)):
            raise Failure(f"exit code 0, and iterations {numbers}")
        kept, new = got[:-2] if len(got) >= 2 else [], got[-2:]
        if new != truth[trial.BASE:]:
            raise Failure("exit code 0, and other metrics of the new iterations")
        if any(line not in left for line in kept):
            raise Failure("exit code 0, and a line that was not there")
        if len(kept) < trial.BASE and "metrics.jsonl" not in ended.err:
            raise Failure(f"{trial.BASE - len(kept)} lines are gone, without a word")
        return IDENTICAL if got == truth else REFUSED

    @staticmethod
    def report(lab, name, how, place):
        folder = lab.folder(like=lab.base)
        damage(folder / "run" / name, how, place)
        ended = lab.run(["report", "run", "--out", "page.html", "--pictures", "no"], folder)
        lab.alive(ended)
        if ended.code == 0:
            return IDENTICAL
        lab.refusal(ended, (3,))
        return REFUSED


def readable(folder):
    """Lines of metrics.jsonl that are objects."""
    lines = []
    for line in (folder / METRICS).read_bytes().split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append({key: v for key, v in value.items() if key not in trial.TIMINGS})
    return lines


KINDS = {"flips": Flips()}
