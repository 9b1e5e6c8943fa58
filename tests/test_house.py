"""House rules: those no linter has, and that the linters catch what they should (planted violations)."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SOURCE = TOP / "src" / "tokenkeep"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((TOP / "tests").rglob("*.py"))
BIN = Path(sys.executable).parent

FILE_LINES = 300
LINES_OF_CODE = 50
USUAL_LINES_OF_CODE = 35
LISTS = {"src/tokenkeep/core/model.py", "src/tokenkeep/core/errors.py"}
"""All nouns, all failures, all ports: declarations read from top to bottom, and each open with what they list."""
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "tools"}


def is_revision(path):
    """A migration is a record of what was done once, in one piece."""
    return path.parent.name == "versions"


def name(path):
    return str(path.relative_to(TOP))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def lines_of_code(function, source):
    """Lines that hold code: no docstrings, comments or blank lines."""
    told = {
        line for node in ast.walk(function) if is_docstring(node) for line in range(node.lineno, node.end_lineno + 1)
    }
    return sum(
        1
        for number in range(function.lineno, function.end_lineno + 1)
        if number not in told and (text := source[number - 1].strip()) and not text.startswith("#")
    )


def functions(paths):
    for path in paths:
        source = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name(path)}:{node.name}", lines_of_code(node, source)


# --- rules that no linter has -------------------------------------------------------------------------------------


def test_there_is_something_to_look_at():
    assert len(MODULES) > 20
    assert len(list(functions(MODULES))) > 50


def test_files_are_short():
    sizes = {
        name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES if not is_revision(path)
    }
    long = {file: size for file, size in sizes.items() if size >= FILE_LINES and file not in LISTS}
    assert not long


def test_functions_are_short():
    sizes = dict(functions(path for path in MODULES if not is_revision(path)))
    long = {function: size for function, size in sizes.items() if size >= LINES_OF_CODE}
    assert not long
    usual = sum(1 for size in sizes.values() if size < USUAL_LINES_OF_CODE)
    assert usual >= 0.95 * len(sizes)


def test_every_module_says_what_it_owns():
    """A package's `__init__` says it in one line, the gate to a room; a module says what it owns. Revisions are data."""
    silent = []
    for path in MODULES:
        told = ast.get_docstring(tree(path)) or ""
        if path.name == "__init__.py":
            good = bool(told) and ("\n" not in told or "Owns:" in told)
        else:
            good = "Owns:" in told or (bool(told) and (is_revision(path) or name(path) in LISTS))
        if not good:
            silent.append(name(path))
    assert not silent


def test_names_say_something():
    empty = [name(path) for path in SOURCE.rglob("*") if path.stem.lower() in NAMES_THAT_SAY_NOTHING]
    assert not empty


def test_nothing_is_left_to_do():
    left = [name(path) for path in MODULES if re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", path.read_text())]
    assert not left


def imported(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_tests_use_fakes_and_no_mocks():
    mocked = [name(path) for path in TESTS if any(module.startswith("unittest.mock") for module in imported(path))]
    assert not mocked


def test_every_test_file_says_what_it_tests():
    assert [name(path) for path in TESTS if path.stem != "__init__" and not ast.get_docstring(tree(path))] == []


def test_links_between_documents_lead_somewhere():
    documents = [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "deploy").rglob("*.md")]
    broken = []
    for document in documents:
        prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose):
            if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists():
                broken.append(f"{name(document)} -> {target}")
    assert not broken


# --- planted violations: a check that cannot fail checks nothing -----------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the source beside the project file, to plant violations in."""
    top = tmp_path_factory.mktemp("house")
    shutil.copytree(TOP / "src", top / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / "pyproject.toml", top)
    return top


@pytest.fixture
def plant(copy):
    """Appends lines to a module, or makes one, for the time of a test."""
    before = {}

    def put(module, lines):
        path = copy / "src" / "tokenkeep" / module
        before[path] = path.read_text(encoding="utf-8") if path.exists() else None
        path.write_text((before[path] or '"""Owns: nothing."""\n') + f"\n{lines}\n", encoding="utf-8")
        return path

    yield put
    for path, content in before.items():
        if content is None:
            path.unlink()
        else:
            path.write_text(content, encoding="utf-8")


def run(copy, *command):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(copy / "src"), "HOME": str(copy)}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=100, check=False)


