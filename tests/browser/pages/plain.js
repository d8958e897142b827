// A viewer written from docs/reference/protocol.md alone, without the web component: the eyes of tests and benchmark.

const id = (bytes) =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes)))).replace(
    /[+/=]/g,
    (c) => ({ '+': '-', '/': '_', '=': '' })[c],
  );
const now = () => performance.timeOrigin + performance.now();

/** SHA-256 in base64url: the browser's own wants a secure page (FIPS 180-4). */
const digest = (text) => {
  const primes = [...Array(312).keys()].filter(
    (n) => n > 1 && ![...Array(n).keys()].some((d) => d > 1 && d * d <= n && n % d === 0),
  );
  const root = (n, power) => { const r = n ** (1 / power); return Math.floor((r - Math.floor(r)) * 2 ** 32) >>> 0; };
  const k = primes.slice(0, 64).map((p) => root(p, 3));
  const h = primes.slice(0, 8).map((p) => root(p, 2));
  const bytes = [...new TextEncoder().encode(text)];
  const bits = bytes.length * 8;
  bytes.push(0x80);
  while (bytes.length % 64 !== 56) bytes.push(0);
  for (let shift = 56; shift >= 0; shift -= 8) bytes.push(Math.floor(bits / 2 ** shift) & 255);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < bytes.length; at += 64) {
    const w = [...Array(16).keys()].map((i) =>
      [0, 1, 2, 3].reduce((word, j) => (word << 8) | bytes[at + i * 4 + j], 0),
    );
    for (let i = 16; i < 64; i += 1) {
      const [a, b] = [w[i - 15], w[i - 2]];
      w[i] =
        (w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10))) | 0;
    }
    let [a, b, c, d, e, f, g, z] = h;
    for (let i = 0; i < 64; i += 1) {
      const one = (z + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [z, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, z].forEach((x, i) => { h[i] = (h[i] + x) | 0; });
  }
  return btoa(String.fromCharCode(...h.flatMap((x) => [24, 16, 8, 0].map((n) => (x >>> n) & 255)))).replace(
    /[+/=]/g,
    (c) => ({ '+': '-', '/': '_', '=': '' })[c],
  );
};

let link;

/**
 * Connects to the broker before anything is asked for, as a page would. A broker may close the connection at any time:
 * mosquitto with libwebsockets 4.3 (Debian 13) does so after some changes of its machine's routes. So the client comes
 * back, and the broker keeps its subscription and what was sent to it in the meantime.
 */
window.connect = async ({ broker, device, viewer, root = 'fanlight/v1' }) => {
  const client = await window.mqtt.connectAsync(broker, {
    protocolVersion: 5,
    clientId: viewer,
    clean: false,
    properties: { sessionExpiryInterval: 300 },
    reconnectPeriod: 200,
  });
  link = { client, device, viewer, root, sessions: new Map() };
  client.on('message', (topic, payload) => {
    const message = JSON.parse(new TextDecoder().decode(payload));
    link.sessions.get(message.session)?.(message);
  });
  const subscribe = () => client.subscribeAsync(`${root}/${device}/rsp/${viewer}`, { qos: 1 });
  // mqtt.js forgets a subscription that was not acknowledged before the connection closed.
  await subscribe().catch(() => new Promise((resolve) => { client.once('connect', resolve); }).then(subscribe));
};

