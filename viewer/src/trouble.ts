// Why there is no broker, in words: what was tried, what is probably wrong, and what can be done. Pure.

import type { LinkState } from './link.ts';

export interface TroubleWords {
  title: string;
  text: string;
  /** A page to open by hand, where a browser shows people what it does not tell a script. */
  look: string | null;
}

export function troubleWords(state: LinkState, url: URL, page: string, loginGiven: boolean): TroubleWords | null {
  if (state.at === 'up' || state.at === 'connecting' || !state.trouble) return null;
  const { trouble } = state;
  const place = `${url.protocol}//${url.host}${url.pathname === '/' ? '' : url.pathname}`;
  const unreached = 'The broker cannot be reached';
  const words = (title: string, text: string, look: string | null = null): TroubleWords => ({ title, text, look });
  switch (trouble.why) {
    case 'login':
      return words('The broker refused the login', loginGiven ? `${place} does not accept this user with this password.` : `${place} asks for a user and a password.`);
    case 'version':
      return words('The broker is too old', `${place} speaks neither MQTT 5 nor MQTT 3.1.1.`);
    case 'offline':
      return words('This device is offline', `It has no network, so ${place} cannot be reached. This page goes on by itself when the network is back.`);
    case 'lost':
      return words('The connection to the broker was lost', `${place} no longer answers. This page keeps trying.`);
    case 'mixed':
      return words(unreached, `This page came by HTTPS, and browsers then allow brokers by wss:// only. The address is ${place}.`);
    case 'policy':
      return words(unreached, `The content security policy of this page does not allow ${place}. Add it to connect-src on the web server.`);
    case 'silent':
      return words(unreached, `${place} gave no answer within 10 s. The address may be wrong, or a firewall drops the connection. This page keeps trying.`);
    case 'not_mqtt':
      return words(unreached, `A server answers at ${place}, but it does not speak MQTT. The port or the path is probably that of another service.`);
    case 'path': {
      const { status } = trouble;
      if (status === 502 || status === 503 || status === 504) {
        return words(unreached, `The web server answers at ${place}, but the broker behind it does not (HTTP ${status}). Is the broker running?`);
      }
      return words(unreached, `A web server answers at ${place}, but no broker${status === null ? '' : ` (HTTP ${status})`}. The path or the port is probably wrong; many brokers use the path /mqtt.`);
    }
    case 'unreachable': {
      const secure = url.protocol === 'wss:';
      // The page itself came from there: its certificate is trusted.
      const trusted = secure && new URL(page).protocol === 'https:' && new URL(page).host === url.host;
      return secure && !trusted
        ? words(unreached, `No connection to ${place}. It may be off or the address wrong, or this browser does not trust its certificate: open the link below, and a warning tells. This page keeps trying.`, `https://${url.host}/`)
        : words(unreached, `No connection to ${place}. The broker may be off, or host or port wrong. The port must be the one for WebSocket. This page keeps trying.`);
    }
  }
}
