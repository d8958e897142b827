#!/usr/bin/env python3
"""tests/fuzz/seeds.py FOLDER: writes the first inputs of every fuzz target, a folder each. It makes all of them.

./fuzz and the test suite call it; nothing but Python's own library is needed.
"""

import base64
import hashlib
import hmac
import json
import os
import struct
import sys

OUT = sys.argv[1]


def put(target, name, data):
    os.makedirs(f"{OUT}/{target}", exist_ok=True)
    with open(f"{OUT}/{target}/{name}", "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


SESSION = base64.urlsafe_b64encode(bytes(range(16))).decode().rstrip("=")


def candidate(n, address, kind="host", transport="udp", more=""):
    return f"candidate:{n} 1 {transport} {2130706431 - n} {address} {50000 + n} typ {kind}{more}"


CANDIDATES = [
    candidate(1, "192.0.2.1"),
    candidate(2, "2001:db8::1"),
    candidate(3, "::ffff:192.0.2.7"),
    candidate(4, "0af1c2d3-4455-6677-8899-aabbccddeeff.local"),
    candidate(5, "203.0.113.9", "srflx", more=" raddr 192.168.1.5 rport 9"),
    candidate(6, "198.51.100.2", "relay", more=" raddr 0.0.0.0 rport 0 generation 0 ufrag abcd network-cost 999"),
    candidate(7, "192.0.2.1", transport="tcp", more=" tcptype active"),
    candidate(8, "127.0.0.1"),
    candidate(9, "fe80::1%eth0"),
]


def h264_line(mid, direction="recvonly", port=9, more=""):
    return (
        f"m=video {port} UDP/TLS/RTP/SAVPF 102 103\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
        f"{transport()}a=mid:{mid}\r\n"
        "a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
        f"a={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:102 H264/90000\r\na=rtcp-fb:102 goog-remb\r\n"
        "a=rtcp-fb:102 transport-cc\r\na=rtcp-fb:102 ccm fir\r\na=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\n"
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
        f"a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n{more}"
    )


def opus_line(mid, direction="recvonly", port=9, more=""):
    return (
        f"m=audio {port} UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\n{transport()}a=mid:{mid}\r\n"
        f"a={direction}\r\na=rtcp-mux\r\n"
        f"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n{more}"
    )


def transport(setup="actpass", digest="sha-256"):
    print_ = ":".join(f"{n:02X}" for n in range(32))
    return f"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef01234567\r\na=ice-options:trickle\r\na=fingerprint:{digest} {print_}\r\na=setup:{setup}\r\n"


def sdp(*lines, bundle="0 1", head=""):
    group = f"a=group:BUNDLE {bundle}\r\n" if bundle else ""
    begin = "v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    return f"{begin}{group}a=msid-semantic: WMS\r\n{head}" + "".join(lines)


DATA_LINE = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
    f"{transport()}a=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
)
BOTH = sdp(h264_line(0), opus_line(1))
DESCRIPTIONS = {
    "both": BOTH,
    "bundle-only": sdp(h264_line(0), opus_line(1, port=0, more="a=bundle-only\r\n")),
    "no-bundle": sdp(h264_line(0), bundle=""),
    "sendrecv": sdp(h264_line(0, "sendrecv"), opus_line(1, "sendrecv")),
    "data": sdp(h264_line(0), opus_line(1), DATA_LINE, bundle="0 1 2"),
    "candidates": sdp(h264_line(0, more="".join(f"a={c}\r\n" for c in CANDIDATES)), bundle="0"),
    "active": BOTH.replace("actpass", "active"),
    "upper": BOTH.replace("sha-256", "SHA-256"),
    "newlines": BOTH.replace("\r\n", "\n"),
    "refused": sdp(h264_line(0, port=0), opus_line(1), bundle="1"),
    "vp8": BOTH.replace("H264/90000", "VP8/90000"),
    "lite": sdp(h264_line(0), opus_line(1), head="a=ice-lite\r\n"),
}


