# The script's own session. It says who it is, or why the script cannot begin, before anything of
# the script runs.
wsexec_place=$1 wsexec_watcher=$3
umask "$2"
# As whatever starts a script as another user finds it.
set -- . "${LC_ALL+x$LC_ALL}"
wsexec_tell() { echo "$2" 1<> "$wsexec_place/run/$1.new" && mkdir "$wsexec_place/begun" && mv -f "$wsexec_place/run/$1.new" "$wsexec_place/run/$1" || exit 125; }
wsexec_begun() {
  IFS= read -r wsexec_line < /proc/$$/stat && set -- ${wsexec_line##*") "} || exit 125
  shift 19
  read -r wsexec_line < /proc/sys/kernel/random/boot_id || exit 125
  wsexec_tell process "$$ $1 $wsexec_line $wsexec_watcher"
}
wsexec_failed() { wsexec_tell failed "$(echo "$*" | tr '\n' ' ' | cut -c 1-380)"; exit 1; }
