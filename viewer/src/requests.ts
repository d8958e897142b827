// MQTT by HTTPS requests, in the shape of a WebSocket. Safari on iOS applies a certificate warning that the user
// accepted to requests, but not to WebSockets. A board in home mode therefore also takes requests.

/** The type of MQTT packets. A server that takes them names it in `Accept-Post`. */
export const PACKETS = 'application/octet-stream';
/** The header with the name of the connection. */
const NAME = 'fanlight-link';
/** The largest request, in bytes. */
const MOST = 60 * 1024;

/** The part of a WebSocket that mqtt.js uses. The first bytes that are sent open the connection. */
export class RequestSocket extends EventTarget {
  readonly OPEN = 1;
  readyState = 0;
  bufferedAmount = 0;
  binaryType = 'arraybuffer';
  private readonly queue: Uint8Array[] = [];
  private readonly ending = new AbortController();
  private name: string | null = null;
  private sending = false;

  /** `opened` is called when the server has accepted the first packet. */
  constructor(private readonly url: URL, private readonly opened: () => void) {
    super();
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.dispatchEvent(new Event('open'));
    });
  }

  send(data: Uint8Array | ArrayBuffer): void {
    const bytes = data instanceof Uint8Array ? data.slice() : new Uint8Array(data.slice(0));
    this.queue.push(bytes);
    this.bufferedAmount += bytes.length;
    void this.flush();
  }

  close(): void {
    this.end(false);
  }

  /** Sends what waits, one request after the other, so that the order stays. */
  private async flush(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.queue.length > 0 && this.readyState === 1) {
        const body = this.next();
        if (this.name === null) await this.start(body);
        else await this.post(`${this.url.href}/${this.name}`, body);
        this.bufferedAmount -= body.length;
      }
    } catch {
      this.end(true);
    }
    this.sending = false;
  }

  /** As many of the waiting bytes as fit into a request. */
  private next(): Uint8Array<ArrayBuffer> {
    const parts: Uint8Array[] = [];
    let length = 0;
    while (this.queue.length > 0 && (length === 0 || length + this.queue[0]!.length <= MOST)) {
      const part = this.queue.shift()!;
      parts.push(part);
      length += part.length;
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  private async post(url: string, body: Uint8Array<ArrayBuffer>): Promise<Response> {
    const response = await fetch(url, {
      method: 'POST', mode: 'same-origin', cache: 'no-store', credentials: 'same-origin', body,
      headers: { 'content-type': PACKETS }, signal: this.ending.signal,
    });
    if (!response.ok) throw new Error(String(response.status));
    return response;
  }

  private async start(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const response = await this.post(this.url.href, body);
    this.name = response.headers.get(NAME);
    if (this.name === null || !response.body) throw new Error('not a board');
    this.opened();
    void this.receive(response.body.getReader());
  }

  private async receive(reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (this.readyState === 1) this.dispatchEvent(new MessageEvent('message', { data: value.slice().buffer }));
      }
      this.end(false);
    } catch {
      this.end(true);
    }
  }

  private end(fault: boolean): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.queue.length = 0;
    this.ending.abort();
    if (fault) this.dispatchEvent(new Event('error'));
    this.dispatchEvent(new Event('close'));
  }
}
