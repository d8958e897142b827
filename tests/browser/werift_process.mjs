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
  const [pictures, sounds] = [viewer.pictures().length, viewer.sounds().length];
  const [ice, failed] = [viewer.pc.iceConnectionState, viewer.failed?.message];
  console.log(JSON.stringify({ pictures, sounds, route: viewer.route(), ice, said, failed }));
}, 1000);
// Says bye before it ends; processes.mjs would end at once.
process.removeAllListeners('SIGTERM').on('SIGTERM', () => viewer.close().finally(() => process.exit()));
