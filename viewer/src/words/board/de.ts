// Deutsch: was ein Zuschauer von seinem Board verlangen kann.

import { isolated } from '../../format.ts';
import type * as en from './en.ts';

export const board: typeof en.board = {
  settings: 'Einstellungen der Kamera',
  close: 'Schließen',

  privacy: {
    title: 'Privatsphäre',
    off: 'Kamera und Mikrofon laufen, solange jemand zusieht.',
    stop: 'Kamera und Mikrofon ausschalten',
    lift: 'Wieder erlauben',
    sure: 'Kamera und Mikrofon wieder erlauben? Sie laufen dann für alle, die zusehen.',
    yes: 'Wieder erlauben',
    no: 'Aus lassen',
    changed: 'Jemand hat den Schalter inzwischen betätigt. Es wurde nichts geändert.',
    by: {
      viewer: (name) => `${isolated(name)} hat Kamera und Mikrofon ausgeschaltet.`,
      someone: 'Ein Zuschauer hat Kamera und Mikrofon ausgeschaltet.',
      button: 'Jemand hat den Knopf an der Kamera gedrückt.',
      home_assistant: 'Home Assistant hat Kamera und Mikrofon ausgeschaltet.',
      owner: 'Am Board wurden Kamera und Mikrofon vom Besitzer ausgeschaltet.',
      nobody: 'Kamera und Mikrofon sind ausgeschaltet.',
      fault: 'Das Board konnte nicht lesen, ob Kamera und Mikrofon laufen dürfen. Darum bleiben sie aus.',
    },
    since: (sentence, when) => `${sentence} Seit ${when}.`,
  },

  picture: {
    title: 'Bild',
    reading: 'Die Einstellungen werden gelesen …',
    none: 'Diese Kamera hat keine Einstellungen.',
    automatic: 'Das stellt gerade eine Automatik ein.',
    defaults: 'Standardwerte',
    keep: 'Werte behalten',
    kept: 'Die Kamera behält diese Werte.',
    passing: 'Andere Werte gelten, bis die Kamera ausgeht.',
    do: 'Ausführen',
    off: 'Aus',
    on: 'An',
    milliseconds: (time) => `${time} ms`,
    kelvin: (value) => `${value} K`,
    degrees: (value) => `${value}°`,
    names: {
      brightness: 'Helligkeit', contrast: 'Kontrast', saturation: 'Sättigung', hue: 'Farbton', gamma: 'Gammawert',
      gain: 'Verstärkung', sharpness: 'Schärfe', backlight_compensation: 'Gegenlichtausgleich',
      white_balance_automatic: 'Automatischer Weißabgleich', white_balance_temperature: 'Weißabgleich',
      power_line_frequency: 'Netzfrequenz', auto_exposure: 'Belichtungsart', exposure_time_absolute: 'Belichtungszeit',
      exposure_dynamic_framerate: 'Weniger Bilder im Dunkeln', focus_automatic_continuous: 'Autofokus',
      focus_absolute: 'Fokus', pan_absolute: 'Schwenk', tilt_absolute: 'Neigung', zoom_absolute: 'Vergrößerung',
      horizontal_flip: 'Gespiegelt', vertical_flip: 'Auf dem Kopf', rotate: 'Drehung',
    },
  },

  take: {
    title: 'Einzelbild',
    full: 'Bild in voller Größe speichern',
    taking: 'Die Kamera nimmt ein Bild auf …',
    saved: (size) => `Gespeichert: ${size}`,
  },

  figures: {
    title: 'Zahlen des Boards',
    uptime: 'Läuft seit', viewers: 'Zuschauer', temperature: 'Prozessor', encoder: 'Kodierer', rate: 'Bildrate',
    bitrate: 'Datenrate', leftOut: 'Ausgelassene Bilder', session: 'Diese Sitzung', sent: 'Gesendet',
    network: 'Das Netz trägt', again: 'Erneut gesendet', loss: 'Paketverlust', roundTrip: 'Umlaufzeit',
    of: (viewers, most) => `${viewers.text} von ${most}`,
    packets: (packets) => `${packets.text} ${packets.of({ one: 'Paket', other: 'Pakete' })}`,
  },

  zoom: {
    reset: 'Das ganze Bild zeigen',
    at: (factor) => `${factor}×`,
  },

  talk: {
    button: 'Sprechen',
    how: 'Zum Sprechen gedrückt halten (t). Kurz drücken, um freihändig zu sprechen',
    end: 'Nicht mehr sprechen',
    ask: {
      title: 'Über den Lautsprecher der Kamera sprechen',
      text: 'Als Nächstes fragt der Browser, ob diese Seite das Mikrofon benutzen darf. '
        + 'Die Stimme geht verschlüsselt an die Kamera, und nur solange die Seite das Sprechen anzeigt.',
      yes: 'Weiter', no: 'Abbrechen',
    },
    live: 'Sie sind zu hören',
    waits: 'Die Stimme wird verbunden …',
    other: (name, ago) => `${isolated(name)} spricht, ${ago}.`,
    someone: (ago) => `Jemand anderes spricht, ${ago}.`,
    take: 'Unterbrechen',
    lost: 'Sie sind nicht mehr zu hören.',
    insecure: 'Browser geben das Mikrofon nur Seiten von https:// oder localhost. Öffnen Sie diese Seite dort.',
    denied: 'Der Browser erlaubt dieser Seite das Mikrofon nicht. Das geht in den Einstellungen zu dieser Seite.',
    none: 'Dieser Browser findet kein Mikrofon.',
    failed: 'Das Mikrofon funktioniert nicht. Vielleicht benutzt es ein anderes Programm.',
    noLink: 'Die Verbindung hat keinen Weg für Ihre Stimme. Versuchen Sie es wieder, wenn das Bild da ist.',
    level: 'Lautstärke der Stimme',
  },

  refused: {
    busy: 'Die Kamera ist beschäftigt. Gleich noch einmal versuchen.',
    conflict: 'Inzwischen hat sich etwas geändert. Bitte noch einmal versuchen.',
    forbidden: 'Dieser Browser darf das nicht. Der Besitzer der Kamera kann es erlauben.',
    gone: 'Die Sitzung ist beendet. Bitte noch einmal versuchen.',
    incomplete: 'Das Bild kam nicht vollständig an. Bitte noch einmal versuchen.',
    no_media: 'Die Kamera ist nicht angeschlossen.',
    no_way: 'Die Kamera ist gerade nicht erreichbar.',
    out_of_resources: 'Das Board hat dafür gerade keinen Speicher.',
    privacy: 'Kamera und Mikrofon sind ausgeschaltet.',
    rate_limited: 'Das war zu oft. Gleich noch einmal versuchen.',
    timeout: 'Die Kamera hat nicht rechtzeitig geantwortet.',
    too_large: 'Das Bild ist für diesen Weg zu groß.',
    unsupported: 'Dieses Board kann das nicht.',
    other: 'Die Kamera hat das nicht getan.',
  },
  because: (what, said) => `${what} (${isolated(said)})`,
};
