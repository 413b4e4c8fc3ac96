"""PyTorch beside gacer: a process that compiled and captured the models, and one a tenant under MPS."""

import json
import pathlib
import statistics
import subprocess
import sys
import time

from process import Process, kill_group, say, tail_of

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(PEERS))
from mps import Mps, MpsUnavailable  # noqa: E402

WORKER = PEERS / "torch_models.py"
WARM_ROUNDS = 3


class TorchPeers:
    """Nothing runs before start(); stop() ends all of it.

    file(name): a path in the work folder. export(model): its ONNX file and its input. patience_s: for an
    answer, see Process.
    """

    def __init__(self, batch, file, export, patience_s):
        self.batch = batch
        self.file = file
        self.export = export
        self.patience_s = patience_s
        self.worker = None
        self.facts = {}       # of PyTorch and its device
        self.loaded = {}      # models: what loading took
        self.warm_s = {}      # of autotuned models, side by side
        self.tuned = {}       # what loading them took
        self.missing = {}     # autotuned models that there are not: the reason
        self.is_tuning = False
        self.mps = None
        self.mps_missing = "not asked for"

    def warm(self, models, kind, limit_s=float("inf")):
        """Compiles models side by side; the reasons of those that fail or take too long."""
        begin = time.time()
        warming = []
        for model in models:
            log = open(self.file(f"warm_{kind}_{model}.log"), "w")
            command = [sys.executable, str(WORKER), str(self.batch), "--warm", model,
                       self.export(model)[0], kind, self.file("timing")]
            warming.append((model, subprocess.Popen(command, stdout=log, stderr=log,
                                                    start_new_session=True)))
        failed = {}
        try:
            while warming:
                time.sleep(0.2)
                for model, process in warming:
                    if process.poll() is None:
                        if time.time() - begin < limit_s:
                            continue
                        kill_group(process)
                        process.wait()
                        failed[model] = f"not done after {limit_s:.0f} s"
                    elif process.returncode != 0:
                        failed[model] = tail_of(self.file(f"warm_{kind}_{model}.log"))
                    elif kind == "autotuned":
                        self.warm_s[model] = time.time() - begin
                warming = [(m, p) for m, p in warming if p.returncode is None]
        finally:
            for _, process in warming:
                if process.poll() is None:  # Ctrl-C does not reach a session of its own
                    kill_group(process)
        say(f"PyTorch {kind} {len(models) - len(failed)} of {len(models)} models side by side: "
            f"{time.time() - begin:.1f} s")
        return failed

    def start_worker(self, log, env=None):
        """Its first line is about PyTorch and the device, the others answer requests."""
        return Process([sys.executable, str(WORKER), str(self.batch)], self.file(log), env,
                       self.patience_s)

    def start(self, models, autotune_limit_s=None, has_mps=False):
        """Compiles and loads them; with a limit for a model's compilation autotuned, too."""
        self.is_tuning = autotune_limit_s is not None
        # Side by side first: the compiler's work is cached on disk and needs many cores.
        for reason in self.warm(models, "compiled", self.patience_s).values():
            raise RuntimeError(reason)
        if self.is_tuning:
            self.missing = self.warm(models, "autotuned", autotune_limit_s)
            for model, reason in self.missing.items():
                say(f"not autotuned: {model}: {reason}")
        self.load(models)
        if has_mps:
            self.start_mps()

    def load_again(self, models):
        """Where the process has ended."""
        if self.worker is None or self.worker.has_ended():
            self.load(models)

    def load(self, models):
        """Into a process, the earlier one's place, by what is compiled already."""
        self.stop_worker()
        self.worker = self.start_worker("worker.log")
        self.facts = json.loads(self.worker.read())
        self.loaded = {}
        for model in models:
            weights, x = self.export(model)
            self.loaded[model] = self.request(load=model, weights=weights, input=x)
        for model in models if self.is_tuning else []:
            if model in self.missing:
                continue
            weights, x = self.export(model)
            self.tuned[model] = {**self.request(autotune=model, weights=weights, input=x),
                                 "warm_s": self.warm_s[model]}
            say(f"autotuned {model}: {self.warm_s[model]:.1f} s, loaded in "
                f"{self.tuned[model]['compile_s']:.1f} s")

    def start_mps(self):
        try:
            self.mps = Mps(self.start_worker)
        except MpsUnavailable as error:
            self.mps_missing = str(error)
            say(f"no MPS: {error}")

    def stop(self):
        self.stop_mps()  # a daemon outlives who started it
        self.stop_worker()

    def stop_worker(self):
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.end()

    def stop_mps(self, reason=None):
        if self.mps is None:
            return
        mps, self.mps = self.mps, None
        if reason is not None:
            self.mps_missing = reason
            say(f"no MPS any more: {reason}")
        for complaint in mps.close():
            say(f"MPS did not end as it should: {complaint}")

    def mps_tenants(self, models):
        """The processes of a mix under MPS; None when there is no MPS."""
        if self.mps is None:
            return None, None

        def load(model):
            weights, x = self.export(model)
            return {"load": model, "weights": weights, "input": x}

        try:
            tenants, clients = self.mps.load(models, load)
        except MpsUnavailable as error:
            self.stop_mps(str(error))
            return None, None
        empty = self.mps_rounds(tenants, 200, is_empty=True)
        if empty is None:
            return None, None
        return tenants, {"clients": clients, "processes": len(tenants),
                         "empty_round_ms": {"median_ms": statistics.median(empty),
                                            "min_ms": min(empty), "rounds": len(empty)}}

    def mps_rounds(self, tenants, rounds, is_empty=False):
        """None when MPS broke down; then there is none from now on."""
        try:
            return self.mps.run(tenants, rounds + WARM_ROUNDS, is_empty)[WARM_ROUNDS:]
        except MpsUnavailable as error:
            self.stop_mps(str(error))
            return None

    def request(self, **request):
        return json.loads(self.worker.ask(json.dumps(request)))
