# shellcheck shell=sh disable=SC2154 # me: the name of the script that sources this
# Packages of another architecture, fetched by an apt of their own and only unpacked, so that this machine stays of one
# architecture. Sourced after .ci/setup.sh, not run.
#
#   foreign ARCH                          readies that apt; its folder is $foreign
#   foreign_apt COMMAND...                an apt command that knows ARCH
#   unpack PATTERN FOLDER PACKAGE...      unpacks them, unless a file that the pattern matches is there

foreign() {
    foreign=${FANLIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fanlight}/cross-$1
    mkdir -p "$foreign/lists/partial" "$foreign/debs"
    cat > "$foreign/apt.conf" << END
Dir::State::lists "$foreign/lists";
Dir::Cache "$foreign";
APT::Sandbox::User "";
#clear APT::Architectures;
APT::Architectures { "$(dpkg --print-architecture)"; "$1"; };
END
}

foreign_apt() { APT_CONFIG=$foreign/apt.conf LC_ALL=C "$@"; }

# Lists of a day ago will do; a fetch that fails tells if they do not. One list that the mirror has broken is no reason to
# stop: what is wanted may be in another.
foreign_lists() {
    rm -f "$foreign/update.log"
    [ -n "$(find "$foreign/lists" -name '*_Packages*' -mtime -1 | head -n 1)" ] ||
        foreign_apt apt-get -q update > "$foreign/update.log" 2>&1 ||
        say "$me: not every package list could be fetched (see $foreign/update.log); going on with those that could"
}

unpack() {
    for there in $1; do
        [ ! -e "$there" ] || return 0
    done
    folder=$2
    shift 2
    say "$me: fetching $*"
    foreign_lists
    (cd "$foreign/debs" && rm -f ./*.deb && foreign_apt apt-get -q download "$@" > "$foreign/download.log" 2>&1) || {
        # The archive does not answer, or has another version than is needed; all else is a mistake.
        why=$(grep -hE '^[EW]: (Failed to fetch|Version .* was not found)' "$foreign/download.log" "$foreign/update.log" 2> /dev/null | head -n 1)
        [ -z "$why" ] || cannot_be_had "$* cannot be had: ${why#?: }"
        die "apt-get cannot fetch $*: see $foreign/update.log and $foreign/download.log"
    }
    for deb in "$foreign"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
}
