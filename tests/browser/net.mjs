// Networks of a test: namespaces joined by cables, NAT made by nftables, and Debian's coturn. Everything ends with the
// process that made it. Needs a namespace of our own to begin with: see `alone`.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Child, folder, remember, until } from './world.mjs';

/** Why no networks can be made here, in a sentence; nothing where they can. */
export const cannot = process.env.FANLIGHT_TEST_ALONE ? undefined
  : 'makes networks: start it as root with tests/browser/alone';

const namespaceOf = (pid) => fs.readlinkSync(`/proc/${pid}/ns/net`);

/** A network namespace. It has no name: a process holds it, and it ends with that. */
export class Place {
  static async make() {
    const place = new Place();
    place.holder = remember(spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] }));
    await until('a namespace', () => namespaceOf(place.holder.pid) !== namespaceOf('self'));
    place.enter = ['nsenter', '-t', String(place.holder.pid), '-n', '--'];
    place.ip('link set lo up');
    return place;
  }

  run(command, input) {
    return run([...this.enter, ...command], input);
  }

  ip(words) {
    this.run(['ip', ...words.split(' ')]);
  }

  /** Replaces all rules. */
  nft(rules) {
    this.run(['nft', '-f', '-'], `flush ruleset\n${rules}`);
  }

  /** Whether it passes on what is for others. */
  forward(on = true) {
    this.run(['tee', '/proc/sys/net/ipv4/ip_forward'], on ? '1' : '0');
  }

  end() {
    this.holder.kill('SIGKILL');
  }
}

/** The namespace the test itself runs in. */
export const here = Object.assign(new Place(), { enter: [] });

function run([command, ...args], input) {
  return execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

/** A cable between two places: `[place, interface, address]` at each end. */
export function cable(one, other) {
  here.ip(`link add ${one[1]} type veth peer name ${other[1]}`);
  for (const [place, name, address] of [one, other]) {
    if (place.holder) here.ip(`link set ${name} netns ${place.holder.pid}`);
    place.ip(`addr add ${address} dev ${name}`);
    place.ip(`link set ${name} up`);
  }
}

/**
 * Makes a router of a place: what leaves through `outer` bears the router's own address.
 * `cone`: from a port of its own for each port inside, the same towards everybody; in comes who was written to.
 * `full`: the same, and in comes anybody, to `inner`.
 * `symmetric`: from another port, picked at random, for every address that is written to.
 */
export function nat(place, outer, kind, inner) {
  const open = kind === 'full' ? `chain in { type nat hook prerouting priority -100\niifname "${outer}" udp dport 1024-65535 dnat to ${inner}\n}` : '';
  place.forward();
  // Unasked packets to the router itself leave no trace: one would occupy the port that the answer to it needs.
  place.nft(`table ip nat {
    chain out { type nat hook postrouting priority 100
      oifname "${outer}" masquerade ${kind === 'symmetric' ? 'random' : ''}
    }
    chain own { type filter hook input priority 0
      iifname "${outer}" ct state new drop
    }
    ${open}
  }`);
}

/** Debian's coturn at an address of this namespace, with one login. */
export class Turn {
  static async start(address, { user = 'garden', password = 'hose', realm = 'fanlight.test' } = {}) {
    const turn = new Turn();
    turn.dir = folder('turn');
    Object.assign(turn, { address, port: 3478, user, password });
    turn.child = new Child(process.env.TURNSERVER ?? '/usr/bin/turnserver', ['-n', '--log-file', 'stdout', '--simple-log', '--verbose',
      '-L', address, '-E', address, '-p', String(turn.port), '--no-tls', '--no-dtls', '--no-cli', '--no-multicast-peers',
      '--lt-cred-mech', '-r', realm, '-u', `${user}:${password}`,
      '--pidfile', path.join(turn.dir, 'pid'), '--userdb', path.join(turn.dir, 'db')]);
    await turn.child.said('UDP listener opened on');
    return turn;
  }

  get stun() {
    return { urls: [`stun:${this.address}:${this.port}`] };
  }

  get url() {
    return `turn:${this.address}:${this.port}?transport=udp`;
  }

  /** Lines of a daemon's config; the password goes into a file, as everywhere. */
  config(password = this.password, url = this.url) {
    const file = path.join(this.dir, `password-${password}`);
    fs.writeFileSync(file, password, { mode: 0o600 });
    return `[[webrtc.ice_servers]]\nurls = ["${url}"]\nuser = "${this.user}"\npassword_file = "${file}"\n`;
  }

  stop() {
    return this.child.stop();
  }
}

/** A certificate authority and a certificate for `address`, in a folder; the paths of both and of the key. */
export function certificate(address, dir = folder('ca')) {
  const at = (name) => path.join(dir, name);
  const made = (name, key, ...args) => execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', key, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  made('tests', at('ca.key'), '-out', at('ca.pem'), '-addext', 'basicConstraints=critical,CA:TRUE');
  made('broker', at('key.pem'), '-out', at('cert.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'),
    '-addext', `subjectAltName=IP:${address}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'extendedKeyUsage=serverAuth');
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}
