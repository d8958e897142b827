// Deutsch: die Texte der Seite um die Bilder. Die Regeln stehen in `../en.ts`.

import { isolated } from '../../format.ts';
import type * as en from './en.ts';

export const page: typeof en.page = {
  direction: 'ltr',

  fixed: {
    skip: 'Zu den Bildern', cameras: 'Kameras', find: 'Kamera suchen', broker: 'Broker', user: 'Benutzer',
    password: 'Passwort',
    remember: 'Auf diesem Gerät merken', rememberNote: 'Sonst gilt das Login, bis dieser Tab geschlossen wird.',
    more: 'Mehr',
    camera: 'Kamera', any: 'alle', root: 'Topic-Wurzel', cancel: 'Abbrechen', connect: 'Verbinden',
    paired: 'Gekoppelte Kameras', link: 'Link zum Koppeln',
    self: 'Name dieses Browsers', selfNote: 'Der Besitzer der Kamera sieht ihn in der Liste derer, die zusehen dürfen.',
    next: 'Weiter', pair: 'Koppeln', done: 'Schließen', activity: 'Aktivität', shut: 'Schließen',
  },

  pairing: {
    manage: 'Gekoppelte Kameras',
    title: 'Diesen Browser koppeln',
    about: (device, place) =>
      `Die Kamera ${isolated(device)} bei ${isolated(place)} lädt diesen Browser ein. `
      + 'Was der Browser darf, steht nach dem Koppeln fest.',
    how: 'Hier gehört der Link hinein, den „sudo fanlight pair“ auf dem Gerät anzeigt.',
    none: 'Dieser Browser ist noch mit keiner Kamera gekoppelt.',
    noLink: 'Das ist kein Link zum Koppeln. Er enthält „#p=“ und dahinter viele Zeichen.',
    steps: {
      broker: 'Verbindung zum Broker wird aufgebaut …', device: 'Kamera wird gesucht …',
      answer: 'Warten auf ihre Antwort …',
    },
    again: 'Neu versuchen',
    browser: (browser, system) => `${browser} auf ${system}`,
    thisBrowser: 'Ein Browser',
    faults: {
      link: {
        title: 'Der Link ist beschädigt',
        text: 'Am besten noch einmal kopieren, und zwar vollständig bis zum Zeilenende.',
      },
      insecure: {
        title: 'Diese Seite braucht HTTPS',
        text: 'Browser erzeugen Schlüssel nur auf Seiten von https:// oder localhost. '
          + 'Den Link unter so einer Adresse öffnen.',
      },
      no_store: {
        title: 'Dieser Browser kann hier keinen Schlüssel behalten',
        text: 'Der Seite das Speichern von Daten (IndexedDB) erlauben oder das private Fenster verlassen. '
          + 'Dann neu versuchen.',
      },
      broker: {
        title: 'Der Broker ist nicht erreichbar', text: 'Er hat 10 Sekunden lang nicht geantwortet. Neu versuchen.',
      },
      silent: {
        title: 'Die Kamera ist nicht da',
        text: 'Sie meldet sich nicht bei diesem Broker. '
          + 'Vielleicht ist sie aus, oder der Broker hält Nachrichten zurück.',
      },
      wrong_board: {
        title: 'Das ist nicht die Kamera aus dem Link',
        text: 'Ein Gerät mit demselben Namen hat einen anderen Schlüssel. Dieser Browser hat ihm nichts verraten. '
          + 'Der Besitzer kann einen neuen Link erzeugen.',
      },
      no_answer: {
        title: 'Die Kamera antwortet nicht',
        text: 'Ein Link gilt zehn Minuten und für einen Browser. Vielleicht ist er zu alt oder schon benutzt, oder der '
          + 'Besitzer hat das Koppeln beendet. Dann hilft ein neuer Link.',
      },
      stopped: { title: 'Das Koppeln wurde abgebrochen', text: 'Es hat sich nichts geändert.' },
    },
    done: (device, rights) => `Gekoppelt mit ${isolated(device)}. Dieser Browser darf: ${rights}.`,
    rights: {
      view: 'das Bild sehen', listen: 'den Ton hören', talk: 'sprechen', control: 'die Kamera steuern',
      snapshot: 'Bilder aufnehmen', record: 'Videos aufnehmen', events: 'Ereignisse sehen',
    },
    nothing: 'noch nichts',
    since: (date) => `Gekoppelt am ${date}`,
    until: (date) => `bis ${date}`,
    self: (name) => `als „${isolated(name)}“`,
    forget: 'Vergessen',
    forgetSure: 'Diese Kamera vergessen? Danach darf dieser Browser erst mit einem neuen Link wieder zusehen.',
    keep: 'Behalten',
    forgetThis: (name) => `${isolated(name)} vergessen`,
    notKept: 'Der Browser konnte sie nicht löschen. Noch einmal versuchen.',
  },

  activity: {
    title: 'Aktivität',
    about: 'Was geschah, seit diese Seite geöffnet wurde. Alles steht im Journal der Kamera selbst.',
    unread: (news) => `Aktivität: ${news.text} neu`,
    someone: 'Jemand',
    start: (who) => `${who} sieht jetzt zu`,
    end: (who, time) => `${who} sieht nicht mehr zu, nach ${time}`,
    refused: {
      busy: (who) => `${who} wurde abgewiesen: Alle Plätze sind belegt`,
      forbidden: (who) => `${who} wurde abgewiesen: Das ist nicht erlaubt`,
      rate_limited: (who) => `${who} wurde abgewiesen: zu viele Versuche`,
      other: (who) => `${who} wurde abgewiesen`,
    },
    paired: (who) => `${who} wurde gekoppelt`,
    notPaired: 'Eine Kopplung endete ohne Zuschauer',
    wrongSecret: 'Eine Kopplung wurde abgebrochen: Jemand hatte einen falschen Link',
    owner: 'Der Eigentümer',
    button: 'Der Schalter an der Kamera',
    rang: 'Es hat geklingelt',
    answer: 'Annehmen',
    stopped: (who) => `${who} hat Kamera und Mikrofon für alle ausgeschaltet`,
    resumed: (who) => `${who} hat Kamera und Mikrofon wieder erlaubt`,
    snapshot: (who) => `${who} hat ein Bild aufgenommen`,
    list: {
      add: (who) => `${who} darf von jetzt an zusehen`,
      remove: (who) => `${who} darf nicht mehr zusehen`,
      rename: (who) => `Ein Zuschauer heißt jetzt ${who}`,
      rights: (who) => `Die Rechte von ${who} wurden geändert`,
      deny: (who) => `Der Zugang von ${who} wurde entzogen`,
      configured: (who) => `Die Konfiguration hat geändert, was ${who} darf`,
    },
  },

  broker: {
    none: 'Kein Broker', connecting: 'Verbindet mit Broker', up: 'Broker verbunden', down: 'Broker nicht verbunden',
    refused: 'Login abgelehnt',
  },
  change: 'Verbindung ändern',
  changeFrom: (state) => `${state}: Verbindung ändern`,
  logIn: 'Anmelden',
  changeAddress: 'Adresse ändern',
  connect: 'Verbinden',
  open: (url) => `${url} öffnen`,
  close: 'Meldung schließen',

  hint: {
    wrong: 'Die Adresse des Brokers stimmt nicht',
    noBroker: { title: 'Noch kein Broker', text: 'Es fehlt die Adresse des MQTT-Brokers, bei dem die Kameras sind.' },
    choose: { title: 'Kamera auswählen', text: 'Mehrere gleichzeitig sind möglich.' },
    empty: {
      title: 'Noch keine Kameras', text: 'Eine Kamera erscheint hier, sobald ihr Daemon diesen Broker erreicht.',
    },
    looking: 'Kameras werden gesucht',
  },

  dialog: {
    logIn: 'Anmelden', change: 'Verbindung ändern', connect: 'Mit einem Broker verbinden',
    sentTo: (place) => `Benutzer und Passwort gehen an den Broker ${place} und an niemanden sonst.`,
    meet: 'Kameras und Seite treffen sich bei einem MQTT-Broker. Die Seite erreicht ihn über WebSocket.',
    fromLink: (place) =>
      `Der geöffnete Link nennt den Broker ${isolated(place)}. `
      + 'Ein Passwort nur eingeben, wenn dieser Broker bekannt ist.',
  },

  list: {
    watching: (viewers) => viewers.of({ one: `${viewers.text} sieht zu`, other: `${viewers.text} sehen zu` }),
    hidden: (cameras) =>
      `${cameras.text} weitere ${cameras.of({ one: 'ist', other: 'sind' })} ausgeblendet.`
      + ' Ein Teil des Namens genügt zum Finden.',
    noneFound: 'Keine Kamera heißt so.',
    online: 'Online', starting: 'Kamera startet', stalled: 'Kamera reagiert nicht', absent: 'Keine Kamera',
    privacy: 'Privatsphäre ist an',
    pictureStopped: 'Bild steht', connectionLost: 'Verbindung unterbrochen', liveNoBroker: 'Live, aber ohne Broker',
    unknown: 'Unbekannt',
    wasOnline: 'Unbekannt, war online', wasOffline: 'Unbekannt, war offline', unheard: 'Noch kein Status',
    not_paired: 'Nicht gekoppelt', wrong_board: 'Nicht die gekoppelte Kamera', at: (place) => `Bei ${isolated(place)}`,
    switchedOff: 'Offline: ausgeschaltet', offlineLost: 'Offline: Verbindung verloren',
    offline: (said) => `Offline: ${isolated(said)}`,
  },

  config: {
    unreadable: (why) => `config.json ist nicht lesbar: ${why}`,
    http: (status) => `Der Webserver antwortet mit HTTP ${status}.`,
    noServer: 'Der Webserver antwortet nicht.',
    notAnObject: 'config.json muss genau ein Objekt sein: { "broker": "wss://…" }',
    near: (key, known) => `config.json: Den Schlüssel „${isolated(key)}“ gibt es nicht. Vielleicht „${known}“?`,
    unknown: (key, all) => `config.json: Den Schlüssel „${isolated(key)}“ gibt es nicht. Möglich sind ${all}.`,
    notText: (key) => `config.json: Der Wert von „${key}“ muss ein Text in Anführungszeichen sein.`,
    notFlag: (key) =>
      `config.json: Der Wert von „${key}“ muss true oder false sein, ohne Anführungszeichen. Er gilt als true.`,
    mode: (value) => `config.json: „mode“ ist „${isolated(value)}“. Möglich sind „offer“ und „request“.`,
    empty: 'Die Datei ist leer.',
    html: 'Der Webserver hat stattdessen eine Webseite (HTML) geschickt.',
    line: (line, why) => `Zeile ${line}: ${why}`,
    comma: 'Das Komma vor der schließenden Klammer muss weg.',
    comment: 'JSON kennt keine Kommentare.',
    quotes: (mark) => `Texte stehen in geraden doppelten Anführungszeichen ("), nicht in ${mark}.`,
    bareKey: (key) => `Der Schlüssel ${key} gehört in doppelte Anführungszeichen.`,
    missingComma: (before) => `Vor ${before} fehlt ein Komma.`,
    notJson: (said) => `Das ist kein JSON (${said}).`,
    otherBroker: (named) =>
      `Die Adresse dieser Seite nennt einen anderen Broker (${isolated(named)}). Es gilt aber der aus config.json.`,
  },
};
