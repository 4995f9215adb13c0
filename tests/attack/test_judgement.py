"""Whether the attack notices: a stand-in for mcn that ends in every way that no trial may have, and in those it may."""

import os
import pathlib
import random
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import trial  # noqa: E402

# Writes what a training writes, and misbehaves once, as the file `mode` beside the folder of the trial says.
STAND_IN = """#!{python}
import json, os, pathlib, signal, sys, time
if sys.argv[1] == "synth":
    os.mkdir(sys.argv[sys.argv.index("--out") + 1])
    sys.exit(0)
mode_file = pathlib.Path("../mode")
mode = mode_file.read_text() if mode_file.exists() else ""
mode_file.unlink(missing_ok=True)
run = pathlib.Path("run")
run.mkdir(exist_ok=True)
pathlib.Path("cache").mkdir(exist_ok=True)
for file in () if mode == "leaves" else run.glob("*.tmp-*"):
    file.unlink()
def fail(code, *lines):
    print(*lines, sep="\\n", file=sys.stderr)
    sys.exit(code)
if mode == "refuses": fail(4, "a progress\\rmcn: [memory] cannot allocate 1 byte")
if mode == "mute": fail(4, "no prefix")
if mode == "internal": fail(4, "mcn: [internal] oops")
if mode == "code": fail(77, "mcn: [memory] cannot allocate 1 byte")
if mode == "sanitizer": fail(99, "==1==ERROR: AddressSanitizer: heap-buffer-overflow")
if mode == "dies": os.kill(os.getpid(), signal.SIGSEGV)
if mode == "hangs": time.sleep(60)
if mode == "loses":
    (run / "last.safetensors").unlink()
    fail(3, "mcn: [data] no")
if mode == "spoils":
    (run / "last.safetensors").write_text("spoilt")
    fail(3, "mcn: [data] no")
if mode == "leaves":
    (run / "last.safetensors.tmp-1-1").write_text("")
last = run / "last.safetensors"
begun = last.read_text() if "--resume" in sys.argv else ""
if begun == "spoilt": fail(3, "mcn: [checkpoint] spoilt")
iterations = int(sys.argv[sys.argv.index("--iterations") + 1])
last.write_text("x" * iterations + (" other" if mode == "silent" else ""))
index = pathlib.Path("cache/a.index")
wrong = mode == "metrics" or index.exists() and index.read_text() == "wrong"
lines = [json.dumps(dict(iteration=i, loss=i + wrong, time=time.time())) for i in range(iterations)]
(run / "metrics.jsonl").write_text("".join(line + "\\n" for line in lines))
(run / "bad_videos.jsonl").write_text("a video\\n" if mode == "blames" else "")
index.write_text("wrong" if mode == "poisons" else "another form" if mode == "rewrites" else "right")
"""


class Judgement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        work = pathlib.Path(cls.temporary.name)
        command = work / "mcn"
        command.write_text(STAND_IN.replace("{python}", sys.executable))
        os.chmod(command, 0o755)
        cls.lab = trial.Lab(command, None, work / "lab")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def end(self, mode):
        lab = self.lab
        folder = lab.folder(like=lab.base)
        (lab.work / "mode").write_text(mode)
        return lab.judge_training(lab.run(lab.train(resume=True), folder), folder)

    def test_ends_that_may_be(self):
        self.assertEqual(self.end("sound"), trial.IDENTICAL)
        self.assertEqual(self.end("refuses"), trial.REFUSED)
        self.assertEqual(self.end("rewrites"), trial.IDENTICAL)  # an index that says the same
        self.assertEqual(self.end("leaves"), trial.IDENTICAL)  # the next run removes it

    def test_ends_that_no_trial_may_have(self):
        for mode, text in {
            "mute": "without a line with a prefix", "internal": "not meant for users", "code": "exit code 77",
            "sanitizer": "AddressSanitizer", "dies": "ended by SIGSEGV", "silent": "another checkpoint",
            "metrics": "other metrics", "blames": "listed as bad", "poisons": "a wrong index",
            "loses": "the checkpoint that was there is gone", "spoils": "what is left cannot go on",
        }.items():
            with self.subTest(mode=mode), self.assertRaisesRegex(trial.Failure, text):
                self.end(mode)

    def test_a_hang(self):
        self.lab.limit = 2
        with self.assertRaisesRegex(trial.Failure, "hangs"):
            self.end("hangs")
        self.lab.limit = 60

    def test_groups_take_turns(self):
        taken = list(trial.spread([range(100), ["a", "b"], []], random.Random(1)))
        self.assertEqual(len(taken), 102)
        self.assertLess(max(taken.index("a"), taken.index("b")), 4)
        self.assertEqual(taken, list(trial.spread([range(100), ["a", "b"], []], random.Random(1))))


if __name__ == "__main__":
    unittest.main()
