// What happens at the cameras: a short notice for each event, and a dialog with the last ones. Both exist only for a
// browser that may know (docs/reference/audit.md).

import type { EventDetail, FanlightViewer } from './index.ts';
import { chime } from './chime.ts';
import { h, icon } from './dom.ts';
import { isolated } from './format.ts';
import type { Language } from './language.ts';
import { pageWords } from './words/languages.ts';
import type { PageWords } from './words/languages.ts';

const MOST = 50;
const MOST_NOTICES = 3;
const NOTICE_MS = 8000;
/** How long somebody at the door waits for an answer. */
const RING_MS = 45_000;

interface Entry { detail: EventDetail; at: number }

export class Activity {
  private readonly button = document.getElementById('bell') as HTMLButtonElement;
  private readonly notices = document.getElementById('toasts')!;
  private readonly dialog = document.getElementById('activity') as HTMLDialogElement;
  private readonly list = document.getElementById('activity-list')!;
  private readonly entries: Entry[] = [];
  private unread = 0;

  /** `viewers`: the cameras that are shown now. */
  constructor(private readonly language: () => Language, private readonly viewers: Map<string, FanlightViewer>) {
    this.button.append(icon('bell'), h('span', { class: 'new', 'aria-hidden': 'true' }));
    this.button.addEventListener('click', () => {
      this.unread = 0;
      this.notices.replaceChildren();
      this.dialog.showModal();
      this.draw();
    });
    document.getElementById('activity-close')!.addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  /** A camera of the page told what happened. */
  hear(detail: EventDetail): void {
    const entry = { detail, at: detail.at ?? Date.now() };
    this.entries.unshift(entry);
    this.entries.length = Math.min(this.entries.length, MOST);
    if (detail.kind === 'doorbell') chime();
    // What this browser did itself is no news to the person in front of it.
    if (!detail.self) {
      if (this.dialog.open) this.unread = 0;
      else {
        this.unread += 1;
        this.notify(entry);
      }
    }
    this.draw();
  }

  /** Draws button and list, for example in another language. */
  draw(): void {
    const language = this.language();
    const { activity: words } = pageWords[language.tag];
    this.button.hidden = this.entries.length === 0;
    this.button.title = words.title;
    const news = language.count(this.unread, MOST);
    this.button.setAttribute('aria-label', this.unread ? words.unread(news) : words.title);
    this.button.querySelector('.new')!.textContent = this.unread ? news.text : '';
    if (!this.dialog.open) return;
    document.getElementById('activity-text')!.textContent = words.about;
    this.list.replaceChildren(...this.entries.map((it) => h(
      'li', {}, h('time', {}, language.clock(it.at)),
      h('span', {}, happeningText(it.detail, words, language), this.camera(it.detail))
    )));
  }

  private notify(entry: Entry): void {
    const language = this.language();
    const { activity, close } = pageWords[language.tag];
    const { kind, device } = entry.detail;
    const rang = kind === 'doorbell';
    const button = h('button', { type: 'button', class: 'close', 'aria-label': close }, icon('close'));
    const answer = h('button', { type: 'button', class: 'answer' }, activity.answer);
    const notice = h('div', { class: 'toast', ...(rang && { role: 'alert' }) },
      h('p', { dir: 'auto' }, happeningText(entry.detail, activity, language), this.camera(entry.detail)),
      rang ? answer : null, button);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => { timer = setTimeout(() => notice.remove(), rang ? RING_MS : NOTICE_MS); };
    // It stays while somebody reads it with the pointer or the keyboard.
    for (const type of ['pointerenter', 'focusin']) notice.addEventListener(type, () => clearTimeout(timer));
    for (const type of ['pointerleave', 'focusout']) notice.addEventListener(type, wait);
    button.onclick = () => notice.remove();
    answer.onclick = () => {
      notice.remove();
      this.answer(device);
    };
    this.notices.append(notice);
    while (this.notices.children.length > MOST_NOTICES) this.notices.firstElementChild!.remove();
    wait();
  }

  private camera({ device }: EventDetail): HTMLElement | null {
    if (this.viewers.size < 2) return null; // there is only one it can be
    return h('small', { dir: 'auto' }, this.viewers.get(device)?.label ?? device);
  }

  /** Shows the camera at whose door somebody rang, with sound, and no sound of the others. */
  private answer(device: string): void {
    const there = this.viewers.get(device);
    if (!there) return; // it was closed meanwhile
    for (const viewer of this.viewers.values()) viewer.muted = viewer !== there;
    there.scrollIntoView({ block: 'nearest' });
    void there.play();
  }
}

/** What happened, as a sentence. Pure. */
export function happeningText(it: EventDetail, words: PageWords['activity'], language: Language): string {
  const who = it.name || it.viewer ? isolated(it.name ?? it.viewer!) : words.someone;
  switch (it.kind) {
    case 'start': return words.start(who);
    case 'end': return words.end(who, language.duration((it.seconds ?? 0) * 1000));
    case 'refuse': {
      const { refused } = words;
      const reason = it.reason ?? '';
      return Object.hasOwn(refused, reason) ? refused[reason as keyof typeof refused](who) : refused.other(who);
    }
    case 'pair':
      if (it.viewer !== null) return words.paired(who);
      return it.reason === 'wrong_secret' ? words.wrongSecret : words.notPaired;
    case 'privacy': {
      const by = it.reason === 'button' ? words.button : it.viewer === null ? words.owner : who;
      return it.change === 'on' ? words.stopped(by) : words.resumed(by);
    }
    case 'snapshot': return words.snapshot(who);
    case 'doorbell': return words.rang;
    case 'list': {
      const { list } = words;
      const change = it.change ?? '';
      return Object.hasOwn(list, change) ? list[change as keyof typeof list](who) : list.rights(who);
    }
  }
}
