"""Makes docs/timelines.png of a report: the timelines of `sequential` and of the plan that is used.

  picture.py build/demo/report.html docs/timelines.png      (needs chromium)
"""

import pathlib
import subprocess
import sys
import tempfile

from PIL import Image, ImageChops

WIDTH, HEIGHT, MARGIN = 1000, 1400, 16
# Only the legend and two panels stay; the plan beside `sequential` is the used one, else the regulated one.
ONLY_TIMELINES = """
<style>main { padding: 16px !important; } main > *:not(section):not(.legend) { display: none !important; }</style>
<script>
const used = data.chosen === "sequential" ? "gacer" : data.chosen;
for (const panel of document.querySelectorAll("section.panel"))
  if (!["sequential", used].includes(panel.querySelector("svg.tl").dataset.policy)) panel.remove();
</script></body>
"""


def main():
    report, picture = map(pathlib.Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        page, shot = pathlib.Path(folder) / "page.html", pathlib.Path(folder) / "shot.png"
        page.write_text(report.read_text(encoding="utf-8").replace("</body>", ONLY_TIMELINES), encoding="utf-8")
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=2",
             f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile", f"--screenshot={shot}", f"file://{page}"],
            check=True, capture_output=True, timeout=120)  # fmt: skip
        image = Image.open(shot).convert("RGB")
    corner = Image.new("RGB", image.size, image.getpixel((0, 0)))
    left, top, right, bottom = ImageChops.difference(image, corner).getbbox()
    box = (max(0, left - MARGIN), max(0, top - MARGIN), min(image.width, right + MARGIN), min(image.height, bottom + MARGIN))
    image.crop(box).quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main()
