// Finds layout faults of a page: texts and controls that overlap, are cut off, or lie outside.
// `page.evaluate(layoutFaults)`

/** Runs in the page, including the shadow trees of viewers. Returns a sentence for each fault. */
export function layoutFaults() {
  const faults = [];
  const inside = [...document.querySelectorAll('fanlight-viewer')]
    .map((it) => it.shadowRoot.querySelector('dialog:modal'));
  const scope = document.querySelector('dialog:modal') ?? inside.find((it) => it) ?? document.body;
  const roots = [scope, ...[...scope.querySelectorAll('fanlight-viewer')].map((it) => it.shadowRoot)];
  const parent = (it) => it.parentElement ?? (it.parentNode instanceof ShadowRoot ? it.parentNode.host : null);
  const up = (it, wanted) => { for (let at = it; at; at = parent(at)) if (wanted(at)) return at; return null; };
  const isRead = (it) =>
    it.matches('button, a, input, summary')
      || [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  // Elements for screen readers only, and hidden controls.
  const isUnseen = (it) =>
    up(
      it,
      (at) => {
        const { opacity, clipPath } = getComputedStyle(at);
        return Number(opacity) === 0 || clipPath === 'inset(50%)' || at.matches('noscript, script, .skip:not(:focus)');
      }
    );
  const scrolls = (it) =>
    up(
      parent(it),
      (at) =>
        /auto|scroll/.test(getComputedStyle(at).overflow)
          && (at.scrollWidth > at.clientWidth + 1 || at.scrollHeight > at.clientHeight + 1)
    );
  const name = (it) =>
    `${it.tagName.toLowerCase()}${it.className && typeof it.className === 'string'
      ? `.${it.className.replace(/ /g, '.')}`
      : ''} "${(it.textContent.trim() || it.title || it.name || '').slice(0, 40)}"`;
  const all = roots.flatMap((root) => [...root.querySelectorAll('*')])
    .filter(
      (it) =>
        it instanceof HTMLElement && isRead(it) && it.checkVisibility({ visibilityProperty: true }) && !isUnseen(it)
    );
  const boxes = all.map((it) => ({ it, box: it.getBoundingClientRect() })).filter(
    ({ box }) => box.width > 0 && box.height > 0
  );

  if (document.documentElement.scrollWidth > innerWidth)
    faults.push(`the page is ${document.documentElement.scrollWidth - innerWidth} px too wide`);
  for (const { it, box } of boxes) {
    const { overflowX, textOverflow, webkitLineClamp } = getComputedStyle(it);
    const cut = up(it, (at) => getComputedStyle(at).textOverflow === 'ellipsis');
    if (it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0 && !it.matches('input') && textOverflow !== 'ellipsis'
      && webkitLineClamp === 'none')
      faults.push(`${name(it)} overflows (${overflowX}): ${it.scrollWidth} in ${it.clientWidth}`);
    if (scrolls(it) || cut) continue;
    const around = it.getRootNode() instanceof ShadowRoot && !it.closest('dialog')
      ? it.getRootNode().host.getBoundingClientRect()
      : { left: 0, right: innerWidth, top: 0, bottom: innerHeight };
    if (box.left < around.left - 1 || box.right > around.right + 1 || box.top < around.top - 1
      || box.bottom > around.bottom + 1) {
      faults.push(
        `${name(it)} lies outside: ${[box.left, box.right, box.top, box.bottom].map(
          Math.round
        )} in ${[around.left, around.right, around.top, around.bottom].map(Math.round)}`
      );
    }
  }
  // The statistics may cover the panel in the middle.
  const layer = (it) => (it.closest('.stats') ? 'stats' : it.closest('.panel, .still') ? 'words' : 'rest');
  for (const [i, a] of boxes.entries()) {
    for (const b of boxes.slice(i + 1)) {
      if (up(a.it, (at) => at === b.it) || up(b.it, (at) => at === a.it) || scrolls(a.it) || scrolls(b.it)) continue;
      if ([layer(a.it), layer(b.it)].sort().join() === 'stats,words') continue;
      const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      if (wide > 2 && high > 2)
        faults.push(`${name(a.it)} and ${name(b.it)} overlap by ${Math.round(wide)} x ${Math.round(high)}`);
    }
  }
  return faults;
}
