"""One process a tenant under NVIDIA MPS, each with its own compiled model and CUDA graph.

The control daemon is this module's own, with its own folders: other programs of the GPU do not
join. A process that cannot reach a daemon runs without MPS and does not say so, hence the daemon is
asked how many clients it has.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from meeting import Meeting

CONTROL = "nvidia-cuda-mps-control"


class MpsUnavailable(RuntimeError):
    pass


class Mps:
    """`start_worker(log_name, env)` starts a torch_models.py process. Errors are MpsUnavailable."""

    def __init__(self, start_worker):
        self.start_worker = start_worker
        self.tenants = {}
        self.meetings = {}
        # Short: the daemon's sockets lie there, and a socket's path may have about 100 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mps"))
        self.env = {**os.environ, "CUDA_MPS_PIPE_DIRECTORY": str(self.folder / "pipe"),
                    "CUDA_MPS_LOG_DIRECTORY": str(self.folder / "log")}
        for name in ("pipe", "log"):
            (self.folder / name).mkdir()
        try:
            # Not captured: the daemon would keep the pipe open.
            with open(self.folder / "start", "w+") as file:
                started = subprocess.run([CONTROL, "-d"], env=self.env, stdin=subprocess.DEVNULL,
                                         stdout=file, stderr=file, timeout=60)
            if started.returncode != 0:
                raise MpsUnavailable(f"{CONTROL} -d: exit code {started.returncode}: "
                                     f"{self.said('start')} {self.logs()}")
        except (OSError, subprocess.TimeoutExpired) as error:
            self.remove()
            raise MpsUnavailable(f"{CONTROL} -d: {error}") from error
        except MpsUnavailable:
            self.remove()
            raise

    def said(self, name):
        return (self.folder / name).read_text()[-500:].strip()

    def logs(self):
        return " | ".join(f"{path.name}: {path.read_text()[-500:].strip()}"
                          for path in sorted((self.folder / "log").glob("*.log")))

    def command(self, text):
        """The numbers that the daemon answers."""
        try:
            done = subprocess.run([CONTROL], input=text + "\n", env=self.env, capture_output=True,
                                  text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MpsUnavailable(f"{CONTROL}: '{text}': {error}") from error
        if done.returncode != 0:
            raise MpsUnavailable(f"{CONTROL}: '{text}': {done.stderr.strip()} {self.logs()}")
        return [word for word in done.stdout.split() if word.isdigit()]

    def clients(self):
        return sum(len(self.command(f"get_client_list {server}"))
                   for server in self.command("get_server_list"))

    def load(self, tenants, request_of):
        """Processes for a round's tenants; those of an earlier round stay. A model may come twice."""
        counts = {}
        round_of = []
        started = []
        for model in tenants:
            counts[model] = counts.get(model, 0) + 1
            key = (model, counts[model])
            round_of.append(key)
            if key not in self.tenants:
                worker = self.start_worker(f"mps_{model}_{counts[model]}.log", self.env)
                self.tenants[key] = worker
                worker.send(json.dumps(request_of(model)))  # they compile side by side
                started.append(worker)
        try:
            for worker in started:
                worker.read()  # what it is
                worker.read()  # that it has loaded
        except RuntimeError as error:
            raise MpsUnavailable(f"{error} {self.logs()}") from error
        clients = self.clients()
        if clients < len(self.tenants):
            raise MpsUnavailable(f"{clients} clients of MPS, {len(self.tenants)} processes: "
                                 f"{self.logs()}")
        return round_of, clients

    def run(self, round_of, rounds, is_empty=False):
        """Milliseconds of rounds in which all tenants' processes start together."""
        name = "-".join(f"{model}{count}" for model, count in round_of)
        file = self.meetings.get(name)
        if file is None:
            folder = pathlib.Path("/dev/shm")
            file = (folder if folder.is_dir() else self.folder) / f"{self.folder.name}_{name}"
            Meeting.create(file, len(round_of))
            self.meetings[name] = file
        workers = [self.tenants[key] for key in round_of]
        try:
            for index, (worker, (model, _)) in enumerate(zip(workers, round_of)):
                worker.send(json.dumps({"meet": str(file), "index": index, "model": model,
                                        "rounds": rounds, "empty": is_empty}))
            times = Meeting(file).lead(len(workers), rounds)
            for worker in workers:
                worker.read()
        except (OSError, RuntimeError) as error:
            raise MpsUnavailable(f"{error} {self.logs()}") from error
        return times

    def remove(self):
        for file in self.meetings.values():
            file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        """Ends the processes, then the daemon. What went wrong."""
        complaints = []
        for (model, _), worker in self.tenants.items():
            try:
                worker.close()
            except (OSError, subprocess.TimeoutExpired) as error:
                worker.process.kill()
                worker.process.wait()
                complaints.append(f"{model}: {error}")
        try:
            self.command("quit")
        except MpsUnavailable as error:
            complaints.append(str(error))
        self.remove()
        return complaints
