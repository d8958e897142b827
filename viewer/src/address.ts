// The address of a broker. Pure.

/** A broker's address: `ws://…`, `wss://…`, or a path on the page's own host. Throws with a sentence. */
export function brokerUrl(broker: string, page: string): URL {
  let url: URL;
  try {
    url = new URL(broker, page);
  } catch {
    throw new Error(`broker “${broker}”: not an address; write ws://host:port/mqtt or wss://…`);
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new Error(`broker “${broker}”: a browser reaches a broker by ws:// or wss:// only`);
  }
  return url;
}
