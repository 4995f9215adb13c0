"""Trains for a few iterations with mcn, goes on from a checkpoint, and reads the event files back with TensorBoard.

read_events.py MCN; TensorBoard is that of this Python or of tools/setup.sh --check; exits with 77 where there is neither.
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError as error:
    other = pathlib.Path(__file__).resolve().parents[2] / "build-tensorboard/bin/python3"
    if other.exists() and pathlib.Path(sys.prefix) != other.parents[1]:
        os.execv(other, [other, *sys.argv])
    print(f"skipped: TensorBoard cannot be imported ({error})")
    sys.exit(77)

mcn = sys.argv[1]


def run(*arguments):
    subprocess.run([mcn, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as temporary:
    data, folder = pathlib.Path(temporary, "data"), pathlib.Path(temporary, "run")
    run("synth", "--out", data, "--classes", 2, "--train", 4, "--test", 1, "--frames", 8, "--height", 32, "--width", 32)
    train = ["train", "--data", data, "--out", folder, "--arch", "r2plus1d_10", "--width", .07, "--size", 16, "--batch", 4,
             "--frames", 4, "--stride", 1, "--resize-height", 18, "--resize-width", 24, "--bank", "none",
             "--schedule", "constant", "--warmup", 0, "--first-order-for", 0,
             "--checkpoint-every", 2, "--tensorboard", "--iterations"]
    run(*train, 2)
    checkpoint = folder / "at2.safetensors"
    checkpoint.write_bytes((folder / "last.safetensors").read_bytes())
    # Iterations 2 to 4, then these again and one more from the checkpoint at 2: the first ones must be gone.
    run(*train, 5, "--resume", folder / "last.safetensors")
    run(*train, 6, "--resume", checkpoint)
    files = sorted(folder.glob("events.out.tfevents.*"))
    assert len(files) == 3, files

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    expected = {}
    for line in lines:
        for key, value in line.items():
            inner = value.items() if isinstance(value, dict) else [(None, value)]
            for name, number in inner:
                tag = key if name is None else f"{key}/{name}"
                if tag != "iteration" and isinstance(number, (int, float)):
                    expected.setdefault(tag, []).append((line["iteration"], number))

    events = event_accumulator.EventAccumulator(str(folder), size_guidance={event_accumulator.SCALARS: 0})
    events.Reload()
    assert events.file_version == 2.0, events.file_version
    assert set(events.Tags()["scalars"]) == set(expected), set(events.Tags()["scalars"]) ^ set(expected)
    for tag, values in expected.items():
        got = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in got] == [step for step, _ in values], (tag, got, values)
        for (_, a), (_, b) in zip(got, values):
            assert math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-37), (tag, a, b)
    print(f"TensorBoard reads {len(expected)} scalars of {len(lines)} iterations in {len(files)} files, as in metrics.jsonl")
