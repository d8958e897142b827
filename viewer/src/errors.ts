// What a viewer does after an error. There is a row for each name of docs/reference/protocol.md section 6, for each
// `bye` reason, and for errors that the viewer detects itself. Their texts are in `words/`. Pure.

/**
 * What follows an error. `now`: a new session at once, with jitter. `wait`: a new session after a growing delay, or
 * after `retry_after_ms`. `stay`: stop until the user asks again.
 */
export type Next = 'now' | 'wait' | 'stay';

const rows = {
  // Errors that the device reports.
  bad_request: 'stay', bad_sdp: 'stay', unauthorized: 'stay', auth_required: 'stay', stale_nonce: 'now',
  clock_unsynced: 'wait', forbidden: 'stay',
  no_session: 'now', timeout: 'wait', ice_timeout: 'wait', conflict: 'now', gone: 'now', too_large: 'stay',
  no_common_codec: 'stay', version: 'stay',
  rate_limited: 'wait', privacy: 'wait', no_media: 'wait', replaced: 'stay', shutdown: 'wait', expired: 'now',
  ice_failed: 'wait', dtls_failed: 'wait',
  consent_lost: 'now', flood: 'wait', internal: 'wait', busy: 'wait', out_of_resources: 'wait',
  // Errors that the viewer detects.
  hash_mismatch: 'wait', no_picture: 'wait', no_webrtc: 'stay', publish_refused: 'stay', bad_setting: 'stay',
  device_left: 'wait', unanswered: 'wait', withdrawn: 'now',
  not_paired: 'stay', wrong_board: 'stay', keys_lost: 'stay', insecure_page: 'stay', no_store: 'stay',
  unknown_board: 'stay', other_board: 'stay', token_failed: 'wait', token_refused: 'stay', token_unusable: 'stay',
  token_ended: 'now', token_unanswered: 'wait',
} satisfies Record<string, Next>;

export type ErrorName = keyof typeof rows;

export const ERROR_NAMES = Object.keys(rows) as ErrorName[];

export const isErrorName = (name: string): name is ErrorName => Object.hasOwn(rows, name);

/** What to do after an error. A name from a later version is treated like `internal`. */
export const nextAfter = (name: string): Next => (isErrorName(name) ? rows[name] : 'wait');

/** The error name for a `bye` of the device. Its reasons are free text; known ones are error names. */
export const byeName = (reason: string): ErrorName => (isErrorName(reason) ? reason : 'device_left');

/** The errors that this viewer sends to the device as the reason of its `bye`. */
export const isToldToDevice = (name: string): boolean =>
  ['hash_mismatch', 'ice_failed', 'ice_timeout', 'dtls_failed', 'conflict', 'timeout', 'no_picture'].includes(name);

// For these errors, the device's message adds nothing.
const clear = new Set([
  'busy', 'rate_limited', 'flood', 'privacy', 'replaced', 'shutdown', 'expired', 'stale_nonce', 'no_session',
  'conflict', 'gone', 'no_webrtc', 'token_ended', 'auth_required',
]);
export const selfExplaining = (name: string): boolean => clear.has(name);
