# Where a run lives on the machine. The names are such that no environment has them: what is
# exported already would go on to the script.
case ${XDG_STATE_HOME-} in
  /*) wsexec_home=$XDG_STATE_HOME/wsexec ;;
  *) wsexec_home=${HOME-}/.local/state/wsexec ;;
esac
wsexec_d=$wsexec_home/$wsexec_id
wsexec_r=$wsexec_d/run
wsexec_say() { echo "$wsexec_nonce $*"; }
wsexec_ours() { [ -d "$wsexec_d" ] && [ ! -h "$wsexec_d" ] && [ -O "$wsexec_d" ]; }
# Sets wsexec_t to when a process started (proc(5), field 22); to nothing where it is gone. Its name
# may hold anything, but ends with the last parenthesis.
wsexec_look() {
  wsexec_t=
  IFS= read -r wsexec_l 2> /dev/null < "/proc/$1/stat" || return 0
  set -- ${wsexec_l##*") "}
  case $1 in [ZX]) return 0 ;; esac
  shift 19
  wsexec_t=$1
}
