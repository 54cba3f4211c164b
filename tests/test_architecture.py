"""The picture in `docs/architecture.md`, kept true: who imports whom, and what is public."""

import ast
import importlib.metadata
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import audio_codecs
import gateway

ROOT = Path(__file__).parents[1]
CODECS, GATEWAY = ROOT / "codecs" / "audio_codecs", ROOT / "gateway"
PACKAGES = {"audio_codecs": CODECS, "protocol": GATEWAY / "protocol", "media": GATEWAY / "media"}


def sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"no source in {folder}"
    return found


def imports(source: Path) -> set[str]:
    """Every module that a file imports, also inside functions, by its full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative imports hide who is imported"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_below_the_sockets_does_io_or_reads_a_clock(package: str) -> None:
    forbidden = ("asyncio", "threading", "socket", "time", "datetime", "random", "websockets", "aiohttp", "uvloop")
    for source in sources(PACKAGES[package]):
        assert not {name for name in imports(source) if within(name, *forbidden)}, source


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("audio_codecs", ("audio_codecs",)),
        ("protocol", ("gateway.protocol", "gateway.errors")),
        ("media", ("gateway.media", "gateway.protocol", "gateway.errors", "audio_codecs")),
    ],
)
def test_imports_point_left(package: str, allowed: tuple[str, ...]) -> None:
    for source in sources(PACKAGES[package]):
        ours = {name for name in imports(source) if within(name, "gateway", "audio_codecs")}
        assert not {name for name in ours if not within(name, *allowed)}, source


def test_only_the_command_line_knows_the_simulator() -> None:
    users = {
        source.relative_to(GATEWAY).as_posix()
        for source in sources(GATEWAY)
        if any(within(name, "gateway.simulator") for name in imports(source))
    }
    # The load generator is Telnyx's side as well.
    assert {user for user in users if not user.startswith(("simulator/", "bench/"))} == {"cli.py"}


def test_nothing_of_the_programs_imports_the_tests() -> None:
    for folder in (GATEWAY, CODECS):
        for source in sources(folder):
            assert not {name for name in imports(source) if within(name, "tests", "benchmarks", "examples")}, source


@pytest.mark.parametrize("module", [gateway, audio_codecs], ids=lambda module: module.__name__)
def test_all_is_true_and_sorted(module: ModuleType) -> None:
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(module.__all__) == imported
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name))  # as ruff sorts
    assert all(hasattr(module, name) for name in module.__all__)


def test_codecs_is_a_source_root_and_no_package() -> None:
    assert not (ROOT / "codecs" / "__init__.py").exists()
    assert Path(sys.modules["codecs"].__file__ or "").parent != ROOT / "codecs"


def test_the_installed_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    try:
        installed = importlib.metadata.version(project["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed: it runs from its folder")
    assert installed == project["version"]
