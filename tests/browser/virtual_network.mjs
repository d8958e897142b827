// Networks for tests: network namespaces, cables (veth) between them, NAT by nftables, and Debian's coturn. Everything
// ends with this process. It must run in its own network namespace: see `in-netns`.

import { execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Child, folder, remember, until } from './processes.mjs';

/** The reason why no networks can be made here; undefined if they can. */
export const cannot = process.env.FANLIGHT_TEST_NETNS ? undefined
  : 'needs its own network namespace: start it as root with tests/browser/in-netns';

/** Whether the kernel has IPv6. */
export const ipv6 = fs.existsSync('/proc/sys/net/ipv6');

const namespaceOf = (pid) => fs.readlinkSync(`/proc/${pid}/ns/net`);

/** A network namespace without a name: it exists as long as a process that holds it. */
export class Place {
  static async make() {
    const place = new Place();
    place.holder = remember(spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] }));
    // The holder does not keep a failed test running.
    place.holder.unref();
    place.holder.stdin.unref();
    await until('a namespace', () => namespaceOf(place.holder.pid) !== namespaceOf('self'));
    place.enter = ['nsenter', '-t', String(place.holder.pid), '-n', '--'];
    // Addresses are usable at once. If one appears late, a browser cancels its requests.
    if (ipv6) for (const group of ['all', 'default']) place.sysctl(`ipv6/conf/${group}/accept_dad`, 0);
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

  /** Turns the forwarding of packets on or off. */
  forward(on = true) {
    this.sysctl('ipv4/ip_forward', on ? 1 : 0);
    if (ipv6) this.sysctl('ipv6/conf/all/forwarding', on ? 1 : 0);
  }

  sysctl(name, value) {
    this.run(['tee', `/proc/sys/net/${name}`], String(value));
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

/** Connects two namespaces with a cable. Each end is `[place, interface, address...]`. */
export function cable(one, other) {
  // Both ends may get the same name, so they have unique names first.
  const ends = [one, other].map((end) => ({ end, passing: `c${(cables += 1)}` }));
  here.ip(`link add ${ends[0].passing} type veth peer name ${ends[1].passing}`);
  for (const { end: [place, name, ...addresses], passing } of ends) {
    if (place.holder) here.ip(`link set ${passing} netns ${place.holder.pid}`);
    // After a namespace has ended, the kernel needs some time to remove its cables.
    else try { here.ip(`link del ${name}`); } catch { /* usually it does not exist */ }
    place.ip(`link set ${passing} name ${name}`);
    for (const address of addresses.filter(Boolean))
      place.ip(`addr add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
    place.ip(`link set ${name} up`);
  }
}
let cables = 0;

/**
 * Makes a namespace a router with NAT at the interface `outer` (terms of RFC 3489 section 5).
 * `cone`: port restricted cone. Each inner port has one outer port, which accepts packets from contacted addresses.
 * `full`: full cone. The outer port accepts packets from everybody and sends them to `inner`.
 * `symmetric`: each destination gets another outer port, chosen at random.
 */
export function nat(place, outer, kind, inner) {
  const open =
    kind === 'full'
      ? `chain in { type nat hook prerouting priority -100\niifname "${outer}" udp dport 1024-65535 dnat to ${inner}\n}`
      : '';
  place.forward();
  // Drops unsolicited packets to the router: conntrack would reserve the port that a later mapping needs.
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

/**
 * Debian's coturn at an address of this namespace, with UDP, TCP and one login. `tls`: a certificate, for port 443.
 * `conf`: a file of settings. `cli`: with its command line, on loopback.
 */
export class Turn {
  static async start(address, options = {}) {
    const { user = 'garden', password = 'hose', realm = 'fanlight.test', tls, secret, conf, cli } = options;
    const turn = new Turn();
    turn.dir = folder('turn');
    Object.assign(turn, { address, port: 3478, user, password, secret });
    if (cli) turn.cli = { ip: '127.0.0.1', port: 5766, password: 'operator' };
    const logins = secret
      ? ['--use-auth-secret', '--static-auth-secret', secret]
      : ['--lt-cred-mech', '-u', `${user}:${password}`];
    turn.child = new Child(process.env.TURNSERVER ?? '/usr/bin/turnserver', [
      ...(conf ? ['-c', conf] : ['-n']), '--log-file', 'stdout', '--simple-log', '--verbose',
      '-L', address, '-E', address, '-p', String(turn.port), '--no-dtls', '--no-multicast-peers', ...turn.cliOptions(),
      '-r', realm, ...logins,
      ...(tls ? ['--tls-listening-port', '443', '--cert', tls.cert, '--pkey', tls.key] : ['--no-tls']),
      '--pidfile', path.join(turn.dir, 'pid'), '--userdb', path.join(turn.dir, 'db')]);
    // Its threads open these ports in any order.
    await turn.child.said(`UDP listener opened on: ${address}:${turn.port}`);
    for (const port of tls ? [turn.port, 443] : [turn.port])
      await turn.child.said(`TCP listener opened on : ${address}:${port}`);
    return turn;
  }

  cliOptions() {
    const { ip, port, password } = this.cli ?? {};
    return ip ? ['--cli-ip', ip, '--cli-port', String(port), '--cli-password', password] : ['--no-cli'];
  }

  get stun() {
    return { urls: [`stun:${this.address}:${this.port}`] };
  }

  get url() {
    return this.over('udp');
  }

  /** Its URL over `udp`, `tcp` or `tls`. */
  over(transport) {
    return transport === 'tls'
      ? `turns:${this.address}:443?transport=tcp`
      : `turn:${this.address}:${this.port}?transport=${transport}`;
  }

  /** A login that expires after `seconds` (TURN REST API). */
  login(seconds) {
    const user = `${Math.floor(Date.now() / 1000) + seconds}:board`;
    return { user, password: createHmac('sha1', this.secret).update(user).digest('base64') };
  }

  /** The lines for a daemon's configuration, with the password in a file. */
  config(password = this.password, { user = this.user, url = this.url, more = '' } = {}) {
    const file = path.join(folder('login'), 'password');
    fs.writeFileSync(file, password, { mode: 0o600 });
    return `[[webrtc.ice_servers]]\nurls = ["${url}"]\nuser = "${user}"\npassword_file = "${file}"\n${more}`;
  }

  /** The lines for a daemon's configuration that makes logins, with the secret in a file. */
  secretConfig(url = this.url) {
    const file = path.join(folder('secret'), 'secret');
    fs.writeFileSync(file, this.secret, { mode: 0o600 });
    return `[[webrtc.ice_servers]]\nurls = ["${url}"]\nsecret_file = "${file}"\n`;
  }

  stop() {
    return this.child.stop();
  }
}

/** Makes a certificate authority and a certificate for `address`; returns the paths of both and of the key. */
export function certificate(address, dir = folder('ca')) {
  const at = (name) => path.join(dir, name);
  const form = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const made = (name, key, ...args) =>
    execFileSync('openssl', [...form, '-subj', `/CN=${name}`, '-keyout', key, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  made('tests', at('ca.key'), '-out', at('ca.pem'), '-addext', 'basicConstraints=critical,CA:TRUE');
  made('broker', at('key.pem'), '-out', at('cert.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'),
    '-addext', `subjectAltName=IP:${address}`, '-addext', 'basicConstraints=critical,CA:FALSE',
    '-addext', 'extendedKeyUsage=serverAuth');
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}
