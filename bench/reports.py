"""Reports of `gacer --json` as results keep them (without the folders of the machine that ran it), and results."""

import json
import pathlib
import re


def without_folders(command):
    return re.sub(r"(?<=[ =])/(?:[^ /]+/)*", "", command)


def read(path):
    report = json.loads(pathlib.Path(path).read_text())
    report["command"] = without_folders(report["command"])
    return report


def save(path, value, allow_nan=True):
    """Whole, or what was there before stays."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, allow_nan=allow_nan) + "\n")
    part.replace(path)
