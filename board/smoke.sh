#!/bin/sh
# board/smoke.sh: measures a real board for a minute. See --help.
set -eu
cd "$(dirname "$0")/.."
me=board/smoke.sh
# shellcheck source=.ci/setup.sh
. ./.ci/setup.sh

usage() {
    cat << 'END'
board/smoke.sh [--seconds N] [FANLIGHT.TOML]

Run it on the board, in a checkout of the project, with fanlight installed. It prints the devices that `fanlight probe`
finds. Then it starts its own broker on loopback and the installed daemon with the tables [video] and [audio] of
FANLIGHT.TOML (default /etc/fanlight/fanlight.toml). A viewer without a screen receives it for a minute. At the end it
prints a row for the table in board/README.md: pictures per second, bitrate, CPU, memory, temperature. Nobody may watch
the installed service meanwhile, because only one program can use a camera.

  --seconds N   how many seconds the viewer receives (60)

It installs mosquitto, Node.js and npm if they are missing (as root or with sudo). FANLIGHT names another program.
END
}

seconds=60 config=/etc/fanlight/fanlight.toml
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit
        ;;
    --seconds)
        [ $# -ge 2 ] || die "--seconds needs a number"
        seconds=$2
        shift 2
        ;;
    -*) die "unknown argument $1; --help lists the arguments" ;;
    *)
        config=$1
        shift
        ;;
    esac
done

FANLIGHT=${FANLIGHT:-$(command -v fanlight || true)}
[ -x "$FANLIGHT" ] || die "fanlight is not installed: sudo apt install ./fanlight_….deb, or name a program with FANLIGHT"
[ -r "$config" ] || die "$config cannot be read: name a configuration, such as one of board/*.toml"
export FANLIGHT
want mosquitto mosquitto "is the broker"
want node nodejs "runs the viewer"
want npm npm "fetches the viewer's WebRTC stack"
install_wanted
fetch_node_modules tests/browser

model=/proc/device-tree/model
echo "--- $([ -r $model ] && tr -d '\0' < $model || uname -m), $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r)"
"$FANLIGHT" probe
echo "--- watching for $seconds s"
exec node board/smoke.mjs "$config" "$seconds"
