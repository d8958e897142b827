#!/usr/bin/env python3
"""A USB webcam for the kernel's own uvcvideo driver, inside the emulated board.

It speaks USB/IP to vhci_hcd over a socket pair, so it needs no network and no USB/IP tools. It is a high-speed UVC 1.1
device with a bulk endpoint, controls for brightness and contrast, and one format for each kind of file:

  webcam.py --mjpeg 640x480=a.mjpeg --h264 640x480=a.h264 --yuyv 320x240=a.yuyv &

A file of MJPEG has pictures one after another. A file of H.264 is an Annex B stream (the frame-based UVC format of
webcams with a hardware encoder). A file of YUYV has raw frames. A file repeats, and starts again with each stream. The
frame rates are 30, 15 and 5.

--shutter adds a privacy shutter. It reports changes at an interrupt endpoint (UVC 1.1, 2.4.2.2), and prints a line
for each query. A second webcam needs its own --port of vhci_hcd, --name and --orders.

It reads orders, one a line, from the FIFO that --orders names (/run/webcam):
  unplug          unplugs the device
  plug            plugs it in again
  freeze, thaw    stops the pictures without an error; continues
  cover, uncover  closes the shutter; opens it
  mute            stops reporting changes of the shutter
  slow            answers queries about the shutter after a second
  odd, even       of four frames sends one empty, one too long and one cut short; sends all frames correctly
  quit            unplugs the device and ends
Load the modules vhci-hcd and uvcvideo first, and run it as root.
"""

import argparse
import collections
import os
import select
import socket
import struct
import sys
import time

RATES = (30, 15, 5)
PAYLOAD = 16384  # bytes of a bulk payload: the maximum of uvcvideo for one URB (32 packets of 512)
HEADER = 2
MJPEG, H264, YUYV = "mjpeg", "h264", "yuyv"
GUID = {YUYV: b"YUY2\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", H264: b"H264\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"}

# USB/IP (Documentation/usb/usbip_protocol.rst): every message starts with 48 bytes, big-endian.
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
STALL, GONE = -32, -104  # -EPIPE, -ECONNRESET
ATTACH = "/sys/devices/platform/vhci_hcd.0/attach"
DEVID, HIGH_SPEED = 0x10002, 3

# UVC 1.1: requests, and the units of the control interface.
SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF = 1, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
TERMINAL, PROCESSING = 1, 2
CONTROLS = {2: 128, 3: 32}  # selector: default; brightness and contrast, 0 to 255
PRIVACY = 0x11  # a control of the camera terminal
BULK, INTERRUPT = 1, 2  # endpoints
LAG = 1.0  # seconds before a slow answer


def jpegs(data):
    """Splits before each start of image: FF D8 FF cannot occur inside entropy-coded data."""
    cuts = []
    at = data.find(b"\xff\xd8\xff")
    while at >= 0:
        cuts.append(at)
        at = data.find(b"\xff\xd8\xff", at + 3)
    return [data[a:b] for a, b in zip(cuts, cuts[1:] + [len(data)])]


def access_units(data):
    """Splits an Annex B stream at access units (H.264 7.4.1.2.3, for streams with one kind of slice)."""
    cuts, pictured, at = [], True, data.find(b"\0\0\1")
    while 0 <= at < len(data) - 4:
        kind = data[at + 3] & 0x1F
        slice_ = kind in (1, 5)
        first = slice_ and data[at + 4] & 0x80  # first_mb_in_slice = 0
        if pictured and (first or kind in (6, 7, 8, 9)):
            cuts.append(at - 1 if at and data[at - 1] == 0 else at)
            pictured = False
        pictured = pictured or slice_
        at = data.find(b"\0\0\1", at + 3)
    return [data[a:b] for a, b in zip(cuts, cuts[1:] + [len(data)])]


def raw_frames(data, size):
    n = size[0] * size[1] * 2
    return [data[a : a + n] for a in range(0, len(data) - n + 1, n)]


