// The languages of the viewer. To add one: its file next to these, in `board/` and in `page/`, its tag here, and a
// line in each table.

import * as boardDe from './board/de.ts';
import * as boardEn from './board/en.ts';
import * as de from './de.ts';
import * as en from './en.ts';
import * as pageDe from './page/de.ts';
import * as pageEn from './page/en.ts';

export const TAGS = ['en', 'de'] as const;
export type Tag = (typeof TAGS)[number];

export type ComponentWords = typeof en.component;
export type BoardWords = typeof boardEn.board;
export type AddressWords = typeof en.address;
export type PageWords = typeof pageEn.page;

// One table for each part, so that the component does not contain the texts of the page.
export const componentWords: Record<Tag, ComponentWords> = { en: en.component, de: de.component };
export const boardWords: Record<Tag, BoardWords> = { en: boardEn.board, de: boardDe.board };
export const addressWords: Record<Tag, AddressWords> = { en: en.address, de: de.address };
export const pageWords: Record<Tag, PageWords> = { en: pageEn.page, de: pageDe.page };
