# The script's own session. It says who it is, or why the script cannot begin, before anything of
# the script runs.
wsexec_d=$1 wsexec_runner=$3
umask "$2"
set --
wsexec_tell() { echo "$2" 1<> "$wsexec_d/run/$1.new" && mkdir "$wsexec_d/begun" && mv -f "$wsexec_d/run/$1.new" "$wsexec_d/run/$1" || exit 125; }
wsexec_begun() {
  IFS= read -r wsexec_t < /proc/$$/stat && set -- ${wsexec_t##*") "} || exit 125
  shift 19
  read -r wsexec_t < /proc/sys/kernel/random/boot_id || exit 125
  wsexec_tell process "$$ $1 $wsexec_t $wsexec_runner"
}
wsexec_failed() { wsexec_tell failed "$(echo "$*" | tr '\n' ' ' | cut -c 1-380)"; exit 1; }
