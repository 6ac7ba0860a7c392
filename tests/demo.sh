#!/usr/bin/env bash
# Shows the HTTP connector at work: installs what is missing, builds, serves a small data set with a
# real nginx on loopback, mounts it, reads it through the mount, unmounts. Leaves nothing behind but
# the packages and build/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/red-demo.XXXXXX")
readonly work
readonly data=$work/data mount=$work/mount
PATH=$work/installed/bin:$PATH:/usr/sbin
nginx_pid=

finish() {
  local status=$?
  trap - EXIT
  cd /
  if mountpoint -q "$mount"; then red-connector-http umount-dir "$mount" || true; fi
  if [ -n "$nginx_pid" ]; then
    kill "$nginx_pid" 2> /dev/null || true
    wait "$nginx_pid" 2> /dev/null || true
  fi
  rm -rf --one-file-system "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title() { printf '\n== %s\n' "$*"; }
# Shows a command as one would type it, then runs it.
show() {
  local word line='$'
  for word in "$@"; do
    if [[ $word == *" "* ]]; then line+=" '$word'"; else line+=" $word"; fi
  done
  echo "$line"
  "$@"
}
# Runs a command that has much to say; says it only if the command fails.
quietly() {
  if ! "$@" > "$work/log" 2>&1; then
    printf 'failed: %s\n' "$*" >&2
    tail -n 40 "$work/log" >&2
    exit 1
  fi
}
seconds_since() {
  local microseconds=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
  printf '%d.%03d s' $((microseconds / 1000000)) $((microseconds / 1000 % 1000))
}

install_and_build() {
  local start=$EPOCHREALTIME
  quietly tests/packages.sh install build run demo
  quietly cmake --preset release -DBUILD_TESTING=OFF -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
  quietly cmake --build --preset release --parallel "$(nproc)"
  quietly cmake --install build/release --prefix "$work/installed"
  echo "packages installed, build/release built ($(seconds_since "$start"))"
}

make_data() {
  mkdir -p "$data/scans/day 1 (50% of #3)" "$mount"
  printf 'subject,age\n01,34\n02,29\n' > "$data/subjects.csv"
  head -c 50000000 /dev/urandom > "$data/scans/brain.img"
  printf 'Namen bleiben, wie sie sind\n' > "$data/scans/day 1 (50% of #3)/Größe & Maß?.txt"
  for number in $(seq 100 299); do
    printf 'slice %s\n' "$number" > "$data/scans/slice-$number.txt"
  done
  chmod -R a+rX "$work"
  echo "$(find "$data" -type f | wc -l) files, $(du -sh "$data" | cut -f1)"
}

# A port is free when nginx can have it; another is tried if not.
start_nginx() {
  local user=
  [ "$(id -u)" != 0 ] || user='user root;'
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    cat > "$work/nginx.conf" << CONF
$user
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server {
    listen 127.0.0.1:$port;
    location / { root $data; autoindex on; }
  }
}
CONF
    nginx -c "$work/nginx.conf" -e "$work/nginx.log" 2> "$work/nginx.errors" &
    nginx_pid=$!
    for _ in $(seq 50); do
      # Written once the port is bound.
      if [ -s "$work/nginx.pid" ]; then return; fi
      kill -0 "$nginx_pid" 2> /dev/null || break
      sleep 0.1
    done
    kill "$nginx_pid" 2> /dev/null || true
  done
  cat "$work/nginx.errors" >&2
  exit 1
}

compare() {
  local start=$EPOCHREALTIME
  (cd "$data" && find . -type f -exec sha256sum {} +) | LC_ALL=C sort > "$work/expected"
  (cd "$mount" && find . -type f -exec sha256sum {} +) | LC_ALL=C sort > "$work/seen"
  cmp "$work/expected" "$work/seen"
  echo "$(wc -l < "$work/seen") files read through the mount, names and SHA-256 sums all equal" \
    "($(seconds_since "$start"))"
}

title "Install what is needed and build"
install_and_build

title "A data set, and nginx to serve it"
make_data
start_nginx
echo "http://127.0.0.1:$port/ is served by $(nginx -v 2>&1 | sed 's/.*: //')"
cd "$work"
printf '{"url": "http://127.0.0.1:%s/"}\n' "$port" > access.json
show cat access.json

title "Mount it"
if [ ! -e /dev/fuse ]; then
  echo "This machine has no /dev/fuse, so nothing can be mounted; for a container: docker run" \
    "--device /dev/fuse --cap-add SYS_ADMIN ..." >&2
  exit 1
fi
show red-connector-http mount-dir-validate access.json
start=$EPOCHREALTIME
show red-connector-http mount-dir access.json mount
echo "mounted in $(seconds_since "$start")"

title "Use it like a disk"
show ls -l mount
show ls "mount/scans/day 1 (50% of #3)"
show cat mount/subjects.csv
show tail -n 1 mount/scans/slice-299.txt
show df -h mount
show red-connector mounts
compare

title "Unmount it"
show red-connector-http umount-dir mount
if mountpoint -q mount; then
  echo "still mounted: $mount" >&2
  exit 1
fi
echo "the mount is gone"

title "The same by copying"
start=$EPOCHREALTIME
show red-connector-http receive-dir access.json copy
diff -r data copy
echo "received in $(seconds_since "$start"), no difference"
