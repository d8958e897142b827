import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFault, brokerUrl } from '../src/address.ts';
import { Logins } from '../src/logins.ts';
import { configOf, settingsOf, settingsTyped } from '../src/settings.ts';
import type { Config } from '../src/settings.ts';
import { addressWords, pageWords } from '../src/words/languages.ts';

const PAGE = 'https://cameras.example.org/fanlight/';
const FILE = {
  broker: '/mqtt', user: 'hall', password: 'secret', viewer: 'hall', root: 'home/v1', device: 'door', mode: 'request',
};
const read = (search: string, file: Config = FILE) => settingsOf(file, search, PAGE).config;

test(
  'the file counts where the address says nothing',
  () => assert.deepEqual(settingsOf(FILE, '', PAGE), { config: FILE, from: 'file', notes: [] })
);

test('a broker that the file names is not changed by the address, and that is said', () => {
  for (const broker of [
    'wss://evil.example/mqtt', '//evil.example/mqtt', '/other', 'wss://cameras.example.org:444/mqtt',
    'ws://cameras.example.org/mqtt', 'nonsense://x',
  ]) {
    const it = settingsOf(FILE, `?broker=${encodeURIComponent(broker)}&user=eve&viewer=eve&password=x`, PAGE);
    assert.deepEqual(it.config, FILE, broker);
    assert.match(it.notes.map((note) => note(pageWords.en)).join(), /names another broker/);
  }
  assert.deepEqual(settingsOf(FILE, '?broker=wss://cameras.example.org/mqtt', PAGE).notes, []);
});

test('a password never comes from the address; devices, root and mode do', () => {
  assert.deepEqual(
    settingsOf({}, '?broker=wss://b/&user=u&password=p', PAGE),
    { config: { broker: 'wss://b/', user: 'u' }, from: 'address', notes: [] }
  );
  assert.deepEqual(read('?device=a,b&root=r&mode=offer'), { ...FILE, device: 'a,b', root: 'r', mode: 'offer' });
  const { device, ...rest } = FILE;
  assert.deepEqual(read('?device='), rest, device);
});

test('whether plain JSON is spoken is up to the file, never to the address or to what is typed', () => {
  assert.deepEqual(read('?keys=true'), FILE);
  for (const search of ['?keys=false', '?keys=', '?broker=wss://b/&keys=0']) {
    assert.equal(read(search, { ...FILE, keys: true }).keys, true, search);
    assert.equal(read(search, { keys: true }).keys, true, search);
  }
  assert.equal(settingsTyped({ keys: true }, { broker: 'wss://other/' }, PAGE).keys, true);
});

test('a file with a login and no broker is not asked to log in anywhere else', () => {
  assert.deepEqual(
    read('?broker=wss://b/', { user: 'hall', password: 'secret', viewer: 'hall' }), { broker: 'wss://b/' }
  );
});

