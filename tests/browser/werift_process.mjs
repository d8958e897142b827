// A program that watches with werift, for another network namespace. Until it is stopped, it prints each second as JSON
// what it received. Its argument is JSON: `url` of the broker, `name`, `calls` (offer or request), `servers`.

import { Viewer } from './werift_viewer.mjs';

const { url, name, calls, servers } = JSON.parse(process.argv[2]);
// werift takes one URL for each server, with UDP.
const flat = servers.map(({ urls: [first], ...login }) => ({ urls: first.split('?')[0], ...login }));
const viewer = await Viewer.connect({ url }, 'cam', name, { servers: flat, at: [] });
await viewer[calls]();
setInterval(() => {
  const said = viewer.said.map(({ type, name: error, reason }) => ({ type, error, reason }));
  console.log(JSON.stringify({ pictures: viewer.pictures().length, sounds: viewer.sounds().length, route: viewer.route(), ice: viewer.pc.iceConnectionState, said, failed: viewer.failed?.message }));
}, 1000);
// Says bye before it ends; processes.mjs would end at once.
process.removeAllListeners('SIGTERM').on('SIGTERM', () => viewer.close().finally(() => process.exit()));
