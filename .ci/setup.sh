# shellcheck shell=sh disable=SC2154 # me: the name of the script that sources this
# Prepares a machine for the scripts of the project: installs Debian packages and a Rust that is new enough. Sourced,
# not run.
#
#   want WHERE PACKAGE WHY   notes PACKAGE if it is missing. WHERE is how to find it: the name of a command, the path of
#                            a file (or a pattern), or - for the package itself.
#   install_wanted           lists the noted packages with their reasons, and installs them
#   find_rust [COMPONENT...] puts cargo on PATH: the existing one, rustup's stable, or Debian's
#
# No function asks questions. Each does its work, or ends the script with one sentence on what to do.

rust_needed=1.95

say() { echo "$*" >&2; }
die() {
    explained=yes
    echo "$me: $*" >&2
    exit 1
}
# Ends the script because a package archive cannot be reached or lacks a package. ./test counts this exit status as a
# skip, not as a failure.
cannot_be_had() {
    explained=yes
    echo "$me: $*" >&2
    exit 75
}

# If a failed command ends a script (set -e), the script says so, because a bare message of `rm` or `tar` does not help.
#   doing      the current activity, for that message
#   explained  is not empty if the reason has been printed already
#   at_end     adds a command that runs whenever and however the script ends, also by Ctrl-C
doing='' explained='' ending=:
at_end() { ending="$1; $ending"; }
ended() {
    status=$1
    trap - EXIT
    eval "$ending" || true
    case $status in
    0 | 75 | 130 | 143) ;;
    *)
        [ -n "$explained" ] ||
            say "$me: failed with status $status${doing:+ while $doing}: the failed command printed the message above"
        ;;
    esac
    exit "$status"
}
trap 'ended $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

have() { command -v "$1" > /dev/null 2>&1; }

# Runs one command as root: directly, or with sudo, which asks for a password only on a terminal.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
        sudo "$@"
    else
        die "$1 needs root: run this script as root, or allow sudo for this user"
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
    [ -n "$wanted" ] || say "$me: these packages are missing:"
    say "  $2: $3"
    wanted="$wanted $2"
}

# started PID: prints when a process started, in ticks since the boot; nothing if there is no such process. It is the
# 22nd word of a line in which the name of the command, in parentheses, may contain anything.
started() { cat "/proc/$1/stat" 2> /dev/null | tr '\n' ' ' | sed 's/^.*) //' | cut -d ' ' -f 20; }

# policy_text PID STARTED: prints a policy-rc.d that refuses services while that process runs. Another process that has
# the same PID later has started later.
policy_text() {
    cat << END
#!/bin/sh
# fanlight: keeps services off while process $1, started at $2, installs packages
now=\$(cat /proc/$1/stat 2> /dev/null | tr '\n' ' ' | sed 's/^.*) //' | cut -d ' ' -f 20)
[ -n "\$now" ] && [ "\$now" = "$2" ] && exit 101
exit 0
END
}

# Keeps the services of new packages from starting: the tests start their own. Debian's invoke-rc.d asks the program
# policy-rc.d. The one that is made here refuses only while this script runs, so that it has no effect if the script is
# killed. It is made only if a package with a service is installed.
policy=/usr/sbin/policy-rc.d
keep_services_off() {
    case "$wanted " in *" mosquitto "* | *" coturn "*) ;; *) return 0 ;; esac
    if [ -e "$policy" ] && ! grep -qs '^# fanlight: ' "$policy"; then
        return 0 # another program made it: it stays
    fi
    at_end let_services_start
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root sh -c 'printf "%s\n" "$2" > "$1" && chmod 755 "$1"' sh "$policy" "$(policy_text $$ "$(started $$)")"
}
let_services_start() {
    ! grep -qs "^# fanlight: .* process $$, " "$policy" || as_root rm -f "$policy"
}

install_wanted() {
    [ -n "$wanted" ] || return 0
    have apt-get ||
        die "packages can be installed only on Debian 12, 13 and Raspberry Pi OS: install these by hand and start again"
    if [ "$(id -u)" != 0 ] && ! have sudo; then
        die "installing packages needs root: apt-get install --no-install-recommends$wanted"
    fi
    say "$me: apt-get installs them"
    log=$(mktemp)
    keep_services_off
    # shellcheck disable=SC2086 # a list of words
    apt_install() {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends $wanted < /dev/null > "$log" 2>&1
    }
    # The package lists may be missing or too old. Only a failed installation shows it.
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
            die "the disk is full: apt-get has no space for$wanted"
        fi
        die "apt-get could not install$wanted: its messages are above and in $log"
    fi
    rm -f "$log" "$log.update"
    wanted=
}

