// Elements and icons without markup in strings, so that the content security policy needs only `self`.

type Child = Node | string | null;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string | boolean> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const it = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) it.setAttribute(name, '');
    else if (value !== false) it.setAttribute(name, value);
  }
  it.append(...children.filter((child): child is Node | string => child !== null));
  return it;
}

// 24 x 24, with round lines of width 1.75.
const paths = {
  play: 'M8 5.5v13l11-6.5z',
  stop: 'M7 7h10v10H7z',
  sound: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11',
  muted: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5',
  snapshot:
    'M4 8.5A1.5 1.5 0 0 1 5.5 7h2L9 4.8h6L16.500 7h2A1.500 1.500 0 0 1 20 8.500v9a1.500 1.500 0 0 1-1.500'
    + ' 1.500h-13A1.500 1.500 0 0 1 4 17.500zM12 9.500a3.250 3.250 0 1 0 0 6.500 3.250 3.250 0 0 0 0-6.500z',
  stats: 'M5 19v-6M10 19V9M15 19v-8M20 19V5',
  full: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  small: 'M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5',
  float:
    'M20 12V6.500A1.500 1.500 0 0 0 18.500 5h-13A1.500 1.500 0 0 0 4 6.500v11A1.500 1.500 0 0 0 5.500 19H9'
    + 'M13 14h7v5h-7z',
  frozen: 'M9 6v12M15 6v12',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.300 15.300 20 20',
  close: 'M6 6l12 12M18 6L6 18',
  bell: 'M6.500 16.500V11a5.500 5.500 0 0 1 11 0v5.500l1.500 1.500H5zM10 20.500a2.200 2.200 0 0 0 4 0',
  key:
    'M14.500 14a4.500 4.500 0 1 0-4.300-3.200L4 17v3h3v-2h2v-2h2l1.300-1.300a4.500 4.500 0 0 0 2.200.3z'
    + 'M15.500 8.500v.1',
  retry: 'M19.500 12a7.500 7.500 0 1 1-2.200-5.300L20 9.300M20 4.500v4.800h-4.800',
  warning: 'M12 4 2.800 19.500h18.400zM12 10v4.500M12 17v.1',
  offline:
    'M3 3l18 18M5 12.500a10 10 0 0 1 4.200-2.400M13.500 9.900a10 10 0 0 1 5.500 2.600M8.500 16a5 5 0 0 1 7 0'
    + 'M2 9a15 15 0 0 1 4.500-2.900M11 5a15 15 0 0 1 11 4M12 19.500v.1',
  camera:
    'M3.500 8A1.500 1.500 0 0 1 5 6.500h9A1.500 1.500 0 0 1 15.500 8v8a1.500 1.500 0 0 1-1.500 1.500H5A1.500'
    + ' 1.500 0 0 1 3.500 16zM15.500 10.800l5-2.800v8l-5-2.800',
  noCamera:
    'M3 3l18 18M9 6.500h5A1.500 1.500 0 0 1 15.500 8v4M15.500 10.800l5-2.800v8l-3-1.700'
    + 'M15.300 16.800a1.500 1.500 0 0 1-1.300.7H5A1.500 1.500 0 0 1 3.500 16V8c0-.6.3-1.100.8-1.300',
  privacy: 'M12 3.500l7 2.500v5.500c0 4.200-2.900 7.300-7 9-4.100-1.700-7-4.800-7-9V6zM9 12l2.200 2.200L15.200 10',
  hourglass: 'M7 4h10M7 20h10M8 4v3.500L12 12l4-4.500V4M8 20v-3.500L12 12l4 4.500V20',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  settings: 'M4 7h9M17 7h3M4 12h3M11 12h9M4 17h7M15 17h5M15 5v4M9 10v4M13 15v4',
  microphone: 'M12 14.500a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3zM6 11.500a6 6 0 0 0 12 0M12 17.500V21M9 21h6',
  people:
    'M9 11.500a3.250 3.250 0 1 0 0-6.500 3.250 3.250 0 0 0 0 6.500zM3 19c.3-3.200 2.800-5 6-5s5.700 1.800 6 5'
    + 'M16 5.300a3.250 3.250 0 0 1 0 5.900M18 14.400c1.700.8 2.800 2.400 3 4.600',
};
export type Icon = keyof typeof paths;

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [key, value] of Object.entries({
    viewBox: '0 0 24 24', width: '24', height: '24', fill: 'none', stroke: 'currentColor', 'stroke-width': '1.75',
    'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true', focusable: 'false',
  })) svg.setAttribute(key, value);
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', paths[name]);
  if (name === 'play' || name === 'stop') path.setAttribute('fill', 'currentColor');
  svg.append(path);
  return svg;
}
