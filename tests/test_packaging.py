"""What is shipped: lock files, the wheel, the image, the compose file, the make targets."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tokenkeep
from tests.kit.lacking import lack
from tokenkeep.settings import read

TOP = Path(__file__).parent.parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"]


def runtime_requirements():
    project = PROJECT["project"]
    return [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["postgres"]]


def dev_requirements():
    drivers = PROJECT["project"]["optional-dependencies"]["databases"]  # CI signs in with them
    return [Requirement(text) for text in PROJECT["dependency-groups"]["dev"] + drivers]


def locked(lock):
    text = (TOP / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", text, flags=re.MULTILINE))


# --- dependencies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_releases_and_their_hashes_and_nothing_else(lock):
    text = (TOP / lock).read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    assert "http:" not in text
    assert "https:" not in text


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", runtime_requirements()),
        ("requirements-dev.lock", runtime_requirements() + dev_requirements()),
    ],
)
def test_a_lock_holds_what_the_project_asks_for(lock, requirements):
    versions = locked(lock)
    wrong = [str(each) for each in requirements if not each.specifier.contains(versions[canonicalize_name(each.name)])]
    assert not wrong


def test_the_locks_agree():
    runtime, dev, build = (locked(lock) for lock in LOCKS)
    assert runtime.items() <= dev.items()
    assert build.items() <= dev.items()
    assert all(Requirement(text).name in build for text in PROJECT["build-system"]["requires"])


def test_every_requirement_ends_before_the_next_series():
    unbounded = [str(each) for each in runtime_requirements() if "<" not in {spec.operator for spec in each.specifier}]
    assert not unbounded


def test_what_is_installed_is_what_the_project_asks_for():
    wrong = [
        f"{each}, not {metadata.version(each.name)}"
        for each in runtime_requirements() + dev_requirements()
        if not each.specifier.contains(metadata.version(each.name))
    ]
    assert not wrong


# --- the wheel -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that nothing is written beside the source."""
    top = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, top)
    for name in ("src", "providers", "templates"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(top / "dist"), str(top)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (top / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_providers_and_templates(wheel):
    assert wheel.name == f"tokenkeep-{tokenkeep.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("providers", "templates"):
        files = [path for path in (TOP / folder).rglob("*") if path.is_file()]
        assert files
        missing = [str(path) for path in files if f"tokenkeep/_data/{path.relative_to(TOP)}" not in names]
        assert not missing
    assert "tokenkeep/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"tokenkeep", wheel.name.rpartition("-py3")[0] + ".dist-info"}


def test_the_wheel_holds_all_of_the_package(wheel):
    source = TOP / "src"
    here = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert here <= set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in an environment of its own. Its libraries are those of this environment, linked."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    site = Path(
        subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "-qq"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    # Only the directory: the link to the source in there is a .pth file, and those count in site directories alone.
    libraries = metadata.distribution("starlette").locate_file("")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--version"], tokenkeep.__version__), (["providers", "check"], ""), (["--help"], "serve")],
    ids=["version", "providers", "help"],
)
def test_the_installed_command_works_away_from_the_source(installed, tmp_path, arguments, told):
    command = [str(installed / "bin" / "tokenkeep"), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout


@pytest.mark.slow
def test_the_installed_package_is_the_one_that_runs(installed, tmp_path):
    command = [str(installed / "bin" / "python"), "-c", "import tokenkeep; print(tokenkeep.__file__)"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(installed))


# --- containers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((TOP / "docker-compose.yml").read_text(encoding="utf-8"))


def compose_command():
    """`docker compose`, or its forerunner, which reads the same file."""
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return [docker, "compose"]
    forerunner = shutil.which("docker-compose")
    return [forerunner] if forerunner else lack("docker compose", "neither the plugin nor docker-compose is installed")


def test_docker_accepts_the_compose_file(tmp_path):
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [*compose_command(), "--file", str(TOP / "docker-compose.yml"), "config", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_container_is_locked_down(compose):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["healthcheck"], name
        assert name == "postgres" or service["user"].split(":")[0] not in {"", "0", "root"}, name
        assert name == "postgres" or service["cap_drop"] == ["ALL"], name


def test_there_are_two_replicas_that_wait_for_the_migration(compose):
    replicas = [service for name, service in compose["services"].items() if name.startswith("replica-")]
    assert len(replicas) == 2
    for replica in replicas:
        assert replica["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert replica["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert replica["stop_grace_period"] == "60s"
    assert replicas[0]["volumes"] != replicas[1]["volumes"]
    assert compose["services"]["migrate"]["command"] == ["migrate"]


def test_secrets_are_files_outside_version_control(compose):
    for secret in compose["secrets"].values():
        assert set(secret) == {"file"}
        ignored = subprocess.run(["git", "check-ignore", "-q", secret["file"]], cwd=TOP, check=False).returncode
        assert ignored == 0 or not (TOP / ".git").exists()
    text = (TOP / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"(PASSWORD|ROOT_KEY|SECRET): (?!/run)", text)


def test_the_replicas_trust_the_network_of_the_proxy_alone(compose):
    proxy, replica = compose["services"]["proxy"], compose["services"]["replica-a"]
    assert set(proxy["networks"]) & set(replica["networks"]) == {"inside"}
    (config,) = compose["networks"]["inside"]["ipam"]["config"]
    assert replica["environment"]["TOKENKEEP_TRUSTED_PROXIES"] == config["subnet"]
    assert compose["networks"]["inside"]["internal"] is True
    assert compose["services"]["postgres"]["networks"] == ["inside"]


def test_the_settings_in_the_compose_file_are_settings(compose, tmp_path):
    """With the secret's path moved to a file that is here, they are read as the container would read them."""
    password = tmp_path / "password"
    password.write_text("canary\n")
    given = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        for name, value in compose["services"]["replica-a"]["environment"].items()
    }
    found = read(given | {"TOKENKEEP_DATABASE_PASSWORD_FILE": str(password), "HOME": "/var/lib/tokenkeep"})
    assert found.database_url.reveal() == "postgresql+asyncpg://tokenkeep:canary@postgres:5432/tokenkeep"
    assert (found.public_url, found.demo) == ("http://localhost:8420", False)
    assert str(found.root_key_file) == f"/run/secrets/{compose['services']['replica-a']['secrets'][0]}"


def test_the_proxy_knows_both_replicas_and_logs_no_query(compose):
    text = (TOP / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    servers = set(re.findall(r"server (replica-\w+):8420", text))
    assert servers == {name for name in compose["services"] if name.startswith("replica-")}
    (form,) = re.findall(r"log_format plain '(.+)';", text)
    assert not {"$request", "$request_uri", "$args", "$query_string", "$http_referer"} & set(form.split())
    # At `error` and below nginx writes whole request lines when a replica is down.
    assert re.findall(r"error_log \S+ (\w+);", text) == ["crit"]


def test_the_image_runs_as_its_own_user_from_locked_parts():
    text = (TOP / "Dockerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last
    assert "HEALTHCHECK" in last
    assert "umask 077 && exec tokenkeep" in last
    assert "curl" not in text
    assert text.count("--require-hashes") == text.count("--requirement")
    for lock in re.findall(r"--requirement (\S+)", text):
        assert lock in LOCKS
    copied = {
        name for names in re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE) for name in names.split()
    }
    kept = set(re.findall(r"^!(\S+)$", (TOP / ".dockerignore").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert copied == kept


# --- make ----------------------------------------------------------------------------------------------------------------


def test_make_help_tells_every_target():
    text = (TOP / "Makefile").read_text(encoding="utf-8")
    told = subprocess.run(["make", "help"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, flags=re.MULTILINE)
    for target in set(phony.split()) - {"chromium", "compose", "compiler"}:  # what tests need, not what people ask for
        assert re.search(rf"^  {target} +\S", told, flags=re.MULTILINE), target


def test_the_build_server_runs_what_people_run():
    text = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert text.index("make check") < text.index("make test")
