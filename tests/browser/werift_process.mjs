// A viewer by werift in another network namespace: a program for itself. It watches until it is stopped, and says each second
// what has come, as JSON. Its one argument is JSON, too: `url` of the broker, `name`, `calls` (offer or request), `servers`.

import { Viewer } from './werift_viewer.mjs';

const { url, name, calls, servers } = JSON.parse(process.argv[2]);
// It takes one URL of a server, by UDP.
const flat = servers.map(({ urls: [first], ...login }) => ({ urls: first.split('?')[0], ...login }));
const viewer = await Viewer.connect({ url }, 'cam', name, { servers: flat, at: [] });
await viewer[calls]();
setInterval(() => {
  const said = viewer.said.map(({ type, name: error, reason }) => ({ type, error, reason }));
  console.log(JSON.stringify({ pictures: viewer.pictures().length, sounds: viewer.sounds().length, route: viewer.route(), ice: viewer.pc.iceConnectionState, said, failed: viewer.failed?.message }));
}, 1000);
// It takes its leave first; processes.mjs would end at once.
process.removeAllListeners('SIGTERM').on('SIGTERM', () => viewer.close().finally(() => process.exit()));
