"""PyTorch on the models of gacer's zoo, as a worker that answers requests for timed rounds.

Usage: torch_models.py BATCH          requests on standard input, answers on standard output (JSON)
       torch_models.py BATCH --warm MODEL WEIGHTS KIND LOCK
                                      compiles once, which fills the compiler's cache on disk; who
                                      names the same LOCK times no candidate at the same time

fp16, channels_last, torchvision's own modules with the weights of gacer's ONNX file. Requests:
  {"load": MODEL, "weights": FILE.onnx, "input": FILE.npy}   loads, compiles, captures
  {"autotune": MODEL, "weights": FILE.onnx, "input": FILE.npy}   the same, compiled with the widest
                                            search and frozen weights, beside what is there
  {"merge": [MODEL, ...], "kind": KIND}     captures all in one graph, each on a forked stream
  {"run": PEER, "models": [...], "rounds": N}                milliseconds of N rounds
  {"meet": FILE, "index": I, "model": MODEL, "rounds": N, "empty": BOOL}   N rounds at a barrier,
                                            for a process of its own (see meeting.py)
  {"output": MODEL, "file": F.npy, "precision": "f32"|"fp16"|"autotuned"}   output, eager but for
                                            the last
KIND is "compiled" (default; torch.compile as it comes) or "autotuned". Peers: eager_sequential,
eager_streams, KIND_sequential (one CUDA graph a model, in turn), KIND_streams (the same graphs, a
stream each), KIND_merged (one graph of all).
"""

import contextlib
import json
import sys
import time

import numpy
import onnx
import torch
import torch._dynamo
import torch._inductor
import torchvision
from device_timer import DeviceTimer
from meeting import Meeting
from onnx import numpy_helper
from turnstile import Turnstile

WARM_ROUNDS = 3
KINDS = ("compiled", "autotuned")


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


def on_device(model):
    return model.half().cuda().to(memory_format=torch.channels_last)


@contextlib.contextmanager
def settings_of(kind, timer=None):
    """What must hold while a model of a kind is compiled, which its first run does.

    `timer`: what times its candidates, a DeviceTimer where nothing is said.
    """
    if kind == "compiled":
        yield
        return
    # Tracing asks for `freezing` too, so it is no option of torch.compile alone. Models that share
    # their class share a limit of compiled forms, which counts both kinds.
    with torch._inductor.config.patch(freezing=True), torch._dynamo.config.patch(
            recompile_limit=64), (timer or DeviceTimer()).in_use():
        yield


def compile_as(kind, model):
    """torch.compile as it comes, or searching widely, with frozen weights and folded batch norms.

    Neither makes CUDA graphs of its own: capture() does.
    """
    if kind == "compiled":
        return torch.compile(model)
    options = torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
    return torch.compile(model, options={**options, "freezing": True})


class Compiled:
    """Models compiled in one way: by name what runs them and their CUDA graph."""

    def __init__(self):
        self.runs, self.graphs, self.merged = {}, {}, {}


class Worker:
    def __init__(self, batch):
        self.batch = batch
        self.eager = {}
        self.kinds = {kind: Compiled() for kind in KINDS}
        self.files = {}
        self.streams = [torch.cuda.Stream() for _ in range(8)]

    def load(self, request):
        return self.compile("compiled", request["load"], request)

    def autotune(self, request):
        return self.compile("autotuned", request["autotune"], request)

    def compile(self, kind, name, request):
        self.files[name] = request["weights"], request["input"]
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        model = on_device(load_model(name, request["weights"]))
        x = torch.from_numpy(numpy.load(request["input"])).half().cuda()
        x = x.to(memory_format=torch.channels_last)
        begin = time.time()
        compiled = compile_as(kind, model)
        with settings_of(kind):
            self.kinds[kind].graphs[name] = capture(lambda: compiled(x))
        seconds = time.time() - begin
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        if kind == "compiled":
            self.eager[name] = lambda: model(x)
        self.kinds[kind].runs[name] = lambda: compiled(x)
        return {"compile_s": seconds, "reserved_bytes": torch.cuda.memory_reserved() - before}

    def merge(self, request):
        names = request["merge"]
        kind = request.get("kind", "compiled")
        runs = [self.kinds[kind].runs[name] for name in names]
        with settings_of(kind):
            graph = capture(lambda: on_streams(runs, self.streams))
        self.kinds[kind].merged[tuple(names)] = graph
        return {}

    def round_of(self, peer, names):
        kind, _, how = peer.partition("_")
        if kind == "eager":
            runs = [self.eager[name] for name in names]
        elif kind in self.kinds and how == "merged":
            return self.kinds[kind].merged[tuple(names)].replay
        elif kind in self.kinds:
            runs = [self.kinds[kind].graphs[name].replay for name in names]
        else:
            raise RuntimeError(f"unknown peer {peer}")
        if how == "sequential":
            return lambda: [run() for run in runs]
        if how == "streams":
            return lambda: on_streams(runs, self.streams)
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

    def meet(self, request):
        """Rounds that begin with other processes'; each ends when the device has finished its part.

        An empty round does all but the work: it shows what meeting costs.
        """
        replay = self.kinds["compiled"].graphs[request["model"]].replay
        stream = torch.cuda.current_stream()

        def part():
            if not request["empty"]:
                replay()
            stream.synchronize()

        Meeting(request["meet"]).take_part(request["index"], request["rounds"], part)
        return {}

    def output(self, request):
        name = request["output"]
        if request["precision"] == "fp16":
            y = self.eager[name]()
        elif request["precision"] == "autotuned":
            with settings_of("autotuned"):
                y = self.kinds["autotuned"].runs[name]()
        else:
            weights, file = self.files[name]
            y = load_model(name, weights).cuda()(torch.from_numpy(numpy.load(file)).cuda())
        numpy.save(request["file"], y.float().cpu().numpy())
        return {}

    def answer(self, request):
        for verb in ("load", "autotune", "merge", "run", "meet", "output"):
            if verb in request:
                return getattr(self, verb)(request)
        raise RuntimeError(f"unknown request {request}")


def compile_beside_others(kind, make, device, timer):
    """Compiles the model of (model, input) = make(), by a run.

    `device`: the Turnstile of all that use the device; `timer` times candidates alone there.
    """
    with device.together():
        model, x = make()
        torch.cuda.synchronize()
    with settings_of(kind, timer):
        compile_as(kind, model)(x)
    torch.cuda.synchronize()


def warm(batch, name, weights, kind, lock):
    def make():
        x = torch.zeros(batch, 3, 224, 224, device="cuda", dtype=torch.half)
        return on_device(load_model(name, weights)), x.to(memory_format=torch.channels_last)

    device = Turnstile(lock)
    timer = DeviceTimer(device.alone)
    compile_beside_others(kind, make, device, timer)
    print(json.dumps(timer.spent))


def main():
    batch = int(sys.argv[1])
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    with torch.inference_mode():
        if len(sys.argv) > 2 and sys.argv[2] == "--warm":
            warm(batch, sys.argv[3], sys.argv[4], *sys.argv[5:])
            return
        worker = Worker(batch)
        facts = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                 "device": torch.cuda.get_device_name()}
        print(json.dumps(facts), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
