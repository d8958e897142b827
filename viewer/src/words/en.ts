// English: all texts that the component shows or announces; those of the page are in `page/en.ts`. Each other language
// is a file of the same shape next to each; `languages.ts` lists them. A text with gaps is a function. `isolated` wraps
// text from outside, and `Count` chooses the plural form. Figures and times are formatted by `Intl` before.

import type { ErrorName } from '../errors.ts';
import { isolated } from '../format.ts';
import type { Doing, Step } from '../phase.ts';
import type { Health } from '../protocol.ts';

interface Said { title: string; text: string }
type Ill = Exclude<Health, 'ok'>;

const privacy = { title: 'Privacy is on', text: 'The camera was covered or switched off on purpose.' };
const mismatch = 'One of them cannot read the other’s session description (SDP). Update the browser or the camera.';
const unreached = 'The broker cannot be reached';

/** What the component shows. */
export const component = {
  camera: 'Camera',

  steps: {
    broker: { short: 'Broker', text: 'Connecting to the broker' },
    device: { short: 'Device', text: 'Looking for the camera' },
    offer: { short: 'Offer', text: 'Asking the camera for a session' },
    route: { short: 'Route', text: 'Finding a network route' },
    secure: { short: 'Encryption', text: 'Setting up encryption' },
    picture: { short: 'Picture', text: 'Waiting for the first picture' },
  } satisfies Record<Step, { short: string; text: string }>,

  // The names of docs/reference/protocol.md section 6, and those of the viewer.
  errors: {
    bad_request: {
      title: 'The camera did not understand',
      text: 'This page and the camera may have different versions. Update both.',
    },
    bad_sdp: { title: 'Camera and browser do not understand each other', text: mismatch },
    unauthorized: {
      title: 'You may not watch', text: 'The camera does not accept this viewer. Ask its owner for access.',
    },
    auth_required: {
      title: 'The camera refuses the access token',
      text: 'It says that the token has ended, and said the same of a new one. '
        + 'The clocks of the camera and of the login service may differ.',
    },
    stale_nonce: { title: 'Asking again', text: 'The access token was signed too late.' },
    clock_unsynced: {
      title: 'The camera’s clock is not set yet',
      text: 'The camera cannot check access without the time. This usually takes less than a minute.',
    },
    forbidden: { title: 'Not allowed', text: 'The owner of the camera has not allowed this. Ask for more rights.' },
    no_session: { title: 'Connecting again', text: 'The camera no longer knows this session.' },
    timeout: { title: 'No answer', text: 'The camera did not answer in time.' },
    ice_timeout: {
      title: 'No route to the camera',
      text: 'Camera and browser found no network route to each other in time. A firewall may block it.',
    },
    conflict: { title: 'Connecting again', text: 'Messages were lost or arrived in the wrong order.' },
    gone: { title: 'Connecting again', text: 'This session has already ended.' },
    too_large: { title: 'The request is too large', text: 'The browser’s offer is larger than the camera accepts.' },
    no_common_codec: {
      title: 'This browser cannot play it',
      text: 'The camera sends H.264, which this browser cannot play. Use another browser.',
    },
    version: {
      title: 'The versions do not match',
      text: 'The camera uses another version of the protocol. Update the camera or this page.',
    },
    rate_limited: { title: 'A short pause', text: 'There were too many attempts in a short time.' },
    privacy,
    no_media: { title: 'No camera and no microphone', text: 'The device is online, but it has nothing to send.' },
    replaced: { title: 'Watching elsewhere', text: 'Another window took over this picture.' },
    shutdown: { title: 'The camera is shutting down', text: 'The picture returns when the camera is back.' },
    expired: { title: 'The session has expired', text: 'Asking for a new one.' },
    ice_failed: { title: 'The route is lost', text: 'Camera and browser lost their network route and found no other.' },
    dtls_failed: { title: 'No encrypted connection', text: 'Camera and browser could not set up encryption (DTLS).' },
    consent_lost: { title: 'The connection was closed', text: 'The camera received nothing more from this browser.' },
    flood: { title: 'A short pause', text: 'This page sent more messages than the camera accepts.' },
    internal: { title: 'The camera has a problem', text: 'Something went wrong inside the camera.' },
    busy: { title: 'All places are taken', text: 'The camera already has as many viewers as it allows.' },
    out_of_resources: {
      title: 'The camera is at its limit', text: 'It has no memory or computing power for another viewer.',
    },
    hash_mismatch: {
      title: 'The answer belongs to another offer', text: 'Somebody may have changed it on the way, so it was refused.',
    },
    no_picture: {
      title: 'No picture arrives', text: 'The connection works, but it brings no picture. Connecting again.',
    },
    no_webrtc: {
      title: 'This browser cannot show live video', text: 'It does not support WebRTC, or WebRTC is switched off.',
    },
    publish_refused: {
      title: 'The broker does not allow this',
      text: 'This login may not send requests to this camera. The broker’s access list decides this.',
    },
    bad_setting: { title: 'A setting is wrong', text: '' },
    device_left: { title: 'The camera ended the session', text: 'Connecting again.' },
    unanswered: {
      title: 'The camera does not answer',
      text: 'It is online. Perhaps it no longer accepts this browser. Its owner can see this, and can pair it again.',
    },
    withdrawn: { title: 'Asking again', text: 'The owner of the camera changed what this browser may do.' },
    not_paired: {
      title: 'This browser is not paired with the camera',
      text: 'The camera shows its picture only to paired browsers. '
        + 'Its owner can make a link with “sudo fanlight pair”. '
        + 'If this browser was paired before, it has deleted its key. Then pair it again.',
    },
    wrong_board: {
      title: 'This is not the camera that you paired with',
      text: 'Another device uses its name, or its key was replaced. This page does not connect. '
        + 'Ask the owner. If the key is new for a good reason, forget the camera here and pair again.',
    },
    keys_lost: {
      title: 'The keys of this browser are gone',
      text: 'They were deleted, so the camera does not recognise this browser. '
        + 'Pair it again with a new link of the owner.',
    },
    insecure_page: {
      title: 'This page needs HTTPS',
      text: 'The camera shows its picture only to browsers that have a key, and browsers keep keys only on pages from '
        + 'https:// or localhost. Open this page there.',
    },
    no_store: {
      title: 'This browser keeps no keys here',
      text: 'The camera shows its picture only to browsers that have a key. Allow this page to store data (IndexedDB), '
        + 'or leave the private window.',
    },
    unknown_board: {
      title: 'The key of this camera is not known',
      text: 'This page has access tokens, but does not know the key of the camera. '
        + 'Whoever runs the page must add its thumbprint.',
    },
    other_board: {
      title: 'This is not the expected camera',
      text: 'Another device uses its name, or its key was replaced. This page does not connect. '
        + 'Whoever runs the page can give it a new key.',
    },
    token_failed: {
      title: 'No access token',
      text: 'This page got no access token from its login service. It tries again.',
    },
    token_refused: {
      title: 'The login service gives no access',
      text: 'Log in again. If that does not help, this account may not watch the camera. '
        + 'Ask whoever runs the login service.',
    },
    token_unusable: {
      title: 'The access token does not fit',
      text: 'The login service gave a token that the camera would refuse. Whoever runs the service must correct this.',
    },
    token_ended: { title: 'Asking again', text: 'The access token has ended. This page fetches a new one.' },
    token_unanswered: {
      title: 'The camera does not answer',
      text: 'It is online. Perhaps it does not know the login service, or the access token was taken back.',
    },
  } satisfies Record<ErrorName, Said>,
  /** `internal`, if it happened in the browser. */
  browserError: { title: 'This browser has a problem', text: 'It could not set up the connection.' },
  /** A name that this version does not know. */
  unknownError: { title: 'Something went wrong', text: 'The camera gave an unknown reason.' },

  /** What failed in this browser; `said`: the browser's error text. */
  doing: {
    prepare: (said: string) => `Preparing the connection failed: ${said}`,
    restart: (said: string) => `The ICE restart failed: ${said}`,
    take_answer: (said: string) => `The browser refused the camera’s answer: ${said}`,
    take_offer: (said: string) => `The browser refused the camera’s offer: ${said}`,
    take_candidates: (said: string) => `The browser refused the camera’s candidates: ${said}`,
  } satisfies Record<Doing, (said: string) => string>,

  /** Why there is no picture. */
  picture: {
    starting: { title: 'The camera is starting', text: 'The picture will appear in a moment.' },
    stalled: {
      title: 'The camera is not responding',
      text: 'It is connected, but sends no new pictures. The device is trying to restart it.',
    },
    absent: {
      title: 'No camera connected',
      text: 'The device is online. The picture appears as soon as a camera is plugged in.',
    },
    privacy,
    refused: {
      title: 'This browser cannot play the picture',
      text: 'The camera sends H.264, which this browser cannot play. Use another browser.',
    },
  } satisfies Record<Ill, Said>,

  /** Why there is no sound. */
  sound: {
    starting: 'The microphone is starting',
    stalled: 'The microphone is not responding',
    absent: 'No microphone connected',
    privacy: 'The microphone was switched off on purpose',
    refused: 'This browser cannot play the sound',
  } satisfies Record<Ill, string>,
  /** `said`: the device's sentence. */
  soundBecause: (what: string, said: string) => `${what}: ${isolated(said)}`,
  /** The device has no microphone. */
  noSound: 'No sound from this camera',

  panel: {
    notWatching: 'Not watching',
    paused: 'Paused',
    watch: 'Watch',
    tryAgain: 'Try again',
    tryNow: 'Try now',
    retryIn: (when: string) => `Next try ${when}`,
    retrySoon: 'Next try in a moment',
    logIn: 'Log in',
    changeAddress: 'Change address',
    open: (url: string) => `Open ${url}`,
    unknown: {
      title: 'This camera is not known here',
      text: (name: string) =>
        `No camera “${isolated(name)}” answers on this broker. The picture starts as soon as one does.`,
    },
    offline: {
      title: 'The camera is offline',
      switchedOff: 'It was switched off. The picture starts as soon as it is back.',
      lost: 'It lost its power or its network. The picture starts as soon as it is back.',
    },
    rerouting: {
      title: 'Connection lost', text: 'Looking for a new route. The picture continues as soon as there is one.',
    },
  },

  badge: {
    paused: 'Paused', offline: 'Offline', stopped: 'Stopped', waiting: 'Waiting', connecting: 'Connecting',
    reconnecting: 'Reconnecting',
    restarts: 'Restarts soon', live: 'Live', notLive: 'Not live', soundOnly: 'Sound only', noPicture: 'No picture',
    stalled: 'No new picture',
  },

  /** The picture stands still. */
  still: {
    stopped: 'The picture has stopped',
    offline: 'The camera is offline',
    last: (ago: string) => `Last picture ${ago}`,
  },

  /** Texts for screen readers. */
  spoken: {
    frame: (name: string) => `Camera ${isolated(name)}`,
    live: (name: string) => `Live picture of ${isolated(name)}`,
    still: (name: string) => `Picture of ${isolated(name)}, stopped`,
    connecting: (name: string) => `Connecting to ${isolated(name)}`,
  },

  buttons: {
    all: 'Picture controls',
    watch: 'Watch',
    stop: 'Stop watching',
    sound: 'Sound',
    clickForSound: 'The browser plays sound only after a click',
    snapshot: 'Save a snapshot',
    stats: 'Statistics',
    float: 'Picture-in-picture',
    full: 'Full screen',
  },

  /** Short notices. */
  notes: {
    saved: 'Snapshot saved',
    nothingToSave: 'There is no picture to save',
    noFull: 'The browser does not allow full screen here',
    noFloat: 'The browser does not allow picture-in-picture here',
  },

  stats: {
    first: 'First picture', delay: 'Delay', rate: 'Frame rate', bitrate: 'Bitrate', loss: 'Packet loss',
    roundTrip: 'Round trip',
    freezes: 'Freezes', route: 'Route', ownRoute: 'Camera’s route', direct: 'Direct', relay: 'Relay',
    clock: 'by the picture clock', capture: 'by the capture time', estimate: 'estimated',
    within: (share: string, time: string, by: string) => `${share} within ${time}, ${by}`,
    fps: (frames: string) => `${frames} fps`,
    mbit: (rate: string) => `${rate} Mbit/s`,
    kbit: (rate: string) => `${rate} kbit/s`,
    by: (route: string, server: string) => `${route} by ${server}`,
  },

  /** Faults of attributes. */
  settings: {
    missing: (attribute: string) => `The attribute “${attribute}” is missing.`,
    badId: (attribute: string, value: string) =>
      `The attribute “${attribute}” is “${isolated(value)}”. `
      + 'Only letters, digits, “-” and “_” are possible, at most 64.',
    badRoot: (value: string) => `The attribute “root” is “${isolated(value)}”, which is not a topic.`,
    badThumb: (value: string) =>
      `The attribute “thumb” is “${isolated(value)}”, which is not the thumbprint of a key. It has 43 characters.`,
  },

  /**
   * Why the broker cannot be reached: what was tried, the probable cause, and what helps. `place`: the broker's
   * address.
   */
  trouble: {
    login: {
      title: 'The broker refused the login',
      wrong: (place: string) => `${place} does not accept this user with this password.`,
      needed: (place: string) => `${place} asks for a user and a password.`,
    },
    version: {
      title: 'The broker is too old', text: (place: string) => `${place} supports neither MQTT 5 nor MQTT 3.1.1.`,
    },
    offline: {
      title: 'This device is offline',
      text: (place: string) =>
        `It has no network and cannot reach ${place}. This page reconnects when the network is back.`,
    },
    lost: {
      title: 'The connection to the broker was lost',
      text: (place: string) => `${place} no longer answers. This page keeps trying.`,
    },
    unreached,
    mixed: (place: string) =>
      `This page came over HTTPS. Browsers then allow only brokers at wss://. The address is ${place}.`,
    policy: (place: string) =>
      `The content security policy of this page does not allow ${place}. Add it to connect-src on the web server.`,
    silent: (place: string, time: string) =>
      `${place} did not answer within ${time}. `
      + 'The address may be wrong, or a firewall drops the connection. This page keeps trying.',
    notMqtt: (place: string) =>
      `A server answers at ${place}, but it does not speak MQTT. `
      + 'The port or the path probably belongs to another service.',
    behind: (place: string, status: string) =>
      `The web server answers at ${place}, but the broker behind it does not (HTTP ${status}). `
      + 'Check that the broker is running.',
    path: (place: string, status: string | null) =>
      `A web server answers at ${place}, but no broker${status === null ? '' : ` (HTTP ${status})`}. `
      + 'The path or the port is probably wrong. Many brokers use the path /mqtt.',
    untrusted: (place: string) =>
      `No connection to ${place}. `
      + 'The broker may be off, the address may be wrong, or this browser does not trust its certificate. '
      + 'Open the link below: the browser warns if it is the certificate. This page keeps trying.',
    unreachable: (place: string) =>
      `No connection to ${place}. The broker may be off, or host or port may be wrong. `
      + 'The port must be the one for WebSocket. This page keeps trying.',
  },
};

/** Faults of a broker's address, for component and page. `broker`: what was typed. */
export const address = {
  fault: (broker: string, why: string) => `Broker “${isolated(broker)}”: ${why}`,
  how: 'Write wss://host:port/path, or a path on this page’s own host such as /mqtt.',
  empty: 'the address is missing.',
  notAnAddress: 'this is not an address.',
  noServer: 'a path works only on a page from a web server. Write ws://host:port/path or wss://…',
  notThisHost: 'this is not a path on this host.',
  misspelt: (better: string) => `this is not an address, because “://” must follow the scheme. Did you mean ${better}?`,
  noScheme: (better: string) => `this is not an address, because the scheme is missing. Did you mean ${better}?`,
  scheme: 'a browser can reach a broker only at ws:// or wss://.',
  login: 'leave user and password out of the address. They have fields of their own.',
};

/** `index.html` shows it in every language, since nobody can choose one without scripts. */
export const noScript = 'This page needs JavaScript to show live pictures.';
