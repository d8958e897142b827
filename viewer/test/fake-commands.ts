// The commands of docs/reference/board-commands.md, as a fake device does them.

export type Json = Record<string, unknown>;
interface Control {
  name: string; type: string; min: number; max: number; step: number; default: number;
  value?: number; unit?: string; items?: { value: number; name: string }[]; inactive?: boolean;
}
type Answer = { ok: Json; file?: Uint8Array } | { error: Json };

const refused = (code: number, name: string, message: string, more: Json = {}): Answer =>
  ({ error: { code, name, message, ...more } });
const range = (name: string, min: number, max: number, value: number, more: Partial<Control> = {}): Control =>
  ({ name, type: 'integer', min, max, step: 1, default: value, value, ...more });

/** The controls of a usual webcam. */
export const WEBCAM = (): Control[] => [
  range('brightness', 0, 255, 128), range('contrast', 0, 100, 32), range('saturation', 0, 100, 64),
  { name: 'white_balance_automatic', type: 'boolean', min: 0, max: 1, step: 1, default: 1, value: 1 },
  range('white_balance_temperature', 2000, 6500, 4000, { unit: 'kelvin', inactive: true, step: 10 }),
  {
    name: 'power_line_frequency', type: 'menu', min: 0, max: 2, step: 1, default: 2, value: 1,
    items: [{ value: 0, name: 'Disabled' }, { value: 1, name: '50 Hz' }, { value: 2, name: '60 Hz' }],
  },
  {
    name: 'auto_exposure', type: 'menu', min: 0, max: 3, step: 1, default: 3, value: 3,
    items: [{ value: 1, name: 'Manual Mode' }, { value: 3, name: 'Aperture Priority Mode' }],
  },
  range('exposure_time_absolute', 3, 2047, 250, { unit: '100us', inactive: true }),
  range('focus_absolute', 0, 250, 0, { step: 5 }),
  { name: 'restore_factory_settings', type: 'button', min: 0, max: 0, step: 0, default: 0 },
];
/** A camera that turns and zooms by itself. */
export const TURNING = (): Control[] => [
  range('pan_absolute', -36_000, 36_000, 0, { unit: 'arcsec', step: 3600 }),
  range('tilt_absolute', -36_000, 36_000, 0, { unit: 'arcsec', step: 3600 }), range('zoom_absolute', 100, 500, 100),
];

export class FakeCommands {
  controls: Control[] = WEBCAM();
  privacy: Json & { on: boolean; change: number } = { on: false, change: 0, by: 'nobody' };
  /** Who talks: the viewer's name. */
  talker: string | null = null;
  /** The commands that came, the newest last. */
  readonly done: { name: string; args: Json }[] = [];
  /** Answers the commands of this name with this refusal. */
  refuse: Record<string, Json> = {};

  /** `changed`: the privacy switch has another position; `picture`: a JPEG. */
  constructor(
    private readonly rights: () => string[], private readonly changed: () => void,
    private readonly picture: (width: number, height: number) => Promise<Uint8Array>,
  ) {}

  async answer(name: string, args: Json, viewer: string): Promise<Answer> {
    this.done.push({ name, args });
    const right = {
      keyframe: 'view', snapshot: 'snapshot', 'controls.list': 'control', 'controls.get': 'control',
      'controls.set': 'control', 'privacy.set': 'control', 'talk.begin': 'talk', 'talk.end': 'talk',
    }[name];
    if (right && !this.rights().includes(right)) return refused(403, 'forbidden', `it needs the right ${right}`);
    if (this.refuse[name]) return { error: this.refuse[name] };
    switch (name) {
      case 'cameras': return { ok: {
        cameras: [{ id: 'main', health: 'ok', controls: this.controls.length > 0, size: [1280, 720] }],
        microphone: 'ok',
        speaker: 'ok', privacy: this.privacy,
      } };
      case 'stats': return { ok: {
        uptime_s: 86_400, viewers: 2, max_viewers: 8, clock: 'synced', temperature_mc: 48_312,
        video: {
          health: 'ok', encoder: 'OpenH264', size: [1280, 720], frames_per_s: 30, bitrate_bps: 1_950_000,
          frames: 108_000,
          left_out: 12,
        },
        audio: { health: 'ok', frames_per_s: 50, bitrate_bps: 64_000, frames: 180_000, left_out: 0 },
        session: {
          seconds: 61, route: 'host-prflx udp', estimate_bps: 4_200_000, round_trip_ms: 18, loss_permille: 2,
          bytes: 15_400_000, packets: 14_100, retransmitted: 9,
        },
      } };
      case 'snapshot': {
        const file = await this.picture(Number(args['width'] ?? 1280), Number(args['height'] ?? 720));
        const parts = Math.ceil(file.length / 16_384);
        return { file, ok: { camera: 'main', width: 1280, height: 720, bytes: file.length, parts, age_ms: 21 } };
      }
      case 'controls.list': return { ok: { controls: this.controls } };
      case 'controls.set': return this.set(args['values'] as Record<string, number | boolean>);
      case 'privacy.set': return this.setPrivacy(args, viewer);
      case 'talk.begin':
        if (this.talker !== null && this.talker !== viewer && args['take'] !== true) {
          const talker = { name: this.talker, seconds: 4 };
          return refused(503, 'busy', 'somebody else talks', { retry_after_ms: 1000, talker });
        }
        this.talker = viewer;
        return { ok: { silence_s: 15 } };
      case 'talk.end':
        if (this.talker === viewer) this.talker = null;
        return { ok: {} };
      case 'keyframe': return { ok: {} };
      default: return refused(404, 'unknown_command', `there is no command ${name}`);
    }
  }

  /** Somebody else stops camera and microphone. */
  stopBy(name: string): void {
    this.privacy = { on: true, change: this.privacy.change + 1, by: 'viewer', name, seconds: 0 };
    this.changed();
  }

  private set(values: Record<string, number | boolean>): Answer {
    for (const [name, value] of Object.entries(values)) {
      const it = this.controls.find((one) => one.name === name);
      if (!it) return refused(404, 'not_found', `there is no control ${name}`);
      if (it.type !== 'button' && (Number(value) < it.min || Number(value) > it.max))
        return refused(400, 'out_of_range', `${name} is possible from ${it.min} to ${it.max}`);
    }
    const now: Record<string, number> = {};
    for (const [name, value] of Object.entries(values)) {
      const it = this.controls.find((one) => one.name === name)!;
      if (it.type !== 'button') now[name] = it.value = Number(value);
      const slaves = { white_balance_automatic: 'white_balance_temperature', auto_exposure: 'exposure_time_absolute' };
      const slave = slaves[name as keyof typeof slaves];
      const other = this.controls.find((one) => one.name === slave);
      if (other) other.inactive = Number(value) === it.default;
    }
    return { ok: { values: now } };
  }

  private setPrivacy({ on, change }: Json, name: string): Answer {
    if (on === false && change !== this.privacy.change) return refused(409, 'conflict', 'the switch was changed since');
    if (on !== this.privacy.on) {
      this.privacy = { on: on === true, change: this.privacy.change + 1, by: 'viewer', name, seconds: 0 };
      this.changed();
    }
    return { ok: { privacy: this.privacy } };
  }
}
