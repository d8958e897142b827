// The dialog that asks where the broker is and who one is there.

import { brokerOrigin, brokerUrl } from './address.ts';
import type { Config } from './settings.ts';
import { clean } from './texts.ts';

export type Question = 'login' | 'address';
export interface Typed { broker: string; root: string; device: string; user: string; password: string; remember: boolean }

export interface Asked {
  config: Config;
  remembered: boolean;
  /** The broker comes from the address of the page, which anybody may have written. */
  fromAddress: boolean;
  /** What is wrong with what is set. */
  wrong?: string;
}

export class ConnectDialog {
  private readonly dialog = document.getElementById('dialog') as HTMLDialogElement;
  private readonly form = document.getElementById('connect') as HTMLFormElement;
  private readonly wrong = document.getElementById('wrong')!;
  private readonly warning = document.getElementById('warning')!;
  /** The broker that the password in the form is meant for. */
  private meant: string | null = null;

  constructor(private readonly page: string, done: (typed: Typed) => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      const typed = this.typed();
      try {
        brokerUrl(typed.broker, page);
      } catch (error) {
        this.wrong.textContent = (error as Error).message;
        this.field('broker').focus();
        return;
      }
      this.close();
      done(typed);
    });
    // A password that was filled in for one broker must not go to another one.
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
    document.getElementById('connect-title')!.textContent = login ? 'Log in' : broker ? 'Change the connection' : 'Connect to a broker';
    document.getElementById('connect-text')!.textContent = login
      ? `User and password are sent to the broker at ${place} and to nobody else.`
      : 'The cameras and this page meet at an MQTT broker, reached by WebSocket.';
    this.warning.hidden = !fromAddress;
    this.warning.textContent = fromAddress ? `The link that you opened names the broker ${clean(place, 80)}. Give a password only if you know that broker.` : '';
    for (const key of ['broker', 'root', 'device', 'user'] as const) this.field(key).value = config[key] ?? '';
    this.field('password').value = '';
    // A browser fills in passwords by the page's address: not for a broker that somebody else named.
    this.field('password').autocomplete = fromAddress ? 'new-password' : 'current-password';
    this.field('remember').checked = remembered;
    this.field('broker').readOnly = login;
    this.form.querySelector('details')!.open = !login && (!!config.root || (config.device ?? '').includes(','));
    this.meant = origin;
    this.wrong.textContent = wrong ?? '';
    if (!this.dialog.open) this.dialog.showModal();
    const first = login ? (config.user ? 'password' : 'user') : 'broker';
    this.field(first).focus();
  }

  close(): void {
    this.dialog.close();
  }

  private typed(): Typed {
    const text = (key: string) => this.field(key).value;
    return { broker: text('broker').trim(), root: text('root').trim(), device: text('device').trim(), user: text('user').trim(), password: text('password'), remember: this.field('remember').checked };
  }

  private field(name: string): HTMLInputElement {
    return this.form.elements.namedItem(name) as HTMLInputElement;
  }
}