class Format:
    """One pixel format: its sizes in the order of the descriptor, and the frames of each."""

    def __init__(self, kind):
        self.kind = kind
        self.clips = []  # (width, height), [frames]

    def add(self, size, path):
        with open(path, "rb") as f:
            data = f.read()
        cut = {MJPEG: jpegs, H264: access_units, YUYV: lambda d: raw_frames(d, size)}[self.kind]
        frames = cut(data)
        if not frames:
            sys.exit(f"webcam: {path} contains no {self.kind} picture")
        self.clips.append((size, frames))

    def descriptor(self, index):
        n = len(self.clips)
        if self.kind == MJPEG:
            head = struct.pack("<BBBBBBBBBBB", 11, 0x24, 0x06, index, n, 1, 1, 0, 0, 0, 0)
        elif self.kind == YUYV:
            head = struct.pack("<BBBBB16sBBBBBB", 27, 0x24, 0x04, index, n, GUID[YUYV], 16, 1, 0, 0, 0, 0)
        else:
            head = struct.pack("<BBBBB16sBBBBBBB", 28, 0x24, 0x10, index, n, GUID[H264], 16, 1, 0, 0, 0, 0, 1)
        body = b"".join(self.frame_descriptor(i + 1, *clip) for i, clip in enumerate(self.clips))
        colour = bytes((6, 0x24, 0x0D, 1, 1, 4))  # BT.709 primaries and transfer, SMPTE 170M matrix
        return head + body + colour

    def frame_descriptor(self, index, size, frames):
        width, height = size
        largest = max(map(len, frames))
        intervals = struct.pack(f"<{len(RATES)}I", *(10_000_000 // r for r in RATES))
        low, high = largest * 8 * RATES[-1], largest * 8 * RATES[0]
        default = 10_000_000 // RATES[0]
        length = 26 + len(intervals)
        if self.kind == H264:
            fields = struct.pack("<HHIIIBI", width, height, low, high, default, len(RATES), 0)
            return bytes((length, 0x24, 0x11, index, 0)) + fields + intervals
        kind = 0x07 if self.kind == MJPEG else 0x05
        fields = struct.pack("<HHIIIIB", width, height, low, high, width * height * 2, default, len(RATES))
        return bytes((length, 0x24, kind, index, 0)) + fields + intervals


def configuration(formats, shutter):
    streams = b"".join(f.descriptor(i + 1) for i, f in enumerate(formats))
    n = len(formats)
    head = struct.pack("<BBBBHBBBBBBB", 13 + n, 0x24, 1, n, 13 + n + len(streams), 0x81, 0, 3, 0, 0, 0, 1) + bytes(n)
    units = bytes((18, 0x24, 2, TERMINAL, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 4 * shutter))  # bit 18: privacy
    units += bytes((11, 0x24, 5, PROCESSING, 1, 0, 0, 2, 3, 0, 0))  # bits 0 and 1: brightness, contrast
    units += bytes((9, 0x24, 3, 3, 1, 1, 0, PROCESSING, 0))  # output terminal
    control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x0110, 13 + len(units), 48_000_000, 1, 1) + units
    body = bytes((8, 11, 0, 2, 14, 3, 0, 0))  # one function: interfaces 0 and 1
    body += bytes((9, 4, 0, 0, int(shutter), 14, 1, 0, 0)) + control
    if shutter:
        body += struct.pack("<BBBBHB", 7, 5, 0x80 | INTERRUPT, 3, 16, 8) + struct.pack("<BBBH", 5, 0x25, 3, 16)
    body += bytes((9, 4, 1, 0, 1, 14, 2, 0, 0)) + head + streams
    body += struct.pack("<BBBBHB", 7, 5, 0x80 | BULK, 2, 512, 0)
    return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body


DEVICE = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1209, 0x0001, 0x0100, 1, 2, 3, 1)
QUALIFIER = struct.pack("<BBHBBBBBB", 10, 6, 0x0200, 0xEF, 2, 1, 64, 1, 0)
MAKER, SERIAL = "Fanlight", "0001"


