// User-visible text belongs into `src/words/`: a literal elsewhere that looks like one, or that reaches the screen,
// fails.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const src = join(dirname(fileURLToPath(import.meta.url)), '../src');
const { SyntaxKind: Is } = ts;

/** Two words, or one that begins a sentence. */
const READS = /\p{L}{2,}[,:;]?\s+\p{L}{2,}|^\s*\p{Lu}\p{Ll}+\s*$/u;
const ARIA = 'aria-?(label|description|roledescription|valuetext|placeholder)';
const SHOWN = new RegExp(`^(textContent|innerText|title|placeholder|alt|${ARIA})$`, 'i');
/** Looks like a text, but is none. */
const FINE = new Set([
  'Opus', 'fanlight pair ', 'Edge', 'Opera', 'Samsung Internet', 'Firefox', 'Chrome', 'Safari', 'Android', 'Windows',
  'Mac', 'Linux',
]);
/** For developers: errors, and messages that violate the protocol. */
const isError = (node) => (ts.isNewExpression(node) && /(Error|Exception|Unusable)$/.test(node.expression.getText()))
  || (ts.isCallExpression(node) && /^(fail|object)$/.test(node.expression.getText()));

/** Whether the value of `child` reaches the screen: as a child, text or label of an element. */
function reaches(node, child, shown) {
  if (ts.isCallExpression(node)) {
    const at = node.arguments.indexOf(child);
    const called = node.expression.getText().replace(/.*\./, '');
    if (called === 'setAttribute') return at === 1 && SHOWN.test(node.arguments[0].text);
    return called === 'h' ? at >= 2 : /^(append|replaceChildren|say)$/.test(called) && at >= 0;
  }
  if (ts.isPropertyAssignment(node)) return child === node.initializer && SHOWN.test(node.name.text);
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === Is.EqualsToken)
    return child === node.right && SHOWN.test(node.left.name?.text);
  if (ts.isConditionalExpression(node)) return shown && child !== node.condition;
  return shown
    && [
      Is.TemplateExpression, Is.TemplateSpan, Is.ParenthesizedExpression, Is.BinaryExpression,
      Is.ArrayLiteralExpression, Is.SpreadElement,
    ].includes(node.kind);
}

/** The user-visible texts of a source file. */
function literals(source) {
  const found = [];
  const walk = (node, shown) => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node) || isError(node)
      || (ts.isPropertyAssignment(node) && /^(class|rel)$/.test(node.name.text)))
      return;
    const part = ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (part && !FINE.has(node.text) && (READS.test(node.text) || (shown && /\p{L}/u.test(node.text))))
      found.push(node.text);
    node.forEachChild((child) => walk(child, reaches(node, child, shown)));
  };
  walk(ts.createSourceFile('x.ts', source, ts.ScriptTarget.ES2022, true), false);
  return found;
}

test('a text is found where it stands, and nothing else', () => {
  for (const bad of [
    'const a = "The camera hangs";', 'f(`Open ${x}`, `${n} more cameras`)', 'x.title = on ? `${k} on` : it',
    'h("p", {}, "no")', 'h("p", { title: "no" })', 'it.setAttribute("aria-label", "no")', 'const w = { live: "Live" };',
  ])
    assert.ok(literals(bad).length, bad);
  for (const good of [
    'import "a b.ts";', 'throw new Error(`no such thing ${x}`)', 'h("p", { class: "a-b" }, words.no)',
    'x.dataset["is"] = "on"', 'type A = "one two"', 'x.title = a === "b" ? c : ""',
  ])
    assert.deepEqual(literals(good), [], good);
});
const sources = ['', 'trust'].flatMap((folder) => readdirSync(join(src, folder)).map((name) => join(folder, name)));
for (const name of sources.filter((it) => it.endsWith('.ts'))) {
  test(`${name} has no text for people`, () => assert.deepEqual(literals(readFileSync(join(src, name), 'utf8')), []));
}
test('index.html has none either', () => {
  const html = readFileSync(join(src, 'index.html'), 'utf8').replace(
    /<noscript>[^]*<\/noscript>|<title>fanlight<\/title>|<h1>fanlight<\/h1>/g, ''
  );
  assert.deepEqual([...html.matchAll(/>([^<>]*\p{L}[^<>]*)</gu)].map(([, text]) => text), []);
  assert.deepEqual(
    [...html.matchAll(/ (?:title|alt|aria-label|placeholder)="([^"]+)"/g)].map(([, text]) => text).filter(
      (it) => !/^wss:\/\/broker|^fanlight\/v1$/.test(it)
    ),
    []
  );
});
