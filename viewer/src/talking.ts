// The button to talk, the microphone behind it, and the notice of who talks.

import { h } from './dom.ts';
import type { Language } from './language.ts';
import { refusedText } from './refused.ts';
import type { Outcome } from './commands.ts';
import type { Json } from './results.ts';
import { Talk, loudness, microphoneFault } from './talk.ts';
import type { TalkEffect, TalkPlace } from './talk.ts';
import { button, label } from './view.ts';
import type { View } from './view.ts';
import type { Watch } from './watch.ts';
import { boardWords } from './words/languages.ts';

export interface TalkHost {
  readonly language: Language;
  readonly shadowRoot: ShadowRoot | null;
  /** The board takes commands. */
  readonly ready: boolean;
  /** This viewer may interrupt others. */
  readonly mayTake: boolean;
  ask(name: string, args?: Json): Promise<Outcome>;
}

const METER_MS = 80;
const NOTE_MS = 7000;

export class Talking {
  private readonly talk = new Talk();
  private readonly button = button('talk', 'microphone');
  private readonly text = h('span', { role: 'status', dir: 'auto' });
  private readonly meter = h('meter', { min: '0', max: '1', hidden: true });
  private readonly take = h('button', { type: 'button', hidden: true });
  private readonly note = h('div', { class: 'voice', hidden: true }, this.text, this.meter, this.take);
  private readonly title = h('h2', { id: 'ask-title', dir: 'auto' });
  private readonly why = h('p', { dir: 'auto' });
  private readonly yes = h('button', { type: 'button', class: 'main' });
  private readonly no = h('button', { type: 'button' });
  private readonly dialog = h('dialog', { class: 'sheet ask', part: 'question', 'aria-labelledby': 'ask-title' },
    this.title, this.why, h('div', { class: 'acts' }, this.yes, this.no));
  private watch: Watch | null = null;
  private peer: RTCPeerConnection | null = null;
  private stream: MediaStream | null = null;
  private sound: AudioContext | null = null;
  private metering: ReturnType<typeof setInterval> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private noteTimer: ReturnType<typeof setTimeout> | undefined;
  private granted = false;
  private shown = '';

  constructor(private readonly host: TalkHost, private readonly view: View) {
    const { button: it, dialog } = this;
    it.onpointerdown = (event) => {
      if (event.button !== 0) return;
      it.setPointerCapture(event.pointerId);
      this.asked(() => this.talk.press(performance.now(), this.place));
    };
    it.onpointerup = it.onpointercancel = () => this.do(() => this.talk.release(performance.now()));
    // Of the keyboard, or of a screen reader: nobody holds it.
    it.onclick = (event) => {
      if (event.detail === 0) this.asked(() => this.talk.toggle(performance.now(), this.place));
    };
    it.oncontextmenu = (event) => event.preventDefault(); // a long touch
    this.take.onclick = () => this.asked(() => this.talk.toggle(performance.now(), this.place, true));
    this.yes.onclick = () => this.understood(true);
    this.no.onclick = () => this.understood(false);
    dialog.oncancel = () => this.understood(false);
    dialog.addEventListener('keydown', (event) => event.stopPropagation());
    view.frame.addEventListener('keydown', (event) => this.key(event));
    view.frame.addEventListener('keyup', (event) => {
      if (event.key.toLowerCase() === 't') this.do(() => this.talk.release(performance.now()));
    });
  }

  /** Something changed. The button is there if the board has a loudspeaker and this viewer may use it. */
  update(watch: Watch | null, may: boolean): void {
    if (watch !== this.watch) {
      this.do(() => this.talk.leave(performance.now()));
      this.watch = watch;
      this.peer = null;
    }
    if (may !== this.button.isConnected) this.build(may);
    const peer = watch?.player.pc ?? null;
    if (peer !== this.peer) {
      this.peer = peer;
      this.do(() => this.talk.lost(performance.now()));
    }
    if (this.talk.state === 'link') this.do(() => this.talk.linked(performance.now(), this.place));
    this.draw();
  }

  speak(): void {
    this.shown = '';
    const { talk } = boardWords[this.host.language.tag];
    this.dialog.lang = this.host.language.locale;
    this.title.textContent = talk.ask.title;
    this.why.textContent = talk.ask.text;
    this.yes.textContent = talk.ask.yes;
    this.no.textContent = talk.ask.no;
    this.take.textContent = talk.take;
    this.meter.setAttribute('aria-label', talk.level);
    this.draw();
  }

  private get place(): TalkPlace {
    const { watch, granted } = this;
    // A turn is asked for in a session that is connected.
    const linked = watch !== null && watch.call.connected && watch.player.voice !== null;
    return { secure: navigator.mediaDevices !== undefined, linked, granted };
  }

  private build(may: boolean): void {
    if (!may) {
      this.do(() => this.talk.leave(performance.now()));
      for (const it of [this.button, this.note, this.dialog]) it.remove();
      return;
    }
    this.view.bar.querySelector('.sound')!.after(this.button);
    this.view.bar.before(this.note);
    this.host.shadowRoot!.append(this.dialog);
    this.speak();
    navigator.permissions?.query({ name: 'microphone' as PermissionName }).then((it) => {
      const follow = () => { this.granted = it.state === 'granted'; };
      it.onchange = follow;
      follow();
    }).catch(() => {}); // a browser that does not tell it is explained each time
  }