/** Opens a session; resolves with its handle once it is asked for. One that is not shown decodes, and draws nothing. */
window.watch = async (wanted = {}) => {
  const { calls = 'offer', video = true, audio = true, relay = false, servers = [], show = true } = wanted;
  const { without, bundle = 'max-bundle' } = wanted;
  const session = id(16);
  const at = { asked: now() };
  let seq = 0;
  const say = (type, fields = {}) => link.client.publish(`${link.root}/${link.device}/req/${link.viewer}`,
    JSON.stringify({ v: 1, type, session, seq: seq++, ...fields }), { qos: 1 });
  const pc = new RTCPeerConnection({
    bundlePolicy: bundle,
    iceServers: servers,
    iceTransportPolicy: relay ? 'relay' : 'all',
  });
  const element = document.createElement('video');
  Object.assign(element, { autoplay: true, playsInline: true, muted: false, srcObject: new MediaStream() });
  if (show) document.body.append(element);
  const handle = { session, pc, element, at, said: [], say, delays: [], frames: 0, clocks: [], shown: [], sizes: [] };
  element.onresize = () => handle.sizes.push(`${element.videoWidth}x${element.videoHeight}`);
  pc.ontrack = ({ track, receiver }) => {
    receiver.jitterBufferTarget = 0;
    element.srcObject.addTrack(track);
  };
  let waiting = [];
  let described = false;
  pc.onicecandidate = ({ candidate }) => {
    const ufrag = /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp)[1];
    if (!candidate || candidate.candidate === '') say('candidates', { ufrag, candidates: [], end: true });
    else
      say('candidates', {
        ufrag,
        candidates: [{ candidate: candidate.candidate, mid: candidate.sdpMid, mline: candidate.sdpMLineIndex }],
      });
  };
  pc.oniceconnectionstatechange = () => { at[`ice ${pc.iceConnectionState}`] ??= now(); };
  pc.onconnectionstatechange = () => { at[pc.connectionState] ??= now(); };
  const describe = async (description) => {
    await pc.setRemoteDescription(description);
    described = true;
    for (const candidate of waiting) await pc.addIceCandidate(candidate);
    waiting = [];
  };
  // One after the other, as they came. An offer that another one follows is answered all the same: the device knows the
  // right answer by its hash.
  let turn = Promise.resolve();
  link.sessions.set(session, (message) => {
    handle.said.push(message);
    turn = turn.then(() => take(message)).catch((error) => console.error(error.message));
  });
  const take = async (message) => {
    if (message.type === 'answer') {
      at.answer ??= now();
      await describe({ type: 'answer', sdp: message.sdp });
    } else if (message.type === 'offer') {
      at.offer ??= now();
      if (message.ice_servers) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: message.ice_servers });
      await describe({ type: 'offer', sdp: message.sdp });
      omit();
      const answer = await pc.createAnswer();
      say('answer', { sdp: answer.sdp, offer_hash: digest(message.sdp) });
      at.answered = now();
      await pc.setLocalDescription(answer);
    } else if (message.type === 'candidates') {
      for (const { candidate, mid, mline } of message.candidates) {
        const init = { candidate, sdpMid: mid, sdpMLineIndex: mline };
        if (described) await pc.addIceCandidate(init);
        else waiting.push(init);
      }
    }
  };
  // A browser that has no such codec: `without` is a part of its name.
  const omit = () => {
    for (const transceiver of without ? pc.getTransceivers() : []) {
      const { codecs } = RTCRtpReceiver.getCapabilities(transceiver.receiver.track.kind);
      transceiver.setCodecPreferences(codecs.filter((codec) => !codec.mimeType.includes(without)));
    }
  };
  let before;
  const seen = (time, meta) => {
    element.requestVideoFrameCallback(seen);
    // Chromium may present the first frame once more: its media time tells.
    if (meta.mediaTime === before) return;
    before = meta.mediaTime;
    at.picture ??= now();
    handle.frames += 1;
    const clock = readClock(element);
    const delay = clock === null ? null : ((Math.round(now()) >>> 0) - clock) | 0;
    handle.shown.push({ at: performance.timeOrigin + meta.presentationTime, delay });
    if (clock !== null) {
      handle.delays.push(delay);
      handle.clocks.push({
        clock,
        media: meta.mediaTime,
        at: now(),
        shown: performance.timeOrigin + meta.expectedDisplayTime,
      });
      if (handle.clocks.length > 600) handle.clocks.shift();
    }
  };
  if (show) element.requestVideoFrameCallback(seen);
  if (calls === 'offer') {
    if (video) pc.addTransceiver('video', { direction: 'recvonly' });
    if (audio) pc.addTransceiver('audio', { direction: 'recvonly' });
    omit();
    const offer = await pc.createOffer();
    say('offer', { sdp: offer.sdp });
    at.offered = now();
    await pc.setLocalDescription(offer);
  } else {
    say('request', { media: { video, audio, talk: false } });
  }
  handles.set(session, handle);
  return session;
};

const handles = new Map();
window.handle = (session) => handles.get(session);

/** What a test may know of a session. */
window.report = async (session) => {
  const { pc, element, at, said, delays, frames, clocks } = handles.get(session);
  const stats = [...(await pc.getStats()).values()];
  const inbound = (kind) => stats.find((s) => s.type === 'inbound-rtp' && s.kind === kind);
  const transport = stats.find((s) => s.type === 'transport');
  const pair = stats.find((s) => s.id === transport?.selectedCandidatePairId);
  const candidate = (key) => stats.find((s) => s.id === pair?.[key]);
  return {
    at, said, frames, clocks, delays: delays.slice(-600),
    state: pc.connectionState,
    own: pc.localDescription?.sdp.match(/candidate:.*$/gm) ?? [],
    width: element.videoWidth, height: element.videoHeight,
    video: inbound('video'), audio: inbound('audio'),
    route: pair && `${candidate('localCandidateId')?.candidateType}-${candidate('remoteCandidateId')?.candidateType}`,
    protocol: candidate('localCandidateId')?.relayProtocol ?? candidate('localCandidateId')?.protocol,
    remote: candidate('remoteCandidateId')?.address, pair: pair?.id,
  };
};

/** What was shown since it was last asked for, with the report of now. */
window.take = async (session) => {
  const { shown, sizes } = handles.get(session);
  const { clocks, delays, ...report } = await window.report(session);
  return { ...report, now: now(), shown: shown.splice(0), sizes: sizes.splice(0) };
};

/** The picture clock of what is shown now. */
window.clock = (session) => readClock(handles.get(session).element);

/** Restarts ICE from this side. */
window.restart = async (session) => {
  const { pc, say } = handles.get(session);
  const offer = await pc.createOffer({ iceRestart: true });
  say('offer', { sdp: offer.sdp, restart: true });
  await pc.setLocalDescription(offer);
};

