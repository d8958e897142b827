# shellcheck shell=sh disable=SC2154 # me: the name of the script that sources this
# What ./demo, ./test and ./bench need of a machine: Debian packages, and a Rust that is new enough. Sourced, not run.
#
#   want WHERE PACKAGE WHY   notes a package that is missing. WHERE tells whether it is there: a command's name, the path
#                            of a file (a pattern will do), or - for the package itself.
#   install_wanted           says what is missing and why, then installs exactly that
#   find_rust [COMPONENT...] puts cargo on PATH: the one there, rustup's stable, or Debian's own
#
# Never asks anything: each function does its work or ends the script with one sentence on what to do.

rust_needed=1.95

say() { echo "$*" >&2; }
die() {
    explained=yes
    echo "$me: $*" >&2
    exit 1
}
# What a package archive does not give, today or at all, is nobody's mistake here: ends with a status of its own, which ./test
# tells from a failure.
cannot_be_had() {
    explained=yes
    echo "$me: $*" >&2
    exit 75
}

# A script that a failed command ends (set -e) says so: a bare message of `rm` or `tar` helps nobody.
#   doing      what the script is doing now, for that message
#   explained  not empty: the reason has been printed already
#   at_end     adds a command that runs at the end of the script, whatever the end is, Ctrl-C included
doing='' explained='' ending=:
at_end() { ending="$1; $ending"; }
ended() {
    status=$1
    trap - EXIT
    eval "$ending" || true
    case $status in
    0 | 75 | 130 | 143) ;;
    *) [ -n "$explained" ] || say "$me: failed with status $status${doing:+ while $doing}: the message above is the failed command's" ;;
    esac
    exit "$status"
}
trap 'ended $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

have() { command -v "$1" > /dev/null 2>&1; }

# Root for one command: as it is, or through sudo, which asks for a password only on a terminal.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
        sudo "$@"
    else
        die "$1 needs root: run this as root, or with sudo installed and allowed"
    fi
}

wanted=
want() {
    case $1 in
    -) [ "$(dpkg-query -W -f '${db:Status-Status}' "$2" 2> /dev/null)" != installed ] || return 0 ;;
    */*)
        for found in $1; do
            [ ! -e "$found" ] || return 0
        done
        ;;
    *) ! have "$1" || return 0 ;;
    esac
    case " $wanted " in *" $2 "*) return 0 ;; esac
    [ -n "$wanted" ] || say "$me: missing on this machine:"
    say "  $2: $3"
    wanted="$wanted $2"
}

# While packages with services are installed, the services are not started: the tests start their own, elsewhere. Debian's
# invoke-rc.d asks the program policy-rc.d. This one obeys only as long as the script that made it runs, so that nothing stays
# behind even where that script is killed; and it is made only where such a package is installed.
policy=/usr/sbin/policy-rc.d
keep_services_off() {
    case "$wanted " in *" mosquitto "* | *" coturn "*) ;; *) return 0 ;; esac
    if [ -e $policy ] && ! grep -qs '^# fanlight: ' $policy; then
        return 0 # somebody else's: it stays as it is
    fi
    at_end let_services_start
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root sh -c 'printf "#!/bin/sh\n# fanlight: keeps services off while process %s installs packages\n[ -e /proc/%s ] && exit 101\nexit 0\n" "$2" "$2" > "$1" && chmod 755 "$1"' sh $policy $$
}
let_services_start() {
    ! grep -qs "^# fanlight: .* process $$ " $policy || as_root rm -f $policy
}

install_wanted() {
    [ -n "$wanted" ] || return 0
    have apt-get || die "made for Debian 12, 13 and Raspberry Pi OS; here, install what is named above by hand and start again"
    if [ "$(id -u)" != 0 ] && ! have sudo; then
        die "packages are missing and need root: apt-get install --no-install-recommends$wanted"
    fi
    say "$me: installing them with apt-get"
    log=$(mktemp)
    keep_services_off
    # shellcheck disable=SC2086 # a list of words
    apt_install() {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends $wanted < /dev/null > "$log" 2>&1
    }
    # The lists may be absent or old; only a failed install tells.
    done=
    if [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -mtime -1 2> /dev/null | head -n 1)" ] && apt_install; then
        done=yes
    else
        as_root apt-get -q update < /dev/null > "$log.update" 2>&1 || true
        apt_install && done=yes
    fi
    let_services_start
    if [ -z "$done" ]; then
        cat "$log.update" "$log" 2> /dev/null | grep -E '^(E|W|Err)' | head -n 5 >&2
        if grep -qE 'Could not (resolve|connect)|Temporary failure|Unable to connect|Connection (failed|timed out)' "$log" "$log.update" 2> /dev/null; then
            cannot_be_had "no network: apt-get cannot reach the package archive; connect this machine and start again"
        fi
        if grep -q 'enough free space' "$log"; then
            die "the disk is full: apt-get has no room for$wanted"
        fi
        die "apt-get could not install$wanted: its messages are above and in $log"
    fi
    rm -f "$log" "$log.update"
    wanted=
}

# The packages that compile the daemon.
want_build() {
    want c++ g++ "compiles the H.264 encoder and the JPEG library"
    want make make "runs their build"
    want cmake cmake "configures the build of Opus and the JPEG library"
    [ "$(uname -m)" != x86_64 ] || want nasm nasm "assembles their fast paths"
    want '/usr/lib/llvm-*/lib/libclang.so*' libclang-dev "reads the kernel's video headers (bindgen)"
    want pkg-config pkg-config "finds the sound library"
    want /usr/include/alsa/asoundlib.h libasound2-dev "the sound library (ALSA)"
    want /etc/ssl/certs/ca-certificates.crt ca-certificates "checks who the package registries are"
}

