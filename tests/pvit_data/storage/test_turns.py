"""Threads at the same thing wait for each other, at other things they do not."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pvit_data.storage.turns import Turns


def test_one_thread_at_a_time_for_each_key() -> None:
    turns, inside, most = Turns(), dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    together = 0

    def act(number: int) -> None:
        nonlocal together
        key = "abc"[number % 3]
        with turns.at(key):
            inside[key] += 1
            most[key] = max(most[key], inside[key])
            together = max(together, sum(inside.values()))
            time.sleep(0.01)
            inside[key] -= 1

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(act, range(30)))
    assert most == dict.fromkeys("abc", 1)
    assert together > 1
    assert turns._taken == {}


def test_several_keys_in_one_order_lock_nobody_out() -> None:
    turns, done = Turns(), []

    def act(first: int) -> None:
        for _ in range(50):
            with turns.at(*range(first, first + 4)):
                done.append(first)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, [0, 1, 2, 3] * 2))
    assert len(done) == 400


def test_a_failure_gives_the_turn_on() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            with turns.at("a", "b"):
                raise ValueError
        except ValueError:
            pass
    assert turns._taken == {}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12: it has threads
def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    turns, go_on = Turns(), threading.Event()

    def hold() -> None:
        with turns.at("a"):
            go_on.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    while "a" not in turns._taken:
        time.sleep(0.01)
    child = os.fork()
    if not child:
        with turns.at("a"):
            os._exit(0)
    begun = time.monotonic()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() - begun < 20
        time.sleep(0.01)
    go_on.set()
    thread.join()
