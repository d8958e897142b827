// Who may watch what: the file rights.json, and the claims that a login brought. Pure, except for reading the file.

import { readFileSync } from 'node:fs';

const RIGHTS = ['view', 'listen', 'talk', 'control', 'snapshot', 'record', 'events'];

/** Reads the file. Throws if it cannot be used. */
export function readRights(file) {
  const { boards, grants } = JSON.parse(readFileSync(file, 'utf8'));
  const wrong = (what) => { throw new Error(`${file}: ${what}`); };
  for (const [device, it] of Object.entries(boards)) {
    if (!/^[\w-]{1,64}$/.test(device)) wrong(`"${device}" is not the id of a board`);
    if (!/^[\w-]{43}$/.test(it.thumb ?? '')) wrong(`board "${device}": "thumb" is not the thumbprint of a key`);
    if (typeof it.broker !== 'string') wrong(`board "${device}": "broker" is missing`);
  }
  for (const grant of grants) {
    for (const it of ['claim', 'value']) if (typeof grant[it] !== 'string') wrong(`a grant has no "${it}"`);
    for (const it of grant.boards) if (it !== '*' && !boards[it]) wrong(`a grant names the unknown board "${it}"`);
    for (const it of grant.rights) if (!RIGHTS.includes(it)) wrong(`a grant names the unknown right "${it}"`);
  }
  return { boards, grants };
}

/** What a person may do on a board. An address of mail counts only if the provider has verified it. */
export function rightsOn({ boards, grants }, device, person) {
  if (!Object.hasOwn(boards, device)) return [];
  const matches = ({ claim, value }) => (claim !== 'email' || person.email_verified === true)
    && [Object.hasOwn(person, claim) ? person[claim] : []].flat().includes(value);
  const found = grants.filter((it) => (it.boards.includes('*') || it.boards.includes(device)) && matches(it));
  return RIGHTS.filter((right) => found.some(({ rights }) => rights.includes(right)));
}
