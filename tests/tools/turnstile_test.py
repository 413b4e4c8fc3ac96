"""bench/peers/turnstile.py between processes."""

import multiprocessing
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench" / "peers"))
from turnstile import Turnstile  # noqa: E402

# Forked: the counters are shared.
multiprocessing.set_start_method("fork")


def come_and_go(path, inside, end):
    turnstile = Turnstile(path)
    while not end.is_set():
        with turnstile.together():
            with inside.get_lock():
                inside.value += 1
            time.sleep(0.005)
            with inside.get_lock():
                inside.value -= 1


class TurnstileTest(unittest.TestCase):
    def test_one_is_alone_among_many_who_come_and_go(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/turnstile"
            inside, end = multiprocessing.Value("i", 0), multiprocessing.Event()
            others = [multiprocessing.Process(target=come_and_go, args=(path, inside, end), daemon=True)
                      for _ in range(6)]
            for process in others:
                process.start()
            turnstile = Turnstile(path)
            seen_together = 0
            for _ in range(20):
                with turnstile.alone():
                    self.assertEqual(inside.value, 0)
                    time.sleep(0.002)
                    self.assertEqual(inside.value, 0)
                with turnstile.together():
                    time.sleep(0.004)
                    seen_together = max(seen_together, inside.value)
            end.set()
            for process in others:
                process.join()
                self.assertEqual(process.exitcode, 0)
            self.assertGreater(seen_together, 1)


if __name__ == "__main__":
    unittest.main()
