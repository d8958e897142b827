// The dialog that asks for the broker and the login.

import { addressFault, brokerOrigin, brokerUrl } from './address.ts';
import type { Language } from './language.ts';
import type { Config } from './settings.ts';
import { clean } from './texts.ts';
import { addressWords, pageWords } from './words/languages.ts';

export type Question = 'login' | 'address';
export interface Typed {
  broker: string;
  root: string;
  device: string;
  user: string;
  password: string;
  remember: boolean;
}

export interface Asked {
  config: Config;
  remembered: boolean;
  /** The broker comes from the page's address, which anybody may have written. */
  fromAddress: boolean;
  /** Why the current settings are wrong. */
  wrong: string;
}

export class ConnectDialog {
  private readonly dialog = document.getElementById('dialog') as HTMLDialogElement;
  private readonly form = document.getElementById('connect') as HTMLFormElement;
  private readonly wrong = document.getElementById('wrong')!;
  private readonly warning = document.getElementById('warning')!;
  /** The broker for which the password in the form was entered. */
  private meant: string | null = null;
  private about = { login: false, broker: '', place: '', fromAddress: false };

  constructor(private readonly page: string, private readonly language: () => Language, done: (typed: Typed) => void,
    pair: (link: string) => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      const typed = this.typed();
      // A pairing link names the broker too.
      if (typed.broker.includes('#p=')) {
        this.close();
        return pair(typed.broker);
      }
      try {
        brokerUrl(typed.broker, page);
      } catch (error) {
        this.wrong.textContent = addressFault(error, addressWords[this.language().tag]);
        this.field('broker').focus();
        return;
      }
      this.close();
      done(typed);
    });
    // A password entered for one broker must not be sent to another.
    this.field('broker').addEventListener('change', () => {
      const origin = brokerOrigin(this.field('broker').value, page);
      if (this.meant !== null && origin !== this.meant) this.field('password').value = '';
      this.meant = origin;
    });
    document.getElementById('cancel')!.addEventListener('click', () => this.close());
    this.dialog.addEventListener('close', () => { this.field('password').value = ''; });
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.close(); });
  }

  get open(): boolean {
    return this.dialog.open;
  }

  ask(question: Question, { config, remembered, fromAddress, wrong }: Asked): void {
    const { broker = '' } = config;
    const origin = brokerOrigin(broker, this.page);
    const login = question === 'login' && origin !== null;
    const place = origin === null ? broker : new URL(origin).host;
    this.about = { login, broker, place, fromAddress };
    this.draw();
    for (const key of ['broker', 'root', 'device', 'user'] as const) this.field(key).value = config[key] ?? '';
    this.field('password').value = '';
    // A browser fills in passwords by the page's address, which is wrong for a broker that somebody else named.
    this.field('password').autocomplete = fromAddress ? 'new-password' : 'current-password';
    this.field('remember').checked = remembered;
    this.field('broker').readOnly = login;
    this.form.querySelector('details')!.open = !login && (!!config.root || (config.device ?? '').includes(','));
    this.meant = origin;
    this.wrong.textContent = wrong;
    if (!this.dialog.open) this.dialog.showModal();
    const first = login ? (config.user ? 'password' : 'user') : 'broker';
    this.field(first).focus();
  }

  close(): void {
    this.dialog.close();
  }

  /** Writes the texts of the dialog in the current language. */
  draw(): void {
    const { login, broker, place, fromAddress } = this.about;
    const words = pageWords[this.language().tag].dialog;
    document.getElementById('connect-title')!.textContent = login ? words.logIn : broker ? words.change : words.connect;
    document.getElementById('connect-text')!.textContent = login ? words.sentTo(place) : words.meet;
    this.warning.hidden = !fromAddress;
    this.warning.textContent = fromAddress ? words.fromLink(clean(place, 80)) : '';
  }

  private typed(): Typed {
    const text = (key: string) => this.field(key).value;
    return {
      broker: text('broker').trim(), root: text('root').trim(), device: text('device').trim(),
      user: text('user').trim(), password: text('password'), remember: this.field('remember').checked,
    };
  }

  private field(name: string): HTMLInputElement {
    return this.form.elements.namedItem(name) as HTMLInputElement;
  }
}
