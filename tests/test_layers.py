"""The architecture: imports go down only, and importing the library loads nothing heavy that it may not need."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nerdrain_rt

PACKAGE = Path(nerdrain_rt.__file__).parent
LAYERS = (
    {"ending", "errors", "folders", "frame"},
    {"pixel_layout", "color_spec", "chroma", "memory", "color_kernels", "gpu_picture", "flow"},
    {"model", "tiling", "color", "stages", "lanes", "temporal"},
    {"backends"},
    {"derainer", "media"},
    {"live"},
    {"pipeline"},
    {"__init__"},
    {"console"},
    {"batch", "command_options", "live_console"},
    {"training", "evaluation", "benchmark", "doctor", "weights_cli", "engine_cli", "gui_command"},
    {"live_command"},
    {"cli"},
    {"__main__"},
)
"""From the bottom up, as in the design; the package itself (`__init__`) is the library's public face."""
LEVELS = {unit: level for level, layer in enumerate(LAYERS) for unit in layer}
OPTIONAL = {"PyQt6", "cv2", "torch_tensorrt", "tensorrt", "triton", "openvino", "ray"}
"""What the library must not load on import; Triton comes with some builds of PyTorch, which may load it itself."""


def unit_of(module: str) -> str:
    """The file or folder of the package that a module belongs to."""
    return module.removeprefix("nerdrain_rt").lstrip(".").split(".")[0] or "__init__"


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file, those for type checking and inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; name the package"
            yield node.lineno, node.module or ""
            if node.module == "nerdrain_rt":
                yield from ((node.lineno, f"nerdrain_rt.{name.name}") for name in node.names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(path):
    unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert unit in LEVELS, f"{unit}: in no layer; add it to LAYERS and to the design"
    for line, module in imported_modules(path):
        if module.split(".")[0] != "nerdrain_rt":
            continue
        other = unit_of(module)
        if other in LEVELS and other != unit:
            assert LEVELS[other] < LEVELS[unit], f"{path}:{line}: {unit} imports {other}, which is not below it"


def test_importing_the_library_loads_nothing_optional():
    code = "import sys, torch, av; before = set(sys.modules); import nerdrain_rt; print(*(sys.modules.keys() - before))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = {module.split(".")[0] for module in printed.split()}
    assert "nerdrain_rt" in loaded
    assert loaded.isdisjoint(OPTIONAL)
