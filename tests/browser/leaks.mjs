// Looks for secrets in what a broker sees: in the bytes, and in every layer of base64url.

const MOST_LAYERS = 6;
/** What must never be readable. Addresses of any host, SDP, ICE and logins. */
const PATTERNS = {
  'a candidate': /candidate:/,
  'a fingerprint': /a=fingerprint|sha-256 [0-9A-F]{2}:/i,
  'ICE credentials': /ice-ufrag|ice-pwd|"ufrag"/,
  // Long enough that a sealed message does not have it by chance.
  SDP: /v=0(?:\r?\n|(?:\\r)?\\n)o=|"sdp"\s*:/,
  'an IPv4 address': /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])/,
  'a server for ICE': /(?:stun|turn)s?:|ice_servers/,
};

/** All readings of some bytes: as they are, and each part that is base64url, again and again. */
export function readings(bytes, layers = MOST_LAYERS) {
  const text = bytes.toString('latin1');
  const all = [text];
  if (layers === 0) return all;
  for (const [part] of text.matchAll(/[A-Za-z0-9_-]{16,}/g))
    all.push(...readings(Buffer.from(part, 'base64url'), layers - 1));
  return all;
}

/** What of `secrets` (by name) or of the patterns can be read in these bytes. */
export function leaks(bytes, secrets = {}) {
  const found = new Set();
  for (const text of readings(bytes)) {
    for (const [what, pattern] of Object.entries(PATTERNS)) if (pattern.test(text)) found.add(what);
    for (const [what, secret] of Object.entries(secrets))
      if (text.includes(Buffer.from(secret).toString('latin1'))) found.add(what);
  }
  return [...found];
}
