// The attributes of the component, each with a property of the same name.

import { base64url, isId } from './protocol.ts';
import type { Target } from './target.ts';
import type { TokenSource } from './trust/tokens.ts';

/** The attributes that determine the call: which device, which broker and login, which mode, with keys or not. */
export const TARGET = ['broker', 'root', 'device', 'viewer', 'user', 'password', 'mode', 'keys', 'thumb'];
export const ATTRIBUTES = [...TARGET, 'name', 'poster', 'muted', 'controls', 'stats', 'manual', 'keep-playing'];

/** If a server renders the page there are no elements, and the class is never instantiated. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** Properties that reflect attributes. */
export abstract class ViewerAttributes extends Base {
  private secret: string | null = null;
  private source: TokenSource | null = null;

  /** `ws://…`, `wss://…`, or a path on the page's own host such as `/mqtt`. */
  get broker(): string { return this.getAttribute('broker') ?? ''; }
  set broker(value: string) { this.setAttribute('broker', value); }
  /** The id of the device. */
  get device(): string { return this.getAttribute('device') ?? ''; }
  set device(value: string) { this.setAttribute('device', value); }
  /** The topic root; without one `fanlight/v1`. */
  get root(): string { return this.getAttribute('root') || 'fanlight/v1'; }
  set root(value: string) { this.setAttribute('root', value); }
  /** The broker login. */
  get user(): string { return this.getAttribute('user') ?? ''; }
  set user(value: string) { this.setAttribute('user', value); }
  /** The broker's password. Set as a property it does not show in the page's tree. */
  get password(): string { return this.secret ?? this.getAttribute('password') ?? ''; }
  set password(value: string) { this.secret = value; this.targetChanged(); }
  /**
   * The viewer's id. If the broker checks it, it must be the broker login. Default: the `user`, or a random id kept for
   * the tab.
   */
  get viewer(): string { return this.getAttribute('viewer') || (isId(this.user) ? this.user : ownId()); }
  set viewer(value: string) { this.setAttribute('viewer', value); }
  /** `offer`: the browser makes the offer; `request`: the device makes it. */
  get mode(): 'offer' | 'request' { return this.getAttribute('mode') === 'request' ? 'request' : 'offer'; }
  set mode(value: 'offer' | 'request') { this.setAttribute('mode', value); }
  /** @internal */
  protected get target(): Target {
    const { broker, root, device, viewer, user, password, keys, thumb } = this;
    return { broker, root, device, viewer, user, password, keys, thumb };
  }
  /** Speaks to paired cameras only: never in plain JSON, and nothing plain is believed. */
  get keys(): boolean { return this.hasAttribute('keys'); }
  set keys(value: boolean) { this.toggleAttribute('keys', !!value); }
  /** The thumbprint of the device's key. Without one, it must be paired to be known. */
  get thumb(): string { return this.getAttribute('thumb') ?? ''; }
  set thumb(value: string) { this.setAttribute('thumb', value); }
  /** Fetches access tokens from the page's login service; null: the device has this viewer on its list. */
  get tokens(): TokenSource | null { return this.source; }
  set tokens(value: TokenSource | null) {
    this.source = typeof value === 'function' ? value : null;
    this.targetChanged();
  }
  /** The name of the camera. Default: the name that the device reports, or its id. */
  get name(): string { return this.getAttribute('name') ?? ''; }
  set name(value: string) { this.setAttribute('name', value); }
  /** The address of an image that is shown before the first picture. */
  get poster(): string { return this.getAttribute('poster') ?? ''; }
  set poster(value: string) { this.setAttribute('poster', value); }
  /** Without sound. */
  get muted(): boolean { return this.hasAttribute('muted'); }
  set muted(value: boolean) { this.toggleAttribute('muted', !!value); }
  /** Shows the buttons and reacts to keys. */
  get controls(): boolean { return this.hasAttribute('controls'); }
  set controls(value: boolean) { this.toggleAttribute('controls', !!value); }
  /** Shows the statistics. */
  get stats(): boolean { return this.hasAttribute('stats'); }
  set stats(value: boolean) { this.toggleAttribute('stats', !!value); }
  /** Waits for `play()` or a click instead of starting by itself. */
  get manual(): boolean { return this.hasAttribute('manual'); }
  set manual(value: boolean) { this.toggleAttribute('manual', !!value); }
  /** Continues while nobody can see it: in a hidden tab, or scrolled out of sight. */
  get keepPlaying(): boolean { return this.hasAttribute('keep-playing'); }
  set keepPlaying(value: boolean) { this.toggleAttribute('keep-playing', !!value); }

  /** @internal */
  protected abstract targetChanged(): void;

  /** Properties set before the class was defined hide those of the class, so they are set again. @internal */
  protected takeEarly(names: readonly string[]): void {
    for (const name of names) {
      if (!Object.prototype.hasOwnProperty.call(this, name)) continue;
      const it = this as unknown as Record<string, unknown>;
      const value = it[name];
      delete it[name];
      it[name] = value;
    }
  }
}

/** The property of an attribute: `keep-playing` is `keepPlaying`. */
export const propertyOf = (attribute: string): string =>
  attribute.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** A random id for this tab. It survives a reload. */
function ownId(): string {
  const make = () => `web-${base64url(crypto.getRandomValues(new Uint8Array(9)))}`;
  try {
    const kept = sessionStorage.getItem('fanlight-viewer');
    if (kept && isId(kept)) return kept;
    const made = make();
    sessionStorage.setItem('fanlight-viewer', made);
    return made;
  } catch {
    return (passing ??= make()); // storage is not available
  }
}
let passing: string | undefined;