window.leave = (session) => {
  const { pc, element, say } = handles.get(session);
  say('bye', { reason: 'done' });
  pc.close();
  element.remove();
  link.sessions.delete(session);
  handles.delete(session);
};

window.leaveAll = () => [...handles.keys()].forEach((session) => window.leave(session));

const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });

/** The picture clock of a frame: milliseconds modulo 2^32, or null where there is none. */
export function readClock(element) {
  const [w, c] = [element.videoWidth, Math.floor(element.videoWidth / 40)];
  if (c < 2) return null;
  canvas.width = 40 * c;
  canvas.height = c;
  context.drawImage(element, 0, 0, 40 * c, c, 0, 0, 40 * c, c);
  const pixels = context.getImageData(0, 0, 40 * c, c).data;
  const cell = (i) => {
    let sum = 0, n = 0;
    for (let y = c >> 2; y < c - (c >> 2); y += 1) {
      for (let x = i * c + (c >> 2); x < (i + 1) * c - (c >> 2); x += 1) {
        sum += pixels[4 * (y * 40 * c + x) + 1];
        n += 1;
      }
    }
    return sum / n;
  };
  const white = (cell(0) + cell(39)) / 2, black = (cell(1) + cell(38)) / 2;
  if (w < 80 || white - black < 60) return null;
  const bit = (i) => (cell(i) > (white + black) / 2 ? 1 : 0);
  let value = 0, check = 0;
  for (let i = 2; i < 34; i += 1) value = value * 2 + bit(i);
  for (let i = 34; i < 38; i += 1) check = check * 2 + bit(i);
  let nibbles = 0xa;
  for (let shift = 0; shift < 32; shift += 4) nibbles ^= (value >>> shift) & 15;
  return nibbles === check ? value : null;
}
window.readClock = readClock;

/** Listens to the sound: strength at `hertz` against everything, and when loud stretches begin (wall clock, ms). */
window.listen = async (session, ms, hertz = 1000) => {
  const { element } = handles.get(session);
  const audio = new AudioContext();
  await audio.resume();
  const source = audio.createMediaStreamSource(new MediaStream(element.srcObject.getAudioTracks()));
  const analyser = new AnalyserNode(audio, { fftSize: 1024, smoothingTimeConstant: 0 });
  source.connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  const wave = new Float32Array(analyser.fftSize);
  const width = audio.sampleRate / analyser.fftSize;
  const end = performance.now() + ms;
  const result = { loudest: [], onsets: [], quiet: true, strongest: 0 };
  let loud = false;
  while (performance.now() < end) {
    analyser.getFloatFrequencyData(bins);
    analyser.getFloatTimeDomainData(wave);
    let best = 0;
    bins.forEach((level, i) => { if (level > bins[best]) best = i; });
    const peak = Math.max(...wave.slice(-128).map(Math.abs));
    result.strongest = Math.max(result.strongest, peak);
    if (bins[best] > -60) result.loudest.push(Math.round(best * width));
    if (peak > 0.1 && !loud) result.onsets.push(now());
    loud = peak > 0.1;
    await new Promise((tick) => setTimeout(tick, 2));
  }
  await audio.close();
  return { ...result, hertz, width };
};

/**
 * How far sound and picture are apart, in two ways that know nothing of each other; positive where the sound is late.
 * By content: when each 60 ms burst, which begins at a whole second, leaves the AudioContext, against when pictures,
 * which show their time, are on screen. By figures: the sender's time of what plays now, as the browser works it out
 * from the sender reports.
 */
window.skew = async (session, ms) => {
  const handle = handles.get(session);
  const audio = new AudioContext({ latencyHint: 'interactive' });
  await audio.audioWorklet.addModule('/onset.js');
  await audio.resume();
  const source = audio.createMediaStreamSource(new MediaStream(handle.element.srcObject.getAudioTracks()));
  const onset = new AudioWorkletNode(audio, 'onset');
  source.connect(onset).connect(new GainNode(audio, { gain: 0 })).connect(audio.destination);
  const sounds = [], figures = [];
  onset.port.onmessage = ({ data }) => {
    const { contextTime, performanceTime } = audio.getOutputTimestamp();
    sounds.push((performance.timeOrigin + performanceTime + 1000 * (data - contextTime)) % 1000);
  };
  const begun = handle.clocks.at(-1)?.at ?? 0;
  const end = performance.now() + ms;
  while (performance.now() < end) {
    await new Promise((tick) => setTimeout(tick, 100));
    const inbound = [...(await handle.pc.getStats()).values()].filter((s) => s.type === 'inbound-rtp');
    const playing = (kind) => inbound.find((s) => s.kind === kind)?.estimatedPlayoutTimestamp;
    if (playing('video') && playing('audio')) figures.push(playing('video') - playing('audio'));
  }
  const latency = { base: 1000 * audio.baseLatency, output: 1000 * audio.outputLatency };
  await audio.close();
  const pictures = handle.clocks
    .filter(({ at }) => at > begun)
    .map(({ clock, shown }) => ((Math.round(shown) >>> 0) - clock) | 0);
  return { sounds, pictures, figures, latency };
};
