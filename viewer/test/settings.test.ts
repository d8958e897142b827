import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerUrl } from '../src/address.ts';
import { settingsOf, settingsTyped } from '../src/settings.ts';

const PAGE = 'https://cameras.example.org/fanlight/';
const FILE = { broker: '/mqtt', user: 'hall', password: 'secret', viewer: 'hall', root: 'home/v1', device: 'door', mode: 'request' };
const read = (search: string, file: unknown = FILE) => settingsOf(file, search, PAGE);

test('the file counts where the address says nothing', () => assert.deepEqual(read(''), FILE));

test('a broker of the address never gets the login of the file', () => {
  for (const broker of ['wss://evil.example/mqtt', '//evil.example/mqtt', '/other', 'wss://cameras.example.org:444/mqtt', 'ws://cameras.example.org/mqtt', 'nonsense://x']) {
    const it = read(`?broker=${encodeURIComponent(broker)}`);
    assert.deepEqual([it.broker, it.user, it.password, it.viewer], [broker, undefined, undefined, undefined], broker);
  }
  assert.deepEqual(read('?broker=wss://evil.example/mqtt&user=eve&viewer=eve'), { broker: 'wss://evil.example/mqtt', user: 'eve', viewer: 'eve', root: 'home/v1', device: 'door', mode: 'request' });
});

test('the file’s broker never gets a login of the address', () => {
  for (const search of ['?user=eve&viewer=eve', '?broker=wss://cameras.example.org/mqtt&user=eve&password=x']) {
    const it = read(search);
    assert.deepEqual([it.user, it.password, it.viewer], ['hall', 'secret', 'hall'], search);
  }
});

test('a password never comes from the address; devices, root and mode do', () => {
  assert.deepEqual(read('?broker=wss://b/&user=u&password=p', null), { broker: 'wss://b/', user: 'u' });
  assert.deepEqual(read('?device=a,b&root=r&mode=offer'), { ...FILE, device: 'a,b', root: 'r', mode: 'offer' });
});

test('a file with a login and no broker is not asked to log in anywhere else', () => {
  assert.deepEqual(read('?broker=wss://b/', { user: 'hall', password: 'secret' }), { broker: 'wss://b/' });
});

test('what is not a text, or unknown, is not taken', () => {
  for (const file of [null, 1, 'x', [], { broker: 1, user: '', colour: 'red' }]) assert.deepEqual(read('', file), {});
});

test('typed settings keep a password only for the same login at the same broker', () => {
  const typed = (more: object) => settingsTyped(FILE, { broker: '/mqtt', user: 'hall', password: '', root: '', device: ' a ', ...more }, PAGE);
  assert.deepEqual(typed({}), { mode: 'request', broker: '/mqtt', user: 'hall', device: 'a', password: 'secret', viewer: 'hall' });
  assert.deepEqual(typed({ password: 'new' }).password, 'new');
  for (const more of [{ broker: 'wss://other/' }, { user: 'eve' }, { user: '' }]) assert.deepEqual([typed(more).password, typed(more).viewer], [undefined, undefined]);
});

test('a broker is an address, or a path on the page’s own host', () => {
  assert.equal(brokerUrl('/mqtt', PAGE).href, 'wss://cameras.example.org/mqtt');
  assert.equal(brokerUrl('/mqtt', 'http://pi.local:8080/').href, 'ws://pi.local:8080/mqtt');
  assert.throws(() => brokerUrl('mqtt://host:1883', PAGE), /by ws:\/\/ or wss:\/\/ only/);
  assert.throws(() => brokerUrl('wss://', PAGE), /not an address/);
});
