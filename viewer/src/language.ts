// The language of a viewer or a page: `lang` of the element or an ancestor, else the browser's languages.

import { Format } from './format.ts';
import { TAGS } from './words/languages.ts';
import type { Tag } from './words/languages.ts';

/** A language with texts, and its regional form for numbers (`de` and `de-CH`). */
export class Language extends Format {
  constructor(readonly tag: Tag, locale: string) {
    super(locale);
  }
}

/** The first of these languages that has texts (BCP 47 lookup, RFC 4647 section 3.4); else English. */
export function languageAmong(wanted: readonly string[]): Language {
  for (const one of wanted) {
    for (let range = one.toLowerCase(); range; range = range.slice(0, Math.max(0, range.lastIndexOf('-')))) {
      const tag = TAGS.find((known) => known === range);
      if (tag) return new Language(tag, localeOf(one) ?? tag);
    }
  }
  return new Language('en', 'en');
}

/** A language tag as `Intl` accepts it; null if it is malformed. */
function localeOf(tag: string): string | null {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? null;
  } catch {
    return null;
  }
}

/**
 * The `lang` of an element: its own or that of the nearest ancestor, also outside of shadow trees. Empty if there is
 * none.
 */
export function langOf(element: Element): string {
  for (let at: Element | null = element; at;) {
    const near: Element | null = at.closest('[lang]');
    if (near) return near.getAttribute('lang')!.trim();
    const root: Node = at.getRootNode();
    at = root instanceof ShadowRoot ? root.host : null;
  }
  return '';
}

/** The language of an element: its `lang`, else that of the document, else that of the browser. */
export const languageOf = (element: Element): Language =>
  languageAmong([langOf(element), document.documentElement.lang, ...navigator.languages]);

const followers = new Set<() => void>();
let observer: MutationObserver | undefined;
const tell = (): void => {
  for (const follower of [...followers]) follower();
};

/** Calls `changed` when the language of an element may have changed, until the returned function is called. */
export function followLanguage(element: Element, changed: () => void): () => void {
  if (!observer) addEventListener('languagechange', tell);
  observer ??= new MutationObserver(tell);
  followers.add(changed);
  for (let root: Node | null = element.getRootNode(); root; root = root instanceof ShadowRoot
    ? root.host.getRootNode()
    : null) {
    observer.observe(root, { subtree: true, attributes: true, attributeFilter: ['lang'] });
  }
  return () => {
    followers.delete(changed);
    if (followers.size) return;
    observer?.disconnect();
    observer = undefined;
    removeEventListener('languagechange', tell);
  };
}
