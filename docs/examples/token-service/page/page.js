// Shows the cameras of the person who is logged in. The component asks `tokens` whenever it needs a token.
import '/fanlight-viewer.js';

const loginLink = document.querySelector('a');
const logout = document.getElementById('logout');

/** The cookie of the login goes along, because the service is on this origin. */
async function tokens({ device, key, signal }) {
  const answer = await fetch('/token', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ device, key }), signal,
  });
  if (answer.ok) return answer.text();
  // The viewer then says that a person has to do something, and does not try again by itself.
  if (answer.status === 401) loginLink.hidden = false;
  const said = await answer.text();
  throw answer.status === 401 || answer.status === 403 ? new DOMException(said, 'NotAllowedError') : new Error(said);
}

logout.addEventListener('click', async () => {
  await fetch('/logout', { method: 'POST', headers: { 'content-type': 'application/json' } });
  location.reload();
});

const answer = await fetch('/boards');
if (answer.ok) {
  loginLink.hidden = true;
  logout.hidden = false;
  for (const { device, name, thumb, broker, root } of await answer.json()) {
    const viewer = document.createElement('fanlight-viewer');
    Object.assign(viewer, { broker, device, thumb, tokens, controls: true });
    if (root) viewer.root = root;
    if (name) viewer.name = name;
    document.querySelector('main').append(viewer);
  }
}
