#!/bin/sh
# board/smoke.sh: looks at a real board for a minute. See --help.
set -eu
cd "$(dirname "$0")/.."
me=board/smoke.sh
# shellcheck source=.ci/setup.sh
. ./.ci/setup.sh

usage() {
    cat << 'END'
board/smoke.sh [--seconds N] [FANLIGHT.TOML]

On the board itself, in a checkout of the project, with fanlight installed: prints what `fanlight probe` finds, runs the daemon of
the installed program with the [video] and [audio] of FANLIGHT.TOML (default /etc/fanlight/fanlight.toml) and a broker of its own on
loopback, has a viewer without a screen receive it for a minute, and prints a row for the table in board/README.md: pictures
per second, bitrate, processor, memory, temperature. The service that is installed must not be watched meanwhile: a camera
is for one program.

  --seconds N   how long it is watched (60)

Installs mosquitto, Node.js and npm if they are missing (as root or with sudo). FANLIGHT names another program.
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
    -*) die "unknown argument $1; --help tells what there is" ;;
    *)
        config=$1
        shift
        ;;
    esac
done

FANLIGHT=${FANLIGHT:-$(command -v fanlight || true)}
[ -x "$FANLIGHT" ] || die "fanlight is not installed: sudo apt install ./fanlight_….deb, or name a program with FANLIGHT"
[ -r "$config" ] || die "$config cannot be read: name a configuration, one of board/*.toml will do"
export FANLIGHT
want mosquitto mosquitto "the broker between daemon and viewer"
want node nodejs "runs the viewer"
want npm npm "fetches the viewer's WebRTC stack"
install_wanted
fetch_node_modules tests/browser

model=/proc/device-tree/model
echo "--- $([ -r $model ] && tr -d '\0' < $model || uname -m), $(. /etc/os-release && echo "$PRETTY_NAME"), kernel $(uname -r)"
"$FANLIGHT" probe
echo "--- watched for $seconds s"
exec node board/smoke.mjs "$config" "$seconds"
