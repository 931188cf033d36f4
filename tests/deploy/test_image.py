"""The image holds the packages of the lock file and the whole project, and runs unprivileged without write access."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.files import ROOT, images, read

DOCKERFILE = read("Dockerfile")
TAG = re.compile(r"[\w./-]+:\d[\w.-]*")


def instructions(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def copied() -> Iterator[str]:
    """Return the paths that are copied from the checkout."""
    for line in instructions("COPY"):
        if not line.startswith("--from="):
            yield from line.split()[:-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the project as the Dockerfile does, from a wheel built without a network; return its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *wheel, str(ROOT)], check=True, cwd=folder)
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as content:
        content.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("image", sorted(set(images())))
def test_every_image_is_pinned_to_a_version(image: str) -> None:
    assert TAG.fullmatch(image)


def test_installed_packages_come_from_the_lock_alone() -> None:
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert installs == [
        "pip install --require-hashes -r requirements.lock",
        "pip install --no-deps --no-build-isolation --no-index .",
    ]


def test_every_package_in_the_lock_has_a_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


def test_image_runs_the_command_as_an_unprivileged_user() -> None:
    assert instructions("ENTRYPOINT") == ['["fireweed"]']
    [user] = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_second_stage_copies_only_the_installed_files() -> None:
    assert len(instructions("FROM")) == 2
    second = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^COPY (.+)$", second, re.MULTILINE) == ["--from=build /opt/fireweed /opt/fireweed"]


def test_build_context_holds_only_the_copied_files() -> None:
    lines = read("Dockerfile.dockerignore").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(line[1:] for line in rules if line.startswith("!")) == sorted(copied())
    assert all((ROOT / name).exists() for name in copied())


def test_version_of_the_image_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    ours = {image for image in images() if image.startswith("fireweed:")}
    assert ours == {f"fireweed:{version}"}


@pytest.mark.slow
def test_installed_package_holds_every_project_file(installed: Path) -> None:
    def kept(top: Path) -> set[str]:
        found = (path for name in ("services", "schemas") for path in (top / name).rglob("*") if path.is_file())
        return {path.relative_to(top).as_posix() for path in found if "__pycache__" not in path.parts}

    assert kept(installed) == kept(ROOT)


@pytest.mark.slow
@pytest.mark.backend("sqlite")
def test_installed_package_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FIREWEED_")}
    variables |= {"PYTHONPATH": str(installed), "FIREWEED_DATA": str(tmp_path / "data")}

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run("import services; print(services.__file__)").startswith(str(installed))
    run("from services.cli import main; main(['migrate'])")
    assert (
        run("from services.consent.policy import policy, privacy_notice; policy(); print(privacy_notice('fr').version)")
        == "1"
    )
    built = "[service.name for service in composition.build_all(Settings(), 'http://127.0.0.1')]"
    assert "consent" in run(
        f"from services import composition; from services.common.settings import Settings; print({built})"
    )
