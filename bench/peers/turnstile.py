"""A lock between processes: many may use a thing together, or one of them alone."""

import contextlib
import fcntl


class Turnstile:
    """Who waits to be alone lets nobody else in, so many who come and go cannot keep it out.

    `path`: two files are made there. Not for several threads of a process.
    """

    def __init__(self, path):
        self.gate = open(f"{path}.gate", "w")
        self.room = open(f"{path}.room", "w")

    @contextlib.contextmanager
    def enter(self, kind):
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self.room, kind)
        finally:
            fcntl.flock(self.gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self.room, fcntl.LOCK_UN)

    def together(self):
        return self.enter(fcntl.LOCK_SH)

    def alone(self):
        return self.enter(fcntl.LOCK_EX)
