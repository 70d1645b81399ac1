# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all of the end-to-end tests' parts use: waiting for a condition, ports, texts for messages."""
import socket
import time

DEADLINE = 60  # seconds, for everything: far more than anything takes


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait_for(condition, what, deadline=DEADLINE):
    """The first true value of condition()."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
        time.sleep(0.01)


class Behaviour:
    """When a scripted server has misbehaved last, and when it got the last point that was new to it."""

    def __init__(self):
        self.bad_at = self.got_at = time.monotonic()

    def misbehaves(self):
        self.bad_at = time.monotonic()

    def gets(self):
        self.got_at = time.monotonic()

    def recovered_in(self):
        """Seconds."""
        return max(0.0, self.got_at - self.bad_at)


def tail(text, lines=40):
    kept = text.splitlines()[-lines:]
    return "\n".join(line if len(line) < 500 else line[:500] + "..." for line in kept)


def some(things, n=5):
    """The first few of many, for a message."""
    shown = sorted(things)[:n]
    return f"{len(things)}: " + ", ".join(map(repr, shown)) + (", ..." if len(things) > n else "")
