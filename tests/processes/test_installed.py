"""The wheel, installed away from the source, serves from an empty directory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.processes.service import TOP, Service


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A Python with the wheel in it. Its libraries are those of this environment, linked."""
    top = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, top)
    for name in ("src", "providers", "templates"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(top / "dist"), str(top)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (top / "dist").glob("*.whl")
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "-qq"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = (place / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{metadata.distribution('starlette').locate_file('')}\n")
    return python


def test_it_serves_from_an_empty_directory(installed, tmp_path, running):
    service = running(Service(tmp_path / "service", python=str(installed), PYTHONPATH="", TOKENKEEP_DEMO="on"))
    empty = tmp_path / "empty"
    empty.mkdir()
    service.start(cwd=empty)
    with service.client() as browser:
        login = browser.get("/login")
        assert login.status_code == 200
        assert "<form" in login.text
        with service.signed_in() as person:
            (type_, *_) = person.get("/v1/credential-types").json()["items"]
            icon = person.get(type_["icon"] if type_["icon"].startswith("/") else f"/icons/{type_['name']}.svg")
        assert icon.status_code == 200
        assert icon.content.lstrip().startswith(b"<svg")
    assert list(empty.iterdir()) == []
    assert service.stop() == 0
