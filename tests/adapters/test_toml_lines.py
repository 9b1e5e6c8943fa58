"""Finding the line of a key path in a TOML text."""

from __future__ import annotations

import tomllib

import pytest

from tokenkeep.adapters.toml_lines import Path, line_of

TEXT = '''\
id = "x"
setup = """
name = "not a key"
[not.a.table]
"""
one_line = """a "quoted" word"""
raw = \'\'\'
also = 1
\'\'\' # done
hosts = [
  "a = b",
  "c",
]
"quoted key" = 1
a.b = 2

[oauth] # a comment with """
pkce = false
params = { x = "1" }

[oauth.response]
keep = []

[[types]]
name = "one"

[[types.fields]]
name = "f1"
[[types.fields]]
name = "f2"

[types.test]
url = "u"

[[types]]
name = "two"
[[types.fields]]
  name = "g1"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("id",), 1),
        (("setup",), 2),
        (("one_line",), 6),
        (("raw",), 7),
        (("hosts",), 10),
        (("hosts", 1), 10),
        (("quoted key",), 14),
        (("a", "b"), 15),
        (("oauth",), 17),
        (("oauth", "pkce"), 18),
        (("oauth", "params", "x"), 19),
        (("oauth", "missing"), 17),
        (("oauth", "response", "keep"), 22),
        (("types", 0), 24),
        (("types", 0, "name"), 25),
        (("types", 0, "fields", 0, "name"), 28),
        (("types", 0, "fields", 1, "name"), 30),
        (("types", 0, "test", "url"), 33),
        (("types", 1, "name"), 36),
        (("types", 1, "fields", 0, "name"), 38),
        (("nowhere",), 1),
        (("name",), 1),
        (("also",), 1),
        ((), 1),
    ],
)
def test_lines_are_found(path: Path, line: int) -> None:
    assert line_of(TEXT, path) == line


def test_the_text_of_the_table_is_toml() -> None:
    assert set(tomllib.loads(TEXT)) >= {"id", "setup", "oauth", "types"}
