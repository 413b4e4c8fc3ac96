"""What operators may have is what ONNX's schemas say."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_table_is_that_of_the_package():
    subprocess.run([sys.executable, ROOT / "tools/make_onnx_signatures", "--check"], check=True)
