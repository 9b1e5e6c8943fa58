"""Providers and credential types, read from `providers/*.toml`.

Owns: many files together: no name given twice, icons found, files read again when they change.
Does not own: one file (`provider_reader`), the format (`provider_file`), where the shipped files lie (`data_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.adapters import icon as icons
from tokenkeep.adapters import provider_nouns
from tokenkeep.adapters.demo_address import at_public_url
from tokenkeep.adapters.provider_file import ProviderFile
from tokenkeep.adapters.provider_reader import Problem, place, read
from tokenkeep.adapters.toml_lines import Path as KeyPath
from tokenkeep.core.errors import NotFound, ProviderFileInvalid, UnknownType
from tokenkeep.core.model import CredentialType, Provider

__all__ = ["Catalog", "Problem", "problems"]

_Stamp = tuple[int, int]  # when changed, how large
_Report = Callable[[Sequence[Problem]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """One consistent catalogue. Put in place of the last one as a whole."""

    providers: Mapping[str, Provider]
    types: Mapping[str, CredentialType]  # by name
    names: Mapping[str, str]  # name or alias -> name
    icons: Mapping[str, bytes]  # by type name; only brands
    ordered: tuple[CredentialType, ...]


class Catalog:
    """`ports.Catalog` over directories of provider files."""

    def __init__(
        self, directories: Sequence[Path], *, demo_public_url: str | None, report: _Report | None = None
    ) -> None:
        """Read everything.

        Raises:
            ProviderFileInvalid: with everything that is wrong, in the message and in `problems`.
        """
        self._directories = tuple(directories)
        self._demo_public_url = demo_public_url
        self._report = report
        self._read: dict[Path, tuple[_Stamp, ProviderFile]] = {}
        self._stamps = _stamps(self._directories)
        shelf, found = self._assemble()
        if shelf is None:
            raise invalid(found)
        self._shelf = shelf

    @classmethod
    def load(
        cls, directories: Sequence[Path], *, demo_public_url: str | None, report: _Report | None = None
    ) -> Catalog:
        """The catalogue of the files in `directories`; the demo provider only where it has an address to live at.

        `report` gets the problems of a file that was changed for the worse; the last good catalogue stays in force.

        Raises:
            ProviderFileInvalid: with everything that is wrong.
        """
        return cls(directories, demo_public_url=demo_public_url, report=report)

    def provider(self, provider_id: str) -> Provider:
        """Raises NotFound."""
        try:
            return self._shelf.providers[provider_id]
        except KeyError:
            raise NotFound(f"There is no provider `{provider_id}`.") from None

    def type(self, name: str) -> CredentialType:
        """By name or alias. Raises UnknownType."""
        try:
            return self._shelf.types[self._shelf.names[name]]
        except KeyError:
            raise UnknownType(fix="GET /v1/credential-types lists them.") from None

    def types(self) -> Sequence[CredentialType]:
        """All, most popular first, then by label."""
        return self._shelf.ordered

    def providers(self) -> Sequence[Provider]:
        """All, by name."""
        return sorted(self._shelf.providers.values(), key=lambda provider: provider.name.casefold())

    def icon(self, type_name: str) -> bytes:
        """SVG octets: the brand's, or a generated letter tile. Raises UnknownType."""
        wanted = self.type(type_name)
        if drawing := self._shelf.icons.get(wanted.name):
            return drawing
        owner = self._shelf.providers[wanted.provider]
        return icons.letter_tile(owner.id, wanted.label, letter=owner.letter)

    def reload_if_changed(self) -> bool:
        """Read the files that changed. True: a new catalogue is in force.

        When one of them is wrong, the old catalogue stays and `report` hears of it, once for each change.
        """
        stamps = _stamps(self._directories)
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        shelf, found = self._assemble()
        if shelf is None:
            if self._report is not None:
                self._report(found)
            return False
        self._shelf = shelf
        return True

    def _assemble(self) -> tuple[_Shelf | None, list[Problem]]:
        files, found = self._files()
        found += _duplicates(files)
        drawings, missing = _drawings(files)
        found += missing
        if found:
            return None, found
        built = [self._built(file) for file in files.values()]
        types = {one.name: one for _, many in built for one in many}
        names = {name: one.name for one in types.values() for name in (one.name, *one.aliases)}
        return _Shelf(
            providers={provider.id: provider for provider, _ in built},
            types=types,
            names=names,
            icons=drawings,
            ordered=tuple(sorted(types.values(), key=lambda one: (-one.popularity, one.label.casefold(), one.name))),
        ), []

    def _files(self) -> tuple[dict[Path, ProviderFile], list[Problem]]:
        """The files in force. Those that did not change since they were last read are not read again."""
        files: dict[Path, ProviderFile] = {}
        found: list[Problem] = []
        for path, stamp in self._stamps.items():
            if path.suffix != ".toml":
                continue
            known = self._read.get(path)
            file, problems_here = (known[1], []) if known and known[0] == stamp else read(path)
            found += problems_here
            if file is None:
                continue
            self._read[path] = (stamp, file)
            if not file.demo or self._demo_public_url is not None:
                files[path] = file
        return files, found

    def _built(self, file: ProviderFile) -> tuple[Provider, tuple[CredentialType, ...]]:
        provider, types = provider_nouns.provider(file), provider_nouns.types(file)
        if file.demo and self._demo_public_url is not None:
            return at_public_url(provider, types, public_url=self._demo_public_url)
        return provider, types


