// Chooses the texts about a broker that cannot be reached, by what the browser found out. Pure.

import type { Format } from './format.ts';
import type { LinkState, LinkError } from './link.ts';
import type { ComponentWords } from './words/languages.ts';

export interface TroubleWords {
  title: string;
  text: string;
  /** A page to open by hand, since browsers show people details that they hide from scripts. */
  look: string | null;
}

/** The context of the request. */
export interface Asker {
  /** The broker's address. */
  url: URL;
  /** The address of the page. */
  page: string;
  loginGiven: boolean;
  format: Format;
  words: ComponentWords;
}

export function troubleWords(state: LinkState, asker: Asker): TroubleWords | null {
  if (state.at === 'up' || state.at === 'connecting' || !state.trouble) return null;
  const { url, words: { trouble: words } } = asker;
  const place = `${url.protocol}//${url.host}${url.pathname === '/' ? '' : url.pathname}`;
  switch (state.trouble.why) {
    case 'login':
      return {
        title: words.login.title, text: asker.loginGiven ? words.login.wrong(place) : words.login.needed(place),
        look: null,
      };
    case 'version': case 'offline': case 'lost': {
      const { title, text } = words[state.trouble.why];
      return { title, text: text(place), look: null };
    }
    default:
      return { title: words.unreached, ...unreached(state.trouble, place, asker) };
  }
}

function unreached(
  trouble: LinkError, place: string, { url, page, format, words: { trouble: words } }: Asker
): { text: string; look: string | null } {
  const said = (text: string) => ({ text, look: null });
  switch (trouble.why) {
    case 'mixed': return said(words.mixed(place));
    case 'policy': return said(words.policy(place));
    case 'silent': return said(words.silent(place, format.seconds(trouble.afterMs)));
    case 'not_mqtt': return said(words.notMqtt(place));
    case 'path': {
      const { status } = trouble;
      if (status === 502 || status === 503 || status === 504) return said(words.behind(place, String(status)));
      return said(words.path(place, status === null ? null : String(status)));
    }
    default: {
      const secure = url.protocol === 'wss:';
      // The page itself came from there, so the certificate is trusted.
      const trusted = secure && new URL(page).protocol === 'https:' && new URL(page).host === url.host;
      return secure && !trusted
        ? { text: words.untrusted(place), look: `https://${url.host}/` }
        : said(words.unreachable(place));
    }
  }
}
