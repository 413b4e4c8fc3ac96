"""Rounds that several processes begin together: a barrier in a file that all of them map.

The host's monotonic clock is one for all processes of a machine. Everybody spins, so that nothing
but the work and a few microseconds lies between the release and the last process's end; what
meeting itself costs is measured with rounds that do nothing. One writer a word, on machines that
keep the order of a process's stores.
"""

import mmap
import pathlib
import time

LINE = 8  # words of a cache line, one line a writer
PATIENCE_NS = 60_000_000_000


class Meeting:
    """Line 0: the round that is released. Line 1 + i: the round that process i ended, and when."""

    def __init__(self, file):
        with open(file, "r+b") as opened:
            self.words = memoryview(mmap.mmap(opened.fileno(), 0)).cast("q")

    @staticmethod
    def create(file, processes):
        pathlib.Path(file).write_bytes(bytes(8 * LINE * (1 + processes)))

    def wait_for(self, word, value):
        until = time.monotonic_ns() + PATIENCE_NS
        words = self.words
        while words[word] < value:
            if time.monotonic_ns() > until:
                raise RuntimeError(f"nobody came to round {value}: a process of the meeting ended?")

    def take_part(self, index, rounds, part):
        """Does `part` once a round, as process `index`."""
        own = LINE * (1 + index)
        first = self.words[own]
        for number in range(first + 1, first + rounds + 1):
            self.wait_for(0, number)
            part()
            self.words[own + 1] = time.monotonic_ns()
            self.words[own] = number

    def lead(self, processes, rounds):
        """Releases rounds; milliseconds of each from the release to the last process's end."""
        times = []
        for number in range(self.words[0] + 1, self.words[0] + rounds + 1):
            begin = time.monotonic_ns()
            self.words[0] = number
            for index in range(processes):
                self.wait_for(LINE * (1 + index), number)
            end = max(self.words[LINE * (1 + index) + 1] for index in range(processes))
            times.append((end - begin) / 1e6)
        return times
