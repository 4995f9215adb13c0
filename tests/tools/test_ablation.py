# tools/ablation: figures worked out by hand, and the trial with a stand-in for mcn that writes what it is told to.
import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tools", "ablation"))
import table  # noqa: E402

# Writes the files that the trial reads. A method's probe is 40 and a bonus, and differs from seed to seed.
STAND_IN = """#!{python}
import json, os, sys, time
arguments = sys.argv[1:]
def value(name, default=None):
    return arguments[arguments.index(name) + 1] if name in arguments else default
with open({calls!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
out = value("--out")
if arguments[0] == "synth":
    os.makedirs(os.path.join(out, "ucfTrainTestlist"))
    with open(os.path.join(out, "ucfTrainTestlist", "classInd.txt"), "w") as file:
        for i in range(int(value("--classes"))):
            file.write(f"{{i + 1}} Class{{i}}\\n")
elif arguments[0] == "train":
    kind = value("--method") + value("--order", "") + value("--first-order-for", "")
    rate = float(value("--lr", "0.01"))
    if os.path.exists({slow!r}):
        open(os.path.join(out, "last.safetensors"), "w").close()
        time.sleep(60)
    if kind == {fails!r} and int(value("--seed")) == 1:
        sys.exit("no such luck")
    if kind == "joint" and rate == 0.02:
        sys.exit(5)
    for name, text in (("config.toml", f'batch=48\\nlr={{rate}}\\niterations=100\\n'), ("last.safetensors", kind),
                       ("evaluations.jsonl", json.dumps({{"knn": {{"value": -abs(rate - 0.005)}}}}))):
        with open(os.path.join(out, name), "w") as file:
            file.write(text)
elif arguments[0] == "evaluate":
    with open(value("--checkpoint")) as file:
        kind = file.read()
    seed = int(os.path.basename(os.path.dirname(os.path.dirname(value("--checkpoint"))))[-1])
    probe = 40 + seed + {bonus!r}.get(kind, 0) + 0.1 * (seed % 2)
    entry = lambda v: {{"value": v, "map": v / 2, "random": {{"value": 15 + seed}}, "random_map": 12.5}}
    with open(value("--json"), "w") as file:
        json.dump({{"linear": entry(probe), "retrieval": entry(probe - 5)}}, file)
"""


class Table(unittest.TestCase):
    def test_difference(self):
        # Differences 1, 2, 3, 4, 5: mean 3, deviation sqrt(2.5), error sqrt(.5), 95% interval 3 -+ 2.776 sqrt(.5).
        difference = table.Difference([11, 12, 13, 14, 15], [10, 10, 10, 10, 10])
        self.assertAlmostEqual(difference.mean, 3)
        self.assertAlmostEqual(difference.error, math.sqrt(0.5))
        self.assertAlmostEqual(difference.low, 3 - 2.776 * math.sqrt(0.5))
        self.assertAlmostEqual(difference.high, 3 + 2.776 * math.sqrt(0.5))
        # 3 / sqrt(.5) is 4.24 standard errors.
        self.assertEqual([difference.beyond(e) for e in (2.8, 4.2, 4.3)], [1, 1, 0])
        self.assertEqual(table.Difference([10] * 5, [11, 12, 13, 14, 15]).beyond(4.2), -1)

    def test_few_seeds_and_nan_count_for_nothing(self):
        self.assertEqual(table.Difference([9, 9, 9, 9], [1, 1.1, 1, 1]).beyond(2.8), 0)
        self.assertEqual(table.Difference([math.nan, 9, 9, 9, 9], [1, 1.1, 1, 1, 1]).beyond(2.8), 0)
        self.assertTrue(math.isnan(table.Difference([2], [1]).low))

    def figures(self, random):
        rows = {table.RANDOM: random, "contrastive": [40, 41, 40, 41, 40], "joint": [44, 45, 44, 46, 44],
                "MCN, second order": [40, 41.5, 39.5, 41, 40]}
        return {name: [{"mAP": v, table.COST: 7} for v in values] for name, values in rows.items()}

    def test_verdicts(self):
        learned = self.figures([20, 21, 20, 20, 21])
        self.assertEqual(table.verdict(learned, "joint", "contrastive", "mAP"), "better")
        self.assertEqual(table.verdict(learned, "contrastive", "joint", "mAP"), "worse")
        self.assertEqual(table.verdict(learned, "MCN, second order", "contrastive", "mAP"), "not told apart")
        self.assertEqual(table.verdict(learned, table.RANDOM, "contrastive", "mAP"), "worse")
        # Contrastive, 1.2 below random weights or 0.4 +- 0.25 above them, has learned nothing that another could beat.
        for random in ([41.6] * 5, [40, 40, 40, 40, 40]):
            not_learned = self.figures(random)
            self.assertEqual(table.verdict(not_learned, "joint", "contrastive", "mAP"), "not ranked")
            self.assertIn("mAP: no ranking", table.markdown(not_learned, {}))

    def test_markdown_and_plot(self):
        figures = self.figures([20, 21, 20, 20, 21])
        text = table.markdown(figures, {"joint": "0.01"})
        # 44, 45, 44, 46, 44: mean 44.6, deviation sqrt(.8), error .4; differences 4, 4, 4, 5, 4: 4.2 +- 2.776 * .2.
        self.assertIn("| joint | 0.01 | 44.6 ±0.4 | 7 |", text)
        self.assertIn("| joint | contrastive | **+4.2 (+3.6 to +4.8)** |", text)
        # Differences 0, .5, -.5, 0, 0: 2.776 sqrt(.125 / 5) = .44.
        self.assertIn("| MCN, second order | contrastive | +0.0 (-0.4 to +0.4) |", text)
        self.assertIn("<title>joint: +4.2 (+3.6 to +4.8)</title>", table.plot(figures))
        self.assertNotIn("random weights:", table.plot(figures))
        # 44 - 40, 45 - 41.5, 44 - 39.5, 46 - 41, 44 - 40: mean 4.2, deviation sqrt(.325).
        self.assertIn("| joint | MCN, second order | **+4.2 (+3.5 to +4.9)** |",
                      table.markdown(figures, {}, [("joint", "MCN, second order")]))