def messages():
    def message(kind, **fields):
        return json.dumps({"v": 1, "type": kind, "session": SESSION, "seq": 0, **fields})

    yield "hello", message("hello")
    yield "offer", message("offer", sdp=BOTH, nonce="abc")
    yield "restart", message("offer", sdp=BOTH, restart=True)
    yield "request", message("request", media={"video": True, "audio": True, "talk": False})
    yield "answer", message("answer", sdp=BOTH, offer_hash="x" * 43)
    candidates = [{"candidate": c, "mid": "0"} for c in CANDIDATES]
    yield "candidates", message("candidates", ufrag="abcd", candidates=candidates, end=True)
    yield "ping", message("ping")
    yield "renew", message("renew")
    yield "bye", message("bye", reason="user")
    yield "deep", "[" * 40 + "]" * 40
    yield "numbers", '{"v":1e400,"seq":-0,"type":"\\ud800","session":null}'
    yield "twice", '{"v":1,"v":2}'
    yield "signed", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"


def mqtt_string(text):
    return struct.pack(">H", len(text)) + text.encode()


def packet(head, body):
    length, out = len(body), bytearray([head])
    while True:
        out.append(length % 128 | (128 if length > 127 else 0))
        length //= 128
        if not length:
            return bytes(out) + body


def mqtt(version):
    properties = b"\0" if version == 5 else b""
    will = properties + mqtt_string("a/status") + mqtt_string("gone")
    flags = 0x06
    header = mqtt_string("MQTT") + bytes([version, flags]) + b"\0\x3c"
    connect = packet(0x10, header + properties + mqtt_string("c") + will)
    subscribe = packet(0x82, b"\0\1" + properties + mqtt_string("a/+/req/#") + b"\1")
    publish = packet(0x33, mqtt_string("a/b/req/c") + b"\0\2" + properties + b"{}")
    unsubscribe = packet(0xA2, b"\0\3" + properties + mqtt_string("a/+/req/#"))
    return connect + subscribe + publish + packet(0x40, b"\0\1") + b"\xc0\0" + unsubscribe + b"\xe0\0"


