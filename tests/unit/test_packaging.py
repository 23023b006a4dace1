"""What people install: one version, metadata that agree with the pages, a wheel with every file of the package."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import surefoot

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys, flit_core.buildapi as api; print(api.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=TOP, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(folder / done.stdout.split()[-1])


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    source = TOP / "src"
    ours = {str(path.relative_to(source)) for path in (source / "surefoot").rglob("*") if path.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == ours
    assert {"surefoot/py.typed", "surefoot/tasks/task.schema.json", "surefoot/envs/simulators/pins/bullet.txt"} <= ours
    assert not (TOP / "build").exists()  # later wheels would take old files from it


def test_metadata_of_the_wheel(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(name).decode()
    assert f"\nVersion: {surefoot.__version__}\n" in text
    assert "\nRequires-Python: >=3.11,<3.15\n" in text
    assert "\nLicense-Expression: Apache-2.0\n" in text
    assert name.replace("METADATA", "licenses/LICENSE") in wheel.namelist()
    entry_points = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "surefoot=surefoot.cli.main:main" in entry_points


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == surefoot.__version__
    assert (citation["cff-version"], citation["license"]) == ("1.2.0", PROJECT["license"])
    newest = re.findall(r"^## (\S+)", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert newest == surefoot.__version__


def test_pages_and_makefile_name_the_pythons_of_the_metadata() -> None:
    versions = [found[1] for one in PROJECT["classifiers"] if (found := re.search(r":: (3\.\d+)$", one))]
    first, last = versions[0], versions[-1]
    minor = int(last.split(".")[1])
    assert PROJECT["requires-python"] == f">={first},<3.{minor + 1}"
    assert versions == [f"3.{number}" for number in range(int(first.split(".")[1]), minor + 1)]
    for name in ("README.md", "CONTRIBUTING.md", "Makefile"):
        assert f"{first} to {last}" in (TOP / name).read_text(encoding="utf-8"), name
    assert f"(3, 11) <= sys.version_info[:2] <= (3, {minor})" in (TOP / "Makefile").read_text(encoding="utf-8")


def test_all_is_every_extra_for_users() -> None:
    named = {name for line in EXTRAS["all"] for name in re.findall(r"[a-z]+", line.split("]")[0].split("[")[1])}
    assert named == EXTRAS.keys() - {"all", "cuda", "dev", "docs"}


def test_files_that_people_look_for() -> None:
    for name in ("LICENSE", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Dockerfile"):
        assert (TOP / name).stat().st_size > 200, name
    # What the image copies is there.
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (TOP / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied
    assert all((TOP / name).exists() for line in copied for name in line.split())
