"""A process that has imported everything once and forks a service in a moment (reliability 4.9, layer L4).

Owns: forking, and ending what it forked when it ends itself. Does not own: what a forked process does (`life`).

Run as `python -m tests.campaigns.fork_server LOG`. Each line on standard input is an order as JSON; the answer is a line
with the new process's id. It has neither threads nor an event loop of its own, so forking it is safe.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def main(log: Path) -> None:
    """Fork for every line until standard input ends."""
    from tests.campaigns.life import forked

    gc.freeze()  # what is loaded is shared with the children; their collector need not look through it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: the kernel may forget them at once
    print("ready", flush=True)
    while line := _line():
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            forked(line.decode(), log)
        print(pid, flush=True)


def _line() -> bytes:
    """Read octet by octet: a buffer would be forked, too."""
    line = b""
    while octets := os.read(0, 65536):
        line += octets
        if line.endswith(b"\n"):
            return line
    return b""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
