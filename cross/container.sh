# shellcheck shell=sh disable=SC2154 # variables of cross/build.sh
# Builds in a container of Debian 12, with cross. Sourced by cross/build.sh, not run.
#
#   build_in_a_container CARGO ARGUMENTS...

build_in_a_container() {
    have docker || have podman || die "--container needs Docker or Podman"
    have cross || die "--container needs cross: cargo install --locked cross"
    # shellcheck disable=SC2119 # no components
    find_rust
    build_viewer
    say "$me: using $(cross --version 2> /dev/null | head -n 1), in a container of cross/Dockerfile.${target%%-*}"
    # Names Rust by its version number: cross 0.2.5 cannot read the output of a current rustup, considers "stable"
    # missing and updates it.
    toolchain=+$(rust_version)
    cross "$toolchain" build --profile "$profile" --locked --bin fanlight --target "$target" "$@"
    write_runner
    make_result "$runner"
}

# The program writes its manual pages. For this it runs in the container, which has its libraries and an emulator. cross
# runs only the project's program, so this small script drops the path that package/build puts in front of the
# arguments.
write_runner() {
    runner=$(mktemp)
    at_end 'rm -f "$runner"'
    cat > "$runner" << RUNNER
#!/bin/sh
shift
exec cross $toolchain run --quiet --profile $profile --locked --bin fanlight --target $target -- "\$@"
RUNNER
    chmod 755 "$runner"
}