class Camera:
    """The state of the device: negotiated stream, controls, shutter. Its only I/O is a line for each query."""

    def __init__(self, formats, name, shutter):
        self.formats = formats
        self.strings = {1: MAKER, 2: name, 3: SERIAL}
        self.config = configuration(formats, shutter)
        self.controls = dict(CONTROLS)
        self.shutter = shutter
        self.closed = self.mute = self.slow = self.odd = False
        self.interval = 1.0
        self.frames = [b""]
        self.negotiate(bytes(26))

    def negotiate(self, wish):
        """Answers a probe or commit with the nearest mode of this camera (UVC 1.1 table 4-47)."""
        wish = wish.ljust(26, b"\0")
        _, form, frame, interval = struct.unpack_from("<HBBI", wish)
        form = form if 1 <= form <= len(self.formats) else 1
        clips = self.formats[form - 1].clips
        frame = frame if 1 <= frame <= len(clips) else 1
        offered = [10_000_000 // r for r in RATES]
        interval = min(offered, key=lambda i: abs(i - interval)) if interval else offered[0]
        (width, height), frames = clips[frame - 1]
        most = max(width * height * 2, max(map(len, frames)))
        self.state = struct.pack(
            "<HBBIHHHHHIIIBBBB", 1, form, frame, interval, 0, 0, 0, 0, 0, most, PAYLOAD, 48_000_000, 3, 0, 0, 0
        )
        self.interval, self.frames, self.most = interval / 1e7, frames, most

    def frame(self, position):
        """The bytes that it sends for the frame at this position."""
        frame = self.frames[position % len(self.frames)]
        if not self.odd:
            return frame
        return (frame, b"", frame + bytes(self.most), frame[: len(frame) // 2])[position % 4]

    def news(self):
        """The report of a shutter change: a control change (UVC 1.1 table 2-2)."""
        return bytes((1, TERMINAL, 0, PRIVACY, 0, self.closed))

    def control(self, setup, data):
        """Handles a control request, and returns the status and the reply."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0:
            return self.standard(request, value)
        selector, unit, interface = value >> 8, index >> 8, index & 255
        if interface == 1 and selector in (1, 2):  # probe, commit
            if request == SET_CUR:
                self.negotiate(data)
                return 0, b""
            return 0, {GET_LEN: struct.pack("<H", len(self.state)), GET_INFO: b"\x03"}.get(request, self.state)
        if interface == 0 and unit == TERMINAL and selector == PRIVACY and self.shutter:
            if request == GET_CUR:
                print("webcam: asked for its shutter", flush=True)
            # It can be read, changes by itself, and reports changes.
            known = {GET_CUR: bytes((self.closed,)), GET_LEN: b"\x01\0", GET_INFO: b"\x19"}
            return (0, known[request]) if request in known else (STALL, b"")
        if interface == 0 and unit == PROCESSING and selector in self.controls:
            if request == SET_CUR and len(data) == 2:
                self.controls[selector] = struct.unpack("<h", data)[0]
                return 0, b""
            if request == GET_INFO:
                return 0, b"\x03"
            if request == GET_LEN:
                return 0, b"\x02\0"
            value, default = self.controls[selector], CONTROLS[selector]
            known = {GET_CUR: value, GET_MIN: 0, GET_MAX: 255, GET_RES: 1, GET_DEF: default}
            if request in known:
                return 0, struct.pack("<h", known[request])
        return STALL, b""

    def standard(self, request, value):
        if request == 6:  # GET_DESCRIPTOR
            kind, index = value >> 8, value & 255
            if kind == 3:
                text = self.strings.get(index, "").encode("utf-16-le") if index else b"\x09\x04"
                return 0, bytes((len(text) + 2, 3)) + text
            found = {1: DEVICE, 2: self.config, 6: QUALIFIER}.get(kind)
            return (STALL, b"") if found is None else (0, found)
        return 0, {0: b"\0\0", 8: b"\1", 10: b"\0"}.get(request, b"")


class Cable:
    """A connection from plug to unplug: the USB/IP protocol, and the timing of the pictures."""

    def __init__(self, camera, port):
        self.camera = camera
        self.frozen = False
        self.link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with other, open(ATTACH, "w", encoding="ascii") as f:
            f.write(f"{port} {other.fileno()} {DEVID} {HIGH_SPEED}")
        self.waiting = collections.deque()  # sequence numbers of the URBs that wait for a payload
        self.listening = collections.deque()  # sequence numbers of the URBs that wait for a report
        self.news = collections.deque()
        self.late = collections.deque()  # slow answers, each with its time
        self.payloads = collections.deque()
        self.restart()

    def restart(self):
        self.payloads.clear()
        self.position, self.due = 0, None

    def receive(self, n):
        data = b""
        while len(data) < n:
            part = self.link.recv(n - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def answer(self, seq, status, data=b"", length=None):
        length = len(data) if length is None else length
        self.link.sendall(struct.pack(">IIIIIiIIII8x", RET_SUBMIT, seq, 0, 0, 0, status, length, 0, 0, 0) + data)

    def request(self):
        command, seq, _, inward, endpoint, *rest = struct.unpack(">IIIIIIIIII8s", self.receive(48))
        if command == CMD_UNLINK:
            found = [urbs for urbs in (self.waiting, self.listening) if rest[0] in urbs]
            for urbs in found:
                urbs.remove(rest[0])
            self.link.sendall(struct.pack(">IIIIIi24x", RET_UNLINK, seq, 0, 0, 0, GONE if found else 0))
            return
        length, setup = rest[1], rest[5]
        data = self.receive(length) if not inward else b""
        if endpoint:
            (self.listening if endpoint == INTERRUPT else self.waiting).append(seq)
            self.tell()
            return
        status, reply = self.camera.control(setup, data)
        reply = reply[:length] if inward else b""
        if self.camera.slow and setup[1:6] == bytes((GET_CUR, 0, PRIVACY, 0, TERMINAL)):
            self.late.append((time.monotonic() + LAG, seq, reply))
            return
        self.answer(seq, status, reply, None if inward else len(data))
        # A commit starts a stream, CLEAR_FEATURE on the endpoint ends it. Both restart the file.
        if setup[:2] == b"\x02\x01" or (setup[:2] == b"\x21\x01" and setup[3] == 2):
            self.restart()

    def tell(self, news=None):
        """Sends a report, or keeps it until the kernel asks for one."""
        if news:
            self.news.append(news)
        while self.listening and self.news:
            self.answer(self.listening.popleft(), 0, self.news.popleft())

    def pace(self):
        """Sends everything that is due, and returns the seconds until the next is."""
        now = time.monotonic()
        while self.late and self.late[0][0] <= now:
            self.answer(self.late[0][1], 0, self.late.popleft()[2])
        waits = [self.picture(now), self.late[0][0] - now if self.late else None]
        return min((wait for wait in waits if wait is not None), default=None)

    def picture(self, now):
        """Sends the pictures that are due, and returns the seconds until the next is."""
        if self.frozen or not self.waiting:
            return None
        if not self.payloads:
            if self.due is None or now - self.due > 1:
                self.due = now
            if now < self.due:
                return self.due - now
            self.due += self.camera.interval
            frame = self.camera.frame(self.position)
            toggle = self.position & 1
            self.position += 1
            step = PAYLOAD - HEADER
            for at in range(0, max(len(frame), 1), step):
                last = 2 if at + step >= len(frame) else 0
                self.payloads.append(bytes((HEADER, 0x80 | last | toggle)) + frame[at : at + step])
        while self.waiting and self.payloads:
            self.answer(self.waiting.popleft(), 0, self.payloads.popleft())
        return 0 if self.waiting else None


def obey(orders, camera, cable, port):
    """Reads and carries out the waiting orders, and returns the new connection. `quit` ends the program."""
    for order in os.read(orders, 4096).decode("ascii", "replace").split():
        if order in ("unplug", "quit"):
            if cable:
                cable.link.close()
            cable = None
            if order == "quit":
                sys.exit(0)
        elif order == "plug":
            cable = cable or Cable(camera, port)
        elif order in ("freeze", "thaw") and cable:
            cable.frozen = order == "freeze"
        elif order in ("cover", "uncover"):
            camera.closed = order == "cover"
            if cable and camera.shutter and not camera.mute:
                cable.tell(camera.news())
        elif order in ("mute", "slow"):
            setattr(camera, order, True)
        elif order in ("odd", "even"):
            camera.odd = order == "odd"
        print(f"webcam: {order}", flush=True)
    return cable


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in (MJPEG, H264, YUYV):
        p.add_argument(f"--{kind}", action="append", default=[], metavar="WxH=FILE")
    p.add_argument("--orders", default="/run/webcam")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--name", default="Emulated webcam")
    p.add_argument("--shutter", action="store_true")
    a = p.parse_args()
    formats = []
    for kind in (MJPEG, H264, YUYV):
        clips = getattr(a, kind)
        if clips:
            formats.append(Format(kind))
        for clip in clips:
            size, path = clip.split("=", 1)
            formats[-1].add(tuple(map(int, size.split("x"))), path)
    if not formats:
        p.error("give at least one file")
    camera = Camera(formats, a.name, a.shutter)
    if not os.path.exists(a.orders):
        os.mkfifo(a.orders)
    orders = os.open(a.orders, os.O_RDWR)  # also open for writing, so that it never reaches its end
    cable = Cable(camera, a.port)
    while True:
        wait = cable.pace() if cable else None
        ready, _, _ = select.select([orders] + ([cable.link] if cable else []), [], [], wait)
        try:
            if cable and cable.link in ready:
                cable.request()
        except (ConnectionResetError, BrokenPipeError):
            print("webcam: detached by the kernel", flush=True)
            cable.link.close()
            cable = None
        if orders in ready:
            cable = obey(orders, camera, cable, a.port)


if __name__ == "__main__":
    main()
