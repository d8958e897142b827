#!/usr/bin/python3
"""A viewer that is aiortc, a WebRTC stack in Python. Reads commands as lines of JSON, writes what happens the same way.

   {"do": "offer", "kinds": [...]}   makes an offer to receive these: {"offer": SDP}
   {"do": "take_offer", "sdp": ...}  answers the device's offer: {"answer": SDP}
   {"do": "take_answer", "sdp": ...}
   {"do": "candidate", "mline": n, "mid": ..., "candidate": "candidate:..."}

Each tenth decoded picture: {"video": n, "size": [w, h], "clock": what the clock in the picture shows, in ms}. Each
tenth block of decoded sound: {"audio": n, "peak": 0 to 1}. Own candidates are in its descriptions.
"""

import asyncio
import json
import sys

import numpy
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def clock(frame):
    """The picture clock of the test picture: milliseconds modulo 2^32, or None where there is none."""
    cell = frame.width // 40
    luma = frame.to_ndarray(format="gray")[cell // 4 : cell - cell // 4, : 40 * cell]
    cells = luma.mean(axis=0).reshape(40, cell)[:, cell // 4 : cell - cell // 4].mean(axis=1)
    white, black = (cells[0] + cells[39]) / 2, (cells[1] + cells[38]) / 2
    if white - black < 60:
        return None
    return int("".join("1" if level > (white + black) / 2 else "0" for level in cells[2:34]), 2)


class Viewer:
    def __init__(self):
        self.pc = RTCPeerConnection()
        self.tasks = []
        self.pc.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self.watch(track))))
        self.pc.on("connectionstatechange", lambda: say(state=self.pc.connectionState))

    async def watch(self, track):
        count = 0
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:  # the connection is closed
                return
            count += 1
            if count % 10:
                continue
            if track.kind == "video":
                say(video=count, size=[frame.width, frame.height], clock=clock(frame))
            else:
                say(audio=count, peak=float(numpy.abs(frame.to_ndarray().astype(int)).max()) / 32768)

    async def offer(self, kinds):
        for kind in kinds:
            self.pc.addTransceiver(kind, direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        say(offer=self.pc.localDescription.sdp)

    async def take_offer(self, sdp):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        say(answer=self.pc.localDescription.sdp)

    async def take_answer(self, sdp):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def candidate(self, candidate, mid, mline):
        its = candidate_from_sdp(candidate.removeprefix("candidate:"))
        its.sdpMid, its.sdpMLineIndex = mid, mline
        await self.pc.addIceCandidate(its)


async def main():
    viewer = Viewer()
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        while line := await lines.readline():
            command = json.loads(line)
            await getattr(viewer, command.pop("do"))(**command)
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        raise
    finally:
        await viewer.pc.close()


asyncio.run(main())
