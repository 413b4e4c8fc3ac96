"""What the README and the command line's page promise."""

import pathlib
import re
import shlex

import numpy as np

from conftest import make_conv_net

SLOW = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = ["--evaluations", "50", "--measurements", "2"]


def commands_of(page):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("gacer ")]


def test_readme_commands_run(gacer, tmp_path):
    commands = commands_of("README.md")
    assert len(commands) >= 4
    # The files that the page's examples speak of.
    for name in ("a.onnx", "b.onnx", "model.onnx"):
        make_conv_net(tmp_path / name)
    np.save(tmp_path / "image.npy", np.zeros((8, 3, 32, 32), np.float32))
    for command in commands:
        if command[0] == "check":
            command = ["check", "model.onnx@8"]
        command = [part.replace("a:x=x.npy", "a:image=image.npy") for part in command]
        if command[0] in ("run", "compare", "plan"):
            command += QUICK
        if command[0] in ("run", "compare"):
            command += ["--time", "100ms", "--rounds", "3"]
        gacer(*command)
    assert (tmp_path / "report.html").exists() and (tmp_path / "answers/a.scores.npy").exists()


def test_readme_links_exist():
    for page in ("README.md", "CONTRIBUTING.md", "docs/cli.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
