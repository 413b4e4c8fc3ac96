"""Programs that benchmarks run, and what they say when they fail."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

PATIENCE_S = 600  # for what takes at most some minutes; a program that needs longer hangs


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def tail_of(log):
    return pathlib.Path(log).read_text(errors="replace")[-2000:]


def version_of(gacer):
    """What it says of itself. Ends the script where it cannot be run."""
    try:
        return subprocess.run([gacer, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"'{gacer}' is no gacer that runs here: {error}\n--gacer names the built tool, e.g. build/release/gacer "
                 "or gacer-device/gacer")  # fmt: skip


def kill_group(process):
    """With its children, which may hold its pipes open."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended
        pass


def run_checked(command, log, patience_s=PATIENCE_S):
    """Runs a command; its output goes to a file. The seconds it took. One that takes too long is killed."""
    begin = time.time()
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not done after {patience_s:g} s and killed: {' '.join(command)}\n"
                               f"{tail_of(log)}") from None  # fmt: skip
        finally:
            if process.poll() is None:  # also on Ctrl-C, which a session of its own does not get
                kill_group(process)
                process.wait()
    if code != 0:
        raise RuntimeError(f"exit code {code}: {' '.join(command)}\n{tail_of(log)}")
    return time.time() - begin


class Process:
    """A program that answers lines with lines."""

    def __init__(self, command, log, env=None, patience_s=PATIENCE_S):
        """Each answer may take patience_s; a program that takes longer is killed."""
        self.patience_s = patience_s
        self.log = open(log, "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=env, start_new_session=True)

    def read(self, patience_s=None):
        patience_s = self.patience_s if patience_s is None else patience_s
        begin = time.monotonic()
        killer = threading.Timer(patience_s, kill_group, [self.process])
        killer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            killer.cancel()
        if line:
            return line
        self.log.flush()
        what = "ended"
        if time.monotonic() - begin >= patience_s:
            what = f"gave no answer within {patience_s:g} s and was killed"
        raise RuntimeError(f"{self.process.args[0]} {what}: {tail_of(self.log.name)}")

    def has_ended(self):
        return self.process.poll() is not None

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self.process.args[0]} has ended before") from None

    def ask(self, line, patience_s=None):
        """What it answers."""
        self.send(line)
        return self.read(patience_s)

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
            kill_group(self.process)
            self.process.wait()
            self.process.stdout.close()
            self.log.close()
