// The sentences about what happens at a camera, in every language.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { languageAmong } from '../src/language.ts';
import type { Happening } from '../src/trust/news.ts';
import { TAGS, pageWords } from '../src/words/languages.ts';

// The page's part for the document is not needed for its sentences.
Object.assign(globalThis, { document: { getElementById: () => null } });
const { happeningText } = await import('../src/activity.ts');

const happening = (more: Partial<Happening>) => ({
  device: 'cam', kind: 'start' as const, at: null, viewer: 'v', name: 'Anna', self: false, rights: null, token: null,
  route: null, bytes: null, seconds: null, reason: null, change: null, leftOut: null, ...more,
});
const plain = (text: string) => text.replace(/[\u2068\u2069]/g, '');
const english = (more: Partial<Happening>) => {
  const language = languageAmong(['en']);
  return plain(happeningText(happening(more), pageWords.en.activity, language));
};

test('each kind of event has its sentence', () => {
  for (const [more, text] of [
    [{}, 'Anna started watching'],
    [{ name: null }, 'v started watching'],
    [{ name: null, viewer: null }, 'A viewer started watching'],
    [{ kind: 'end', seconds: 61 }, 'Anna stopped watching after 1 minute'],
    [{ kind: 'end', seconds: null }, 'Anna stopped watching after 0 seconds'],
    [{ kind: 'refuse', reason: 'busy' }, 'Anna was turned away: all places are taken'],
    [{ kind: 'refuse', reason: 'toString' }, 'Anna was turned away'],
    [{ kind: 'pair' }, 'Anna was paired'],
    [{ kind: 'pair', viewer: null, reason: 'expired' }, 'A pairing ended without a viewer'],
    [{ kind: 'pair', viewer: null, reason: 'wrong_secret' }, 'A pairing was stopped: somebody used a wrong link'],
    [{ kind: 'privacy', change: 'on' }, 'Anna switched camera and microphone off for everybody'],
    [{ kind: 'snapshot' }, 'Anna took a picture'],
    [{ kind: 'privacy', change: 'off', name: null, viewer: null }, 'The owner allowed camera and microphone again'],
    [{ kind: 'privacy', change: 'on', reason: 'button', name: null, viewer: null },
      'The button at the camera switched camera and microphone off for everybody'],
    [{ kind: 'doorbell', name: null, viewer: null }, 'Somebody rang the doorbell'],
    [{ kind: 'list', change: 'remove' }, 'Anna may no longer watch'],
    [{ kind: 'list', change: 'constructor' }, 'The rights of Anna were changed'],
  ] as [Partial<Happening>, string][]) assert.equal(english(more), text);
});

test('every reason and every change has a sentence of its own in each language', () => {
  for (const tag of TAGS) {
    const language = languageAmong([tag]);
    const { activity } = pageWords[tag];
    const text = (more: Partial<Happening>) => happeningText(happening(more), activity, language);
    const changes = ['add', 'remove', 'rename', 'rights', 'deny', 'configured'].map(
      (change) => text({ kind: 'list', change })
    );
    const reasons = ['busy', 'forbidden', 'rate_limited', 'other'].map((reason) => text({ kind: 'refuse', reason }));
    const privacy = ['on', 'off'].map((change) => text({ kind: 'privacy', change }));
    const others = [text({}), text({ kind: 'end', seconds: 9 }), text({ kind: 'pair' })];
    const all = [...changes, ...reasons, ...privacy, ...others];
    assert.equal(new Set(all).size, all.length, tag);
    assert.ok(all.every((it) => it.includes('Anna')), tag);
  }
});
