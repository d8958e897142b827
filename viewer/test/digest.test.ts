import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { sha256 } from '../src/digest.ts';

test('the digest is that of Node.js, for every length around the blocks and for what is not ASCII', () => {
  const same = (text: string) =>
    assert.equal(
      sha256(text), createHash('sha256').update(text, 'utf8').digest('base64url'), `${text.length} characters`
    );
  for (let length = 0; length < 200; length++) same('a=b\r\n'.repeat(40).slice(0, length));
  for (const text of ['v=0\r\ns=Türkamera ☂ 🎥\r\n', 'x'.repeat(24 * 1024)]) same(text);
});
