// Makes custom-elements.json, which tells editors and documentation tools what the component has. It is read from the
// source: from the tags above the class, and from its public members.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const HIDDEN = [ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.ProtectedKeyword];

/** Whether this member of a class is for those who use the component. */
function isPublic(it) {
  if (!it.name || !ts.isIdentifier(it.name)) return false;
  if (!(ts.isMethodDeclaration(it) || ts.isGetAccessor(it) || ts.isSetAccessor(it))) return false;
  if (it.modifiers?.some(({ kind }) => HIDDEN.includes(kind))) return false;
  return !ts.getJSDocTags(it).some((tag) => tag.tagName.text === 'internal');
}

/** The manifest, schema version 1.0.0. `src`: the folder of the sources. */
export function manifestOf(src) {
  const read = (file) =>
    ts.createSourceFile(file, readFileSync(join(src, file), 'utf8'), ts.ScriptTarget.ES2022, true);
  const classes = ['attributes.ts', 'commanding.ts', 'element.ts']
    .flatMap((file) => read(file).statements.filter(ts.isClassDeclaration));
  const viewer = classes.find((it) => it.name.text === 'FanlightViewer');
  const tags = ts.getJSDocTags(viewer).map((tag) => [tag.tagName.text, ts.getTextOfJSDocComment(tag.comment) ?? '']);
  const described = (name) => tags.filter(([tag]) => tag === name).map(([, text]) => text.split(/ - (.*)/s));
  const typed = (text) => /^\{(.*)\}\s+(\S+)$/.exec(text).slice(1);
  const members = new Map();
  for (const { members: all } of classes) {
    for (const it of all) {
      if (!isPublic(it)) continue;
      const name = it.name.text;
      const description = it.jsDoc?.map((doc) => ts.getTextOfJSDocComment(doc.comment)).join(' ');
      const type = it.type && { text: it.type.getText() };
      const about = { name, ...(description && { description }) };
      if (ts.isMethodDeclaration(it))
        members.set(name, { kind: 'method', ...about, ...(type && { return: { type } }) });
      else if (ts.isGetAccessor(it))
        members.set(name, { kind: 'field', ...about, ...(type && { type }), readonly: true });
      else delete members.get(name).readonly;
    }
  }
  const attribute = (text, description) => {
    const [type, name] = typed(text);
    return {
      name, description, type: { text: type.replaceAll('"', '\'').replaceAll('|', ' | ') },
      fieldName: name.replace(/-(.)/g, (_, letter) => letter.toUpperCase()),
    };
  };
  const declaration = {
    kind: 'class', customElement: true, name: 'FanlightViewer', tagName: described('tag')[0][0],
    description: ts.getTextOfJSDocComment(viewer.jsDoc[0].comment), superclass: { name: 'HTMLElement' },
    attributes: described('attr').map(([text, description]) => attribute(text, description)),
    members: [...members.values()],
    events: described('fires').map(([text, description]) => {
      const [type, name] = typed(text);
      return { name, description, type: { text: type } };
    }),
    cssProperties: described('cssprop').map(([name, description]) => ({ name, description })),
    cssParts: described('csspart').map(([name, description]) => ({ name, description })),
  };
  const path = 'dist/fanlight-viewer.js';
  return {
    schemaVersion: '1.0.0', readme: 'README.md',
    modules: [{
      kind: 'javascript-module', path, declarations: [declaration],
      exports: [
        { kind: 'js', name: declaration.name, declaration: { name: declaration.name, module: path } },
        {
          kind: 'custom-element-definition', name: declaration.tagName,
          declaration: { name: declaration.name, module: path },
        },
      ],
    }],
  };
}
