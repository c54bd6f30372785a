"""What the README shows works as it stands there."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_python_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own example
    assert "0 h264 derained" in capsys.readouterr().out
    assert (tmp_path / "clean.mp4").is_file()


def test_files_that_documents_link_to_exist():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
