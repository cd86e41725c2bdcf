# What the service scripts share: the download cache, ports, and processes that are known by pid. Sourced, never run.
#
# Two kinds of folder: the cache (below) holds what was downloaded or built and serves any number of instances; --dir is one
# instance: its ports, data, logs and pids. Neither lies in the checkout unless the caller says so.

services=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_root=${ARGILLA_BRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/argilla-bridge}
self=$(basename "$0")

die() {
  echo "$self: $*" >&2
  exit 1
}

# usage: the script's own first comment.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# ---- what has to be on the machine ----

# apt_install PACKAGE...: scripts run side by side and dpkg has one lock, so one at a time.
apt_install() {
  [[ $(id -u) == 0 ]] || die "missing: please install the Debian packages $*"
  mkdir -p "$cache_root"
  (
    flock 9
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"; } \
      >"$cache_root/apt.log" 2>&1 9>&- || { tail -20 "$cache_root/apt.log" >&2; die "apt-get install $* failed"; }
  ) 9>"$cache_root/apt.lock"
}

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || apt_install "$2"; }

# need_java: sets $java and $javac. A JDK, since OpenSearch's launcher is compiled here.
need_java() {
  if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/javac ]]; then
    java=$JAVA_HOME/bin/java javac=$JAVA_HOME/bin/javac
  else
    need javac openjdk-17-jdk-headless
    java=java javac=javac
  fi
}

# ---- the cache ----

# cached NAME BUILD ID...: sets $entry to the cache's folder for NAME, which BUILD FOLDER fills if it isn't there yet.
# The name ends in a digest of the IDs (words, or files by content), so changed pins make a new entry instead of a wrong one.
# `.done` comes last: a folder without it was left by a build that was interrupted, and goes. Whoever comes second waits.
# BUILD chains its steps with &&: bash ignores `set -e` within a condition.
cached() {
  local name=$1 build=$2 id
  shift 2
  entry=$cache_root/$name-$(for id; do if [[ -f $id ]]; then cat "$id"; else echo "$id"; fi; done | sha256sum | cut -c1-12)
  [[ -e $entry/.done ]] && return
  mkdir -p "$cache_root"
  (
    flock 9
    [[ -e $entry/.done ]] && exit 0
    rm -rf -- "$entry"
    mkdir "$entry"
    "$build" "$entry" >"$entry.log" 2>&1 9>&- || { tail -25 "$entry.log" >&2; die "installing $name failed, see $entry.log"; }
    touch "$entry/.done"
  ) 9>"$entry.lock"
}

# maven_jars POM FOLDER [GOAL]: Maven's local repository isn't made for two writers, so one at a time.
maven_jars() {
  (
    flock 9
    mvn -B -ntp -q -f "$1" "-Djars=$2" "${3:-generate-resources}" 9>&-
  ) 9>"$cache_root/maven.lock"
}

# python_venv FOLDER PYTHON REQUIREMENTS
python_venv() {
  "$2" -m venv "$1/venv" && "$1/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$3"
}

# python_id PYTHON: what a venv depends on besides its requirements.
python_id() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)'; }

# need_venv PYTHON: Debian's python3 comes without the venv module's other half.
need_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv; }

# python310: prints a Python 3.10 that works, if there is one (a pyenv shim may exist for a version that isn't active).
python310() {
  local p
  for p in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python python3.10; do
    if "$p" -c 'import sys, sqlite3, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
      echo "$p"
      return
    fi
  done
  return 1
}

# ---- ports ----

free_ports() { python3 "$services/free_port.py" "$1"; }

# ---- processes ----

# stat_of PID: state, ppid, ... start time (the 20th): /proc/PID/stat without pid and name (which may hold anything).
stat_of() {
  local line
  { line=$(<"/proc/$1/stat"); } 2>/dev/null && echo "${line##*) }"
}

# spawn PIDFILE LOG COMMAND...: in a session of its own, so that a ^C at the caller doesn't reach it. The pid file keeps the
# start time too: a pid comes back one day as somebody else's process.
spawn() {
  local pidfile=$1 log=$2 pid fields
  shift 2
  setsid "$@" >"$log" 2>&1 </dev/null 8>&- 9>&- &
  pid=$!
  read -ra fields < <(stat_of "$pid")
  echo "$pid ${fields[19]:-0}" >"$pidfile"
}

# running PIDFILE: prints the pid if that very process lives. A zombie doesn't (not every init reaps), unless it has other threads:
# a killed JVM's first thread is one for some 100 ms while the others hold the port open.
running() {
  local pid born fields
  [[ -s $1 ]] && read -r pid born <"$1" || return 1
  read -ra fields < <(stat_of "$pid") || return 1
  [[ ${fields[19]} == "$born" && (${fields[0]} != [ZX] || ${fields[17]} -gt 1) ]] && echo "$pid"
}

# await SECONDS PIDFILE LOG COMMAND...: until COMMAND succeeds; fails at once when the process has ended.
await() {
  local end=$((SECONDS + $1)) pidfile=$2 log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    running "$pidfile" >/dev/null || { tail -25 "$log" >&2; die "ended while starting, see $log"; }
    ((SECONDS < end)) || { tail -25 "$log" >&2; die "not ready in time, see $log"; }
    sleep 0.05
  done
}

# send SIGNAL PIDFILE
send() {
  local pid
  pid=$(running "$2") || die "not running"
  kill "-$1" "$pid"
}

# end_all SECONDS PIDFILE...: SIGTERM to all, SIGKILL to what is left after SECONDS (0: at once); returns when they are gone.
# A stopped process gets SIGCONT, else it could not follow.
end_all() {
  local end=$((SECONDS + $1)) grace=$1 pidfile pid
  shift
  for pidfile; do
    pid=$(running "$pidfile") || continue
    if ((grace == 0)); then kill -KILL "$pid"; else kill -TERM "$pid" && kill -CONT "$pid"; fi
  done
  for pidfile; do
    while pid=$(running "$pidfile"); do
      ((SECONDS < end)) || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.05
    done
    rm -f "$pidfile"
  done
}

# describe PIDFILE: "pid 12 rss 180 MiB state S", or "down" and failure
describe() {
  local pid
  if pid=$(running "$1"); then
    awk -v pid="$pid" '/^State/ {s = $2} /^VmRSS/ {r = int($2 / 1024)} END {print "pid", pid, "rss", r, "MiB state", s}' "/proc/$pid/status"
  else
    echo down
    return 1
  fi
}

# keep_log LOG: the log of the run before stays beside the new one, for whoever looks into a failure.
keep_log() { [[ ! -e $1 ]] || mv "$1" "$1.$(date +%s.%N)"; }
