// The address of a broker. Pure.

const HOW = 'Write wss://host:port/path, or a path of this page’s own host such as /mqtt.';

/**
 * A broker's address: `ws://…`, `wss://…`, or a path on the page's own host, which begins with one slash. Throws with a
 * sentence. The URL parser repairs almost anything, so that a typing error would become a path or another host: what is not
 * plainly an address is refused before it gets there.
 */
export function brokerUrl(broker: string, page: string): URL {
  const text = broker.trim();
  const wrong = (why: string): never => { throw new Error(`broker “${shorten(text)}”: ${why}`); };
  if (text === '') wrong(`there is no address. ${HOW}`);
  const own = new URL(page);
  if (text.startsWith('/') && !text.startsWith('//')) {
    if (own.protocol !== 'http:' && own.protocol !== 'https:') wrong('a path needs a page that comes from a web server. Write ws://host:port/path or wss://…');
    const url = parse(text, page) ?? wrong(`not an address. ${HOW}`);
    if (url.origin !== own.origin) wrong(`not a path of this host. ${HOW}`);
    url.protocol = own.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    return url;
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/(?![/\\])/i.exec(text)?.[1]?.toLowerCase();
  if (!scheme) {
    const misspelt = /^(wss?|https?)[:/\\]+(?=[^:/\\])/i.exec(text);
    if (misspelt) wrong(`not an address: the scheme ends with “://”. Did you mean ${misspelt[1]!.toLowerCase()}://${shorten(text.slice(misspelt[0].length))}?`);
    if (/^[a-z0-9_.-]+\.[a-z0-9-]+(:\d+)?(\/\S*)?$/i.test(text) || /^[a-z0-9-]+:\d+(\/\S*)?$/i.test(text)) wrong(`not an address: the scheme is missing. Did you mean wss://${shorten(text)}?`);
    wrong(`not an address. ${HOW}`);
  }
  if (scheme !== 'ws' && scheme !== 'wss' && scheme !== 'http' && scheme !== 'https') wrong(`a browser reaches a broker by ws:// or wss:// only. ${HOW}`);
  const url = parse(text) ?? wrong(`not an address. ${HOW}`);
  if (url.username || url.password) wrong('user and password do not belong into the address; they have fields of their own.');
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

/** Scheme, host and port of a broker: what a login belongs to. Null where the address is wrong. */
export function brokerOrigin(broker: string, page: string): string | null {
  try {
    return brokerUrl(broker, page).origin;
  } catch {
    return null;
  }
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
