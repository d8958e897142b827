#!/usr/bin/env python3
"""board/led.py NAME LOG: an LED of the kernel's LED class, by the driver uleds. Runs until it is ended.

Each change of its brightness is a line of LOG: seconds of CLOCK_MONOTONIC, and the brightness."""

import struct
import sys
import time

name, log = sys.argv[1:]
with open("/dev/uleds", "r+b", buffering=0) as led, open(log, "w", buffering=1) as out:
    led.write(struct.pack("64si", name.encode(), 255))  # struct uleds_user_dev of linux/uleds.h
    print("made", file=out)
    while True:
        (brightness,) = struct.unpack("i", led.read(4))
        print(f"{time.monotonic():.6f} {brightness}", file=out)
