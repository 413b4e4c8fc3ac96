"""Tunes the blocks of models for `gpu.py --max-autotune`, on all cores and all GPUs (of one kind).

torch.compile's widest search compiles its candidates one after the other: minutes a model on one core.
Here modules with a few convolutions or linear layers are compiled by themselves, each in one of many
processes; on a GPU candidates are timed by one process at a time, as device_timer.py does it. What they
decided goes to TORCHINDUCTOR_CACHE_DIR, where the compilation of whole models finds it (decisions hang on shapes and
layouts, not on weights). While a candidate is timed no other process runs one there. Candidates are compiled in a
pool of processes as whole models' are: those that fail in a thread are dropped before they are timed, and a
decision without them is made again by who knows of them.

Usage: tune_blocks.py BATCH SECONDS MODEL... [--keep FILE.json.xz]

Begins no block after SECONDS and ends those that run; then it exits with 3. What was decided stays,
so another call goes on; with --keep also on another machine of the same kind: what the file holds is
taken, and it is written anew. Prints a line of JSON: processes, seconds, decisions before and after,
versions; of all processes together the seconds that they waited for the GPU and timed candidates on it
(the rest is compiling), how many candidates those were and how many of them waited for the GPU themselves.
"""

import argparse
import collections
import contextlib
import itertools
import json
import lzma
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import torch
import torchvision
from device_timer import NOTHING_SPENT, DeviceTimer
from torch._inductor.async_compile import AsyncCompile
from torch_models import compile_beside_others, on_device
from turnstile import Turnstile

MOST_LAYERS = 5  # of a block
ACCOUNT = "account.json"
# What a process ends with that had no time for all of its blocks, or that has named some that failed.
UNFINISHED = 101
FAILED = 102


def shapes_of(value):
    """The shape of a tensor, or of each of a list."""
    return [shapes_of(v) for v in value] if isinstance(value, (list, tuple)) else tuple(value.shape)


def count_layers(module):
    return sum(isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) for m in module.modules())


def blocks_of(name, batch):
    """(module, shape of its input) of each part that is tuned by itself; without memory."""
    inputs = {}

    def note(module, given):
        inputs[module] = shapes_of(given[0])

    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None).eval()
        hooks = [module.register_forward_pre_hook(note) for module in model.modules()]
        model(torch.empty(batch, 3, 224, 224))
    for hook in hooks:
        hook.remove()

    def descend(module):
        layers = count_layers(module)
        if 0 < layers <= MOST_LAYERS and module in inputs:
            yield module, inputs[module]
        elif layers > 0:
            for child in module.children():
                yield from descend(child)

    return descend(model)


def unique_blocks(models, batch):
    """Those of all models, the ones with most layers first."""
    found = {}
    for name in models:
        for module, shape in blocks_of(name, batch):
            found.setdefault(f"{module} {shape}", (module, shape))
    return sorted(found.values(), key=lambda block: -count_layers(block[0]))


def make_input(shape):
    if isinstance(shape, list):
        return [make_input(s) for s in shape]
    x = torch.randn(shape, device="cuda", dtype=torch.half)
    return x.to(memory_format=torch.channels_last) if len(shape) == 4 else x


def fill(module):
    """Memory and plausible numbers: what candidates take depends on them a little."""
    module = on_device(module.to_empty(device="cuda"))
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.02)
    return module


def work(batch, deadline, index, count, lock, models):
    """Every count-th block from index on. The number of those that failed, which the log names, and
    whether there was time for all. What was spent is written to a file of the compiler's folder."""
    torch.backends.cudnn.benchmark = True
    failed = 0
    AsyncCompile.wait_pool_ready()
    device = Turnstile(lock)
    timer = DeviceTimer(device.alone)
    account = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) / ACCOUNT
    with torch.inference_mode():
        for module, shape in unique_blocks(models, batch)[index::count]:
            if time.time() > deadline:
                return failed, False
            begin = time.time()
            try:
                compile_beside_others("autotuned", lambda: (fill(module), make_input(shape)), device, timer)
                torch._dynamo.reset()
            except Exception as error:  # the others can still be tuned
                failed += 1
                print(f"failed: {shape} {module}: {error}", flush=True)
            print(f"{time.time() - begin:.1f} s: {shape} {module}", flush=True)
            write_whole(account, json.dumps(timer.spent).encode())
    return failed, True


def merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def read_decisions(folder):
    """By the name of the compiler's file: one for each device and version."""
    files = {}
    for path in (folder / "cache").glob("[!.]*"):  # others are being written
        with contextlib.suppress(OSError, ValueError):  # another takes its place just now
            files[path.name] = json.loads(path.read_text())
    return files


def write_whole(path, content):
    """Bytes. Who reads them, or ends this process, meets all or what was there before."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(content)
    part.replace(path)


def write_decisions(folder, files):
    for name, file in files.items():
        write_whole(folder / "cache" / name, json.dumps(file).encode())


def add_accounts(folders):
    total = collections.Counter(NOTHING_SPENT)
    for folder in folders:
        if (folder / ACCOUNT).exists():  # of a block at least
            total.update(json.loads((folder / ACCOUNT).read_text()))
    return {key: round(value, 1) for key, value in total.items()}


def count_decisions(files):
    return sum(len(known) for file in files.values() for known in file.get("cache", {}).values())


def visible_gpus():
    """As CUDA_VISIBLE_DEVICES names them, up to the first that it does not."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    return list(itertools.takewhile(lambda name: name not in ("", "-1"),
                                    (name.strip() for name in named.split(","))))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("batch", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--keep", type=pathlib.Path)
    # Of a process that main() starts: its number, how many there are, their lock; `seconds` is a time.
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_arguments()
    batch, seconds, models = args.batch, args.seconds, args.models
    if args.worker:
        index, count, lock = args.worker
        failed, is_complete = work(batch, seconds, int(index), int(count), lock, models)
        sys.exit(UNFINISHED if not is_complete else FAILED if failed else 0)
    begin = time.time()
    shared = pathlib.Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    (shared / "cache").mkdir(parents=True, exist_ok=True)
    decisions = read_decisions(shared)
    if args.keep and args.keep.exists():
        merge(decisions, json.loads(lzma.decompress(args.keep.read_bytes())))
    before = count_decisions(decisions)
    write_decisions(shared, decisions)
    count = max(1, len(os.sched_getaffinity(0)) - 1)
    gpus = visible_gpus()
    if not gpus:
        sys.exit("there is no GPU")
    # What a process leaves behind when it is ended may still write there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workers = []
        for index in range(count):
            own = pathlib.Path(folder) / str(index)  # they would overwrite each other's decisions
            shutil.copytree(shared / "cache", own / "cache")
            log = open(own / "log", "w")
            place = index % len(gpus)
            workers.append((own, subprocess.Popen(
                [sys.executable, __file__, str(batch), str(begin + seconds), *models, "--worker",
                 str(index), str(count), f"{folder}/lock{place}"], stdout=log, stderr=log,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": gpus[place],
                     "TORCHINDUCTOR_CACHE_DIR": str(own),
                     "TORCHINDUCTOR_QUIESCE_ASYNC_COMPILE_POOL": "0",
                     "TORCHINDUCTOR_COMPILE_THREADS": "2"})))  # 1 would mean no pool

        def collect():
            for own, _ in workers:
                merge(decisions, read_decisions(own))
            write_decisions(shared, decisions)
            if args.keep:
                write_whole(args.keep, lzma.compress(json.dumps(decisions).encode()))

        failed, is_complete = [], True
        try:
            for own, process in workers:
                while process.poll() is None and time.time() < begin + seconds:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(min(20, max(0.1, begin + seconds - time.time())))
                    collect()  # also for who is ended before the last is done
                process.kill()
                code = process.wait()
                is_complete = is_complete and code in (0, FAILED)
                if code not in (0, UNFINISHED, -signal.SIGKILL):
                    failed.append((own / "log").read_text()[-1500:])
            collect()
            account = add_accounts([own for own, _ in workers])
        finally:
            for _, process in workers:
                process.kill()
    print(json.dumps({"models": models, "batch": batch, "complete": is_complete, "processes": count,
                      "gpus": len(gpus), "failed": failed, "seconds": round(time.time() - begin, 1),
                      "decisions_before": before, "decisions": count_decisions(decisions), **account,
                      "torch": torch.__version__, "device": torch.cuda.get_device_name()}))
    sys.exit(0 if is_complete else 3)


if __name__ == "__main__":
    main()