class Trial(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out, self.calls = self.path("out"), self.path("calls")
        self.write_stand_in()

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write_stand_in(self, fails="", bonus=None):
        with open(self.path("mcn"), "w", encoding="utf-8") as file:
            file.write(STAND_IN.format(python=sys.executable, calls=self.calls, slow=self.path("slow"), fails=fails,
                                       bonus=bonus or {"joint": 4}))
        os.chmod(self.path("mcn"), stat.S_IRWXU)

    def command(self, *arguments):
        return [os.path.join(ROOT, "tools", "ablation.sh"), "--out", self.out, "--mcn", self.path("mcn"), *arguments]

    def ablation(self, *arguments):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)

    def calls_of(self, command):
        if not os.path.exists(self.calls):
            return []
        with open(self.calls, encoding="utf-8") as file:
            return [c for c in map(json.loads, file) if c[0] == command]

    def test_all_of_it(self):
        result = self.ablation("--seeds", "5", "--jobs", "2")
        self.assertEqual(result.returncode, 0, result.stderr)
        # 8 rows at 3 learning rates, and 8 rows of 5 seeds; 3 evaluations each.
        trained, evaluated = self.calls_of("train"), self.calls_of("evaluate")
        self.assertEqual([len(trained), len(evaluated)], [8 * 3 + 8 * 5, 8 * 5 * 3])
        self.assertIn("| joint | contrastive | **+4.0 (+4.0 to +4.0)** |", result.stdout)
        self.assertIn("| MCN, first order | contrastive | +0.0 (+0.0 to +0.0) |", result.stdout)
        for other in ("contrastive, MCN's compute", "MCN, alpha1 0", "MCN, first order"):
            self.assertIn(f"| MCN, second order | {other} | +0.0 (+0.0 to +0.0) |", result.stdout)
        # The stand-in's k-NN is best at .005, half of the preset's.
        with open(os.path.join(self.out, "ablation.json"), encoding="utf-8") as file:
            self.assertEqual(set(json.load(file)["learning_rates"].values()), {"0.005"})
        of_trial = [c for c in trained if c[c.index("--seed") + 1] != "0"]
        self.assertEqual({c[c.index("--lr") + 1] for c in of_trial}, {"0.005"})
        self.assertEqual(sum("--batch" in c and c[c.index("--batch") + 1] == "24" for c in of_trial), 5)
        self.assertEqual(sum("--iterations" in c for c in of_trial), 5)
        # Every row of a seed has the same videos, and none of another seed's.
        self.assertEqual(len({(c[c.index("--seed") + 1], c[c.index("--data") + 1]) for c in trained}), 6)
        # Random weights are the evaluation's: 15 + seed.
        self.assertIn("| random weights |  | 18.0 ±0.7 |", result.stdout)
        unseen = {c[c.index("--classes") + 1] for c in evaluated if "--classes" in c}
        self.assertEqual(unseen, {"Class8,Class9,Class10,Class11"})

        os.remove(self.calls)
        again = self.ablation("--seeds", "5", "--jobs", "2")
        self.assertEqual((again.returncode, again.stdout), (0, result.stdout))
        self.assertEqual(self.calls_of("train") + self.calls_of("evaluate") + self.calls_of("synth"), [])

    def test_other_settings_are_trained_anew(self):
        self.assertEqual(self.ablation("--seeds", "1").returncode, 0)
        os.remove(self.calls)
        result = self.ablation("--seeds", "1", "--", "--preset", "small")
        self.assertIn("Fewer than 5 seeds: no verdict.", result.stdout)
        self.assertEqual(len(self.calls_of("train")), 8 * 3 + 8)
        self.assertTrue(all(c[c.index("--preset") + 1] == "small" for c in self.calls_of("train")))
        self.assertEqual(len(self.calls_of("evaluate")), 8 * 3)

    def test_data_set_of_the_users(self):
        result = self.ablation("--seeds", "1", "--data", "D", "--unseen", "U")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.calls_of("synth"), [])
        self.assertEqual({c[c.index("--data") + 1] for c in self.calls_of("evaluate")}, {"D", "U"})

    def test_rows_of_a_file(self):
        with open(self.path("rows"), "w", encoding="utf-8") as file:
            json.dump({"plain": ["--method", "contrastive"], "both": ["--method", "joint", "--lr", "0.02"]}, file)
        rows = ["--rows", self.path("rows")]
        result = self.ablation("--seeds", "5", "--tune", "no", "--jobs", "2", *rows)
        # The stand-in is not finite at such a rate.
        self.assertIn("the loss or a weight is not finite", result.stderr)
        self.assertEqual(result.returncode, 1)
        with open(self.path("rows"), "w", encoding="utf-8") as file:
            json.dump({"plain": ["--method", "contrastive"], "both": ["--method", "joint", "--lr", "0.03"]}, file)
        result = self.ablation("--seeds", "5", "--tune", "no", "--jobs", "2", *rows)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("| both | plain | **+4.0 (+4.0 to +4.0)** |", result.stdout)
        for text in ("{}", '{"a": [1], "b": []}', "[", '{"a b": [], "a-b": []}'):
            with open(self.path("rows"), "w", encoding="utf-8") as file:
                file.write(text)
            result = self.ablation(*rows)
            self.assertEqual(result.returncode, 1)
            self.assertIn(self.path("rows"), result.stderr)

    def test_a_run_that_fails(self):
        self.write_stand_in(fails="joint")
        result = self.ablation("--seeds", "1")
        self.assertEqual(result.returncode, 1)
        log = os.path.join(self.out, "seed-1", "joint", "log")
        self.assertIn(f"mcn train ended with exit status 1: see {log}", result.stderr)
        with open(log, encoding="utf-8") as file:
            self.assertIn("no such luck", file.read())
        self.write_stand_in()
        self.assertEqual(self.ablation("--seeds", "1").returncode, 0)

    def test_interrupt(self):
        open(self.path("slow"), "w", encoding="utf-8").close()
        process = subprocess.Popen(self.command("--seeds", "1", "--jobs", "2"), stderr=subprocess.PIPE, text=True)
        while len(self.calls_of("train")) < 2:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("interrupted; the same command goes on", err)
        os.remove(self.path("slow"))
        os.remove(self.calls)
        self.assertEqual(self.ablation("--seeds", "1").returncode, 0)
        self.assertTrue(any("--resume" in c for c in self.calls_of("train")))

    def test_usage(self):
        for arguments, message in ((["--seeds", "0"], "expected a number from 1, got 0"),
                                   (["--unseen", "U"], "--unseen is for --data"),
                                   (["--mcn", self.path("none")], "build it first"), (["--what"], "--what")):
            result = self.ablation(*arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(message, result.stderr)


if __name__ == "__main__":
    unittest.main()