# Notes the packages that compile the daemon.
want_build() {
    want c++ g++ "compiles the H.264 encoder and the JPEG library"
    want make make "runs their build"
    want cmake cmake "configures the build of Opus and the JPEG library"
    [ "$(uname -m)" != x86_64 ] || want nasm nasm "assembles their fast paths"
    want '/usr/lib/llvm-*/lib/libclang.so*' libclang-dev "reads the kernel's video headers (bindgen)"
    want pkg-config pkg-config "finds the sound library"
    want /usr/include/alsa/asoundlib.h libasound2-dev "is the sound library (ALSA)"
    want /etc/ssl/certs/ca-certificates.crt ca-certificates "checks the certificates of the package registries"
}

# Notes the packages that build the viewer page.
want_viewer() {
    want node nodejs "builds the viewer page"
    want npm npm "fetches the libraries of the viewer page"
}

# at_least VERSION MINIMUM: compares dotted numbers.
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
        say "$me: Rust $rust_needed or newer is needed, and this machine has ${here:-none}: installing rustup's stable"
        rustup toolchain install stable --profile minimal --no-self-update < /dev/null >&2 ||
            die "rustup could not install its stable toolchain: check the network and start again"
        RUSTUP_TOOLCHAIN=stable
        export RUSTUP_TOOLCHAIN
        here=$(rust_version)
        at_least "${here:-0}" "$rust_needed" ||
            die "Rust $rust_needed or newer is needed, and rustup's stable is ${here:-missing}: run rustup update"
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
        die "Rust $rust_needed or newer is needed, and the package archive offers ${offered:-none}:" \
            "enable Debian's security archive and the network, or install rustup (https://rustup.rs)"
    [ -z "$here" ] || say "$me: Debian's rustc-web $offered replaces rustc $here"
    want - rustc-web "is the Rust compiler $offered, built by Debian"
    want - cargo-web "builds Rust programs"
    rust_extras "$@"
    install_wanted
    hash -r
    here=$(rust_version)
    at_least "${here:-0}" "$rust_needed" ||
        die "rustc is ${here:-missing} although rustc-web $offered is installed: another rustc comes first on PATH"
}

# rust_extras COMPONENT...: installs rustfmt and clippy, as Debian's packages or as rustup's components.
rust_extras() {
    for extra in "$@"; do
        case $extra in
        rustfmt) have rustfmt && rustfmt --version > /dev/null 2>&1 && continue ;;
        clippy) have cargo-clippy && cargo clippy --version > /dev/null 2>&1 && continue ;;
        esac
        if have rustup; then
            rustup component add "$extra" < /dev/null >&2 || say "$me: rustup could not install $extra"
        elif [ "$extra" = rustfmt ]; then
            want - rustfmt-web "checks the formatting"
        else
            want - rust-web-clippy "checks the code (lints)"
        fi
    done
    install_wanted
}

# free_mib FOLDER: prints the free MiB on the file system of a folder. The folder may not exist yet.
free_mib() {
    at=$1
    while [ ! -d "$at" ]; do at=$(dirname "$at"); done
    df -Pm "$at" | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p'
}

check_machine() {
    case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Linux-aarch64 | Linux-armv7l) ;;
    *) die "fanlight runs on Linux on x86-64, aarch64 and armv7, and this is $(uname -s) on $(uname -m)" ;;
    esac
}

# Builds viewer/dist if it is missing or older than its sources. The stamp is outside, because the daemon includes all
# of dist.
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
    (cd viewer && npm run --silent build < /dev/null >&2) ||
        die "the viewer page could not be built: the messages are above"
    mkdir -p viewer/node_modules
    : > $stamp
}

# fetch_node_modules FOLDER: installs node_modules if it is missing or older than the lock file.
fetch_node_modules() {
    if [ -n "$(find "$1/node_modules/.package-lock.json" -newer "$1/package-lock.json" 2> /dev/null)" ]; then
        return 0
    fi
    (cd "$1" && npm ci --no-audit --no-fund --loglevel=error < /dev/null >&2) ||
        die "npm could not fetch the libraries of $1: check the network and start again"
}
