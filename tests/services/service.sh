# The commands that every service of one process has. Sourced after lib.sh by a script that defines
#   install        fill the cache
#   launch         spawn the process, with "$pidfile" and "$log"; $port and $dir are set
#   answers        succeeds when the service answers
#   option N V     take an option of its own (optional)
# and ends with `service_main "$@"`. D/port remembers the port, D/home holds the data.

option() { die "unknown option $1"; }

# The configuration of this start; what isn't given is what it was before, or a free port.
service_port() {
  local before=0
  [[ ! -s $dir/port ]] || before=$(<"$dir/port")
  if ((port == 0)); then port=$before; fi
  if ((port == 0)); then port=$(free_ports 1); fi
  if ((port != before)) && running "$pidfile" >/dev/null; then die "$dir is running on port $before: stop it first"; fi
  echo "$port" >"$dir/port"
}

service_start() {
  install
  mkdir -p "$dir"
  (
    flock 8 # two starts of one folder
    service_port
    if ! running "$pidfile" >/dev/null; then
      keep_log "$log"
      launch
    fi
  ) 8>"$dir/lock"
  port=$(<"$dir/port")
  await "${SERVICE_WAIT:-90}" "$pidfile" "$log" answers
  echo "http://127.0.0.1:$port"
}

service_main() {
  local command=${1:-}
  dir= port=0
  shift || true
  while (($#)); do
    case $1 in
      --dir) dir=$2 ;;
      --port) port=$2 ;;
      *) option "$1" "${2:-}" ;;
    esac
    shift 2 || die "$1: a value is missing"
  done
  case $command in
    -h | --help) usage && exit 0 ;;
    install) ;;
    start | stop | status | kill | pause | cont | up | wipe) [[ -n $dir ]] || die "--dir is missing" ;;
    *) usage >&2 && exit 2 ;;
  esac
  dir=$(realpath -m "${dir:-.}") pidfile=$dir/pid log=$dir/log
  case $command in
    install) install ;;
    start | up) service_start ;;
    stop) end_all 15 "$pidfile" ;;
    kill) end_all 0 "$pidfile" ;;
    pause) send STOP "$pidfile" ;;
    cont) send CONT "$pidfile" ;;
    status) echo "$self port $(cat "$dir/port" 2>/dev/null || echo none) $(describe "$pidfile")" && running "$pidfile" >/dev/null ;;
    wipe)
      end_all 0 "$pidfile"
      [[ ! -e $dir/port ]] || rm -rf -- "$dir"
      ;;
  esac
}