  private key(event: KeyboardEvent): void {
    if (event.key.toLowerCase() !== 't' || event.defaultPrevented) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.button.isConnected || !this.view.frame.classList.contains('controls')) return;
    event.preventDefault();
    if (!event.repeat) this.asked(() => this.talk.press(performance.now(), this.place));
  }

  private understood(yes: boolean): void {
    this.do(() => this.talk.understood(yes, performance.now()));
  }

  /** Does what a person asks. A notice that was read before comes again. */
  private asked(step: () => void): void {
    this.shown = '';
    this.do(step);
  }

  /** Changes the talk, and then runs all effects. */
  private do(step: () => void): void {
    const now = performance.now();
    step();
    for (const effect of this.talk.effectsNow()) this.run(effect);
    clearTimeout(this.timer);
    const next = this.talk.nextWake();
    if (next !== null)
      this.timer = setTimeout(() => this.do(() => this.talk.wake(performance.now())), Math.max(0, next - now));
    this.draw();
  }

  private run(effect: TalkEffect): void {
    const voice = this.watch?.player.voice;
    switch (effect.do) {
      case 'link': this.watch?.relink(); break;
      case 'open': void this.openMicrophone(); break;
      case 'begin': void this.begin(effect.take); break;
      case 'send': void voice?.replaceTrack(this.stream?.getAudioTracks()[0] ?? null).catch(() => {}); break;
      case 'mute': void voice?.replaceTrack(null).catch(() => {}); break;
      case 'end': if (this.host.ready && this.watch) void this.host.ask('talk.end'); break;
      case 'close': this.closeMicrophone(); break;
    }
  }

  private async begin(take: boolean): Promise<void> {
    const { watch } = this;
    const it = this.host.ready ? await this.host.ask('talk.begin', take ? { take } : {}) : null;
    if (watch !== this.watch) return;
    this.do(() => this.talk.begun(it && 'error' in it ? it.error : null, performance.now()));
  }

  private async openMicrophone(): Promise<void> {
    try {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      const stream = await navigator.mediaDevices.getUserMedia({ audio });
      this.closeMicrophone();
      this.stream = stream;
      this.granted = true;
      stream.getAudioTracks()[0]!.onended = () => this.do(() => {
        this.talk.stop(performance.now());
        this.talk.fault = 'failed';
      });
      this.measure(stream);
      this.do(() => this.talk.opened(null, performance.now()));
    } catch (error) {
      this.do(() => this.talk.opened(microphoneFault((error as Error).name), performance.now()));
    }
  }

  private measure(stream: MediaStream): void {
    this.sound = new AudioContext();
    const analyser = new AnalyserNode(this.sound, { fftSize: 512 });
    this.sound.createMediaStreamSource(stream).connect(analyser);
    const samples = new Uint8Array(analyser.fftSize);
    this.metering = setInterval(() => {
      if (this.talk.state !== 'on') return;
      analyser.getByteTimeDomainData(samples);
      this.meter.value = loudness(samples);
    }, METER_MS);
  }

  private closeMicrophone(): void {
    clearInterval(this.metering);
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    void this.sound?.close();
    this.stream = this.sound = null;
  }

  private draw(): void {
    const { talk } = this;
    const words = boardWords[this.host.language.tag];
    const ago = (seconds: number) => this.host.language.ago(seconds * 1000);
    const on = talk.state === 'on';
    const waits = talk.state === 'link' || talk.state === 'open' || talk.state === 'turn';
    const who = talk.other && (talk.other.name === null ? words.talk.someone(ago(talk.other.seconds))
      : words.talk.other(talk.other.name, ago(talk.other.seconds)));
    const said = on ? words.talk.live : waits ? words.talk.waits
      : who ?? (talk.refused ? refusedText(talk.refused, words) : talk.fault ? words.talk[talk.fault] : '');
    if ((talk.state === 'explain') !== this.dialog.open && this.dialog.isConnected) {
      if (talk.state === 'explain') this.dialog.showModal();
      else this.dialog.close();
    }
    const shown = JSON.stringify([said, talk.state, this.host.language.locale, this.host.mayTake]);
    if (shown === this.shown) return;
    this.shown = shown;
    label(this.button, 'microphone', on ? words.talk.end : words.talk.button, 't');
    this.button.setAttribute('aria-pressed', String(on));
    this.button.setAttribute('aria-description', words.talk.how);
    if (!on) this.button.title = words.talk.how;
    this.button.dataset['is'] = talk.state;
    this.text.textContent = said;
    this.meter.hidden = !on;
    this.take.hidden = !talk.other || !this.host.mayTake;
    this.note.hidden = said === '';
    this.note.classList.toggle('on', on);
    clearTimeout(this.noteTimer);
    // Hide an error after some seconds: it has been read by then.
    if (said && !on && !waits) this.noteTimer = setTimeout(() => { this.note.hidden = true; }, NOTE_MS);
  }
}