def broken_contracts(copy, *contracts):
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    done = run(copy, str(BIN / "lint-imports"), "--no-cache", *chosen)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("staircase", "core/planted.py", "import tokenkeep.services.ports"),
        ("staircase", "services/planted.py", "import tokenkeep.adapters.system"),
        ("staircase", "web/planted.py", "import tokenkeep.adapters.system"),
        ("staircase", "adapters/planted.py", "import tokenkeep.web"),
        ("staircase", "settings/planted.py", "import tokenkeep.adapters.system"),
        ("staircase", "planted.py", "import json"),  # a room that nobody put on the staircase
        ("circles", "core/model.py", "import tokenkeep.core.token_document"),
        ("pure-core", "core/planted.py", "import sqlalchemy"),
        ("pure-core", "core/planted.py", "import os"),
        ("pure-core", "core/planted.py", "import asyncio"),
        ("use-cases-without-outside", "services/planted.py", "from starlette.requests import Request"),
        ("use-cases-without-outside", "services/planted.py", "import socket"),
        ("database", "web/planted.py", "import sqlalchemy.ext.asyncio"),
        ("database", "adapters/planted.py", "import sqlite3"),
        ("database", "adapters/probes/planted.py", "import asyncpg"),
        ("other-databases", "adapters/planted.py", "import pymongo"),
        ("other-databases", "adapters/probes/database_probe.py", "import redis"),
        ("cryptography", "adapters/planted.py", "from cryptography.hazmat.primitives.ciphers.aead import AESGCM"),
        ("outgoing-http", "adapters/planted.py", "import httpx2"),
        ("outgoing-http", "web/planted.py", "import httpx2"),
        ("oauth-library", "adapters/planted.py", "import authlib"),
        ("timer", "adapters/planted.py", "import apscheduler.schedulers.asyncio"),
        ("web-framework", "adapters/planted.py", "import starlette.responses"),
    ],
)
def test_a_wrong_import_fails_the_check(copy, plant, contract, module, line):
    plant(module, line)
    status, told = broken_contracts(copy, contract)
    assert status == 1, told
    assert "BROKEN" in told


@pytest.mark.parametrize(
    ("rule", "module", "lines"),
    [
        ("TID251", "services/planted.py", "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)"),
        ("TID251", "services/planted.py", "import time\n\nNOW = time.time()"),
        ("TID251", "web/planted.py", "import os\n\nHOME = os.environ['HOME']"),
        ("TID251", "adapters/planted.py", "import os\n\nHOME = os.getenv('HOME')"),
        ("TID251", "adapters/planted.py", "import secrets\n\nTOKEN = secrets.token_urlsafe()"),
        ("TID251", "adapters/planted.py", "from uuid import uuid4\n\nID = uuid4()"),
        ("TID251", "services/planted.py", "import random\n\nJITTER = random.random()"),
        ("TID251", "adapters/planted.py", "from unittest.mock import Mock\n\nMOCK = Mock()"),
        ("D103", "core/planted.py", "def public() -> None:\n    pass"),
        ("D101", "core/planted.py", "class Public:\n    pass"),
        ("PLR0913", "core/planted.py", "def f(a, b, c, d, e, g, h):\n    pass"),
        ("T201", "services/planted.py", "print('here')"),
        ("BLE001", "web/planted.py", "try:\n    pass\nexcept Exception:\n    pass"),
    ],
)
def test_a_wrong_line_fails_the_linter(copy, plant, rule, module, lines):
    path = plant(module, lines)
    done = run(copy, str(BIN / "ruff"), "check", "--no-cache", "--output-format", "concise", str(path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f" {rule} " in done.stdout


def test_a_wrong_type_fails_the_type_checker(copy, plant):
    path = plant("core/planted.py", "LIFE: int = 'an hour'\n\n\ndef public(untyped):\n    return untyped")
    done = run(copy, str(BIN / "mypy"), "--cache-dir", str(copy / "mypy"), str(path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "[assignment]" in done.stdout
    assert "[no-untyped-def]" in done.stdout


def test_the_size_of_a_function_is_its_code():
    source = 'def f():\n    """One.\n\n    Two."""\n    # a comment\n\n    x = 1\n    return x\n'
    assert lines_of_code(ast.parse(source).body[0], source.splitlines()) == 3
