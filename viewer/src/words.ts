// Words for people: one row for each error name (section 6), bye reason and media state.

import type { ErrorName } from './errors.ts';
import { isErrorName } from './errors.ts';
import type { Doing, Step } from './phase.ts';
import type { Health } from './protocol.ts';

export interface Words { title: string; text: string }

const rows: Record<ErrorName, Words> = {
  // what the device refuses or reports
  bad_request: { title: 'The camera did not understand', text: 'This page and the camera speak different dialects. Updating one of them usually helps.' },
  bad_sdp: { title: 'The camera did not understand', text: 'The browser’s call could not be read. Updating the browser or the camera usually helps.' },
  unauthorized: { title: 'You may not watch', text: 'The camera does not accept this viewer. Ask its owner for access.' },
  auth_required: { title: 'A permission is needed', text: 'The camera wants a token, and this page has none. Sign in, or ask its owner.' },
  stale_nonce: { title: 'Checking again', text: 'The permission was signed a moment too late.' },
  clock_unsynced: { title: 'The camera’s clock is not set yet', text: 'It cannot check permissions until it knows the time. This usually passes within a minute.' },
  forbidden: { title: 'Not allowed', text: 'The camera’s owner does not allow this.' },
  no_session: { title: 'Calling again', text: 'The camera no longer knows this call.' },
  timeout: { title: 'No answer', text: 'The camera is reachable, but does not answer.' },
  ice_timeout: { title: 'No route to the camera', text: 'Camera and browser found no way to each other in time. A firewall may be in between.' },
  conflict: { title: 'Calling again', text: 'Messages arrived in the wrong order.' },
  gone: { title: 'Calling again', text: 'That call has already ended.' },
  too_large: { title: 'The call is too large', text: 'The browser’s call is longer than the camera accepts.' },
  no_common_codec: { title: 'This browser cannot play it', text: 'The camera sends H.264, which this browser does not play. Another browser will.' },
  version: { title: 'Different versions', text: 'The camera speaks another version of the protocol. Update the camera or this page.' },
  rate_limited: { title: 'A short pause', text: 'There were too many calls in a row.' },
  privacy: { title: 'Privacy is on', text: 'The camera is covered or switched off on purpose.' },
  no_media: { title: 'No camera and no microphone', text: 'The device is online, but has nothing to show right now.' },
  replaced: { title: 'Watching elsewhere', text: 'Another window took over this picture.' },
  shutdown: { title: 'The camera is switching off', text: 'The picture returns when it is back.' },
  expired: { title: 'The viewing time is over', text: 'Asking for a new one.' },
  ice_failed: { title: 'The route broke', text: 'Camera and browser lost each other and found no new way.' },
  dtls_failed: { title: 'No secure connection', text: 'The encrypted connection could not be set up.' },
  consent_lost: { title: 'The connection went quiet', text: 'The camera no longer heard from this browser.' },
  flood: { title: 'A short pause', text: 'This page sent more than the camera could read.' },
  internal: { title: 'The camera has a problem', text: 'Something went wrong inside the camera.' },
  busy: { title: 'All places are taken', text: 'As many people are watching as the camera allows.' },
  out_of_resources: { title: 'The camera is at its limit', text: 'It has no memory or power left for one more viewer.' },
  // what the viewer finds out by itself
  hash_mismatch: { title: 'The answer was not for this call', text: 'It may have been tampered with on the way, so it was refused.' },
  no_picture: { title: 'No picture came', text: 'The connection stands, but it brings no picture. Calling again.' },
  no_webrtc: { title: 'This browser cannot show live pictures', text: 'It has no WebRTC, or it is switched off.' },
  publish_refused: { title: 'The broker does not allow this', text: 'This login may not call this camera. The broker’s access list decides that.' },
  bad_setting: { title: 'A setting is wrong', text: '' },
  device_left: { title: 'The camera ended the call', text: 'Calling again.' },
};

const unknown: Words = { title: 'Something went wrong', text: 'The camera gave no known reason.' };

/** What to say for an error name; a name from the future is treated like `internal`. */
export const wordsFor = (name: string): Words => (isErrorName(name) ? rows[name] : unknown);

export const doingWords: Record<Doing, string> = {
  prepare: 'prepare the call', restart: 'restart the route', take_answer: 'take the answer', take_offer: 'take the offer', take_candidates: 'take candidates',
};

/** What is said about an error besides the words for its name. */
export const messageOf = ({ doing, message }: { doing: Doing | null; message: string }): string => (doing === null ? message : `${doingWords[doing]}: ${message}`);

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

export const stepWords: Record<Step, { short: string; text: string }> = {
  broker: { short: 'Broker', text: 'Reaching the broker' },
  device: { short: 'Device', text: 'Looking for the camera' },
  offer: { short: 'Offer', text: 'Calling the camera' },
  route: { short: 'Route', text: 'Finding the shortest way' },
  secure: { short: 'Secure', text: 'Securing the connection' },
  picture: { short: 'Picture', text: 'Waiting for the first picture' },
};
