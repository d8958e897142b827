// The viewer page in a browser of its own, with a memory of everything that it ever showed.

import { until } from './processes.mjs';

/** Runs in the page before its own code. It changes nothing that the page does. */
function observe() {
  const memory = { states: [], errors: [], names: [], shapes: [], points: [], sessions: [] };
  const note = (list, it) => { if (it && !memory[list].includes(it)) memory[list].push(it); };
  window.memory = memory;
  document.addEventListener('fanlight-state', ({ detail }) => note('states', detail.state));
  document.addEventListener('fanlight-error', ({ detail }) => note('errors', detail.name));
  setInterval(() => {
    for (const it of document.querySelectorAll('fanlight-viewer')) {
      note('states', it.state);
      note('names', it.label);
      note('names', it.shadowRoot?.querySelector('.name')?.textContent);
      if (it.videoWidth) note('shapes', (it.videoWidth / it.videoHeight).toFixed(2));
    }
    for (const it of document.querySelectorAll('#devices b')) note('names', it.textContent);
  }, 20);
  // The ids of sessions: 16 random bytes.
  const text = (bytes) =>
    btoa(String.fromCharCode(...bytes))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replaceAll('=', '');
  const random = Crypto.prototype.getRandomValues;
  Crypto.prototype.getRandomValues = function getRandomValues(array) {
    random.call(this, array);
    if (array.length === 16) memory.sessions.push(text(array));
    return array;
  };
  if (!globalThis.SubtleCrypto) return; // about:blank
  // The public halves of the page's sealing keys, for attackers that would know them.
  const make = SubtleCrypto.prototype.generateKey;
  SubtleCrypto.prototype.generateKey = async function generateKey(algorithm, ...more) {
    const pair = await make.call(this, algorithm, ...more);
    if (algorithm.name !== 'ECDH') return pair;
    const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    memory.points.push(text(raw));
    return pair;
  };
}

export class ViewerPage {
  /** Opens an address. `context`: a browser that is there already, with its keys. */
  static async open(chromium, url, context) {
    const it = new ViewerPage();
    it.context = context ?? await chromium.newContext();
    it.page = await it.context.newPage();
    it.page.on('pageerror', (error) => console.error(`page: ${error.message}`));
    await it.page.addInitScript(observe);
    await it.page.goto(url);
    return it;
  }

  /** What the page showed since `forget`. */
  seen() {
    return this.page.evaluate(() => window.memory);
  }

  forget() {
    return this.page.evaluate(() => Object.assign(window.memory, { states: [], errors: [], names: [], shapes: [] }));
  }

  /** The first viewer's state and what it shows. */
  now() {
    return this.page.evaluate(() => {
      const it = document.querySelector('fanlight-viewer');
      return (
        it && {
          state: it.state,
          name: it.label,
          width: it.videoWidth,
          said: it.shadowRoot.querySelector('.panel')?.innerText,
        }
      );
    });
  }

  async is(state, ms = 60_000) {
    await until(`the page is ${state}`, async () => (await this.now())?.state === state, ms).catch(async (error) => {
      throw new Error(`${error.message}; now ${JSON.stringify([await this.now(), await this.seen()])}`);
    });
  }

  stop() {
    return this.page.evaluate(() => document.querySelector('fanlight-viewer')?.stop());
  }

  /** Calls again, as a person does. */
  async again() {
    await this.page.waitForSelector('fanlight-viewer');
    await this.page.evaluate(() => {
      const it = document.querySelector('fanlight-viewer');
      it.stop();
      it.play().catch(() => {});
    });
  }

  /** The login for TURN that the board gave to this page. */
  servers() {
    return this.page.evaluate(
      () => document.querySelector('fanlight-viewer').peerConnection?.getConfiguration().iceServers,
    );
  }

  /** The identity of this browser: `thumb`, `point`. */
  identity() {
    return this.page.evaluate(() => new Promise((resolve, reject) => {
      const opening = indexedDB.open('fanlight');
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const asked = opening.result.transaction('identity').objectStore('identity').get('self');
        asked.onsuccess = () => {
          opening.result.close();
          resolve({ thumb: asked.result.thumb, point: asked.result.point });
        };
        asked.onerror = () => reject(asked.error);
      };
    }));
  }

  /** The places of the boards that this browser was paired with. */
  boards() {
    return this.page.evaluate(() => new Promise((resolve, reject) => {
      const opening = indexedDB.open('fanlight');
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const names = [...opening.result.objectStoreNames];
        if (!names.includes('boards')) { opening.result.close(); return resolve([]); }
        const asked = opening.result.transaction('boards').objectStore('boards').getAllKeys();
        asked.onsuccess = () => { opening.result.close(); resolve(asked.result); };
        asked.onerror = () => reject(asked.error);
      };
    }));
  }

  // --- Pairing

  /** Presses "pair" in the dialog that a link opens. */
  async accept(name) {
    await this.page.waitForSelector('#pairing[open]');
    await this.page.fill('#pairing [name=self]', name);
    await this.page.click('#pairing [type=submit]');
  }

  /** How a pairing ended: `null` if it succeeded, else what the dialog says. */
  async pairing(ms = 40_000) {
    const at = await until('the end of the pairing', () => this.page.evaluate(() => {
      const dialog = document.querySelector('#pairing');
      if (!dialog.open) return { said: null };
      const said = document.querySelector('#pairing-wrong').textContent;
      return said && { said };
    }), ms);
    return at.said;
  }

  close() {
    return this.context.close();
  }
}
