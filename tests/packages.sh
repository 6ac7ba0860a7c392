#!/usr/bin/env bash
# The Debian packages that building, testing and checking need: the one list.
#   tests/packages.sh                     prints every group
#   tests/packages.sh GROUP...            prints the packages of these groups, one a line
#   tests/packages.sh install [GROUP...]  installs what is missing (default: build test)
set -euo pipefail

# To compile and link.
build=(
  ca-certificates ccache cmake g++ git ninja-build pkg-config
  libarchive-dev libbotan-2-dev libcli11-dev libcurl4-openssl-dev libfuse3-dev libspdlog-dev
  libssh2-1-dev libssl-dev libxml2-dev libxxhash-dev nlohmann-json3-dev zlib1g-dev
)
# To make packages with cpack.
package=(binutils dpkg-dev file)
# To run the executable: libraries come by themselves; fusermount3 is for ordinary users.
run=(ca-certificates fuse3)
# To test: libraries, and the servers that the tests start themselves.
test=(
  googletest libgmock-dev libgtest-dev libmd-dev librapidcheck-dev libvalijson-dev
  apache2 caddy lighttpd lighttpd-mod-webdav nginx python3
  openssh-server proftpd-core proftpd-mod-crypto python3-asyncssh python3-jsonschema python3-pyxnat
  curl fuse3 openssh-client openssl passwd procps
)
# To compare with (tests/bench/bench.py): peers, which it leaves out where they are missing.
bench=(aria2 curl httpdirfs lftp nginx openssh-client openssh-server rclone rsync sshfs)
# To test in containers (ctest label container); debootstrap can make the base images where no
# registry of images is reached.
container=(busybox-static crun debootstrap podman uidmap)
# To show it at work (tests/demo.sh).
demo=(nginx)
# To check formatting.
check=(clang-format-14)

readonly groups=(build package run test container bench demo check)

packages_of() {
  local group
  for group in "$@"; do
    case " ${groups[*]} " in
      *" $group "*) ;;
      *) echo "packages.sh: no such group: $group (there are: ${groups[*]})" >&2; exit 2 ;;
    esac
    local -n packages=$group
    printf '%s\n' "${packages[@]}"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done
}

# Debian's server packages start their server when they are installed. The tests bring their own
# configuration and ports, so nothing may start; an administrator's own policy is left alone.
readonly policy=/usr/sbin/policy-rc.d
made_policy=no

forbid_servers() {
  [ ! -e "$policy" ] || return 0
  made_policy=yes
  trap allow_servers EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null
  as_root chmod 755 "$policy"
}

allow_servers() {
  [ "$made_policy" = no ] || as_root rm -f "$policy"
}

install_packages() {
  local names wanted
  names=$(packages_of "$@" | sort -u)
  # shellcheck disable=SC2086  # package names are words
  mapfile -t wanted < <(missing $names)
  if [ "${#wanted[@]}" = 0 ]; then return 0; fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
    echo "packages.sh: missing packages need root or sudo: ${wanted[*]}" >&2
    exit 1
  fi
  forbid_servers
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${wanted[@]}"
}

print_groups() {
  local group
  for group in "${groups[@]}"; do
    echo "# $group"
    packages_of "$group"
  done
}

case "${1:-}" in
  "") print_groups ;;
  install)
    shift
    if [ "$#" = 0 ]; then set -- build test; fi
    install_packages "$@"
    ;;
  *) packages_of "$@" ;;
esac