# The packages that build the viewer page.
want_viewer() {
    want node nodejs "builds the viewer page"
    want npm npm "fetches what the viewer page is built with"
}

# Is version $1 at least $2? Dotted numbers.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

rust_version() { rustc --version 2> /dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }

find_rust() {
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    export PATH
    here=$(rust_version)
    if [ -n "$here" ] && at_least "$here" "$rust_needed" && have cargo; then
        rust_extras "$@"
        return
    fi
    if have rustup; then
        say "$me: Rust $rust_needed or newer is needed, this is ${here:-none}: installing rustup's stable"
        rustup toolchain install stable --profile minimal --no-self-update < /dev/null >&2 ||
            die "rustup could not install its stable toolchain: check the network and start again"
        RUSTUP_TOOLCHAIN=stable
        export RUSTUP_TOOLCHAIN
        here=$(rust_version)
        at_least "${here:-0}" "$rust_needed" || die "rustup's stable is Rust ${here:-nothing}, needed is $rust_needed: run rustup update"
        rust_extras "$@"
        return
    fi
    have apt-get || die "Rust $rust_needed or newer is missing: install it with rustup, or from your distribution"
    offered=$(apt-cache policy rustc-web 2> /dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    if ! at_least "${offered:-0}" "$rust_needed"; then
        as_root apt-get -q update < /dev/null > /dev/null 2>&1 || true
        offered=$(apt-cache policy rustc-web 2> /dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    fi
    at_least "${offered:-0}" "$rust_needed" ||
        die "Rust $rust_needed or newer is needed, this machine's archive offers ${offered:-none}: enable Debian's security archive and the network, or install rustup (https://rustup.rs)"
    [ -z "$here" ] || say "$me: Debian's rustc-web $offered takes the place of rustc $here"
    want - rustc-web "the Rust compiler, $offered (Debian's own build of a recent one)"
    want - cargo-web "builds Rust programs"
    rust_extras "$@"
    install_wanted
    hash -r
    here=$(rust_version)
    at_least "${here:-0}" "$rust_needed" || die "rustc is ${here:-missing} after installing rustc-web $offered: another rustc comes first on PATH"
}

# rustfmt and clippy where they are wanted: Debian's packages, or rustup's components.
rust_extras() {
    for extra in "$@"; do
        case $extra in
        rustfmt) have rustfmt && rustfmt --version > /dev/null 2>&1 && continue ;;
        clippy) have cargo-clippy && cargo clippy --version > /dev/null 2>&1 && continue ;;
        esac
        if have rustup; then
            rustup component add "$extra" < /dev/null >&2 || say "$me: rustup has no $extra here"
        elif [ "$extra" = rustfmt ]; then
            want - rustfmt-web "checks the formatting"
        else
            want - rust-web-clippy "checks the code (lints)"
        fi
    done
    install_wanted
}

# Free MiB on the file system of a folder, which may not exist yet.
free_mib() {
    at=$1
    while [ ! -d "$at" ]; do at=$(dirname "$at"); done
    df -Pm "$at" | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p'
}

check_machine() {
    case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Linux-aarch64 | Linux-armv7l) ;;
    *) die "fanlight runs on Linux on x86-64, aarch64 and armv7, this is $(uname -s) on $(uname -m)" ;;
    esac
}

# viewer/dist, when it is missing or older than what it is made of. The stamp lies outside, for dist is embedded whole.
build_viewer() {
    stamp=viewer/node_modules/.built
    if [ -e $stamp ] && [ -e viewer/dist/index.html ] &&
        [ -z "$(find viewer \( -name node_modules -o -name dist -o -name types -o -name test \) -prune -o -type f -newer $stamp -print | head -n 1)" ]; then
        return 0
    fi
    want_viewer
    install_wanted
    say "$me: building the viewer page"
    fetch_node_modules viewer
    (cd viewer && npm run --silent build < /dev/null >&2) || die "the viewer page does not build: its messages are above"
    mkdir -p viewer/node_modules
    : > $stamp
}

# node_modules as the lock file says, when it is missing or older than that.
fetch_node_modules() {
    if [ -n "$(find "$1/node_modules/.package-lock.json" -newer "$1/package-lock.json" 2> /dev/null)" ]; then
        return 0
    fi
    (cd "$1" && npm ci --no-audit --no-fund --loglevel=error < /dev/null >&2) ||
        die "npm could not fetch what $1 is built with: check the network and start again"
}
