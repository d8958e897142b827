// The address of a broker. Pure.

import { addressWords } from './words/languages.ts';
import type { AddressWords } from './words/languages.ts';

/** Why an address is refused, in the requested language. */
type Why = (words: AddressWords) => string;

/** An address that cannot be used. Its message is English; `in` gives it in another language. */
export class WrongAddress extends Error {
  constructor(private readonly broker: string, private readonly why: Why) {
    super(addressWords.en.fault(broker, why(addressWords.en)));
  }

  in(words: AddressWords): string {
    return words.fault(this.broker, this.why(words));
  }
}

/** The text of an error about an address, in the requested language if it is a `WrongAddress`. */
export const addressFault = (error: unknown, words: AddressWords): string =>
  (error instanceof WrongAddress ? error.in(words) : (error as Error).message);

/**
 * Parses a broker's address: `ws://…`, `wss://…`, or a path on the page's own host, which begins with one slash. Throws
 * `WrongAddress`. The URL parser repairs almost anything, so a typing error would become a path or another host.
 * Therefore everything that is not clearly an address is refused before.
 */
export function brokerUrl(broker: string, page: string): URL {
  const text = broker.trim();
  const wrong = (why: Why): never => { throw new WrongAddress(shorten(text), why); };
  const notAnAddress: Why = (words) => `${words.notAnAddress} ${words.how}`;
  if (text === '') wrong((words) => `${words.empty} ${words.how}`);
  const own = new URL(page);
  if (text.startsWith('/') && !text.startsWith('//')) {
    if (own.protocol !== 'http:' && own.protocol !== 'https:') wrong((words) => words.noServer);
    const url = parse(text, page) ?? wrong(notAnAddress);
    if (url.origin !== own.origin) wrong((words) => `${words.notThisHost} ${words.how}`);
    url.protocol = own.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    return url;
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/(?![/\\])/i.exec(text)?.[1]?.toLowerCase();
  if (!scheme) {
    const misspelt = /^(wss?|https?)[:/\\]+(?=[^:/\\])/i.exec(text);
    if (misspelt)
      wrong((words) => words.misspelt(`${misspelt[1]!.toLowerCase()}://${shorten(text.slice(misspelt[0].length))}`));
    const bare = /^[a-z0-9_.-]+\.[a-z0-9-]+(:\d+)?(\/\S*)?$/i.test(text) || /^[a-z0-9-]+:\d+(\/\S*)?$/i.test(text);
    wrong(bare ? (words) => words.noScheme(`wss://${shorten(text)}`) : notAnAddress);
  }
  if (scheme !== 'ws' && scheme !== 'wss' && scheme !== 'http' && scheme !== 'https')
    wrong((words) => `${words.scheme} ${words.how}`);
  const url = parse(text) ?? wrong(notAnAddress);
  if (url.username || url.password) wrong((words) => words.login);
  url.protocol = scheme === 'ws' || scheme === 'http' ? 'ws:' : 'wss:';
  url.hash = '';
  return url;
}

function parse(text: string, base?: string): URL | null {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
}

/** Whether two addresses mean the same broker. */
export function sameBroker(one: string, other: string, page: string): boolean {
  try {
    return brokerUrl(one, page).href === brokerUrl(other, page).href;
  } catch {
    return false;
  }
}

/** Scheme, host and port of a broker, to which a login belongs. Null if the address is wrong. */
export function brokerOrigin(broker: string, page: string): string | null {
  try {
    return brokerUrl(broker, page).origin;
  } catch {
    return null;
  }
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
