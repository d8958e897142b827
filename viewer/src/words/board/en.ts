// English: the texts about what a viewer may ask of its board: privacy, settings of the camera, zoom and talk. The
// rules are in `../en.ts`.

import { isolated } from '../../format.ts';
import type { Count } from '../../format.ts';

export const board = {
  settings: 'Camera settings',
  close: 'Close',

  privacy: {
    title: 'Privacy',
    off: 'Camera and microphone work while somebody watches.',
    stop: 'Stop camera and microphone',
    lift: 'Allow them again',
    sure: 'Allow camera and microphone again? They then work for everybody who watches.',
    yes: 'Allow again',
    no: 'Leave them stopped',
    changed: 'Somebody changed the switch in the meantime. Nothing was done.',
    /** Who stopped camera and microphone; `viewer` has a name. */
    by: {
      viewer: (name: string) => `${isolated(name)} stopped camera and microphone.`,
      someone: 'A viewer stopped camera and microphone.',
      button: 'Somebody pressed the button at the camera.',
      home_assistant: 'Home Assistant stopped camera and microphone.',
      owner: 'The owner stopped camera and microphone at the board.',
      nobody: 'Camera and microphone are stopped.',
      fault: 'The board could not read whether they may work, so it leaves camera and microphone stopped.',
    },
    since: (sentence: string, when: string) => `${sentence} Since ${when}.`,
  },

  picture: {
    title: 'Picture',
    reading: 'Reading the settings …',
    none: 'This camera has no settings.',
    automatic: 'An automatic mode sets this now.',
    defaults: 'Default values',
    keep: 'Keep these values',
    kept: 'The camera keeps these values.',
    passing: 'Values that are not kept last until the camera switches off.',
    do: 'Do it',
    off: 'Off',
    on: 'On',
    milliseconds: (time: string) => `${time} ms`,
    kelvin: (value: string) => `${value} K`,
    degrees: (value: string) => `${value}°`,
    /** The controls that most cameras have, by the names of the kernel. */
    names: {
      brightness: 'Brightness', contrast: 'Contrast', saturation: 'Saturation', hue: 'Hue', gamma: 'Gamma',
      gain: 'Gain', sharpness: 'Sharpness', backlight_compensation: 'Backlight compensation',
      white_balance_automatic: 'Automatic white balance', white_balance_temperature: 'White balance',
      power_line_frequency: 'Mains frequency', auto_exposure: 'Exposure mode', exposure_time_absolute: 'Exposure time',
      exposure_dynamic_framerate: 'Slower pictures in the dark', focus_automatic_continuous: 'Automatic focus',
      focus_absolute: 'Focus', pan_absolute: 'Pan', tilt_absolute: 'Tilt', zoom_absolute: 'Zoom',
      horizontal_flip: 'Mirrored', vertical_flip: 'Upside down', rotate: 'Rotation',
    },
  },

  take: {
    title: 'Snapshot',
    full: 'Save a picture at full size',
    taking: 'The camera takes a picture …',
    saved: (size: string) => `Saved: ${size}`,
  },

  figures: {
    title: 'Figures of the board',
    uptime: 'Runs for', viewers: 'Viewers', temperature: 'Processor', encoder: 'Encoder', rate: 'Frame rate',
    bitrate: 'Bitrate', leftOut: 'Pictures left out', session: 'This session', sent: 'Sent', network: 'Network carries',
    again: 'Sent again', loss: 'Packet loss', roundTrip: 'Round trip',
    of: (viewers: Count, most: string) => `${viewers.text} of ${most}`,
    packets: (packets: Count) => `${packets.text} ${packets.of({ one: 'packet', other: 'packets' })}`,
  },

  /** Zoom of the picture. */
  zoom: {
    reset: 'Show the whole picture',
    at: (factor: string) => `${factor}×`,
  },

  talk: {
    button: 'Talk',
    how: 'Hold to talk (t). Press briefly to talk hands-free',
    end: 'Stop talking',
    ask: {
      title: 'Talk by the camera’s loudspeaker',
      text: 'The browser asks next whether this page may use the microphone. '
        + 'Your voice goes encrypted to the camera, and only while this page shows that you talk.',
      yes: 'Continue', no: 'Cancel',
    },
    live: 'You are heard',
    waits: 'Connecting your voice …',
    other: (name: string, ago: string) => `${isolated(name)} talks, ${ago}.`,
    someone: (ago: string) => `Another viewer talks, ${ago}.`,
    take: 'Interrupt',
    lost: 'Your turn to talk has ended.',
    insecure: 'Browsers give the microphone only to pages from https:// or localhost. Open this page there.',
    denied: 'The browser does not allow this page the microphone. Allow it in the settings of this page.',
    none: 'This browser finds no microphone.',
    failed: 'The microphone does not work. Another program may use it.',
    noLink: 'The connection has no way for your voice. Try again when the picture is there.',
    level: 'Loudness of your voice',
  },

  /** Why a command was not done, by the names of docs/reference/board-commands.md. */
  refused: {
    busy: 'The camera is busy. Try again in a moment.',
    conflict: 'Something changed in the meantime. Try again.',
    forbidden: 'This browser may not do this. The owner of the camera can allow it.',
    gone: 'The session ended. Try again.',
    incomplete: 'The picture did not arrive whole. Try again.',
    no_media: 'The camera is not connected.',
    no_way: 'The camera cannot be reached now.',
    out_of_resources: 'The board has no memory for this now.',
    privacy: 'Camera and microphone are stopped.',
    rate_limited: 'That was too often. Try again in a moment.',
    timeout: 'The camera did not answer in time.',
    too_large: 'The picture is too large for this way.',
    unsupported: 'This board cannot do this.',
    other: 'The camera did not do this.',
  },
  /** `said`: the board's sentence, in English. */
  because: (what: string, said: string) => `${what} (${isolated(said)})`,
};
