# Starts a run, or finds the one that was started before. A connection that goes stops nothing
# here: by handlers, as what is ignored would be ignored by the script too.
trap : HUP PIPE
wsexec_mask=$(umask)
umask 077
wsexec_fail() { wsexec_say failed "$@"; exit 0; }
wsexec_answer() {
  if [ -f "$wsexec_r/failed" ]; then read -r wsexec_l < "$wsexec_r/failed"; wsexec_say refused "$wsexec_l"; exit 0; fi
  if [ -f "$wsexec_r/process" ]; then read -r wsexec_l < "$wsexec_r/process"; wsexec_say process "$wsexec_l"; exit 0; fi
}
wsexec_answer
[ "$wsexec_known" = 0 ] || { wsexec_say gone; exit 0; }
case $wsexec_d in /.local/*) wsexec_fail home ;; esac
if command -v setsid > /dev/null; then
  wsexec_z='wsexec_z() { exec setsid "$@"; }'
elif command -v perl > /dev/null; then
  wsexec_z='wsexec_z() { exec perl -MPOSIX -e "POSIX::setsid() > 0 or exit 125; exec @ARGV" -- "$@"; }'
else
  wsexec_fail setsid
fi
wsexec_look $$
[ -n "$wsexec_t" ] && [ -r /proc/sys/kernel/random/boot_id ] || wsexec_fail proc
if [ ! -d "$wsexec_d" ]; then
  wsexec_m=$(mkdir -p "$wsexec_home" 2>&1) || wsexec_fail directory "$wsexec_m"
  wsexec_m=$(mkdir "$wsexec_d" 2>&1) || [ -d "$wsexec_d" ] || wsexec_fail directory "$wsexec_m"
fi
wsexec_ours || wsexec_fail directory "$wsexec_d is not the user's own"
wsexec_write() {
  mkdir "$wsexec_t" && cd "$wsexec_t" || return 1
  { echo "$wsexec_z" && cat; } > run <<'@NONCE@'
@RUN@
@NONCE@
  [ $? -eq 0 ] || return 1
  cat > begin <<'@NONCE@'
@BEGIN@
@NONCE@
  [ $? -eq 0 ] || return 1
  echo "$wsexec_head" > cap || return 1
  # What has to be written on a full disk has its place from the start.
  for f in process.new failed.new exit.new out.total err.total; do
    printf '%400s\n' '' > $f || return 1
  done
  for f in cut.new done.new out.head err.head; do : > $f || return 1; done
  mkfifo out.in out.on out.h out.t err.in err.on err.h err.t
}
if [ ! -d "$wsexec_d/started" ]; then
  wsexec_t=$wsexec_d/new.$$
  rm -rf "$wsexec_t"
  wsexec_m=$(wsexec_write 2>&1) || { rm -rf "$wsexec_t"; wsexec_fail write "$wsexec_m"; }
  if [ "$wsexec_stdin" -gt 0 ]; then
    wsexec_m=$(cat 2>&1 > "$wsexec_t/stdin") || { rm -rf "$wsexec_t"; wsexec_fail write "$wsexec_m"; }
    [ "$(wc -c < "$wsexec_t/stdin")" -eq "$wsexec_stdin" ] || { rm -rf "$wsexec_t"; wsexec_say incomplete; exit 0; }
  fi
  # Who makes this directory starts the run, and nobody else ever does.
  if wsexec_m=$(mkdir "$wsexec_d/started" 2>&1); then
    # Opens what is secret on descriptor 9, which becomes the run's standard input.
    exec 9< /dev/null
@SECRETS@
    mv "$wsexec_t" "$wsexec_r"
    # By a shell of its own that ends before what it has started: unlike what `&` starts, this does
    # not ignore INT and QUIT, and neither does the script.
    {
      sh -c 'eval "$5"; wsexec_z sh "$1/run/run" "$1" "$2" "$3" "$4" | kill -KILL $$' \
        sh "$wsexec_d" "$wsexec_mask" "$wsexec_head" "$wsexec_tail" "$wsexec_z" \
        <&9 > /dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    } 2> /dev/null
  else
    rm -rf "$wsexec_t"
    [ -d "$wsexec_d/started" ] || wsexec_fail write "$wsexec_m"
  fi
fi
n=0
until [ -f "$wsexec_r/process" ] || [ -f "$wsexec_r/failed" ] || [ $n -ge 150 ]; do
  if sleep 0.1 2> /dev/null; then n=$((n + 1)); else sleep 1; n=$((n + 10)); fi
done
# Whoever makes this directory first decides: the script, that it begins, or this, that it never
# will.
if [ $n -ge 150 ] && mkdir "$wsexec_d/begun" 2> /dev/null; then wsexec_fail late; fi
n=0
until [ -f "$wsexec_r/process" ] || [ -f "$wsexec_r/failed" ] || [ $n -ge 5 ]; do sleep 1; n=$((n + 1)); done
(wsexec_answer)
[ -f "$wsexec_r/process" ] || [ -f "$wsexec_r/failed" ] || wsexec_say unknown
# What this server's runs left here long ago: over and not removed for a week, or abandoned for a
# month and without a process. What is still to be taken stays.
[ "$wsexec_wanted" != "*" ] || exit 0
n=0
for d in "$wsexec_home/$wsexec_store"-*; do
  n=$((n + 1))
  [ $n -le 50 ] || break
  [ -d "$d" ] && [ ! -h "$d" ] && [ "$d" != "$wsexec_d" ] || continue
  case " $wsexec_wanted " in *" ${d#"$wsexec_home/$wsexec_store-"} "*) continue ;; esac
  if [ -f "$d/run/done" ]; then
    [ -n "$(find "$d/run/done" -prune -mtime +6)" ] || continue
  else
    [ -n "$(find "$d" -prune -mtime +29)" ] || continue
    if read -r p t b r s 2> /dev/null < "$d/run/process" && read -r x < /proc/sys/kernel/random/boot_id && [ "$x" = "$b" ]; then
      wsexec_look "$p"
      [ "$wsexec_t" != "$t" ] || continue
      wsexec_look "$r"
      [ "$wsexec_t" != "$s" ] || continue
    fi
  fi
  rm -rf "$d"
done
