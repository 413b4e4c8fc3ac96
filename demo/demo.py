"""The demo's two ends: real inputs for three trained models, and what their outputs say.

  demo.py prepare OUT    writes OUT/*.npy and prints the tenants and inputs as arguments, one a line
  demo.py answer OUT     reads OUT/answers/*.npy, decodes, compares with ONNX Runtime; exits 1 on a difference

Tenants: `text` reads four rendered lines, `files` tells what four files are, `speech` finds speech in a
recording.
"""

import argparse
import json
import pathlib
import sys
import wave

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import speech

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODELS = ROOT / ".models"
LINES = ("Several models, one device", "Regulated concurrency", "Pay 42.50 EUR by Friday", "Hello, tenants!")
LINE_HEIGHT, LINE_WIDTH = 48, 320
FILES = (ROOT / "demo/speech.py", ROOT / "CMakeLists.txt", ROOT / "src/report/report.html")
FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")
FRAME, CONTEXT = 512, 64
TOLERANCE = 1e-4  # of a tensor's largest magnitude


def render_line(text, font_name):
    """A line of text as the recogniser wants it: 3 x 48 x 320 in [-1, 1], zeros right of the text."""
    font = ImageFont.truetype(font_name, 44)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (right - left + 24, 64), (250, 250, 245))
    ImageDraw.Draw(image).text((12 - left, (64 - bottom - top) / 2), text, font=font, fill=(20, 24, 40))
    width = min(LINE_WIDTH, round(image.width * LINE_HEIGHT / image.height))
    pixels = np.asarray(image.resize((width, LINE_HEIGHT), Image.BILINEAR), np.float32)
    line = np.zeros((3, LINE_HEIGHT, LINE_WIDTH), np.float32)
    line[:, :, :width] = pixels.transpose(2, 0, 1) / 127.5 - 1
    return image, line


def file_tokens(path, config):
    """The beginning and the end of a file without the blanks around them, as magika wants them."""
    content = path.read_bytes()
    begin = content[: config["block_size"]].lstrip()[: config["beg_size"]]
    end = content[-config["block_size"] :].rstrip()[-config["end_size"] :]
    padding = config["padding_token"]
    return (
        list(begin) + [padding] * (config["beg_size"] - len(begin))
        + [padding] * (config["end_size"] - len(end)) + list(end)
    )  # fmt: skip


def frames_of(audio):
    """Windows of 512 samples, each after the last 64 of the one before it."""
    count = -(-len(audio) // FRAME)
    frames = np.zeros((count, FRAME), np.float32)
    frames.reshape(-1)[: len(audio)] = audio
    context = np.zeros((count, CONTEXT), np.float32)
    context[1:] = frames[:-1, -CONTEXT:]
    return np.concatenate((context, frames), axis=1)


def write_wav(path, audio):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, speech.RATE, len(audio), "NONE", ""))
        file.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())


def magika_config():
    return json.loads((MODELS / "magika.config.json").read_text())


def demo_files(out):
    return (*FILES, out / "speech.wav")


def prepare(out):
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (text, font) in enumerate(zip(LINES, FONTS)):
        image, line = render_line(text, font)
        image.save(out / f"line{index + 1}.png")
        lines.append(line)
    audio, _ = speech.synthesize()
    write_wav(out / "speech.wav", audio)
    config = magika_config()
    state = np.zeros((1, 1, 128), np.float32)
    inputs = {
        ("text", "x"): np.stack(lines),
        ("files", "bytes"): np.array([file_tokens(path, config) for path in demo_files(out)], np.int32),
        ("speech", "input"): frames_of(audio),
        ("speech", "h"): state,
        ("speech", "c"): state,
    }
    for (tenant, name), value in inputs.items():
        np.save(out / f"{tenant}.{name}.npy", value)
        print(f"--input={tenant}:{name}={out}/{tenant}.{name}.npy")
    frames = len(inputs["speech", "input"])
    print(f"{MODELS.relative_to(ROOT)}/ocr_rec.onnx@{len(lines)}?H={LINE_HEIGHT}&W={LINE_WIDTH},name=text")
    print(f"{MODELS.relative_to(ROOT)}/magika.onnx@{len(demo_files(out))},name=files")
    print(f"{MODELS.relative_to(ROOT)}/silero_vad.onnx?sequence_length={frames},name=speech")


def read_text(scores):
    """Greedy CTC: the best class of each column, repeats and blanks (class 0) dropped."""
    characters = (MODELS / "ocr_rec.characters.txt").read_text(encoding="utf-8").split("\n")
    alphabet = ["", *characters, " "]
    texts = []
    for columns in scores.argmax(axis=2):
        kept = [c for previous, c in zip([0, *columns[:-1]], columns) if c != previous]
        texts.append("".join(alphabet[c] if c < len(alphabet) else " " for c in kept))
    return texts


def name_types(scores):
    labels = magika_config()["target_labels_space"]
    return [f"{labels[row.argmax()]} ({row.max():.0%})" for row in scores]


def find_speech(probabilities):
    """Runs of frames with a probability above a half, as seconds."""
    spoken = np.concatenate(([False], probabilities.reshape(-1) > 0.5, [False]))
    edges = np.flatnonzero(spoken[1:] != spoken[:-1]) * FRAME / speech.RATE
    return [f"{begin:.1f}-{end:.1f} s" for begin, end in zip(edges[::2], edges[1::2])]


# tenant -> model, the output that answers, how to read it, what each answer is about
TENANTS = {
    "text": ("ocr_rec.onnx", 0, read_text, lambda out: [f"line{i + 1}.png" for i in range(len(LINES))]),
    "files": ("magika.onnx", 0, name_types, lambda out: [path.name for path in demo_files(out)]),
    "speech": ("silero_vad.onnx", 0, find_speech, lambda out: None),
}


def answer(out):
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    is_equal = True
    for tenant, (model, position, decode, subjects) in TENANTS.items():
        session = onnxruntime.InferenceSession(str(MODELS / model))
        feed = {port.name: np.load(out / f"{tenant}.{port.name}.npy") for port in session.get_inputs()}
        expected = session.run(None, feed)
        worst = 0.0
        ours = []
        for port, reference in zip(session.get_outputs(), expected):
            value = np.load(out / "answers" / f"{tenant}.{port.name.replace('/', '_')}.npy")
            if value.shape != reference.shape or value.dtype != reference.dtype:
                sys.exit(f"demo: {tenant}.{port.name}: {value.dtype}{value.shape}, expected {reference.dtype}{reference.shape}")
            scale = max(np.abs(reference).max(), 1e-30)
            difference = np.abs(value.astype(np.float64) - reference).max() / scale
            worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
            ours.append(value)
        said, theirs = decode(ours[position]), decode(expected[position])
        same = said == theirs and worst <= TOLERANCE
        is_equal &= same
        about = subjects(out)
        print(f"\n  {tenant}")
        if about is None:
            print(f"    speech at {', '.join(said) or 'no time'}")
        else:
            for subject, text in zip(about, said):
                print(f"    {subject:<16} {text}")
        verdict = "equal" if same else f"DIFFERENT: ONNX Runtime says {theirs}"
        print(f"    ONNX Runtime: {verdict} (largest difference {worst:.0e} of the scale)")
    print("\nAll answers are those of ONNX Runtime." if is_equal else "\nSome answers differ from ONNX Runtime's.")
    return 0 if is_equal else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "answer"))
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.what == "prepare":
        prepare(arguments.out)
        return 0
    return answer(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
