"""Runs the demo and puts its output and timelines into the README.

  refresh.py [OUTPUT.txt]      with a file: take this output of demo/run instead of running it
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def main():
    if len(sys.argv) > 1:
        output = pathlib.Path(sys.argv[1]).read_text()
    else:
        output = subprocess.run([ROOT / "demo/run"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    paragraphs = output.strip().split("\n\n")
    shown = [next(p for p in paragraphs if p.startswith("  policy "))]
    shown += re.findall(r"^  profiled in .*$", output, re.M)
    shown += [p for p in paragraphs if p.startswith("One round of ")]
    shown += [p for p in paragraphs if re.match(r"  \w+\n    ", p)] + [paragraphs[-1].split("\n")[0]]
    block = "```\n$ make demo\n[...]\n" + "\n".join(shown) + "\n```"
    text = README.read_text()
    README.write_text(re.sub(r"```\n\$ make demo\n.*?```|@TERMINAL@", lambda _: block, text, count=1, flags=re.S))
    subprocess.run([sys.executable, "-B", ROOT / "docs/picture.py", ROOT / "build/demo/report.html", ROOT / "docs/timelines.png"], check=True)


if __name__ == "__main__":
    main()