for (const [what, text, config, problem] of [
  ['a good file', '{"broker": "/mqtt", "device": "a"}', { broker: '/mqtt', device: 'a' }, null],
  ['a byte order mark', '\ufeff{"broker": "/mqtt"}', { broker: '/mqtt' }, null],
  ['empty values', '{"broker": "/mqtt", "user": ""}', { broker: '/mqtt' }, null],
  ['a trailing comma', '{\n  "broker": "/mqtt",\n}', {}, /line 2: remove the comma before the closing bracket/],
  ['a comma in a text before it', '{\n  "device": "a,}",\n  "broker": "/mqtt",\n\n}', {}, /line 3: remove the comma/],
  ['a comment', '{\n  // here\n  "broker": "/mqtt"\n}', {}, /line 2: JSON has no comments/],
  ['an address is no comment', '{\n  "broker": "wss://b/",\n}', {}, /line 2: remove the comma/],
  ['single quotes', "{'broker': '/mqtt'}", {}, /straight double quotes/],
  ['typographic quotes', '{\u201cbroker\u201d: \u201c/mqtt\u201d}', {}, /straight double quotes/],
  ['a bare key', '{broker: "/mqtt"}', {}, /put the key broker in double quotes/],
  ['a missing comma', '{\n  "broker": "/mqtt"\n  "device": "a"\n}', {}, /line 3: a comma is missing before "device"/],
  ['an unclosed object', '{"broker": "/mqtt"', {}, /this is not JSON/],
  ['nothing', ' \n', {}, /the file is empty/],
  ['a web page', '<!doctype html><title>Not found</title>', {}, /a web page \(HTML\)/],
  ['a list', '["/mqtt"]', {}, /must be one object/],
  ['a misspelt key', '{"brokr": "/mqtt"}', {}, /“\u2068brokr\u2069” is unknown; did you mean “broker”\?/],
  [
    'an unknown key', '{"broker": "/mqtt", "colour": "red"}', { broker: '/mqtt' },
    /“\u2068colour\u2069” is unknown\. Possible are broker, root/,
  ],
  ['a number', '{"broker": 1, "device": "a"}', { device: 'a' }, /“broker” must be a text in quotes/],
  ['only paired cameras', '{"broker": "/mqtt", "keys": true}', { broker: '/mqtt', keys: true }, null],
  ['cameras of both modes', '{"broker": "/mqtt", "keys": false}', { broker: '/mqtt' }, null],
  [
    'a text in place of true: the safe value counts', '{"broker": "/mqtt", "keys": "yes"}',
    { broker: '/mqtt', keys: true },
    /“keys” must be true or false/,
  ],
  ['another mode', '{"mode": "call"}', {}, /“mode” is “\u2068call\u2069”; possible are “offer” and “request”/],
] as const) {
  test(`config.json: ${what}`, () => {
    const it = configOf(text);
    assert.deepEqual(it.config, config);
    if (problem === null) assert.deepEqual(it.problems, []);
    else assert.match(it.problems.map((note) => note(pageWords.en)).join('\n'), problem);
  });
}

test('typed settings keep a password only for the same login at the same broker', () => {
  const typed = (more: object) =>
    settingsTyped(FILE, { broker: '/mqtt', user: 'hall', password: '', root: '', device: ' a ', ...more }, PAGE);
  assert.deepEqual(
    typed({}), { mode: 'request', broker: '/mqtt', user: 'hall', device: 'a', password: 'secret', viewer: 'hall' }
  );
  assert.deepEqual(typed({ password: ' new ' }).password, ' new ');
  for (const more of [{ broker: 'wss://other/' }, { user: 'eve' }, { user: '' }])
    assert.deepEqual([typed(more).password, typed(more).viewer], [undefined, undefined]);
});

/** Behaves like a browser's storage. */
class Store extends Map<string, string> {
  getItem(key: string): string | null { return this.get(key) ?? null; }
  setItem(key: string, value: string): void { this.set(key, value); }
  removeItem(key: string): void { this.delete(key); }
}

test('a typed login is kept for the tab, longer only when asked, and for its own broker alone', () => {
  const [tab, device] = [new Store(), new Store()];
  const logins = new Logins(tab, device, PAGE);
  logins.keep('wss://b.example/mqtt', 'anna', 'pw', false);
  assert.deepEqual([tab.size, device.size], [1, 0]);
  assert.deepEqual(logins.get('wss://b.example/mqtt'), { user: 'anna', password: 'pw', remembered: false });
  for (const other of [
    'wss://b.example:444/mqtt', 'ws://b.example/mqtt', 'wss://evil.example/mqtt', 'wss://b.example.evil.example/',
    '/mqtt', 'nonsense',
  ])
    assert.equal(logins.get(other), null, other);
  logins.keep('wss://b.example/mqtt', 'anna', 'pw', true);
  assert.deepEqual([tab.size, device.size], [0, 1]);
  assert.equal(new Logins(new Store(), device, PAGE).get('wss://b.example/mqtt')?.remembered, true);
  logins.keep('wss://b.example/mqtt', '', '', true);
  assert.deepEqual([tab.size, device.size], [0, 0]);
  logins.keep('nonsense', 'anna', 'pw', true);
  assert.deepEqual([tab.size, device.size], [0, 0]);
});

