"""The table of mutants: small, realistic, wrong changes, each a place in a file by its text.

A mutant of tests/mutants/*.toml says `file`, the text `old` that stands there once, the text `new` that replaces it, and
`tests`: those that could notice, as "PROGRAM: SPEC" (the tests SPEC of build/PROGRAM, in Catch2's words) or
"ctest: REGEX". Lines may move: only the text counts."""

import dataclasses
import os
import tomllib


class Mistake(Exception):
    """In the table or on the command line."""


@dataclasses.dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tests: list  # of (program, spec)
    layer: str  # the table's file, without its suffix


def load(folder):
    """All mutants of a folder's tables, in order."""
    mutants, names = [], set()
    for table in sorted(os.listdir(folder)):
        if not table.endswith(".toml"):
            continue
        with open(os.path.join(folder, table), "rb") as file:
            try:
                content = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise Mistake(f"{table}: {error}") from error
        for entry in content.get("mutant", []):
            name = entry.get("name", "?")
            if set(entry) != {"name", "file", "old", "new", "tests"}:
                raise Mistake(f"{table}: {name}: expected name, file, old, new and tests, got {', '.join(entry)}")
            if name in names:
                raise Mistake(f"{table}: {name} stands twice")
            if entry["old"] == entry["new"]:
                raise Mistake(f"{table}: {name} changes nothing")
            names.add(name)
            tests = []
            for test in entry["tests"]:
                program, colon, spec = test.partition(": ")
                if not colon or not spec:
                    raise Mistake(f'{table}: {name}: expected "PROGRAM: SPEC", got "{test}"')
                tests.append((program, spec))
            mutants.append(Mutant(name, entry["file"], entry["old"], entry["new"], tests, table[:-len(".toml")]))
    return mutants


def changed(mutant, root):
    """The file's text with the change, and nothing; or nothing, and why the place is not there."""
    path = os.path.join(root, mutant.file)
    if not os.path.isfile(path):
        return None, f"there is no {mutant.file}"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    count = text.count(mutant.old)
    if count != 1:
        return None, f"its text stands {count} times in {mutant.file}, expected once"
    return text.replace(mutant.old, mutant.new), None