def rtcp():
    def head(count, kind, body, ssrc=1):
        return struct.pack(">BBHI", 0x80 | count, kind, len(body) // 4 + 1, ssrc) + body

    report = struct.pack(">IIIIII", 7, 0x10000003, 5, 9, 0, 0)
    yield "receiver-report", head(1, 201, report)
    yield "nack", head(1, 205, struct.pack(">IHHHH", 7, 2, 0b101, 6, 0xFFFF))
    yield "pli", head(1, 206, struct.pack(">I", 7))
    yield "fir", head(4, 206, struct.pack(">IIBBH", 7, 7, 1, 0, 0))
    yield "remb", head(15, 206, struct.pack(">I4sBBHI", 0, b"REMB", 1, 0x08, 0x1234, 7))
    yield "remb-huge", head(15, 206, struct.pack(">I4sBBHI", 0, b"REMB", 1, 0xFF, 0xFFFF, 7))
    # transport-cc: base 0, 8 packets, reference time, run length of "small delta", deltas.
    twcc = struct.pack(">IHHBBBBH", 7, 0, 8, 0, 0, 1, 0, 0x2008) + bytes([4] * 8) + b"\0\0"
    yield "twcc", head(15, 205, twcc)
    yield "twcc-many", head(15, 205, struct.pack(">IHHBBBBHH", 7, 0, 0xFFFF, 0, 0, 1, 1, 0x1FFF, 0x1FFF))
    yield "bye", head(1, 203, b"")
    yield "compound", head(1, 201, report) + head(1, 202, struct.pack(">IBB6s", 1, 1, 4, b"name\0\0")[4:] + b"\0\0\0\0")


# A grey picture of 16x16 in the baseline process, with the example tables of JPEG's Annex K cut to what it needs.
def jpeg():
    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    table = segment(0xDB, b"\0" + bytes([16] * 64))
    frame = segment(0xC0, struct.pack(">BHHB", 8, 16, 16, 1) + bytes([1, 0x11, 0]))
    dc = segment(0xC4, b"\0" + bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(range(12)))
    ac = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    scan = segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
    # Four blocks: difference 0 (code 00), end of block (code 0); 12 bits, filled up with ones.
    return b"\xff\xd8" + table + frame + dc + ac + scan + b"\x00\x0f" + b"\xff\xd9"


def h264():
    start = b"\0\0\0\1"
    sps = bytes.fromhex("6742c01ed901417ec05a8080") + b"\xa0"
    pps = bytes.fromhex("68cb83cb20")
    idr = b"\x65\x88\x84" + bytes(range(64))
    inter = b"\x41\x9a\x24" + bytes(range(32))
    units = [b"\x09\x10", sps, pps, idr, inter, b"\x06\x05\x01\x00\x80", inter]
    return b"".join(start + unit for unit in units)


def talk(lost=0, talkers=1):
    """Packets of 20 ms: a header of 8 bytes for the target, then Opus: SILK with and without a copy, CELT, silence."""
    out = b""
    for n in range(60):
        if lost and n % lost == lost - 1:
            continue
        payload = [b"\x08\x40" + bytes(30), b"\x08\x00" + bytes(30), b"\xf8" + bytes(range(40)), b"\xf8\xff"][n % 4]
        out += struct.pack(">BBBHI", n // 30 if talkers == 2 else 0, len(payload), 20, n, n * 960)[:5]
        out += struct.pack(">I", n * 960)[1:] + payload
    return out


def wav(data_length=None, form=1, bits=16):
    data = struct.pack("<480h", *[(n * 641) % 2000 - 1000 for n in range(480)])
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, form, 1, 48000, 48000 * bits // 8, bits // 8, bits)
    length = len(data) if data_length is None else data_length
    body += b"LIST" + struct.pack("<I", 4) + b"INFO" + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def y4m():
    head = b"YUV4MPEG2 W32 H16 F30:1 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n"
    return head + 2 * (b"FRAME\n" + bytes(32 * 16 * 3 // 2))


CONFIG = """device = "front-door"
name = "Front door"
[broker]
url = "mqtts://broker.example.org"
user = "front-door"
[access]
mode = "broker"
the_broker_can_watch = true
[video]
source = "test"
size = "1280x720"
fps = 30
bitrate_kbps = 2000
[audio]
source = "off"
[webrtc]
interfaces = ["eth*", "!docker0"]
[[webrtc.servers]]
urls = ["stun:stun.example.org", "turns:turn.example.org:5349?transport=tcp"]
[limits]
viewers = 4
lease_s = 600
[log]
level = "info"
"""


# The generator of P-256, which everybody may use as a public key.
GENERATOR = bytes.fromhex(
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def compact(header, *parts):
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header.encode(), *parts))


def tokens():
    """Tokens and deny lists that are right but for their signature, and what they contain."""
    x, y = compact("", GENERATOR[:32], GENERATOR[32:]).decode()[1:].split(".")
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode().rstrip("=")
    claims = {
        "jti": "4mJc1fXgQYk", "aud": ["porch"], "cnf": {"jwk": json.loads(canonical)}, "rights": ["view", "listen"],
        "iat": 1767225600, "exp": 1767254400, "name": "Anna",
    }
    denied = {"number": 7, "before": 1767225600, "ids": ["4mJc1fXgQYk", "axfR8uEsQkf4vOblY6RA8n"]}
    for target, typ, content in (("token", "fanlight-token", claims), ("deny_list", "fanlight-deny", denied)):
        text = json.dumps(content)
        yield target, "content", text
        header = json.dumps({"alg": "ES256", "typ": typ, "kid": kid})
        yield target, "signed", compact(header, text.encode(), bytes(range(64)))
        yield target, "eddsa", compact(header.replace("ES256", "EdDSA"), text.encode(), bytes(64))
    everywhere = json.dumps({**claims, "aud": "*", "more": {"a": [1, None]}})
    yield "token", "everywhere", everywhere
    yield "deny_list", "long", json.dumps({**denied, "ids": [f"id-{n}" for n in range(1000)]})


def envelopes():
    """Signed and sealed messages whose forms are right and whose signatures and tags are not, and keys."""
    point = GENERATOR
    x, y = compact("", point[:32], point[32:]).decode()[1:].split(".")
    jwk = f'{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}'
    kid = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    claims = b'{"id":"cam","session":"s"}'
    yield "jws", compact(f'{{"alg":"ES256","kid":"{kid}"}}', claims, bytes(range(64)))
    yield "token", compact('{"alg":"EdDSA"}', claims, bytes(64))
    parties = ',"apu":"QQ","apv":"Qg","typ":"JOSE","cty":"JWT"'
    for name, more in (("jwe", ""), ("jwe-parties", parties), ("jwe-other", f',"kid":"{kid}"')):
        yield name, compact(f'{{"alg":"ECDH-ES","enc":"A256GCM","epk":{jwk}{more}}}', b"", bytes(12), claims, bytes(16))
    yield "jwk", jwk
    yield "jwk-issuer", f'{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"1","use":"sig","key_ops":["verify"],"ext":true}}'
    yield "key", compact("", b"\x04" + point)[1:]
    before = bytes.fromhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420")
    yield "pkcs8", before + bytes(31) + b"\x01" + bytes.fromhex("a144034200") + b"\x04" + point


def trust():
    """A list of viewers, requests to pair, and commands of the owner. The key is the generator of P-256."""
    point = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
    x, y = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"

    def text(raw):
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    thumbprint = text(hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest())
    viewer = {"key": point, "name": "anna", "rights": ["view", "listen"], "until": 1900000000, "since": 1800000000}
    put("viewers", "one", json.dumps({"v": 1, "viewers": [viewer]}))
    put("viewers", "none", '{"v":1,"viewers":[]}')
    put("viewers", "later", '{"v":2,"viewers":{}}')
    # The same key is the board's and the viewer's: a MAC does not mind.
    texts = ["fanlight pair viewer", thumbprint, "porch", thumbprint, "Anna's phone"]
    mac = text(hmac.new(bytes([7] * 16), b"".join(it.encode() + b"\0" for it in texts), "sha256").digest())
    for name, code in (("right", mac), ("wrong", text(bytes(32)))):
        message = {"v": 1, "type": "pair", "session": SESSION, "seq": 0, "key": point, "name": texts[-1], "mac": code}
        put("pair", name, json.dumps(message))
    for name, request in {
        "pair": {
            "command": "pair", "name": None, "rights": ["view"], "until": None,
            "page": "https://cam.example.org/", "broker": "wss://b.example/mqtt",
        },
        "list": {"command": "viewers-list"},
        "add": {
            "command": "viewers-add", "key": point[:-1] + "A", "name": "ben", "rights": ["view", "listen"], "until": 1,
        },
        "again": {"command": "viewers-add", "key": point, "name": "ben", "rights": ["view"], "until": None},
        "remove": {"command": "viewers-remove", "viewer": "anna"},
        "rename": {"command": "viewers-rename", "viewer": "anna", "name": "Anna's tablet"},
        "rights": {"command": "viewers-rights", "viewer": "anna", "rights": ["listen"], "until": {"at": 7}},
    }.items():
        put("control", name, json.dumps(request))


def home():
    settings = 'port = 8443\nbroker_port = 18831\ndevice = "garden"\nroot = "fanlight/v1"\n'
    settings += 'names = ["garden.fritz.box"]\n'
    put("home_files", "settings", settings)
    pkcs8 = bytes.fromhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420") + bytes(31) + b"\x01" + bytes.fromhex(
        "a144034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    key = base64.b64encode(pkcs8).decode()
    leaf = {"from": 1767225600, "until": 1800000000, "der": "MAA="}
    certificates = {
        "names": ["garden.local"], "authority": "MAA=", "authority_key": key, "key": key,
        "leaves": [["ByName", leaf], [{"At": "192.168.1.5"}, leaf]],
    }
    put("home_files", "certificates", json.dumps(certificates))
    own = "\nhost: garden.local:8443\norigin: https://garden.local:8443"
    put("home_requests", "page", f"GET\n/{own}\naccept-encoding: gzip")
    put("home_requests", "below", f"HEAD\n/s3cret/config.json{own}")
    put("home_requests", "post", f"POST\n/mqtt{own}\ncontent-type: application/octet-stream")
    path = "/s3cret/mqtt/AAAAAAAAAAAAAAAAAAAAAA"
    put("home_requests", "send", f"POST\n{path}{own}\ncontent-type: application/octet-stream")
    socket = (
        "connection: Upgrade\nupgrade: websocket\nsec-websocket-version: 13\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-protocol: mqtt"
    )
    put("home_requests", "websocket", f"GET\n/mqtt{own}\n{socket}")
    put("home_requests", "authority", f"GET\n/fanlight-ca.crt{own}")


def main():
    trust()
    home()
    put("candidates", "all", "\n".join(CANDIDATES))
    for name, command in {
        "cameras": {"id": 1, "name": "cameras"},
        "keyframe": {"id": 2, "name": "keyframe", "args": {"camera": "main"}},
        "set": {"id": 3, "name": "privacy.set", "args": {"on": True}},
        "lift": {"id": 2**53 - 1, "name": "privacy.set", "args": {"on": False, "change": 3}},
        "unknown": {"id": 4, "name": "fly", "args": {}},
    }.items():
        put("channel", name, " " + json.dumps(command))
    put("channel", "binary", b"\1\0\0\0\1")
    put("config", "full", CONFIG)
    put("config", "wrong", 'device = 1\nFps = 2\n[video]\nsize = 1280x720\n[video]\n')
    for name, data in envelopes():
        put("envelope", name, data)
    for target, name, data in tokens():
        put(target, name, data)
    put("h264", "units", h264())
    put("jpeg", "grey", jpeg())
    put("mjpeg", "two", jpeg() + b"\0\0\0" + jpeg() + b"--part\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg())
    for name, text in messages():
        put("messages", name, text)
    put("mqtt", "v5", mqtt(5))
    put("mqtt", "v311", mqtt(4))
    put("home", "clear", "GET /?a HTTP/1.1\r\nHost: garden.local:8443\r\n\r\n")
    put("home", "connect", b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04tab1")
    put("home", "connect 5", b"\x10\x16\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x1e\x00\x04tab1")
    put("page", "index", "GET\nlocalhost:8080\n/\ngzip, br")
    put("page", "config", "HEAD\n127.0.0.1\n/config.json\n")
    put("page", "else", "POST\nevil.example\n/../x\n*;q=0")
    for name, data in rtcp():
        put("rtcp", name, data)
    for name, text in DESCRIPTIONS.items():
        put("sdp", name, text)
    binding = struct.pack(">HHI12s", 1, 0, 0x2112A442, b"transaction1")
    error = struct.pack(">HHI12sHHHBB", 0x0113, 8, 0x2112A442, b"transaction1", 9, 4, 0, 4, 1)
    put("turn_stream", "messages", b"\x07" + binding + error + b"\x40\x01\x00\x05hello\0\0\0")
    put("talk", "steady", talk())
    put("talk", "losses", talk(lost=5))
    put("talk", "two-talkers", talk(talkers=2))
    put("wav", "plain", wav())
    put("wav", "endless", wav(0xFFFFFFFF))
    put("wav", "float", wav(None, 3, 32))
    put("y4m", "two", y4m())


main()
