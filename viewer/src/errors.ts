// What a viewer does after an error: one row for each name of docs/reference/protocol.md section 6, for each reason of
// `bye`, and for what the viewer finds out by itself. The texts for them are in `words/`. Pure.

/**
 * What follows an error: `now` = a new session at once (with jitter), `wait` = a new session after a growing delay or
 * `retry_after_ms`, `stay` = stop until the user asks again.
 */
export type Next = 'now' | 'wait' | 'stay';

const rows = {
  // what the device refuses or reports
  bad_request: 'stay', bad_sdp: 'stay', unauthorized: 'stay', auth_required: 'stay', stale_nonce: 'now', clock_unsynced: 'wait', forbidden: 'stay',
  no_session: 'now', timeout: 'wait', ice_timeout: 'wait', conflict: 'now', gone: 'now', too_large: 'stay', no_common_codec: 'stay', version: 'stay',
  rate_limited: 'wait', privacy: 'wait', no_media: 'wait', replaced: 'stay', shutdown: 'wait', expired: 'now', ice_failed: 'wait', dtls_failed: 'wait',
  consent_lost: 'now', flood: 'wait', internal: 'wait', busy: 'wait', out_of_resources: 'wait',
  // what the viewer finds out by itself
  hash_mismatch: 'wait', no_picture: 'wait', no_webrtc: 'stay', publish_refused: 'stay', bad_setting: 'stay', device_left: 'wait',
} satisfies Record<string, Next>;

export type ErrorName = keyof typeof rows;

export const ERROR_NAMES = Object.keys(rows) as ErrorName[];

export const isErrorName = (name: string): name is ErrorName => Object.hasOwn(rows, name);

/** What to do after an error; a name from a later version is treated like `internal`. */
export const nextAfter = (name: string): Next => (isErrorName(name) ? rows[name] : 'wait');

/** What a `bye` of the device means; its reasons are free text, the known ones are error names. */
export const byeName = (reason: string): ErrorName => (isErrorName(reason) ? reason : 'device_left');

/** The errors that this viewer tells the device as the reason of its `bye`. */
export const isToldToDevice = (name: string): boolean =>
  ['hash_mismatch', 'ice_failed', 'ice_timeout', 'dtls_failed', 'conflict', 'timeout', 'no_picture'].includes(name);

// A message of the device adds nothing to these.
const clear = new Set(['busy', 'rate_limited', 'flood', 'privacy', 'replaced', 'shutdown', 'expired', 'stale_nonce', 'no_session', 'conflict', 'gone', 'no_webrtc']);
export const selfExplaining = (name: string): boolean => clear.has(name);