test('a broker that was typed is kept like its login', () => {
  const [tab, device] = [new Store(), new Store()];
  const logins = new Logins(tab, device, PAGE);
  assert.equal(logins.broker, null);
  logins.keepBroker('wss://b/', 'r', false);
  assert.deepEqual(logins.broker, { broker: 'wss://b/', root: 'r' });
  assert.equal(new Logins(new Store(), device, PAGE).broker, null);
  logins.keepBroker('wss://c/', '', true);
  assert.deepEqual(new Logins(new Store(), device, PAGE).broker, { broker: 'wss://c/', root: '' });
});

test('storage that is off, full, or holds something else is no login and no fault', () => {
  const broken = {
    getItem() { throw new Error('off'); }, setItem() { throw new Error('full'); },
    removeItem() { throw new Error('off'); },
  };
  const logins = new Logins(broken, null, PAGE);
  logins.keep('wss://b/', 'u', 'p', false);
  assert.equal(logins.get('wss://b/'), null);
  const odd = new Store([['fanlight-login wss://b', '{"user":1}'], ['fanlight-broker', 'x']]);
  assert.equal(new Logins(odd, null, PAGE).get('wss://b/'), null);
  assert.equal(new Logins(odd, null, PAGE).broker, null);
});

test('a broker is an address, or a path on the page’s own host', () => {
  assert.equal(brokerUrl('/mqtt', PAGE).href, 'wss://cameras.example.org/mqtt');
  assert.equal(brokerUrl(' /mqtt ', 'http://pi.local:8080/x/').href, 'ws://pi.local:8080/mqtt');
  assert.equal(brokerUrl('WSS://B.example/', PAGE).href, 'wss://b.example/');
  assert.equal(brokerUrl('https://b.example:8884/mqtt#x', PAGE).href, 'wss://b.example:8884/mqtt');
  assert.equal(brokerUrl('http://[::1]:9001', PAGE).href, 'ws://[::1]:9001/');
});

for (const [broker, why] of [
  ['', /the address is missing/], ['wss://', /not an address/],
  ['https//bad', /not an address.*Did you mean https:\/\/bad\?/], ['wss:/bad/mqtt', /Did you mean wss:\/\/bad\/mqtt\?/],
  ['wss:bad', /Did you mean wss:\/\/bad\?/], ['wss//bad:8884/mqtt', /Did you mean wss:\/\/bad:8884\/mqtt/],
  ['wss:///bad', /Did you mean wss:\/\/bad/], ['broker.example.org', /Did you mean wss:\/\/broker.example.org\?/],
  ['broker:8083/mqtt', /scheme is missing.*wss:\/\/broker:8083\/mqtt/], ['//evil.example/mqtt', /not an address/],
  ['/\\evil.example/', /not a path on this host/], ['/\t/evil.example/', /not a path on this host/],
  ['mqtt', /not an address/], ['./mqtt', /not an address/], ['mqtt://host:1883', /only at ws:\/\/ or wss:\/\//],
  ['mqtts://host', /only/], ['tcp://host', /only/], ['javascript:alert(1)', /not an address/],
  ['wss://anna:pw@host/', /fields of their own/], ['wss://host:99999/', /not an address/],
  ['wss://a b/', /not an address/], ['http:\\\\bad', /Did you mean http:\/\/bad/],
] as const) {
  test(`the broker ${JSON.stringify(broker)} is refused in words`, () => assert.throws(() => brokerUrl(broker, PAGE), (
    error: Error
  ) => why.test(error.message) && /^Broker “/.test(error.message) && !/pw/.test(error.message.replace(broker, ''))
    && /^Broker „/.test(addressFault(error, addressWords.de))));
}

test(
  'a path needs a page from a web server',
  () => assert.throws(() => brokerUrl('/mqtt', 'file:///home/me/index.html'), /web server/)
);
