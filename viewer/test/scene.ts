// The picture of the fake device: a front door at dusk with a lit window above. 1280 x 720, a loop of 12 s.

const W = 1280;
const H = 720;

export function drawDoor(c: CanvasRenderingContext2D, seconds: number): void {
  const t = (seconds / 12) * 2 * Math.PI;
  const glow = 0.92 + 0.05 * Math.sin(t * 5) + 0.03 * Math.sin(t * 13);
  sky(c, t);
  house(c);
  door(c, glow);
  for (const x of [392, 888]) lamp(c, x, 356, glow, t);
  ground(c, glow);
  for (const [x, size] of [[150, 1.15], [296, 0.75], [996, 0.8], [1150, 1.2]] as const) bush(c, x, size, t);
  moths(c, t);
}

const box = (
  c: CanvasRenderingContext2D, colour: string | CanvasGradient, x: number, y: number, w: number, h: number
) => {
  c.fillStyle = colour;
  c.fillRect(x, y, w, h);
};

function fade(
  c: CanvasRenderingContext2D, from: [number, number], to: [number, number], ...stops: string[]
): CanvasGradient {
  const it = c.createLinearGradient(...from, ...to);
  stops.forEach((colour, i) => it.addColorStop(i / (stops.length - 1), colour));
  return it;
}

function shine(c: CanvasRenderingContext2D, x: number, y: number, radius: number, strength: number): void {
  const it = c.createRadialGradient(x, y, 0, x, y, radius);
  for (const [at, alpha] of [[0, 0.62], [0.25, 0.26], [0.6, 0.07], [1, 0]] as const)
    it.addColorStop(at, `rgba(255,190,90,${alpha * strength})`);
  c.fillStyle = it;
  c.fillRect(x - radius, y - radius, radius * 2, radius * 2);
}

function sky(c: CanvasRenderingContext2D, t: number): void {
  box(c, fade(c, [0, 0], [0, 420], '#16213f', '#2c3a63', '#6b5a7c', '#c98a72'), 0, 0, W, H);
  for (let i = 0; i < 46; i++) {
    const alpha = 0.25 + 0.5 * Math.abs(Math.sin(i * 1.7 + t * (1 + (i % 3))));
    box(c, `rgba(255,244,220,${alpha})`, (i * 397) % W, 70 + ((i * 211) % 190), 1.6, 1.6);
  }
}

function house(c: CanvasRenderingContext2D): void {
  box(c, '#3c3a44', 208, 100, 864, H);
  box(c, fade(c, [208, 0], [1072, 0], '#34323d', '#4a4650', '#34323d'), 208, 150, 864, H);
  c.strokeStyle = 'rgba(0,0,0,.16)';
  c.lineWidth = 2;
  for (let row = 0; row < 20; row++) {
    const y = 166 + row * 28;
    c.beginPath();
    c.moveTo(208, y);
    c.lineTo(1072, y);
    for (let x = 208 + (row % 2) * 34; x < 1072; x += 68) {
      c.moveTo(x, y);
      c.lineTo(x, y + 28);
    }
    c.stroke();
  }
  box(c, '#272631', 188, 92, 904, 62);
  box(c, '#57525c', 188, 148, 904, 8);
}

function door(c: CanvasRenderingContext2D, glow: number): void {
  box(c, '#d8cfbf', 506, 340, 268, 300);
  c.fillStyle = '#d8cfbf';
  c.beginPath();
  c.arc(640, 340, 134, Math.PI, 0);
  c.fill();
  // the fanlight
  const light = c.createRadialGradient(640, 340, 8, 640, 340, 116);
  light.addColorStop(0, '#fff3cf');
  light.addColorStop(0.5, '#ffd27a');
  light.addColorStop(1, '#f0a136');
  c.globalAlpha = glow;
  c.fillStyle = light;
  c.beginPath();
  c.arc(640, 336, 112, Math.PI, 0);
  c.fill();
  c.globalAlpha = 1;
  c.strokeStyle = '#6a5a45';
  c.lineWidth = 6;
  c.beginPath();
  for (let i = 1; i < 6; i++) {
    const angle = Math.PI + (i * Math.PI) / 6;
    c.moveTo(640 + Math.cos(angle) * 40, 336 + Math.sin(angle) * 40);
    c.lineTo(640 + Math.cos(angle) * 112, 336 + Math.sin(angle) * 112);
  }
  c.moveTo(680, 336);
  c.arc(640, 336, 40, 0, Math.PI, true);
  c.stroke();
  shine(c, 640, 300, 330, glow * 0.7);
  box(c, fade(c, [528, 0], [752, 0], '#17433f', '#1f5a54', '#17433f'), 528, 352, 224, 288);
  for (const [x, y, h] of [[548, 372, 108], [650, 372, 108], [548, 500, 118], [650, 500, 118]] as const) {
    box(c, 'rgba(0,0,0,.28)', x, y, 82, h);
    box(c, '#1c514c', x + 4, y + 4, 76, h - 6);
  }
  c.fillStyle = '#e8b64c';
  c.beginPath();
  c.arc(736, 498, 7, 0, 7);
  c.fill();
}

function lamp(c: CanvasRenderingContext2D, x: number, y: number, glow: number, t: number): void {
  shine(c, x, y + 10, 210, glow * (0.95 + 0.05 * Math.sin(t * 7 + x)));
  box(c, '#1b1a20', x - 3, y - 44, 6, 22);
  box(c, '#1b1a20', x - 20, y - 24, 40, 7);
  box(c, '#ffe3a0', x - 14, y - 17, 28, 42);
  box(c, '#1b1a20', x - 1.5, y - 17, 3, 42);
  box(c, '#1b1a20', x - 17, y + 25, 34, 6);
}

function ground(c: CanvasRenderingContext2D, glow: number): void {
  box(c, fade(c, [0, 600], [0, H], '#1d2a23', '#101813'), 0, 616, W, H);
  box(c, '#57545c', 470, 636, 340, 16);
  box(c, '#46434c', 446, 652, 388, 18);
  c.fillStyle = fade(c, [0, 668], [0, H], '#4a4339', '#2d2924');
  c.beginPath();
  c.moveTo(500, 670);
  c.lineTo(780, 670);
  c.lineTo(900, H);
  c.lineTo(380, H);
  c.fill();
  shine(c, 640, 690, 260, glow * 0.34);
}

function bush(c: CanvasRenderingContext2D, x: number, size: number, t: number): void {
  for (let i = 0; i < 90; i++) {
    // From the dark inside to the leaves in the light, the highest last.
    const out = Math.sqrt(i / 90);
    const angle = Math.PI * (1 + ((i * 0.618) % 1));
    const sway = Math.sin(t * 2 + i + x) * 2.5 * out;
    c.fillStyle = `hsl(152 ${26 + out * 4}% ${9 + out * 9 - Math.sin(angle) * 3}%)`;
    c.beginPath();
    c.arc(
      x + Math.cos(angle) * out * 104 * size + sway, 660 + Math.sin(angle) * out * 112 * size, (26 - out * 11) * size,
      0, 7
    );
    c.fill();
  }
}

function moths(c: CanvasRenderingContext2D, t: number): void {
  c.fillStyle = 'rgba(255,238,200,.85)';
  for (const [i, x] of [392, 888, 640].entries()) {
    c.beginPath();
    c.ellipse(
      x + Math.sin(t * (3 + i) + i) * 46, (i === 2 ? 250 : 350) + Math.sin(t * (5 + i)) * 34, 4,
      2.4 + Math.abs(Math.sin(t * 40)) * 2, t * 3, 0, 7
    );
    c.fill();
  }
}
