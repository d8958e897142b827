#!/usr/bin/python3
"""A viewer that is GStreamer's webrtcbin. Reads commands as lines of JSON, writes what happens as lines of JSON.

   webrtcbin_viewer.py BUNDLE-POLICY

   {"do": "offer"}                   makes an offer: {"offer": SDP}
   {"do": "take_offer", "sdp": ...}  answers the device's offer: {"answer": SDP}
   {"do": "take_answer", "sdp": ...}
   {"do": "candidate", "mline": n, "mid": ..., "candidate": "candidate:..."}

Decoded pictures and sounds are counted: {"video": n} and {"audio": n}, each tenth; own candidates:
{"candidate": ..., "mline": n}.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

CAPS = {
    "video": "application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
}
DECODE = {
    "video": "queue ! rtph264depay ! h264parse ! openh264dec ! fakesink name=out signal-handoffs=true sync=false",
    "audio": "queue ! rtpopusdepay ! opusdec ! fakesink name=out signal-handoffs=true sync=false",
}


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Viewer:
    def __init__(self, policy):
        self.pipe = Gst.Pipeline.new("viewer")
        self.bin = Gst.ElementFactory.make("webrtcbin", "bin")
        self.bin.set_property("bundle-policy", policy)
        self.bin.set_property("latency", 0)
        self.pipe.add(self.bin)
        self.bin.connect("on-ice-candidate", lambda _, mline, line: say(candidate=line, mline=mline))
        self.bin.connect("pad-added", self.on_pad)
        bus = self.pipe.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: say(error=str(message.parse_error())))
        self.pipe.set_state(Gst.State.PLAYING)

    def on_pad(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps() or pad.query_caps(None)
        media = caps.get_structure(0).get_string("media")
        decode = Gst.parse_bin_from_description(DECODE[media], True)
        count = [0]

        def counted(*_):
            count[0] += 1
            if count[0] % 10 == 0:
                say(**{media: count[0]})

        decode.get_by_name("out").connect("handoff", counted)
        self.pipe.add(decode)
        decode.sync_state_with_parent()
        pad.link(decode.get_static_pad("sink"))

    def do(self, command):
        getattr(self, command.pop("do"))(**command)

    def offer(self, kinds=("video", "audio")):
        for kind in kinds:
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.bin.emit("add-transceiver", direction, Gst.Caps.from_string(CAPS[kind]))
        self.bin.emit("create-offer", None, Gst.Promise.new_with_change_func(self.described, "offer"))

    def described(self, promise, kind):
        reply = promise.get_reply()
        description = reply.get_value(kind) if reply else None
        if description is None:
            return say(error=f"no {kind}")
        self.bin.emit("set-local-description", description, Gst.Promise.new())
        say(**{kind: description.sdp.as_text()})

    def take_offer(self, sdp):
        self.take("OFFER", sdp, lambda: self.bin.emit(
            "create-answer", None, Gst.Promise.new_with_change_func(self.described, "answer")))

    def take_answer(self, sdp):
        self.take("ANSWER", sdp, lambda: None)

    def take(self, kind, sdp, then):
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        description = GstWebRTC.WebRTCSessionDescription.new(getattr(GstWebRTC.WebRTCSDPType, kind), message)
        promise = Gst.Promise.new_with_change_func(lambda *_: then())
        self.bin.emit("set-remote-description", description, promise)

    def candidate(self, mline, candidate, mid=None):
        self.bin.emit("add-ice-candidate", mline, candidate)


def main():
    Gst.init(None)
    viewer = Viewer(sys.argv[1])
    loop = GLib.MainLoop()

    def read():
        for line in sys.stdin:
            GLib.idle_add(viewer.do, json.loads(line))
        GLib.idle_add(loop.quit)

    threading.Thread(target=read, daemon=True).start()
    loop.run()
    viewer.pipe.set_state(Gst.State.NULL)


main()
