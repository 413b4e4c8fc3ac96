"""PyTorch on the models of gacer's zoo, as a worker that answers requests for timed rounds.

Usage: torch_models.py BATCH          requests on standard input, answers on standard output (JSON)
       torch_models.py BATCH --warm MODEL WEIGHTS    compiles once, which fills the compiler's cache

fp16, channels_last, torchvision's own modules with the weights of gacer's ONNX file. Requests:
  {"load": MODEL, "weights": FILE.onnx, "input": FILE.npy}   loads, compiles, captures
  {"merge": [MODEL, ...]}                   captures all in one graph, each on a forked stream
  {"run": PEER, "models": [...], "rounds": N}                milliseconds of N rounds
  {"output": MODEL, "file": F.npy, "precision": "f32"|"fp16"}   eager output
Peers: eager_sequential, eager_streams, compiled_sequential (one CUDA graph a model, in turn),
compiled_streams (the same graphs, a stream each), compiled_merged (one graph of all).
"""

import json
import sys
import time

import numpy
import onnx
import torch
import torchvision
from onnx import numpy_helper

WARM_ROUNDS = 3


def load_model(name, weights):
    """torchvision's model with the initializers of an ONNX file that carry its parameters' names."""
    model = getattr(torchvision.models, name)(weights=None).eval()
    given = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy())
             for i in onnx.load(weights).graph.initializer}
    own = {key for key in model.state_dict() if not key.endswith("num_batches_tracked")}
    missing = sorted(own - set(given))
    if missing:
        raise RuntimeError(f"{weights} has no {missing[:3]} ({len(missing)} parameters)")
    model.load_state_dict({key: given[key] for key in own}, strict=False)
    return model


def on_streams(runs, streams):
    """Runs each on its own stream, forked from and joined to the current one."""
    current = torch.cuda.current_stream()
    streams = streams[:len(runs)]
    for run, stream in zip(runs, streams):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            run()
    for stream in streams:
        current.wait_stream(stream)


def capture(run):
    """The launches of run() as one CUDA graph, after runs on a side stream that warm it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


class Worker:
    def __init__(self, batch):
        self.batch = batch
        self.eager, self.compiled, self.graphs, self.merged = {}, {}, {}, {}
        self.files = {}
        self.streams = [torch.cuda.Stream() for _ in range(8)]

    def load(self, request):
        name = request["load"]
        self.files[name] = request["weights"], request["input"]
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        model = load_model(name, request["weights"]).half().cuda()
        model = model.to(memory_format=torch.channels_last)
        x = torch.from_numpy(numpy.load(request["input"])).half().cuda()
        x = x.to(memory_format=torch.channels_last)
        begin = time.time()
        compiled = torch.compile(model)
        self.graphs[name] = capture(lambda: compiled(x))
        seconds = time.time() - begin
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        self.eager[name] = lambda: model(x)
        self.compiled[name] = lambda: compiled(x)
        return {"compile_s": seconds, "reserved_bytes": torch.cuda.memory_reserved() - before}

    def merge(self, request):
        names = request["merge"]
        runs = [self.compiled[name] for name in names]
        self.merged[tuple(names)] = capture(lambda: on_streams(runs, self.streams))
        return {}

    def round_of(self, peer, names):
        eager = [self.eager[name] for name in names]
        replays = [self.graphs[name].replay for name in names]
        if peer == "eager_sequential":
            return lambda: [run() for run in eager]
        if peer == "eager_streams":
            return lambda: on_streams(eager, self.streams)
        if peer == "compiled_sequential":
            return lambda: [replay() for replay in replays]
        if peer == "compiled_streams":
            return lambda: on_streams(replays, self.streams)
        if peer == "compiled_merged":
            return self.merged[tuple(names)].replay
        raise RuntimeError(f"unknown peer {peer}")

    def run(self, request):
        """Times single rounds by events, from an idle device each."""
        run = self.round_of(request["run"], request["models"])
        times = []
        for i in range(request["rounds"] + WARM_ROUNDS):
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            begin.record()
            run()
            end.record()
            end.synchronize()
            if i >= WARM_ROUNDS:
                times.append(begin.elapsed_time(end))
        return {"ms": times}

    def output(self, request):
        name = request["output"]
        if request["precision"] == "fp16":
            y = self.eager[name]()
        else:
            weights, file = self.files[name]
            y = load_model(name, weights).cuda()(torch.from_numpy(numpy.load(file)).cuda())
        numpy.save(request["file"], y.float().cpu().numpy())
        return {}

    def answer(self, request):
        for verb in ("load", "merge", "run", "output"):
            if verb in request:
                return getattr(self, verb)(request)
        raise RuntimeError(f"unknown request {request}")


def warm(batch, name, weights):
    model = load_model(name, weights).half().cuda().to(memory_format=torch.channels_last)
    x = torch.zeros(batch, 3, 224, 224, device="cuda", dtype=torch.half)
    torch.compile(model)(x.to(memory_format=torch.channels_last))
    torch.cuda.synchronize()


def main():
    batch = int(sys.argv[1])
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    with torch.inference_mode():
        if len(sys.argv) > 2 and sys.argv[2] == "--warm":
            warm(batch, sys.argv[3], sys.argv[4])
            return
        worker = Worker(batch)
        facts = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                 "device": torch.cuda.get_device_name()}
        print(json.dumps(facts), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