def problems(directories: Sequence[Path]) -> list[Problem]:
    """Everything that is wrong with the files in `directories`, the demo provider's included."""
    try:
        Catalog(directories, demo_public_url="http://localhost")
    except ProviderFileInvalid as error:
        return list(error.extra["problems"])
    return []


def invalid(found: Sequence[Problem]) -> ProviderFileInvalid:
    """The error that names every problem, a line each."""
    lines = "\n".join(str(problem) for problem in found)
    return ProviderFileInvalid(f"Some provider files cannot be used:\n{lines}", problems=tuple(found))


def _stamps(directories: Iterable[Path]) -> dict[Path, _Stamp]:
    """What the directories hold, in the order it counts: files by name within each directory, and their icons."""
    paths = [
        path for folder in directories for path in (*sorted(folder.glob("*.toml")), *sorted(folder.glob("icons/*.svg")))
    ]
    stamps: dict[Path, _Stamp] = {}
    for path in paths:
        try:
            facts = path.stat()
        except FileNotFoundError:  # removed since the directory was listed
            continue
        stamps[path] = (facts.st_mtime_ns, facts.st_size)
    return stamps


def _duplicates(files: Mapping[Path, ProviderFile]) -> list[Problem]:
    """Names that two files, or two types of one file, both claim."""
    claimed: dict[str, Path] = {}
    found: list[Problem] = []
    for path, file in files.items():
        for kind, name, key in _claims(file):
            claim = f"{kind} `{name}`"
            if claim in claimed:
                hint = f"It is already given in {claimed[claim]}. Choose another name."
                found.append(Problem(path, place(path, key), f"The {claim} is given twice.", hint))
            claimed.setdefault(claim, path)
    return found


def _claims(file: ProviderFile) -> Iterable[tuple[str, str, KeyPath]]:
    yield "provider", file.id, ("id",)
    for index, table in enumerate(file.types):
        yield "type name", table.name, ("types", index, "name")
        for alias in set(table.aliases) - {table.name}:
            yield "type name", alias, ("types", index, "aliases")


def _drawings(files: Mapping[Path, ProviderFile]) -> tuple[dict[str, bytes], list[Problem]]:
    """Brand icons by type name, from `icons/` beside each file."""
    drawings: dict[str, bytes] = {}
    found: list[Problem] = []
    for path, file in files.items():
        for index, table in enumerate(file.types):
            if (name := table.icon or file.icon) is None:
                continue
            drawing, wrong = _drawing(path.parent / "icons" / f"{name}.svg")
            drawings[table.name] = drawing.encode()
            if wrong:
                key: KeyPath = ("types", index, "icon") if table.icon else ("icon",)
                hint = "Put a static SVG there, or remove the key for a letter tile."
                found.append(Problem(path, place(path, key), f"The icon `{name}` cannot be used. {wrong}", hint))
    return drawings, found


def _drawing(path: Path) -> tuple[str, str]:
    """The drawing, and why it cannot be served."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "", f"There is no readable file `icons/{path.name}`."
    return text, icons.problem(text)
