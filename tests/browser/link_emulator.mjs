// A slow and lossy link between a home and this namespace: a router sends its packets through a program
// (link_emulator.py).
//
//   here ── to-NAME ── net [ rules → tun ⇄ link_emulator.py ⇄ tun → routes ] far ── home
//
// `down` is towards the home, `up` is from it. By default UDP alone takes the line, as media does; TCP, and so the
// broker, goes past it.

import path from 'node:path';
import { Place, cable, here, ipv6 } from './virtual_network.mjs';
import { Child, top, until } from './processes.mjs';

let links = 0;

export class Link {
  /** `all`: whatever is IP takes the line. */
  static async make(name, { net, net6, all = false } = {}) {
    const link = new Link();
    link.place = await Place.make();
    link.all = all;
    links += 1;
    const transit = (host) => [net && `100.64.${links}.${host}/24`, net6 && `2001:db8:ff:${links}::${host}/64`];
    cable([here, `to-${name}`, ...transit(1)], [link.place, 'net', ...transit(2)]);
    if (net) {
      here.ip(`route add ${net}.0/24 via 100.64.${links}.2`);
      link.place.ip(`route add default via 100.64.${links}.1`);
    }
    if (net6) {
      here.ip(`-6 route add ${net6}::/64 via 2001:db8:ff:${links}::2`);
      link.place.ip(`-6 route add default via 2001:db8:ff:${links}::1`);
    }
    return link;
  }

  /** Starts the program, once `far` is there. */
  async open() {
    const { place } = this;
    place.forward();
    for (const [name, from, table] of [['line-down', 'net', 11], ['line-up', 'far', 12]]) {
      place.ip(`tuntap add dev ${name} mode tun`);
      // The device says nothing of its own.
      place.ip(`link set ${name} multicast off addrgenmode none`);
      place.ip(`link set ${name} up`);
      // What comes out of the device comes from an address whose way back is another one.
      for (const device of ['all', name, from]) place.sysctl(`ipv4/conf/${device}/rp_filter`, 0);
      for (const family of ipv6 ? ['-4', '-6'] : ['-4']) {
        place.ip(`${family} route add default dev ${name} table ${table}`);
        place.ip(`${family} rule add iif ${from} ${this.all ? '' : 'ipproto udp '}pref ${table} lookup ${table}`);
      }
    }
    this.child = new Child(
      'python3',
      [path.join(top, 'tests/browser/link_emulator.py'), 'up=line-up', 'down=line-down'],
      { enter: place.enter, stdio: ['pipe', 'pipe', 'pipe'] },
    );
    this.answers = [];
    this.rest = '';
    this.child.process.stdout.on('data', (data) => {
      const lines = (this.rest + data).split('\n');
      this.rest = lines.pop();
      this.answers.push(...lines.map((line) => JSON.parse(line)));
    });
    await this.answer();
  }

  async answer() {
    return until(`an answer of the link\n${this.child.output}`, () => this.answers.shift());
  }

  /** Sets directions, `{ up: { rate: 500000 }, down: { loss: 0.02 } }`, and gives the counters of both. */
  async set(settings = {}) {
    this.child.process.stdin.write(`${JSON.stringify(settings)}\n`);
    return this.answer();
  }

  both(settings) {
    return this.set({ up: settings, down: settings });
  }

  counters() {
    return this.set();
  }

  end() {
    this.child.process.kill();
    this.place.end();
  }
}
