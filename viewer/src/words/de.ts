// Deutsch. Was fehlt oder zu viel ist, meldet der Typ; die Regeln stehen in `en.ts`.

import { isolated } from '../format.ts';
import type * as en from './en.ts';

const privacy = { title: 'Privatsphäre ist an', text: 'Die Kamera wurde absichtlich abgedeckt oder ausgeschaltet.' };
const unreached = 'Der Broker ist nicht erreichbar';

export const component: typeof en.component = {
  camera: 'Kamera',

  steps: {
    broker: { short: 'Broker', text: 'Verbindung zum Broker wird aufgebaut' },
    device: { short: 'Gerät', text: 'Kamera wird gesucht' },
    offer: { short: 'Anfrage', text: 'Kamera wird angefragt' },
    route: { short: 'Weg', text: 'Netzwerkweg wird gesucht' },
    secure: { short: 'Schlüssel', text: 'Verschlüsselung wird aufgebaut' },
    picture: { short: 'Bild', text: 'Warten auf das erste Bild' },
  },

  errors: {
    bad_request: {
      title: 'Die Kamera hat die Anfrage nicht verstanden',
      text: 'Seite und Kamera passen vielleicht nicht zusammen. Am besten beide aktualisieren.',
    },
    bad_sdp: {
      title: 'Kamera und Browser verstehen sich nicht',
      text: 'Die Sitzungsbeschreibung (SDP) ist für einen von beiden nicht lesbar. Browser oder Kamera aktualisieren.',
    },
    unauthorized: {
      title: 'Zuschauen nicht erlaubt',
      text: 'Die Kamera lässt diesen Zuschauer nicht zu. Zugang gibt es beim Besitzer der Kamera.',
    },
    auth_required: {
      title: 'Die Kamera nimmt das Zugangstoken nicht an',
      text: 'Sie meldet, dass es abgelaufen ist, und sagt das auch von einem neuen. '
        + 'Vielleicht gehen die Uhren von Kamera und Anmeldedienst verschieden.',
    },
    stale_nonce: { title: 'Neue Anfrage', text: 'Das Zugangstoken kam zu spät.' },
    clock_unsynced: {
      title: 'Die Uhr der Kamera ist noch nicht gestellt',
      text: 'Ohne Uhrzeit kann die Kamera keinen Zugang prüfen. Das dauert meist weniger als eine Minute.',
    },
    forbidden: {
      title: 'Nicht erlaubt', text: 'Der Besitzer der Kamera hat das nicht erlaubt. Mehr Rechte gibt es bei ihm.',
    },
    no_session: { title: 'Neuer Versuch', text: 'Die Kamera kennt diese Sitzung nicht mehr.' },
    timeout: { title: 'Keine Antwort', text: 'Die Kamera hat nicht rechtzeitig geantwortet.' },
    ice_timeout: {
      title: 'Kein Weg zur Kamera',
      text: 'Zwischen Kamera und Browser fand sich kein Netzwerkweg. Vielleicht blockiert ihn eine Firewall.',
    },
    conflict: { title: 'Neuer Versuch', text: 'Nachrichten gingen verloren oder kamen in falscher Reihenfolge an.' },
    gone: { title: 'Neuer Versuch', text: 'Diese Sitzung ist bereits beendet.' },
    too_large: {
      title: 'Die Anfrage ist zu groß', text: 'Das Angebot des Browsers ist größer, als die Kamera erlaubt.',
    },
    no_common_codec: {
      title: 'Dieser Browser kann das nicht abspielen',
      text: 'Die Kamera sendet H.264. Das spielt dieser Browser nicht ab, ein anderer schon.',
    },
    version: {
      title: 'Die Versionen passen nicht zusammen',
      text: 'Die Kamera verwendet eine andere Version des Protokolls. Kamera oder Seite aktualisieren.',
    },
    rate_limited: { title: 'Kurze Pause', text: 'Es gab zu viele Versuche in kurzer Zeit.' },
    privacy,
    no_media: { title: 'Weder Kamera noch Mikrofon', text: 'Das Gerät ist online, hat aber nichts zu senden.' },
    replaced: { title: 'Anderswo geöffnet', text: 'Ein anderes Fenster hat dieses Bild übernommen.' },
    shutdown: { title: 'Die Kamera schaltet sich aus', text: 'Das Bild kommt zurück, sobald sie wieder da ist.' },
    expired: { title: 'Die Sitzung ist abgelaufen', text: 'Eine neue wird angefragt.' },
    ice_failed: {
      title: 'Der Weg ist unterbrochen', text: 'Der Netzwerkweg ging verloren, und ein anderer fand sich nicht.',
    },
    dtls_failed: { title: 'Keine verschlüsselte Verbindung', text: 'Die Verschlüsselung (DTLS) kam nicht zustande.' },
    consent_lost: {
      title: 'Die Verbindung wurde geschlossen', text: 'Die Kamera hat von diesem Browser nichts mehr empfangen.',
    },
    flood: { title: 'Kurze Pause', text: 'Diese Seite hat mehr Nachrichten gesendet, als die Kamera annimmt.' },
    internal: { title: 'Die Kamera hat eine Störung', text: 'In der Kamera ist etwas schiefgegangen.' },
    busy: { title: 'Alle Plätze sind belegt', text: 'Es sehen schon so viele zu, wie die Kamera erlaubt.' },
    out_of_resources: {
      title: 'Die Kamera ist ausgelastet', text: 'Für einen weiteren Zuschauer fehlt ihr Speicher oder Rechenleistung.',
    },
    hash_mismatch: {
      title: 'Die Antwort gehört zu einer anderen Anfrage',
      text: 'Vielleicht wurde sie unterwegs verändert. Deshalb wurde sie abgelehnt.',
    },
    no_picture: {
      title: 'Es kommt kein Bild', text: 'Die Verbindung steht, bringt aber kein Bild. Sie wird neu aufgebaut.',
    },
    no_webrtc: {
      title: 'Dieser Browser kann kein Live-Bild zeigen',
      text: 'Er unterstützt WebRTC nicht, oder es ist abgeschaltet.',
    },
    publish_refused: {
      title: 'Der Broker erlaubt das nicht',

      text: 'Mit diesem Login darf diese Kamera nicht angefragt werden. Das bestimmt die Zugriffsliste des Brokers.',
    },
    bad_setting: { title: 'Eine Einstellung stimmt nicht', text: '' },
    device_left: { title: 'Die Kamera hat die Sitzung beendet', text: 'Die Verbindung wird neu aufgebaut.' },
    unanswered: {
      title: 'Die Kamera antwortet nicht',
      text: 'Sie ist online. Vielleicht lässt sie diesen Browser nicht mehr zu. '
        + 'Der Besitzer kann das nachsehen und neu koppeln.',
    },
    withdrawn: { title: 'Neue Anfrage', text: 'Der Besitzer der Kamera hat die Rechte dieses Browsers geändert.' },
    not_paired: {
      title: 'Dieser Browser ist nicht mit der Kamera gekoppelt',
      text: 'Die Kamera zeigt ihr Bild nur gekoppelten Browsern. '
        + 'Ihr Besitzer erzeugt mit „sudo fanlight pair“ einen Link. '
        + 'War dieser Browser schon gekoppelt, hat er seinen Schlüssel gelöscht. Dann hilft neues Koppeln.',
    },
    wrong_board: {
      title: 'Das ist nicht die gekoppelte Kamera',
      text: 'Ein anderes Gerät verwendet ihren Namen, oder ihr Schlüssel wurde ersetzt. '
        + 'Diese Seite verbindet sich nicht. '
        + 'Der Besitzer weiß mehr. Ist der Schlüssel aus gutem Grund neu, hilft hier Vergessen und neues Koppeln.',
    },
    keys_lost: {
      title: 'Die Schlüssel dieses Browsers sind weg',
      text: 'Sie wurden gelöscht, also erkennt die Kamera diesen Browser nicht. '
        + 'Ein neuer Link des Besitzers koppelt ihn wieder.',
    },
    insecure_page: {
      title: 'Diese Seite braucht HTTPS',
      text: 'Die Kamera zeigt ihr Bild nur Browsern, die einen Schlüssel haben, und Schlüssel gibt es nur auf Seiten '
        + 'von https:// oder localhost. Die Seite dort öffnen.',
    },
    no_store: {
      title: 'Dieser Browser behält hier keine Schlüssel',
      text: 'Die Kamera zeigt ihr Bild nur Browsern, die einen Schlüssel haben. '
        + 'Der Seite das Speichern von Daten (IndexedDB) erlauben oder das private Fenster verlassen.',
    },
    unknown_board: {
      title: 'Der Schlüssel dieser Kamera ist nicht bekannt',
      text: 'Diese Seite hat Zugangstoken, kennt aber den Schlüssel der Kamera nicht. '
        + 'Wer die Seite betreibt, muss seinen Fingerabdruck eintragen.',
    },
    other_board: {
      title: 'Das ist nicht die erwartete Kamera',
      text: 'Ein anderes Gerät verwendet ihren Namen, oder ihr Schlüssel wurde ersetzt. '
        + 'Diese Seite verbindet sich nicht. Wer sie betreibt, kann ihr einen neuen Schlüssel geben.',
    },
    token_failed: {
      title: 'Kein Zugangstoken',
      text: 'Diese Seite hat vom Anmeldedienst kein Zugangstoken bekommen. Sie versucht es weiter.',
    },
    token_refused: {
      title: 'Der Anmeldedienst gibt keinen Zugang',
      text: 'Hilft eine neue Anmeldung nicht, darf dieses Konto die Kamera nicht sehen. '
        + 'Auskunft gibt, wer den Anmeldedienst betreibt.',
    },
    token_unusable: {
      title: 'Das Zugangstoken passt nicht',
      text: 'Die Kamera würde es ablehnen. Wer den Anmeldedienst betreibt, muss das beheben.',
    },
    token_ended: { title: 'Neue Anfrage', text: 'Das Zugangstoken ist abgelaufen. Diese Seite holt ein neues.' },
    token_unanswered: {
      title: 'Die Kamera antwortet nicht',
      text: 'Sie ist online. Vielleicht kennt sie den Anmeldedienst nicht, oder das Zugangstoken wurde zurückgezogen.',
    },
  },
  browserError: { title: 'Dieser Browser hat eine Störung', text: 'Er konnte die Verbindung nicht aufbauen.' },
  unknownError: { title: 'Etwas ist schiefgegangen', text: 'Die Kamera nennt einen unbekannten Grund.' },

  doing: {
    prepare: (said) => `Die Verbindung ließ sich nicht vorbereiten: ${said}`,
    restart: (said) => `Der ICE-Neustart ist fehlgeschlagen: ${said}`,
    take_answer: (said) => `Der Browser lehnt die Antwort der Kamera ab: ${said}`,
    take_offer: (said) => `Der Browser lehnt das Angebot der Kamera ab: ${said}`,
    take_candidates: (said) => `Der Browser lehnt die Kandidaten der Kamera ab: ${said}`,
  },

  picture: {
    starting: { title: 'Die Kamera startet', text: 'Das Bild erscheint gleich.' },
    stalled: {
      title: 'Die Kamera reagiert nicht',
      text: 'Sie ist angeschlossen, liefert aber keine neuen Bilder. Das Gerät versucht, sie neu zu starten.',
    },
    absent: {
      title: 'Keine Kamera angeschlossen',
      text: 'Das Gerät ist online. Das Bild erscheint, sobald eine Kamera angesteckt wird.',
    },
    privacy,
    refused: {
      title: 'Dieser Browser kann das Bild nicht abspielen',
      text: 'Die Kamera sendet H.264. Das spielt dieser Browser nicht ab, ein anderer schon.',
    },
  },

  sound: {
    starting: 'Das Mikrofon startet',
    stalled: 'Das Mikrofon reagiert nicht',
    absent: 'Kein Mikrofon angeschlossen',
    privacy: 'Das Mikrofon wurde absichtlich ausgeschaltet',
    refused: 'Dieser Browser kann den Ton nicht abspielen',
  },
  soundBecause: (what, said) => `${what}: ${isolated(said)}`,
  noSound: 'Diese Kamera hat keinen Ton',

  panel: {
    notWatching: 'Das Bild ist aus',
    paused: 'Pausiert',
    watch: 'Ansehen',
    tryAgain: 'Noch einmal versuchen',
    tryNow: 'Jetzt versuchen',
    retryIn: (when) => `Nächster Versuch ${when}`,
    retrySoon: 'Nächster Versuch gleich',
    logIn: 'Anmelden',
    changeAddress: 'Adresse ändern',
    open: (url) => `${url} öffnen`,
    unknown: {
      title: 'Diese Kamera ist hier nicht bekannt',
      text: (name) =>
        `Auf diesem Broker antwortet keine Kamera „${isolated(name)}“. Das Bild startet, sobald sie sich meldet.`,
    },
    offline: {
      title: 'Die Kamera ist offline',
      switchedOff: 'Sie wurde ausgeschaltet. Das Bild startet, sobald sie wieder da ist.',
      lost: 'Sie hat keinen Strom oder kein Netz mehr. Das Bild startet, sobald sie wieder da ist.',
    },
    rerouting: {
      title: 'Verbindung unterbrochen',
      text: 'Ein neuer Weg wird gesucht. Das Bild läuft weiter, sobald er gefunden ist.',
    },
  },

  badge: {
    paused: 'Pausiert', offline: 'Offline', stopped: 'Beendet', waiting: 'Wartet', connecting: 'Verbindet',
    reconnecting: 'Verbindet neu',
    restarts: 'Startet bald neu', live: 'Live', notLive: 'Nicht live', soundOnly: 'Nur Ton', noPicture: 'Kein Bild',
    stalled: 'Kein neues Bild',
  },

  still: {
    stopped: 'Das Bild steht',
    offline: 'Die Kamera ist offline',
    last: (ago) => `Letztes Bild ${ago}`,
  },

  spoken: {
    frame: (name) => `Kamera ${isolated(name)}`,
    live: (name) => `Live-Bild von ${isolated(name)}`,
    still: (name) => `Stehendes Bild von ${isolated(name)}`,
    connecting: (name) => `Verbindung zu ${isolated(name)} wird aufgebaut`,
  },

  buttons: {
    all: 'Bedienung',
    watch: 'Ansehen',
    stop: 'Beenden',
    sound: 'Ton',
    clickForSound: 'Der Browser spielt den Ton erst nach einem Klick',
    snapshot: 'Bild speichern',
    stats: 'Statistik',
    float: 'Bild im Bild',
    full: 'Vollbild',
  },

  notes: {
    saved: 'Bild gespeichert',
    nothingToSave: 'Kein Bild zum Speichern da',
    noFull: 'Der Browser erlaubt hier kein Vollbild',
    noFloat: 'Der Browser erlaubt hier kein Bild im Bild',
  },

  stats: {
    first: 'Erstes Bild', delay: 'Verzögerung', rate: 'Bildrate', bitrate: 'Bitrate', loss: 'Paketverlust',
    roundTrip: 'Umlaufzeit',
    freezes: 'Aussetzer', route: 'Weg', ownRoute: 'Weg der Kamera', direct: 'Direkt', relay: 'Relay',
    clock: 'nach der Bilduhr', capture: 'nach der Aufnahmezeit', estimate: 'geschätzt',
    within: (share, time, by) => `${share} unter ${time}, ${by}`,
    fps: (frames) => `${frames} Bilder/s`,
    mbit: (rate) => `${rate} Mbit/s`,
    kbit: (rate) => `${rate} kbit/s`,
    by: (route, server) => `${route} über ${server}`,
  },

  settings: {
    missing: (attribute) => `Das Attribut „${attribute}“ fehlt.`,
    badId: (attribute, value) =>
      `Das Attribut „${attribute}“ ist „${isolated(value)}“. `
      + 'Erlaubt sind nur Buchstaben ohne Umlaute, Ziffern, „-“ und „_“, höchstens 64.',
    badRoot: (value) => `Das Attribut „root“ ist „${isolated(value)}“, und das ist kein Topic.`,
    badThumb: (value) =>
      `Das Attribut „thumb“ ist „${isolated(value)}“, und das ist kein Fingerabdruck eines Schlüssels. `
      + 'Ein solcher hat 43 Zeichen.',
  },

  trouble: {
    login: {
      title: 'Der Broker hat das Login abgelehnt',
      wrong: (place) => `${place} akzeptiert diesen Benutzer mit diesem Passwort nicht.`,
      needed: (place) => `${place} verlangt Benutzer und Passwort.`,
    },
    version: { title: 'Der Broker ist zu alt', text: (place) => `${place} unterstützt weder MQTT 5 noch MQTT 3.1.1.` },
    offline: {
      title: 'Dieses Gerät ist offline',
      text: (place) => `Ohne Netz ist ${place} nicht erreichbar. Sobald es wieder da ist, verbindet sich die Seite.`,
    },
    lost: {
      title: 'Die Verbindung zum Broker ist abgebrochen',
      text: (place) => `${place} antwortet nicht mehr. Die Seite versucht es weiter.`,
    },
    unreached,
    mixed: (place) =>
      `Diese Seite kam über HTTPS. Browser erlauben dann nur Broker mit wss://. Die Adresse ist ${place}.`,
    policy: (place) =>
      `Die Content-Security-Policy dieser Seite erlaubt ${place} nicht. `
      + 'Auf dem Webserver gehört die Adresse zu connect-src.',
    silent: (place, time) =>
      `${place} hat innerhalb von ${time} nicht geantwortet. `
      + 'Vielleicht ist die Adresse falsch, oder eine Firewall blockiert die Verbindung. '
      + 'Die Seite versucht es weiter.',
    notMqtt: (place) =>
      `Unter ${place} antwortet ein Server, der kein MQTT spricht. `
      + 'Port oder Pfad gehören wohl zu einem anderen Dienst.',
    behind: (place, status) =>
      `Der Webserver antwortet unter ${place}, der Broker dahinter aber nicht (HTTP ${status}). Läuft der Broker?`,
    path: (place, status) =>
      `Unter ${place} antwortet ein Webserver, aber kein Broker${status === null ? '' : ` (HTTP ${status})`}. `
      + 'Wahrscheinlich stimmt der Pfad oder der Port nicht. Viele Broker verwenden den Pfad /mqtt.',
    untrusted: (place) =>
      `Keine Verbindung zu ${place}. `
      + 'Vielleicht ist der Broker aus, die Adresse falsch oder das Zertifikat für den Browser nicht vertrauenswürdig. '
      + 'Liegt es am Zertifikat, warnt der Browser beim Öffnen des Links unten. Die Seite versucht es weiter.',
    unreachable: (place) =>
      `Keine Verbindung zu ${place}. Vielleicht ist der Broker aus, oder Host oder Port sind falsch. `
      + 'Es muss der Port für WebSocket sein. Die Seite versucht es weiter.',
  },
};

export const address: typeof en.address = {
  fault: (broker, why) => `Broker „${isolated(broker)}“: ${why}`,
  how: 'Möglich sind wss://host:port/pfad oder ein Pfad auf dem Host dieser Seite wie /mqtt.',
  empty: 'Die Adresse fehlt.',
  notAnAddress: 'Das ist keine Adresse.',
  noServer: 'Ein Pfad geht nur auf einer Seite von einem Webserver. Sonst ws://host:port/pfad oder wss://… angeben.',
  notThisHost: 'Das ist kein Pfad auf diesem Host.',
  misspelt: (better) => `Das ist keine Adresse, denn nach dem Schema muss „://“ stehen. Vielleicht ${better}?`,
  noScheme: (better) => `Das ist keine Adresse, denn das Schema fehlt. Vielleicht ${better}?`,
  scheme: 'Ein Browser erreicht einen Broker nur über ws:// oder wss://.',
  login: 'Benutzer und Passwort gehören nicht in die Adresse. Sie haben eigene Felder.',
};

export const noScript = 'Diese Seite braucht JavaScript, um Live-Bilder zu zeigen.';
