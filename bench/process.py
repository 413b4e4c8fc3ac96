"""Programs that benchmarks run, and what they say when they fail."""

import pathlib
import subprocess
import threading
import time


def tail_of(log):
    return pathlib.Path(log).read_text()[-2000:]


def run_checked(command, log):
    """Runs a command; its output goes to a file. The seconds it took."""
    begin = time.time()
    with open(log, "w") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    if code != 0:
        raise RuntimeError(f"exit code {code}: {' '.join(command)}\n{tail_of(log)}")
    return time.time() - begin


class Process:
    """A program that answers lines with lines."""

    def __init__(self, command, log, env=None):
        self.log = open(log, "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=env)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.flush()
            raise RuntimeError(f"{self.process.args[0]} ended: {tail_of(self.log.name)}")
        return line

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self.process.args[0]} has ended before") from None

    def ask(self, line, patience_s=None):
        """What it answers. A program that takes longer than patience_s is killed."""
        self.send(line)
        if patience_s is None:
            return self.read()
        killer = threading.Timer(patience_s, self.process.kill)
        killer.start()
        try:
            return self.read()
        finally:
            killer.cancel()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()

    def end(self):
        """Closes it; a program that does not end by itself is killed."""
        try:
            self.close()
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.log.close()
