// English: the texts of the page around the pictures. The rules are in `../en.ts`.

import { isolated } from '../../format.ts';
import type { Count } from '../../format.ts';

/** The texts of the page around the pictures. */
export const page = {
  /** Writing direction of the language. */
  direction: 'ltr' as 'ltr' | 'rtl',

  /** The fixed texts of `index.html`, by their `data-words`. */
  fixed: {
    skip: 'Skip to the pictures', cameras: 'Cameras', find: 'Find a camera', broker: 'Broker', user: 'User',
    password: 'Password',
    remember: 'Remember on this device', rememberNote: 'Otherwise the login is kept until this tab is closed.',
    more: 'More',
    camera: 'Camera', any: 'any', root: 'Topic root', cancel: 'Cancel', connect: 'Connect',
    paired: 'Paired cameras', link: 'Pairing link',
    self: 'Name of this browser', selfNote: 'The owner of the camera sees it in the list of those who may watch.',
    next: 'Next', pair: 'Pair', done: 'Close', activity: 'Activity', shut: 'Close',
  },

  pairing: {
    manage: 'Paired cameras',
    title: 'Pair this browser',
    about: (device: string, place: string) =>
      `The camera ${isolated(device)} at ${isolated(place)} invites this browser. `
      + 'What the browser may do is shown after pairing.',
    how: 'Paste the link that “sudo fanlight pair” shows on the board.',
    none: 'This browser is not paired with any camera yet.',
    noLink: 'This is not a pairing link. It contains “#p=” and many letters after it.',
    steps: {
      broker: 'Connecting to the broker …', device: 'Looking for the camera …', answer: 'Waiting for its answer …',
    },
    again: 'Try again',
    browser: (browser: string, system: string) => `${browser} on ${system}`,
    thisBrowser: 'Browser',
    faults: {
      link: {
        title: 'The link is damaged', text: 'Copy it again, in one piece, up to the last letter of its line.',
      },
      insecure: {
        title: 'This page needs HTTPS',
        text: 'Browsers make keys only on pages from https:// or localhost. Open the link at such an address.',
      },
      no_store: {
        title: 'This browser cannot keep a key here',
        text: 'Allow this page to store data (IndexedDB), or leave the private window. Then try again.',
      },
      broker: { title: 'The broker cannot be reached', text: 'It did not answer within 10 seconds. Try again.' },
      silent: {
        title: 'The camera is not there',
        text: 'At this broker, it does not announce itself. It may be off, or the broker keeps its messages back.',
      },
      wrong_board: {
        title: 'This is not the camera of the link',
        text: 'A device of the same name has another key. This browser told it nothing. Ask the owner for a new link.',
      },
      no_answer: {
        title: 'The camera does not answer',
        text: 'A link is valid for ten minutes and for one browser. It may be too old or used, or the owner ended the '
          + 'pairing. Ask for a new link.',
      },
      stopped: { title: 'Pairing was stopped', text: 'Nothing was changed.' },
    },
    done: (device: string, rights: string) => `Paired with ${isolated(device)}. This browser may ${rights}.`,
    rights: {
      view: 'see the picture', listen: 'hear the sound', talk: 'talk', control: 'control the camera',
      snapshot: 'take pictures', record: 'record', events: 'see events',
    },
    nothing: 'do nothing yet',
    since: (date: string) => `Paired on ${date}`,
    until: (date: string) => `until ${date}`,
    self: (name: string) => `as “${isolated(name)}”`,
    forget: 'Forget',
    forgetSure: 'Forget this camera? Then only a new link of its owner lets this browser watch.',
    keep: 'Keep',
    forgetThis: (name: string) => `Forget ${isolated(name)}`,
    notKept: 'The browser could not delete it. Try again.',
  },

  /** What happens at the cameras, for those who may know. */
  activity: {
    title: 'Activity',
    about: 'What happened since this page was opened. The camera’s own journal has everything.',
    unread: (news: Count) => `Activity: ${news.text} new`,
    someone: 'A viewer',
    start: (who: string) => `${who} started watching`,
    end: (who: string, time: string) => `${who} stopped watching after ${time}`,
    refused: {
      busy: (who: string) => `${who} was turned away: all places are taken`,
      forbidden: (who: string) => `${who} was turned away: it may not do this`,
      rate_limited: (who: string) => `${who} was turned away: it tried too often`,
      other: (who: string) => `${who} was turned away`,
    },
    paired: (who: string) => `${who} was paired`,
    notPaired: 'A pairing ended without a viewer',
    wrongSecret: 'A pairing was stopped: somebody used a wrong link',
    owner: 'The owner',
    button: 'The button at the camera',
    rang: 'Somebody rang the doorbell',
    answer: 'Answer',
    stopped: (who: string) => `${who} switched camera and microphone off for everybody`,
    resumed: (who: string) => `${who} allowed camera and microphone again`,
    snapshot: (who: string) => `${who} took a picture`,
    list: {
      add: (who: string) => `${who} may watch from now on`,
      remove: (who: string) => `${who} may no longer watch`,
      rename: (who: string) => `A viewer is now called ${who}`,
      rights: (who: string) => `The rights of ${who} were changed`,
      deny: (who: string) => `The access of ${who} was withdrawn`,
      configured: (who: string) => `The configuration changed what ${who} may do`,
    },
  },

  broker: {
    none: 'No broker', connecting: 'Connecting to the broker', up: 'Broker connected', down: 'Broker not connected',
    refused: 'Login refused',
  },
  change: 'Change the connection',
  changeFrom: (state: string) => `${state}: change the connection`,
  logIn: 'Log in',
  changeAddress: 'Change address',
  connect: 'Connect',
  open: (url: string) => `Open ${url}`,
  close: 'Close this message',

  hint: {
    wrong: 'The broker’s address is wrong',
    noBroker: { title: 'No broker yet', text: 'Enter the MQTT broker that the cameras use.' },
    choose: { title: 'Choose a camera', text: 'You can watch several at once.' },
    empty: { title: 'No cameras yet', text: 'A camera appears here as soon as its daemon reaches this broker.' },
    looking: 'Looking for cameras',
  },

  dialog: {
    logIn: 'Log in', change: 'Change the connection', connect: 'Connect to a broker',
    sentTo: (place: string) => `User and password go to the broker at ${place} and to nobody else.`,
    meet: 'The cameras and this page meet at an MQTT broker. The page reaches it by WebSocket.',
    fromLink: (place: string) =>
      `The link that you opened names the broker ${isolated(place)}. Enter a password only if you know that broker.`,
  },

  list: {
    watching: (viewers: Count) => `${viewers.text} watching`,
    hidden: (cameras: Count) =>
      `${cameras.text} more ${cameras.of({ one: 'is', other: 'are' })} not shown. Type a part of a name to find one.`,
    noneFound: 'No camera has this name.',
    online: 'Online', starting: 'Camera starting', stalled: 'Camera not responding', absent: 'No camera',
    privacy: 'Privacy is on',
    pictureStopped: 'Picture stopped', connectionLost: 'Connection lost', liveNoBroker: 'Live, but no broker',
    unknown: 'Unknown',
    wasOnline: 'Unknown, was online', wasOffline: 'Unknown, was offline', unheard: 'No status yet',
    not_paired: 'Not paired', wrong_board: 'Not the paired camera', at: (place: string) => `At ${isolated(place)}`,
    switchedOff: 'Offline: switched off', offlineLost: 'Offline: connection lost',
    offline: (said: string) => `Offline: ${isolated(said)}`,
  },

  /** Faults of `config.json`, or of the page's address. */
  config: {
    unreadable: (why: string) => `config.json cannot be read: ${why}`,
    http: (status: string) => `the web server answers HTTP ${status}.`,
    noServer: 'the web server does not answer.',
    notAnObject: 'config.json must be one object: { "broker": "wss://…" }',
    near: (key: string, known: string) =>
      `config.json: the key “${isolated(key)}” is unknown; did you mean “${known}”?`,
    unknown: (key: string, all: string) => `config.json: the key “${isolated(key)}” is unknown. Possible are ${all}.`,
    notText: (key: string) => `config.json: the value of “${key}” must be a text in quotes.`,
    notFlag: (key: string) =>
      `config.json: the value of “${key}” must be true or false, without quotes. It counts as true.`,
    mode: (value: string) => `config.json: “mode” is “${isolated(value)}”; possible are “offer” and “request”.`,
    empty: 'the file is empty.',
    html: 'the web server sent a web page (HTML) instead.',
    line: (line: string, why: string) => `line ${line}: ${why}`,
    comma: 'remove the comma before the closing bracket.',
    comment: 'JSON has no comments.',
    quotes: (mark: string) => `put texts in straight double quotes ("), not in ${mark}.`,
    bareKey: (key: string) => `put the key ${key} in double quotes.`,
    missingComma: (before: string) => `a comma is missing before ${before}.`,
    notJson: (said: string) => `this is not JSON (${said}).`,
    otherBroker: (named: string) =>
      `The address of this page names another broker (${isolated(named)}). `
      + 'It is ignored: config.json names the broker of this page.',
  },
};
