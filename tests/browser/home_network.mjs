// A home network at the end of a cable to this namespace, which is the internet of a test.
//
//   here ── to-NAME ──[ link ]── out: router ── in: lan (place)   with a router, which may do NAT (virtual_network.mjs)
//   here ── to-NAME ──[ link ]── out: place                      without
//
// The optional link limits rate, delay and loss (link_emulator.mjs).

import { Place, cable, here } from './virtual_network.mjs';
import { Link } from './link_emulator.mjs';

/**
 * `net`: three numbers of a public IPv4 network, or nothing for a home without IPv4. `net6`: four groups of a public
 * IPv6 network. `inside`: three numbers of the private network behind a router.
 */
export async function home(name, { net, net6, inside, link: bad } = {}) {
  const place = await Place.make();
  const router = inside && await Place.make();
  const link = bad && await Link.make(name, { net, net6, ...bad });
  const edge = router ?? place;
  const address = (host, length) => [net && `${net}.${host}/24`, net6 && `${net6}::${host}/${length}`];
  const gateway = link ? [link.place, 'far', ...address(1, 64)] : [here, `to-${name}`, ...address(1, 64)];
  cable(gateway, [edge, 'out', ...address(2, 64)]);
  await link?.open();
  const made = {
    place,
    router,
    link,
    inner: inside && `${inside}.2`,
    outer: net && `${net}.2`,
    outer6: net6 && `${net6}::2`,
  };

  /** Sets the default route again, after the interface was down or got another address. */
  made.route = () => {
    if (net) edge.ip(`route replace default via ${net}.1`);
    if (net6) edge.ip(`-6 route replace default via ${net6}::1`);
  };
  made.route();

  /** Adds a host to the network behind the router. The first one is `place`. */
  let members = 1;
  const join = (member) => {
    members += 1;
    cable([router, `port${members}`], [member, 'lan', `${inside}.${members}/24`]);
    router.ip(`link set port${members} master in`);
    member.ip(`route add default via ${inside}.1`);
    return member;
  };
  if (router) {
    router.ip('link add in type bridge');
    router.ip(`addr add ${inside}.1/24 dev in`);
    router.ip('link set in up');
    join(place);
  }
  made.join = async () => join(await Place.make());

  /** Replaces the address of `out` by another one of its network. */
  made.move = () => {
    const [before, now] = [made.outer, `${net}.${made.outer.endsWith('.2') ? 3 : 2}`];
    edge.ip(`addr del ${before}/24 dev out`);
    edge.ip(`addr add ${now}/24 dev out`);
    made.outer = now;
    made.route();
  };

  made.end = () => [place, router, link].forEach((p) => p?.end());
  return made;
}

/** Makes a firewall for packets that leave `place` through `out`. `allow`: an expression of nft for those that pass. */
export function firewall(place, allow) {
  const chain = (hook) => `chain ${hook} {
    type filter hook ${hook} priority 0
    oifname "out" ${allow} accept
    oifname "out" drop
  }`;
  place.run(['nft', '-f', '-'], `table inet firewall {\n${chain('output')}\n${chain('forward')}\n}\n`);
}

/**
 * Makes a port restricted cone like nat()'s forget all UDP mappings and assign other ports from now on: each `round`
 * has its own conntrack zone and range of ports. TCP mappings stay, as in routers that forget UDP after half a minute.
 */
export function rebind(router, round) {
  const first = 30_000 + 100 * round;
  router.forward();
  router.nft(`table ip nat {
    chain zone { type filter hook prerouting priority raw
      meta l4proto udp ct zone set ${round}
    }
    chain out { type nat hook postrouting priority 100
      oifname "out" meta l4proto udp masquerade to :${first}-${first + 99}
      oifname "out" masquerade
    }
    chain own { type filter hook input priority 0
      iifname "out" ct state new drop
    }
  }`);
}
