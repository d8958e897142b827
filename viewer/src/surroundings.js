// What mqtt.js expects of Node.js and a browser does not have. Injected by build.mjs.
export { Buffer } from 'buffer';
export const process = {
  env: {}, version: '', versions: {}, browser: true, platform: 'browser',
  nextTick: (call, ...args) => queueMicrotask(() => call(...args)),
  emitWarning() {}, on() {}, off() {},
};
export const nextTick = process.nextTick;
export default process;
