#!/usr/bin/env python3
"""link_emulator.py NAME=TUN...: a bad line, for kernels without netem.

Each NAME is a direction, and TUN the device that the kernel routes its packets into. They come out of the same device
when their time has come, and the kernel routes them on. See link_emulator.mjs, which makes devices and routes.

Each line of JSON on standard input sets what it names and is answered with a line of counters:

  {"up": {"rate": 500000, "buffer": 300, "delay": 20}}

  rate     bit/s, of whole IP packets; 0: without limit
  buffer   ms of that rate that may wait for the line; what finds no room is dropped
  delay    ms on the line
  jitter   up to so many ms more, the same likelihood for each; packets stay in order
  loss     0 to 1: what is lost on the line, by chance
  reorder  0 to 1: what skips the delay and overtakes

Ends with its standard input.
"""

import collections
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DEFAULTS = {"rate": 0, "buffer": 300, "delay": 0, "jitter": 0, "loss": 0, "reorder": 0}
LARGEST = 65536


def open_tun(name):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class Direction:
    """A queue before a line of one rate, then the way along it. All times are of one monotonic clock, in seconds.

    Times follow from each other and not from when this program got to run: on a busy machine packets come late, but the
    rate is right.
    """

    def __init__(self, tun):
        self.tun = tun
        self.set = dict(DEFAULTS)
        self.chance = random.Random(1)
        self.waiting = collections.deque()  # (arrived, packet), the first of them on its way into the line
        self.waiting_bytes = 0
        self.free = 0.0  # when the packet before the first is in the line
        self.line = []  # heap of (due, number, packet)
        self.number = itertools.count()
        self.last_due = 0.0
        self.count = dict.fromkeys(("packets", "bytes", "dropped_buffer", "dropped_loss", "dropped_full", "late_ms"), 0)

    def take(self, now):
        """Reads what the kernel has."""
        while True:
            try:
                packet = os.read(self.tun, LARGEST)
            except BlockingIOError:
                return
            rate = self.set["rate"]
            if rate and 8000 * (self.waiting_bytes + len(packet)) > self.set["buffer"] * rate:
                self.count["dropped_buffer"] += 1
                continue
            self.waiting.append((now, packet))
            self.waiting_bytes += len(packet)

    def into_line(self):
        """When the first packet that waits is in the line as a whole."""
        arrived, packet = self.waiting[0]
        rate = self.set["rate"]
        return max(arrived, self.free) + (8 * len(packet) / rate if rate else 0)

    def work(self, now):
        """Does all that is due, and returns the time of the next action."""
        while self.waiting and (done := self.into_line()) <= now:
            _, packet = self.waiting.popleft()
            self.waiting_bytes -= len(packet)
            self.free = done
            self.count["packets"] += 1
            self.count["bytes"] += len(packet)
            if self.chance.random() < self.set["loss"]:
                self.count["dropped_loss"] += 1
            elif self.chance.random() < self.set["reorder"]:
                heapq.heappush(self.line, (done, next(self.number), packet))
            else:
                due = done + (self.set["delay"] + self.chance.uniform(0, self.set["jitter"])) / 1000
                self.last_due = due = max(due, self.last_due)
                heapq.heappush(self.line, (due, next(self.number), packet))
        while self.line and self.line[0][0] <= now:
            due, _, packet = heapq.heappop(self.line)
            self.count["late_ms"] = max(self.count["late_ms"], round(1000 * (now - due), 1))
            try:
                os.write(self.tun, packet)
            except BlockingIOError:
                self.count["dropped_full"] += 1
        waiting = [self.into_line() for _ in list(self.waiting)[:1]]
        return min([due for due, *_ in self.line[:1]] + waiting, default=None)

    def counters(self):
        rate = self.set["rate"]
        queue = 8000 * self.waiting_bytes / rate if rate else 0
        return {**self.count, "queue_ms": round(queue, 1), "queue_bytes": self.waiting_bytes, **self.set}


def main():
    directions = dict(word.split("=", 1) for word in sys.argv[1:])
    if not directions:
        sys.exit(__doc__)
    directions = {name: Direction(open_tun(tun)) for name, tun in directions.items()}
    readers = {d.tun: d for d in directions.values()}
    os.set_blocking(0, False)
    said = b""
    print(json.dumps({"ready": True}), flush=True)
    while True:
        upcoming = [due for d in directions.values() if (due := d.work(time.monotonic())) is not None]
        wait = max(0, min(upcoming) - time.monotonic()) if upcoming else None
        ready, _, _ = select.select([0, *readers], [], [], wait)
        now = time.monotonic()
        for tun in ready:
            if tun:
                readers[tun].take(now)
        if 0 not in ready:
            continue
        data = os.read(0, LARGEST)
        if not data:
            return
        *lines, said = (said + data).split(b"\n")
        for line in lines:
            for name, settings in json.loads(line).items():
                unknown = settings.keys() - DEFAULTS.keys()
                if unknown:
                    sys.exit(f"link_emulator.py: no setting {', '.join(unknown)}")
                directions[name].set.update(settings)
            counters = {name: d.counters() for name, d in directions.items()}
            print(json.dumps({"at": time.monotonic(), **counters}), flush=True)


main()
