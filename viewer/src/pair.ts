// The dialog that pairs this browser with a camera, by a link of the camera's owner.

import { PairingError, expectDevice, invitationOf, pairDevice } from './index.ts';
import type { Invitation, PairFault, PairedDevice } from './index.ts';
import type { Language } from './language.ts';
import { browserOf } from './trust/place.ts';
import { pageWords } from './words/languages.ts';

/** The page around the dialog. */
export interface PairHost {
  language(): Language;
  /** The login that is known for this broker. */
  login(broker: string): { user: string; password: string } | null;
  keepLogin(broker: string, user: string, password: string, remember: boolean): void;
  paired(board: PairedDevice): void;
}

/** These do not change by trying again. */
const FINAL: PairFault[] = ['link', 'insecure', 'no_store'];

export class PairDialog {
  private readonly dialog = document.getElementById('pairing') as HTMLDialogElement;
  private readonly form = this.dialog.querySelector('form')!;
  private link = '';
  private invitation: Invitation | null = null;
  private running: AbortController | null = null;

  constructor(private readonly host: PairHost) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.pair();
    });
    this.part('pairing-cancel').addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('close', () => {
      this.running?.abort();
      this.link = '';
      this.invitation = null;
      this.field('password').value = '';
    });
  }

  /** Asks whether to pair by this link. */
  ask(link: string): void {
    this.link = link;
    this.invitation = invitationOf(link);
    if (this.invitation) expectDevice(this.invitation);
    const { browser, system } = browserOf(navigator.userAgent);
    const { pairing } = this.words;
    const self = browser && system ? pairing.browser(browser, system) : browser ?? system ?? pairing.thisBrowser;
    this.field('self').value = self;
    this.showLogin(false);
    if (!this.dialog.open) this.dialog.showModal();
    if (!this.invitation) return this.draw(new PairingError('link'));
    this.draw();
    this.form.querySelector<HTMLElement>('[type=submit]')!.focus(); // no keyboard on phones, unless it is asked for
  }

  private async pair(): Promise<void> {
    const { invitation, link } = this;
    if (!invitation || this.running) return;
    const { broker } = invitation;
    const asked = !this.part('pairing-login').hidden;
    const login = asked
      ? { user: this.field('user').value.trim(), password: this.field('password').value }
      : this.host.login(broker);
    const running = this.running = new AbortController();
    try {
      const board = await pairDevice(link, {
        name: this.field('self').value.trim() || this.words.pairing.thisBrowser, ...login, signal: running.signal,
        lang: this.host.language().locale, progress: (step) => this.draw(step),
      });
      if (asked && login) this.host.keepLogin(broker, login.user, login.password, this.field('remember').checked);
      this.running = null;
      this.dialog.close();
      this.host.paired(board);
    } catch (error) {
      this.running = null;
      if (!(error instanceof PairingError)) throw error;
      if (error.why === 'stopped') return;
      if (error.login) this.showLogin(true);
      this.draw(error);
    }
  }

  /** Writes what is going on: nothing yet, a step, or a failure. */
  private draw(at: 'broker' | 'device' | 'answer' | PairingError | null = null): void {
    const { fixed, pairing } = this.words;
    const { invitation } = this;
    const failed = at instanceof PairingError ? at : null;
    const final = failed !== null && FINAL.includes(failed.why);
    this.part('pairing-title').textContent = pairing.title;
    this.part('pairing-text').textContent = invitation
      ? pairing.about(invitation.device, new URL(invitation.broker).host)
      : '';
    this.part('pairing-self').hidden = final;
    this.part('pairing-state').textContent = at === null || failed ? '' : pairing.steps[at as 'broker'];
    const said = failed && (failed.trouble ?? pairing.faults[failed.why]);
    this.part('pairing-wrong').textContent = said ? `${said.title}. ${said.text}` : '';
    const submit = this.form.querySelector<HTMLButtonElement>('[type=submit]')!;
    submit.textContent = failed ? pairing.again : fixed.pair;
    submit.hidden = final;
    submit.disabled = this.field('self').readOnly = at !== null && !failed;
    this.part('pairing-cancel').textContent = final ? fixed.done : fixed.cancel;
  }

  private showLogin(yes: boolean): void {
    this.part('pairing-login').hidden = !yes;
  }

  private get words() {
    return pageWords[this.host.language().tag];
  }

  private part(id: string): HTMLElement {
    return document.getElementById(id)!;
  }

  private field(name: string): HTMLInputElement {
    return this.form.elements.namedItem(name) as HTMLInputElement;
  }
}
