# shellcheck shell=sh disable=SC2154 # me: the name of the script that sources this
# Fetches packages of another architecture with a separate apt, and only unpacks them. So this machine keeps a single
# architecture. Sourced after .ci/setup.sh, not run.
#
#   foreign ARCH                          prepares that apt; its folder is $foreign
#   foreign_apt COMMAND...                runs a command of apt that knows ARCH
#   unpack PATTERN FOLDER PACKAGE...      unpacks packages into FOLDER, unless a file matches PATTERN

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

# Package lists of the last day are new enough; a failed download shows if they are not. A list that the mirror cannot
# deliver is no reason to stop, because another one may have the packages.
foreign_lists() {
    rm -f "$foreign/update.log"
    [ -n "$(find "$foreign/lists" -name '*_Packages*' -mtime -1 | head -n 1)" ] ||
        foreign_apt apt-get -q update > "$foreign/update.log" 2>&1 ||
        say "$me: apt-get could not fetch all package lists (see $foreign/update.log), and continues with the others"
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
        # The archive does not answer, or lacks this version. Every other error is a fault of this script.
        why=$(grep -hE '^[EW]: (Failed to fetch|Version .* was not found)' "$foreign/download.log" "$foreign/update.log" 2> /dev/null | head -n 1)
        [ -z "$why" ] || cannot_be_had "apt-get could not fetch $*: ${why#?: }"
        die "apt-get could not fetch $*: see $foreign/update.log and $foreign/download.log"
    }
    for deb in "$foreign"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
}
