"""Links the models of the installed packages into .models/, and what is needed to read their results.

Usage: link_models.py MODELS_TXT OUT_DIRECTORY   (run by the Python of the project's environment)

OUT/<name>.onnx            a relative link to the package's file
OUT/ocr_rec.characters.txt the text recogniser's classes 1..N, one a line (class 0 is the CTC blank,
                           class N+1 is the space)
OUT/magika.config.json     a relative link: the labels and the input layout of magika
"""

import os
import pathlib
import sys
import sysconfig

import onnx


def link(target: pathlib.Path, place: pathlib.Path) -> None:
    """Makes `place` a relative link to `target`, in one step."""
    if not target.is_file():
        sys.exit(f"link_models: {target} is missing: is its package installed in another version?")
    temporary = place.with_name(place.name + ".tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, place.parent))
    temporary.replace(place)


def write_characters(model: pathlib.Path, place: pathlib.Path) -> None:
    """Writes the class names that the recogniser carries in its metadata."""
    metadata = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    if "character" not in metadata:
        sys.exit(f"link_models: {model} has no metadata entry 'character'")
    temporary = place.with_name(place.name + ".tmp")
    temporary.write_text(metadata["character"], encoding="utf-8")
    temporary.replace(place)


def main() -> None:
    table, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    site = pathlib.Path(sysconfig.get_path("purelib"))
    out.mkdir(parents=True, exist_ok=True)
    for line in table.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, file = line.split()
            link(site / file, out / f"{name}.onnx")
    write_characters(out / "ocr_rec.onnx", out / "ocr_rec.characters.txt")
    magika = (out / "magika.onnx").resolve().parent
    link(magika / "config.min.json", out / "magika.config.json")


if __name__ == "__main__":
    main()
