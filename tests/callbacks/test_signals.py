"""The exception that a signal raises."""

import pickle
import signal
from pathlib import Path

import callbacks
from callbacks.signals import Interrupted


def test_it_says_which_signal_and_where_to_go_on():
    stop = Interrupted(signal.SIGTERM, Path("last.ckpt"))
    assert (str(stop), stop.signum, stop.checkpoint) == ("stopped by SIGTERM", 15, Path("last.ckpt"))


def test_no_handler_of_exceptions_takes_it():
    assert not issubclass(Interrupted, Exception)


def test_it_is_the_one_that_is_offered():
    assert callbacks.Interrupted is Interrupted
    assert pickle.loads(pickle.dumps(Interrupted)) is Interrupted
