"""A fake vendor in a process of its own, for benchmarks: it writes its address, and serves until its input ends."""

from __future__ import annotations

import argparse
import sys

from flytepath.testing.fake_vendor import ACCOUNT, TOKEN, FakeVendor


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(prog="python -m flytepath.testing.fake_vendor")
    parser.add_argument("--port", type=int, default=0, help="0 is any free one")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the vendor in one of ours")
    parser.add_argument("--live-limit", type=int, default=None, help="the most jobs that live at once")
    parser.add_argument("--token", default=TOKEN, help=f"of the account {ACCOUNT}")
    given = parser.parse_args()
    with FakeVendor(port=given.port, speed=given.speed, live_limit=given.live_limit, token=given.token) as vendor:
        sys.stdout.write(vendor.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
