// Words for people, and what a viewer does next: one row for each error name (section 6), bye reason and media state.

import type { Health } from './protocol.ts';

/**
 * What follows an error: `now` = a new session at once (with jitter), `wait` = a new session after a growing delay or
 * `retry_after_ms`, `stay` = stop until the user asks again.
 */
export type Next = 'now' | 'wait' | 'stay';

export interface Words { title: string; text: string; next: Next }

const rows: Record<string, Words> = {
  // what the device refuses or reports
  bad_request: { title: 'The camera did not understand', text: 'This page and the camera speak different dialects. Updating one of them usually helps.', next: 'stay' },
  bad_sdp: { title: 'The camera did not understand', text: 'The browser’s call could not be read. Updating the browser or the camera usually helps.', next: 'stay' },
  unauthorized: { title: 'You may not watch', text: 'The camera does not accept this viewer. Ask its owner for access.', next: 'stay' },
  auth_required: { title: 'A permission is needed', text: 'The camera wants a token, and this page has none. Sign in, or ask its owner.', next: 'stay' },
  stale_nonce: { title: 'Checking again', text: 'The permission was signed a moment too late.', next: 'now' },
  clock_unsynced: { title: 'The camera’s clock is not set yet', text: 'It cannot check permissions until it knows the time. This usually passes within a minute.', next: 'wait' },
  forbidden: { title: 'Not allowed', text: 'The camera’s owner does not allow this.', next: 'stay' },
  no_session: { title: 'Calling again', text: 'The camera no longer knows this call.', next: 'now' },
  timeout: { title: 'No answer', text: 'The camera is reachable, but does not answer.', next: 'wait' },
  ice_timeout: { title: 'No route to the camera', text: 'Camera and browser found no way to each other in time. A firewall may be in between.', next: 'wait' },
  conflict: { title: 'Calling again', text: 'Messages arrived in the wrong order.', next: 'now' },
  gone: { title: 'Calling again', text: 'That call has already ended.', next: 'now' },
  too_large: { title: 'The call is too large', text: 'The browser’s call is longer than the camera accepts.', next: 'stay' },
  no_common_codec: { title: 'This browser cannot play it', text: 'The camera sends H.264, which this browser does not play. Another browser will.', next: 'stay' },
  version: { title: 'Different versions', text: 'The camera speaks another version of the protocol. Update the camera or this page.', next: 'stay' },
  rate_limited: { title: 'A short pause', text: 'There were too many calls in a row.', next: 'wait' },
  privacy: { title: 'Privacy is on', text: 'The camera is covered or switched off on purpose.', next: 'wait' },
  no_media: { title: 'No camera and no microphone', text: 'The device is online, but has nothing to show right now.', next: 'wait' },
  replaced: { title: 'Watching elsewhere', text: 'Another window took over this picture.', next: 'stay' },
  shutdown: { title: 'The camera is switching off', text: 'The picture returns when it is back.', next: 'wait' },
  expired: { title: 'The viewing time is over', text: 'Asking for a new one.', next: 'now' },
  ice_failed: { title: 'The route broke', text: 'Camera and browser lost each other and found no new way.', next: 'wait' },
  dtls_failed: { title: 'No secure connection', text: 'The encrypted connection could not be set up.', next: 'wait' },
  consent_lost: { title: 'The connection went quiet', text: 'The camera no longer heard from this browser.', next: 'now' },
  flood: { title: 'A short pause', text: 'This page sent more than the camera could read.', next: 'wait' },
  internal: { title: 'The camera has a problem', text: 'Something went wrong inside the camera.', next: 'wait' },
  busy: { title: 'All places are taken', text: 'As many people are watching as the camera allows.', next: 'wait' },
  out_of_resources: { title: 'The camera is at its limit', text: 'It has no memory or power left for one more viewer.', next: 'wait' },
  // what the viewer finds out by itself
  hash_mismatch: { title: 'The answer was not for this call', text: 'It may have been tampered with on the way, so it was refused.', next: 'wait' },
  no_picture: { title: 'No picture came', text: 'The connection stands, but it brings no picture. Calling again.', next: 'wait' },
  no_webrtc: { title: 'This browser cannot show live pictures', text: 'It has no WebRTC, or it is switched off.', next: 'stay' },
  publish_refused: { title: 'The broker does not allow this', text: 'This login may not call this camera. The broker’s access list decides that.', next: 'stay' },
  bad_setting: { title: 'A setting is wrong', text: '', next: 'stay' },
  device_left: { title: 'The camera ended the call', text: 'Calling again.', next: 'wait' },
};

// Nothing that the device adds to these is news to a person.
const clear = new Set(['busy', 'rate_limited', 'flood', 'privacy', 'replaced', 'shutdown', 'expired', 'stale_nonce', 'no_session', 'conflict', 'gone', 'no_webrtc']);
export const selfExplaining = (name: string): boolean => clear.has(name);

const unknown: Words = { title: 'Something went wrong', text: 'The camera gave no known reason.', next: 'wait' };

/** What to say and do for an error name; a name from the future is treated like `internal`. */
export const wordsFor = (name: string): Words => (Object.prototype.hasOwnProperty.call(rows, name) ? rows[name]! : unknown);

export const errorNames = (): string[] => Object.keys(rows);

/** What a `bye` of the device means; its reasons are free text, the known ones are error names. */
export const byeName = (reason: string): string =>
  Object.prototype.hasOwnProperty.call(rows, reason) ? reason : 'device_left';

/** Why the picture is black. `ok` needs no words. */
export const pictureWords: Record<Exclude<Health, 'ok'>, { title: string; text: string }> = {
  starting: { title: 'The camera is starting', text: 'The picture will appear in a moment.' },
  stalled: { title: 'The camera hangs', text: 'It is connected, but sends no new pictures. The device is trying to restart it.' },
  absent: { title: 'No camera connected', text: 'The device is online. The picture appears as soon as a camera is plugged in.' },
  privacy: { title: 'Privacy is on', text: 'The camera is covered or switched off on purpose.' },
  refused: { title: 'This browser cannot play the picture', text: 'The camera sends H.264, which this browser does not play. Another browser will.' },
};

export const soundWords: Record<Exclude<Health, 'ok'>, string> = {
  starting: 'The microphone is starting', stalled: 'The microphone hangs', absent: 'The microphone is not connected', privacy: 'The microphone is off on purpose', refused: 'This browser cannot play the sound',
};
/** Where the device has no microphone to begin with. */
export const noSoundWords = 'No sound from this camera';

/** The steps of a call, in order. */
export const STEPS = ['broker', 'device', 'offer', 'route', 'secure', 'picture'] as const;
export type Step = (typeof STEPS)[number];

export const stepWords: Record<Step, { short: string; text: string }> = {
  broker: { short: 'Broker', text: 'Reaching the broker' },
  device: { short: 'Device', text: 'Looking for the camera' },
  offer: { short: 'Offer', text: 'Calling the camera' },
  route: { short: 'Route', text: 'Finding the shortest way' },
  secure: { short: 'Secure', text: 'Securing the connection' },
  picture: { short: 'Picture', text: 'Waiting for the first picture' },
};
