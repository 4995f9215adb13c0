# tools/mutate: the table as it is read, and a campaign on a project of one file, with a stand-in for cmake.
import os
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
if sys.version_info < (3, 11):
    print("tools/mutate needs Python 3.11")
    sys.exit(77)
sys.path.insert(0, os.path.join(ROOT, "tools", "mutate"))
import mutants  # noqa: E402

ENTRY = """[[mutant]]
name = "{name}"
file = "answer.sh"
old = "{old}"
new = "{new}"
tests = ["check: answer"]
"""

# "Builds" by a copy of the source, which does not build if it says so.
CMAKE = """#!/bin/sh
case "$*" in
--build*) grep -q broken answer.sh && exit 1
  mkdir -p build && cp answer.sh build/answer.sh && cp check.sh build/check && chmod +x build/check ;;
esac
"""
CTEST = """#!/bin/sh
! grep -q seen_by_the_suite build/answer.sh
"""
# The test: SPEC is its first argument.
CHECK = """#!/bin/sh
[ "$1" = answer ] || exit 2
[ "$(sh build/answer.sh)" = 42 ]
"""


class Table(unittest.TestCase):
    def load(self, text):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "layer.toml"), "w") as file:
                file.write(text)
            return mutants.load(folder)

    def test_entries(self):
        (mutant,) = self.load(ENTRY.format(name="a", old="x", new="y"))
        self.assertEqual((mutant.name, mutant.layer, mutant.tests), ("a", "layer", [("check", "answer")]))
        for wrong in (ENTRY.format(name="a", old="x", new="x"), 2 * ENTRY.format(name="a", old="x", new="y"),
                      ENTRY.format(name="a", old="x", new="y") + "more = 1\n",
                      ENTRY.format(name="a", old="x", new="y").replace("check: answer", "check"), "[[mutant"):
            with self.assertRaises(mutants.Mistake):
                self.load(wrong)

    def test_the_table_of_this_project_can_be_read(self):
        table = mutants.load(os.path.join(ROOT, "tests", "mutants"))
        self.assertGreaterEqual(len(table), 90)


class Campaign(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = os.path.join(self.folder.name, "project")
        for name, text in (("answer.sh", "# an answer\necho 42\n"), ("check.sh", CHECK),
                           ("bin/cmake", CMAKE), ("bin/ctest", CTEST)):
            self.write(name, text)
        for name in ("cmake", "ctest"):
            os.chmod(os.path.join(self.root, "bin", name), stat.S_IRWXU)
        # The tool works on the repository that it lies in.
        os.makedirs(os.path.join(self.root, "tools", "mutate"))
        for name in ("campaign.py", "mutants.py"):
            with open(os.path.join(ROOT, "tools", "mutate", name)) as file:
                self.write("tools/mutate/" + name, file.read())
        self.environment = dict(os.environ, PATH=os.path.join(self.root, "bin") + ":" + os.environ["PATH"],
                                GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
                                GIT_COMMITTER_EMAIL="a@b", GIT_CONFIG_GLOBAL="/dev/null")
        self.git("init", "--quiet")
        self.git("add", "answer.sh", "check.sh")
        self.git("commit", "--quiet", "-m", "first")

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def git(self, *arguments):
        subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, check=True)

    def mutate(self, *arguments):
        return subprocess.run([sys.executable, os.path.join(self.root, "tools", "mutate", "campaign.py"), *arguments],
                              env=self.environment, capture_output=True, text=True, check=False)

    def test_outcomes(self):
        self.write("tests/mutants/one.toml", ENTRY.format(name="killed", old="42", new="43") +
                   ENTRY.format(name="by-the-suite", old="# an answer", new="# seen_by_the_suite") +
                   ENTRY.format(name="survivor", old="# an answer", new="# no answer"))
        self.write("tests/mutants/two.toml", ENTRY.format(name="gone", old="41", new="42") +
                   ENTRY.format(name="refused", old="# an answer", new="# broken"))
        result = self.mutate()
        self.assertEqual(result.returncode, 1, result.stderr)
        for line in ("1/5 killed: killed, check: answer (0 s)", "2/5 by-the-suite: killed, the rest of the suite (0 s)",
                     "3/5 survivor: SURVIVED (0 s)",
                     "4/5 gone: out of place, its text stands 0 times in answer.sh, expected once (0 s)",
                     "5/5 refused: does not compile (0 s)", "| one | 2 (67%) | 3 | 0 |", "| two | 0 | 0 | 2 |",
                     "| all | 2 (67%) | 3 | 2 |"):
            self.assertIn(line + "\n", result.stdout.replace("(1 s)", "(0 s)"))
        # The tree itself is left alone, and what is known is not done again.
        with open(os.path.join(self.root, "answer.sh")) as file:
            self.assertIn("echo 42", file.read())
        self.assertEqual(self.mutate().stdout, result.stdout)
        self.assertEqual(self.mutate("killed").returncode, 0)
        self.assertEqual(self.mutate("--quick", "by-the-suite").returncode, 1)
        self.assertEqual(self.mutate("nobody").returncode, 2)
        self.assertEqual(self.mutate("--check").returncode, 1)
        self.assertEqual(self.mutate("--check", "one").stdout, "3 of 3 places are there\n")

    def test_a_test_that_fails_without_a_change_proves_nothing(self):
        self.write("tests/mutants/one.toml", ENTRY.format(name="a", old="42", new="43").replace(": answer", ": none"))
        result = self.mutate()
        self.assertEqual(result.returncode, 1)
        self.assertIn("1/1 a: not judged, without a change, check: none fails or has no test (", result.stdout)


if __name__ == "__main__":
    unittest.main()
