"""Times PyTorch on the models of gacer's zoo: eager, and compiled with its launches in a CUDA graph.

Usage: torch_models.py OUT.json [--batch 8] MODEL...      (needs torch and torchvision with CUDA)

fp16, channels_last, random weights and inputs; medians of CUDA-event times of single rounds. With
several models also one round of all of them: eager one after the other, eager with a stream each,
and the compiled models' graphs one after the other and with a stream each.
"""

import argparse
import json
import statistics
import time

import torch
import torchvision


def median_ms(run, rounds=50, warmup=5):
    """Median time of run() by events, one round at a time."""
    times = []
    for i in range(rounds + warmup):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i >= warmup:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def capture(model, x):
    """The model's launches on x as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(x)
    return graph


def on_streams(runs, streams):
    """Runs each on its own stream, forked from and joined to the current one."""
    current = torch.cuda.current_stream()
    for run, stream in zip(runs, streams):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            run()
    for stream in streams:
        current.wait_stream(stream)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
              "cudnn": torch.backends.cudnn.version(), "batch": args.batch, "models": {}}
    eager, graphs = [], []
    with torch.inference_mode():
        for name in args.models:
            model = getattr(torchvision.models, name)().eval().half().cuda()
            model = model.to(memory_format=torch.channels_last)
            x = torch.randn(args.batch, 3, 224, 224, device="cuda", dtype=torch.half)
            x = x.to(memory_format=torch.channels_last)
            eager.append(lambda m=model, v=x: m(v))
            begin = time.time()
            compiled = torch.compile(model)
            graphs.append(capture(compiled, x))
            seconds = time.time() - begin
            row = {"eager_ms": median_ms(eager[-1]), "compiled_graph_ms": median_ms(graphs[-1].replay),
                   "compile_s": seconds}
            result["models"][name] = row
            print(name, row, flush=True)
        if len(args.models) > 1:
            streams = [torch.cuda.Stream() for _ in eager]
            replays = [g.replay for g in graphs]
            result["round"] = {
                "eager_sequential_ms": median_ms(lambda: [run() for run in eager]),
                "eager_streams_ms": median_ms(lambda: on_streams(eager, streams)),
                "compiled_sequential_ms": median_ms(lambda: [run() for run in replays]),
                "compiled_streams_ms": median_ms(lambda: on_streams(replays, streams))}
            print("round", result["round"], flush=True)
    with open(args.out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
